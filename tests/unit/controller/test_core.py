"""A folder and an engine in memory: what the controller makes of edits, removals, exits, failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.controller.core import Core, retry_delay
from reconciler.controller.wanted import Wanted
from reconciler.model.actions import CreateSandbox, RemoveSandbox, StopContainer, UpdateRecord
from reconciler.model.desired import Present, Unknown
from reconciler.model.errors import ImageProblem, RuntimeFailed
from reconciler.model.key import HAND, Key, SourceId
from reconciler.model.observed import Problem
from reconciler.sources.directory import DirectorySource
from tests.fakes.engine import FakeEngine, Killed
from tests.unit.controller.world import World
from tests.unit.sources.manifests import BROKEN, key, pod, pods

WEB, DB = key("web"), key("db")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.write("web.yaml", pod("web", "a", "b"))
    world.settle()
    return world


def test_a_new_file_becomes_a_running_pod(world: World) -> None:
    assert set(world.engine.running(WEB)) == {"a", "b"}
    assert world.result(WEB).status.converged
    assert world.result(WEB).owner == f"dir:{world.root}/manifests"


def test_nothing_is_done_when_nothing_changed(world: World) -> None:
    before = len(world.stepped)
    world.core.queue.add(WEB)
    world.settle()
    assert len(world.stepped) == before


def test_an_edit_of_one_member_leaves_the_other_alone(world: World) -> None:
    before = world.engine.running(WEB)
    world.write("web.yaml", pod("web", "a", "b").replace("busybox:1", "busybox:2", 1))
    world.settle()
    after = world.engine.running(WEB)
    assert after["b"] == before["b"]
    assert after["a"] != before["a"]


def test_a_removed_file_ends_its_pod_and_only_that(world: World) -> None:
    world.write("db.yaml", pod("db"))
    world.settle()
    world.remove("web.yaml")
    world.hear()
    world.work()
    assert world.engine.running(WEB), "not before the folder was quiet"
    assert "Settling" in world.reasons(WEB)
    world.settle()
    assert world.engine.keys() == (DB,)
    assert world.reasons(WEB)[-1] == "Removed"


def test_a_removed_member_stops_when_the_folder_is_quiet(world: World) -> None:
    before = world.engine.running(WEB)
    world.write("web.yaml", pod("web", "a"))
    world.hear()
    world.work()
    assert world.engine.running(WEB) == before
    world.settle()
    assert world.engine.running(WEB) == {"a": before["a"]}


def test_a_broken_file_keeps_its_last_good_version_over_restarts_of_controller_and_machine(world: World) -> None:
    world.write("web.yaml", BROKEN)
    world.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}
    world.engine.reboot()
    again = World(world.root, engine=world.engine)
    again.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}
    assert isinstance(again.result(WEB).desired, Unknown)
    assert "Held" in world.reasons(WEB)


def test_no_prefix_of_a_file_written_in_place_removes_anything(tmp_path: Path) -> None:
    world = World(tmp_path)
    text = pods(pod("web", "a", "b"), pod("db", "c", "d"))
    world.write("both.yaml", text)
    world.settle()
    world.stepped.clear()
    for end in range(0, len(text), 3):
        world.write("both.yaml", text[:end])
        world.hear()
        world.work()
        world.clock.advance(0.5)
    assert not [step for _, step in world.stepped if isinstance(step, RemoveSandbox)]
    for name, members in (("web", {"a", "b"}), ("db", {"c", "d"})):
        assert set(world.engine.running(key(name))) == members
    world.write("both.yaml", text)
    world.settle()
    assert {step.reason.why for _, step in world.stepped if isinstance(step, StopContainer)} <= {"SpecChanged"}


def test_an_exit_is_followed_by_a_restart_then_by_backoff(world: World) -> None:
    world.engine.exit(WEB, "a", 1)
    world.work()
    assert set(world.engine.running(WEB)) == {"a", "b"}
    world.engine.exit(WEB, "a", 1)
    world.work()
    assert set(world.engine.running(WEB)) == {"b"}
    assert "BackOff" in world.reasons(WEB)
    world.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}


def test_waiting_is_told_once_and_not_at_each_look(world: World) -> None:
    world.write("web.yaml", BROKEN)
    world.settle()
    for _ in range(5):
        world.core.queue.add(WEB)
        world.work()
    assert world.reasons(WEB).count("Held") == 1


def test_the_pull_of_an_image_is_told_from_begin_to_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine.pull_time = 3.0
    world.write("web.yaml", pod("web"))
    world.settle()
    reasons = world.reasons(WEB)
    assert reasons.index("Pulling") < reasons.index("Pulled") < reasons.index("Started")


FAULTS = {
    "the runtime fails for a moment": lambda: RuntimeFailed("cannot start a: oops"),
    "we hit a bug of our own": lambda: Killed("bug"),
}


@pytest.mark.parametrize("error", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_it_converges_although(error: Callable[[], Exception], moment: str, nth: int, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine.fail(nth, moment, error())  # type: ignore[arg-type]
    world.write("web.yaml", pod("web", "a", "b"))
    world.settle()
    world.write("web.yaml", pod("web", "a", "b", command="sleep 7"))
    world.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}
    assert world.core.failure(WEB) is None
    assert world.result(WEB).status.converged


def test_a_failure_is_told_and_tried_again_later_and_later(world: World) -> None:
    for _ in range(5):
        world.engine.fail(1, "before", RuntimeFailed("cannot stop a: busy"))
    world.write("web.yaml", pod("web", "a", "b", command="sleep 9"))
    world.hear()
    world.work()
    first = world.core.queue.next_due()
    assert first is not None
    assert first - world.clock.now() == pytest.approx(0.5)
    assert {"Failed", "FailedKillPod"} & set(world.reasons(WEB))
    world.settle()
    assert world.result(WEB).status.converged


def test_a_permanent_failure_waits_for_an_edit(world: World) -> None:
    world.engine.fail(1, "before", ImageProblem("cannot use image: damaged"))
    world.engine.fail(1, "before", ImageProblem("cannot use image: damaged"))
    world.write("web.yaml", pod("web", "a", "b", command="sleep 9"))
    world.hear()
    world.work()
    failure = world.core.failure(WEB)
    assert failure is not None
    assert world.core.queue.next_due() is None
    world.write("web.yaml", pod("web", "a", "b", command="sleep 10"))
    world.settle()
    assert world.core.failure(WEB) is None


def test_retries_grow_to_a_minute() -> None:
    assert [retry_delay(n) for n in (1, 2, 3, 8, 100)] == [0.5, 1.0, 2.0, 60.0, 60.0]


def _port(number: int) -> str:
    return f"[{{containerPort: 80, hostPort: {number}}}]"


def test_two_pods_swap_their_ports(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write("web.yaml", pod("web", ports=_port(8080)))
    world.write("db.yaml", pod("db", ports=_port(8081)))
    world.settle()
    world.write("web.yaml", pod("web", ports=_port(8081)))
    world.write("db.yaml", pod("db", ports=_port(8080)))
    world.settle()
    assert world.result(WEB).status.converged
    assert world.result(DB).status.converged


def test_a_port_that_another_pod_keeps_leaves_what_runs_running(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write("web.yaml", pod("web", ports=_port(8080)))
    world.write("db.yaml", pod("db", ports=_port(8081)))
    world.settle()
    before = world.engine.running(WEB)
    world.write("web.yaml", pod("web", ports=_port(8081)))
    world.settle()
    assert world.engine.running(WEB) == before
    assert "default/db" in " ".join(message for _, _, _, message in world.engine.emitted)


def test_a_pod_whose_new_version_cannot_run_keeps_its_port(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine.judge = lambda spec: (Problem("Bad", "no"),) if spec.annotations else ()
    world.write("web.yaml", pod("web", ports=_port(8080)))
    world.write("db.yaml", pod("db"))
    world.settle()
    before = world.engine.running(DB)
    stuck = pod("web", ports=_port(9090)).replace("name: web", "name: web, annotations: {a: b}")
    world.write("web.yaml", stuck)
    world.settle()
    world.write("db.yaml", pod("db", ports=_port(8080)))
    world.settle()
    assert world.engine.running(DB) == before
    assert world.engine.running(WEB)


class TestOwners:
    def test_a_file_moved_to_another_watched_folder_is_a_rename(self, tmp_path: Path) -> None:
        world = World(tmp_path, "one", "two")
        world.write("web.yaml", pod("web"), "one")
        world.settle()
        before = world.engine.running(WEB)
        (tmp_path / "one" / "web.yaml").rename(tmp_path / "two" / "web.yaml")
        world.settle()
        assert world.engine.running(WEB) == before
        assert world.result(WEB).owner == f"dir:{tmp_path}/two"
        assert isinstance(world.stepped[-1][1], UpdateRecord)

    def test_two_folders_define_one_pod_and_the_recorded_one_counts(self, tmp_path: Path) -> None:
        world = World(tmp_path, "one", "two")
        world.write("web.yaml", pod("web"), "two")
        world.settle()
        world.write("web.yaml", pod("web", command="sleep 5"), "one")
        world.settle()
        assert world.result(WEB).owner == f"dir:{tmp_path}/two"
        assert "DuplicatePod" in world.reasons(WEB)

    def test_what_another_source_owns_is_neither_changed_nor_removed(self, tmp_path: Path) -> None:
        other = World(tmp_path, "other")
        other.write("web.yaml", pod("web"), "other")
        other.settle()
        before = other.engine.running(WEB)
        world = World(tmp_path, engine=other.engine)
        world.settle()
        assert other.engine.running(WEB) == before
        world.write("web.yaml", pod("web", command="sleep 5"))
        world.settle()
        assert other.engine.running(WEB) == before
        desired = world.result(WEB).desired
        assert isinstance(desired, Unknown)
        assert "NotOwned" in desired.why
        assert str(tmp_path / "other") in desired.why

    def test_a_folder_that_was_renamed_hands_its_pods_on(self, tmp_path: Path) -> None:
        old = World(tmp_path, "old")
        old.write("web.yaml", pod("web"), "old")
        old.settle()
        before = old.engine.running(WEB)
        (tmp_path / "old").rename(tmp_path / "new")
        world = World(tmp_path, "new", engine=old.engine)
        world.settle()
        assert old.engine.running(WEB) == before
        assert world.result(WEB).owner == f"dir:{tmp_path}/new"

    def test_pods_made_by_hand_are_not_taken_over(self, tmp_path: Path) -> None:
        engine = FakeEngine()
        source = DirectorySource(tmp_path, clock=engine.clock)
        (tmp_path / "web.yaml").write_text(pod("web"))
        want = source.resolve(WEB).desired
        assert isinstance(want, Present)
        wanted = Wanted([source])
        wanted.adopt({WEB: HAND})
        desired = wanted.resolve(WEB).desired
        assert isinstance(desired, Unknown)
        assert "by hand" in desired.why

    def test_a_file_of_a_folder_speaks_for_the_folder(self, tmp_path: Path) -> None:
        from reconciler.sources.directory import FileSource

        (tmp_path / "web.yaml").write_text(pod("web"))
        wanted = Wanted([FileSource(tmp_path / "web.yaml")])
        wanted.adopt({WEB: SourceId(f"dir:{tmp_path}")})
        desired = wanted.resolve(WEB).desired
        assert isinstance(desired, Present)
        assert desired.owner == f"dir:{tmp_path}"


def test_a_second_life_adopts_what_runs(world: World) -> None:
    before = world.engine.running(WEB)
    again = World(world.root, engine=world.engine)
    again.settle()
    assert world.engine.running(WEB) == before
    assert not again.stepped


def test_a_pod_that_another_command_made_meanwhile_stays_and_nothing_is_told_of_it(tmp_path: Path) -> None:
    """Each hears of the ends of all containers, and nobody has told this one whose the pod is."""
    world = World(tmp_path)
    other = World(tmp_path, "other", engine=world.engine)
    other.write("web.yaml", pod("web"), "other")
    other.settle()
    before = world.engine.running(WEB)
    world.core.queue.add(WEB)
    world.settle()
    assert world.engine.running(WEB) == before
    assert not world.stepped
    assert "Held" not in world.reasons(WEB)


def test_a_pod_that_another_command_took_over_meanwhile_is_not_recreated_as_ours(world: World) -> None:
    """A pod of the same key, removed by hand and made from another folder: the recorded owner counts."""
    other = World(world.root, "other", engine=world.engine)
    world.remove("web.yaml")
    world.settle()
    other.write("web.yaml", pod("web", "c"), "other")
    other.settle()
    before = world.engine.running(WEB)
    world.write("web.yaml", pod("web", "a"))
    world.settle()
    assert world.engine.running(WEB) == before
    assert world.result(WEB).owner == f"dir:{world.root}/other"


def test_what_was_removed_while_nobody_watched_goes(world: World) -> None:
    world.remove("web.yaml")
    again = World(world.root, engine=world.engine)
    again.settle()
    assert world.engine.keys() == ()


def test_steps_are_carried_out_by_threads_as_well(tmp_path: Path) -> None:
    """The real workers, woken by the queue; the test waits for the last step."""
    import threading

    world = World(tmp_path)
    done = threading.Event()

    def look(k: Key) -> None:
        if len(world.engine.running(k)) == 2:
            done.set()

    core = Core(world.engine, Wanted(world.sources), world.clock, on_change=look)
    core.adopt()
    world.write("web.yaml", pod("web", "a", "b"))
    core.start()
    for k in world.sources[0].scan()[1]:
        core.queue.add(k)
    assert done.wait(60)
    assert core.stop()
    assert any(isinstance(step, CreateSandbox) for step in world.engine.performed)
