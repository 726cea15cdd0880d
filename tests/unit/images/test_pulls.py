"""Pulls in the background, and what a plan is told of an image: the rules of imagePullPolicy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.images.image import Image
from reconciler.engine.images.images import Images
from reconciler.engine.images.index import Index, Name, Record
from reconciler.engine.images.pulls import FRESH, Errand, Outcome, Pulls, delay
from reconciler.engine.images.reference import DEFAULT_REGISTRY
from reconciler.model.errors import ImageProblem, TryLater
from reconciler.model.events import EventType
from reconciler.model.login import Login
from reconciler.model.observed import ImageStatus
from reconciler.model.spec import PullPolicy
from tests.fakes.clock import FakeClock

ALWAYS, IF_NOT_PRESENT, NEVER = PullPolicy.ALWAYS, PullPolicy.IF_NOT_PRESENT, PullPolicy.NEVER
REF = "registry.test/app:1"
OLD, NEW = "a" * 64, "b" * 64


def record(id_: str, *names: Name) -> Record:
    return Record(id=id_, names=names, digests=(), manifest="sha256:" + id_, layers=(), size=1)


class Registry(Images):
    """Images whose registry is the test's: ``answer`` is an image id or an error; ``open`` lets answers out."""

    def __init__(self, directory: Path, clock: FakeClock) -> None:
        self.events: list[tuple[EventType, str, str]] = []
        super().__init__(directory, clock, emit=lambda _, kind, reason, text: self.events.append((kind, reason, text)))
        self.clock = clock
        self.answer: str | Exception = NEW
        self.open = threading.Event()
        self.open.set()
        self.ended = threading.Semaphore(0)
        self.asked = 0
        self.subscribe(lambda _: self.ended.release())

    def pull(self, reference: str, **_how: object) -> Image:
        self.asked += 1
        assert self.open.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        self.have(self.answer, pulled=True)
        image = self.get(reference)
        assert image is not None
        return image

    def have(self, id_: str, *, pulled: bool, name: str = REF) -> None:
        with self._disk.lock("index"):
            self._index.add(record(id_, Name(name, pulled, self.clock.wall())))

    def wait(self) -> None:
        assert self.ended.acquire(timeout=30)


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Registry]:
    images = Registry(tmp_path, FakeClock())
    yield images
    images.open.set()
    images.close()


def test_an_image_that_is_not_here_is_pulled_once_and_then_present(images: Registry) -> None:
    images.open.clear()
    assert images.state(REF, IF_NOT_PRESENT).status is ImageStatus.MISSING
    for _ in range(5):
        assert images.ensure(REF, IF_NOT_PRESENT).status is ImageStatus.PULLING
    assert images.state(REF, IF_NOT_PRESENT).status is ImageStatus.PULLING
    images.open.set()
    images.wait()
    assert images.asked == 1
    assert images.state(REF, IF_NOT_PRESENT).id == NEW


def test_an_image_that_is_here_is_present_without_asking(images: Registry) -> None:
    images.have(OLD, pulled=True)
    assert images.ensure(REF, IF_NOT_PRESENT).id == OLD
    assert images.asked == 0


def test_never_does_not_pull(images: Registry) -> None:
    assert images.ensure(REF, NEVER).status is ImageStatus.MISSING
    assert images.asked == 0


def test_a_failed_pull_backs_off_and_doubles(images: Registry) -> None:
    images.answer = TryLater(f"cannot pull {REF}: its registry cannot be reached")
    for expected in (10, 20, 40, 80, 160, 300, 300):
        images.ensure(REF, IF_NOT_PRESENT)
        images.wait()
        state = images.state(REF, IF_NOT_PRESENT)
        assert (state.status, state.error) == (ImageStatus.FAILED, "its registry cannot be reached")
        assert state.retry_at == images.clock.now() + expected
        asked = images.asked
        assert images.ensure(REF, IF_NOT_PRESENT).status is ImageStatus.FAILED, "too early"
        assert images.asked == asked
        images.clock.advance(expected)
    images.answer = NEW
    images.ensure(REF, IF_NOT_PRESENT)
    images.wait()
    assert images.state(REF, IF_NOT_PRESENT).status is ImageStatus.PRESENT


