"""Collection of images: when, what is told, and what comes in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.controller.garbage import Collector
from reconciler.controller.log import Silent
from reconciler.controller.wanted import Wanted
from reconciler.model.errors import TryLater
from reconciler.model.events import EventType
from reconciler.model.spec import PodSpec, SandboxSpec
from reconciler.model.stock import ImagePolicy, Space, StockedImage
from reconciler.sources.directory import DirectorySource
from reconciler.sources.hand import HandPod, HandSource
from tests.fakes.clock import FakeClock
from tests.fakes.engine import FakeEngine
from tests.unit.sources.manifests import key, pod


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def collector(engine: FakeEngine, *wanted: str) -> Collector:
    return Collector(engine, engine.clock, Silent(), lambda: frozenset(wanted))


def stocked(engine: FakeEngine, *names: str, size: int = 100) -> None:
    engine.stocked = [StockedImage(n, n, size, 1_000.0 + i) for i, n in enumerate(names)]


def left(engine: FakeEngine) -> list[str]:
    return [image.name for image in engine.stocked]


def told(engine: FakeEngine) -> list[tuple[str, str]]:
    return [(about, reason) for about, _, reason, _ in engine.emitted]


def test_where_there_is_room_nothing_happens(engine: FakeEngine) -> None:
    stocked(engine, "a", "b")
    assert collector(engine).images()
    assert left(engine) == ["a", "b"] and told(engine) == []


def test_a_full_disk_is_emptied_to_the_low_mark_and_no_further(engine: FakeEngine) -> None:
    stocked(engine, "a", "b", "c", "d")
    engine.others = 500
    assert collector(engine, "a").images()
    assert left(engine) == ["a", "c", "d"]
    assert told(engine) == [("image/b", "ImageRemoved")]
    assert engine.emitted[0][3] == "Removed: the disk is 90 % full, and nothing needs it"


def test_where_images_share_layers_the_disk_is_looked_at_again(engine: FakeEngine) -> None:
    """Each says 100 and frees 30: what seems to be enough is not."""
    stocked(engine, *"abcdefgh", size=30)
    engine.others = 580
    engine.stocked = [replace(image, size=100) for image in engine.stocked]
    engine.space = lambda: Space(1000, 1000 - engine.others - 30 * len(engine.stocked))  # type: ignore[method-assign]
    engine.policy = ImagePolicy(high=80, low=70)
    assert not collector(engine).images(), "again soon"
    assert left(engine) == list("cdefgh")
    engine.policy = ImagePolicy(high=75, low=70)
    assert not collector(engine).images()
    assert left(engine) == list("defgh")


def test_where_the_disk_tells_late_what_is_free_no_more_goes_than_is_wanted(engine: FakeEngine) -> None:
    stocked(engine, "a", "b", "c")
    engine.space = lambda: Space(1000, 100)  # type: ignore[method-assign]
    assert not collector(engine).images()
    assert left(engine) == ["b", "c"]


def test_what_could_not_be_freed_is_told_in_the_kubelets_words(engine: FakeEngine) -> None:
    stocked(engine, "a", "b")
    engine.others = 750
    assert collector(engine, "a").images()
    assert left(engine) == ["a"]
    assert engine.emitted[-1] == (
        "images",
        EventType.WARNING,
        "FreeDiskSpaceFailed",
        "Failed to garbage collect required amount of images. Attempted to free 150 bytes, but only found 100 bytes"
        " eligible to free.",
    )


def test_what_somebody_begins_to_use_meanwhile_stays_and_the_next_one_goes(engine: FakeEngine) -> None:
    stocked(engine, "a", "b", "c")
    engine.others, engine.refused = 580, {"a"}
    assert collector(engine).images()
    assert left(engine) == ["a", "c"]
    assert told(engine) == [("image/b", "ImageRemoved")]


def test_nothing_goes_while_somebody_has_images_brought(engine: FakeEngine) -> None:
    """What is removed would free nothing then, and so one after the other would be."""
    stocked(engine, "a")
    engine.others, engine.transfers = 850, True
    assert not collector(engine).images()
    assert left(engine) == ["a"]


def test_what_is_too_old_goes_from_an_empty_disk_too(engine: FakeEngine) -> None:
    stocked(engine, "a", "b")
    engine.policy = ImagePolicy(max_age=60.0)
    assert collector(engine, "b").images()
    assert left(engine) == ["b"]


def test_a_disk_of_no_size_is_told(engine: FakeEngine) -> None:
    engine.capacity = 0
    assert collector(engine).images()
    assert told(engine) == [("images", "InvalidDiskCapacity")]


def test_trouble_is_told(engine: FakeEngine) -> None:
    collector(engine).failed(TryLater("cannot look at the images: disk on fire"))
    assert engine.emitted == [("images", EventType.WARNING, "ImageGCFailed", "cannot look at the images: disk on fire")]


def test_all_that_manifests_and_commands_name_is_wanted(tmp_path: Path) -> None:
    folder = tmp_path / "pods"
    folder.mkdir()
    volume = '  volumes:\n  - name: data\n    image: {reference: "data:1"}\n'
    mount = "    volumeMounts: [{name: data, mountPath: /data}]\n"
    (folder / "web.yaml").write_text(pod("web") + mount + volume)
    (folder / "db.yaml").write_text(pod("db").replace("busybox:1", "postgres:17"))
    by_hand = HandSource(tmp_path / "hand")
    by_hand.write(HandPod(PodSpec(key("box"), SandboxSpec(infra_image="infra:1"))))
    wanted = Wanted([DirectorySource(folder, clock=FakeClock()), by_hand])
    assert wanted.images() == {"busybox:1", "data:1", "postgres:17", "infra:1"}