def test_always_asks_before_a_start_and_the_answer_counts_for_that_start(images: Registry) -> None:
    images.have(OLD, pulled=True)
    assert images.state(REF, ALWAYS).status is ImageStatus.MISSING
    images.ensure(REF, ALWAYS)
    images.wait()
    assert images.state(REF, ALWAYS).id == NEW, "a moved tag is taken up"
    assert images.ensure(REF, ALWAYS).status is ImageStatus.PRESENT
    assert images.asked == 1, "no livelock"
    images.clock.advance(FRESH)
    assert images.state(REF, ALWAYS).status is ImageStatus.MISSING, "the next start asks again"


def test_always_with_the_registry_away_starts_the_local_image_with_a_warning(images: Registry) -> None:
    images.have(OLD, pulled=True)
    images.answer = TryLater(f"cannot pull {REF}: its registry cannot be reached")
    images.ensure(REF, ALWAYS)
    images.wait()
    state = images.state(REF, ALWAYS)
    assert (state.status, state.id) == (ImageStatus.PRESENT, OLD)
    kind, reason, text = images.events[-1]
    assert (kind, reason) == (EventType.WARNING, "Failed") and "going on with the image that is here" in text


def test_always_does_not_ask_a_failing_registry_within_its_backoff(images: Registry) -> None:
    images.have(OLD, pulled=True)
    images.answer = TryLater("away")
    for _ in range(5):
        images.ensure(REF, ALWAYS)
        images.wait()
        images.clock.advance(200)
    images.ensure(REF, ALWAYS)
    images.wait()
    images.clock.advance(FRESH + 1)
    assert images.state(REF, ALWAYS).status is ImageStatus.PRESENT


def test_always_uses_an_image_loaded_by_hand_as_it_is(images: Registry) -> None:
    images.have(OLD, pulled=False)
    assert images.ensure(REF, ALWAYS).id == OLD
    assert images.asked == 0


def test_always_does_not_ask_for_a_digest_that_is_here(images: Registry) -> None:
    pinned = "registry.test/app@sha256:" + "c" * 64
    with images._disk.lock("index"):
        images._index.add(Record(OLD, (), (pinned,), "sha256:" + "c" * 64, (), 1))
    assert images.ensure(pinned, ALWAYS).id == OLD
    assert images.asked == 0


@pytest.mark.parametrize("policy", [ALWAYS, IF_NOT_PRESENT])
def test_a_localhost_image_that_is_not_here_fails_at_once(images: Registry, policy: PullPolicy) -> None:
    state = images.ensure("localhost/x", policy)
    assert (state.status, state.error) == (ImageStatus.FAILED, "image localhost/x is not here; load or build it")
    assert images.asked == 0
    images.have(OLD, pulled=False, name="localhost/x:latest")
    assert images.state("localhost/x", policy).id == OLD


def test_what_is_no_reference_fails_until_it_is_edited(images: Registry) -> None:
    state = images.ensure("Not A Name", IF_NOT_PRESENT)
    assert state.status is ImageStatus.FAILED and state.retry_at is None
    assert "Not A Name" in state.error


def test_an_image_found_by_a_short_name_is_renewed_under_its_full_one(images: Registry) -> None:
    images.have(OLD, pulled=True, name=f"{DEFAULT_REGISTRY}/library/app:latest")
    assert images.state("app", IF_NOT_PRESENT).id == OLD
    assert images.state("app", ALWAYS).status is ImageStatus.MISSING


def test_an_unexpected_failure_is_a_failure_too(tmp_path: Path) -> None:
    ended = threading.Event()

    def pull(_: object) -> int:
        raise OSError(28, "No space left on device")

    pulls = Pulls(FakeClock(), pull)
    pulls.subscribe(lambda _: ended.set())
    errand = Errand("x")
    pulls.begin(errand, anew=True)
    assert ended.wait(60)
    last = pulls.last(errand)
    assert last is not None and last.error == "cannot pull x: No space left on device"
    assert not pulls.running(errand)


def test_the_delay_is_bounded_for_ever() -> None:
    assert [delay(n) for n in (1, 2, 5, 6, 1000)] == [10, 20, 160, 300, 300]
    assert Outcome(0.0, "x", 6).counts(299) and not Outcome(0.0, "x", 6).counts(300)


def test_two_images_that_an_id_may_mean_are_named(tmp_path: Path) -> None:
    images = Registry(tmp_path, FakeClock())
    images.have("abc1" + "0" * 60, pulled=True, name="r.test/one:1")
    images.have("abc2" + "0" * 60, pulled=True, name="r.test/two:1")
    with pytest.raises(ImageProblem, match="abc100000000, abc200000000"):
        images.get("abc")
    found = images.get("abc1")
    assert found is not None and found.names == ("r.test/one:1",)


def test_a_name_belongs_to_the_image_that_had_it_last(tmp_path: Path) -> None:
    images = Registry(tmp_path, FakeClock())
    images.have(OLD, pulled=True)
    images.clock.advance(1)
    images.have(NEW, pulled=True)
    found, before = images.get(REF), images.get(OLD)
    assert found is not None and found.id == NEW
    assert before is not None and before.names == (), "dangling, but here"


def test_a_name_claimed_twice_after_a_crash_belongs_to_the_later_claim(tmp_path: Path) -> None:
    images = Registry(tmp_path, FakeClock())
    images.have(NEW, pulled=True)
    old = record(OLD, Name(REF, True, images.clock.wall() - 5))
    images._index._write(old)
    found = Index(images._disk).find(REF)
    assert found is not None and found.id == NEW


def test_another_process_sees_a_change_at_once(tmp_path: Path) -> None:
    mine, other = Registry(tmp_path, FakeClock()), Registry(tmp_path, FakeClock())
    for number in range(50):
        name = f"r.test/app:{number}"
        assert mine.get(name) is None
        other.have(f"{number:064x}", pulled=True, name=name)
        found = mine.get(name)
        assert found is not None and found.id == f"{number:064x}"


def test_other_passwords_are_tried_at_once_though_the_last_ones_failed(images: Registry) -> None:
    images.answer = ImageProblem(f"cannot pull {REF}: its registry refuses: unauthorized")
    images.ensure(REF, IF_NOT_PRESENT)
    images.wait()
    assert images.state(REF, IF_NOT_PRESENT).status is ImageStatus.FAILED
    images.answer = NEW
    logins = (Login("registry.test", "secret"),)
    assert images.state(REF, IF_NOT_PRESENT, logins).status is ImageStatus.MISSING
    images.ensure(REF, IF_NOT_PRESENT, logins)
    images.wait()
    assert images.state(REF, IF_NOT_PRESENT).id == NEW


def test_what_a_pull_took_is_told_in_the_kubelets_words(images: Registry) -> None:
    images.ensure(REF, IF_NOT_PRESENT)
    images.wait()
    assert images.state(REF, IF_NOT_PRESENT).told == "in 0s (0s including waiting). Image size: 1 bytes."


def test_an_old_image_in_a_newer_ones_place_says_why(images: Registry) -> None:
    images.have(OLD, pulled=True)
    images.answer = TryLater(f"cannot pull {REF}: its registry cannot be reached")
    images.ensure(REF, ALWAYS)
    images.wait()
    state = images.state(REF, ALWAYS)
    assert (state.status, state.id, state.error) == (ImageStatus.PRESENT, OLD, "its registry cannot be reached")
