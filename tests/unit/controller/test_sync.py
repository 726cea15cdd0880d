"""One sync: what is done at the same time, and what follows without another plan."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.controller.sync import _perform_all
from reconciler.model.actions import Action, CreateContainer, Reason, SetUpNetwork, StartContainer, UpdateFiles, Why
from reconciler.model.errors import RuntimeFailed, TryLater
from reconciler.model.key import ContainerId, PodId, SourceId
from reconciler.model.spec import ContainerSpec, PodSpec, SandboxSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.parts import FakeLock
from tests.unit.controller.world import World
from tests.unit.sources.manifests import key, pod

WEB = key("web")


@pytest.fixture(params=["one after the other", "at the same time"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, engine=Slow())
    world.write("web.yaml", pod("web", "a", "b"))
    if request.param == "at the same time":
        with ThreadPoolExecutor(4) as pool:
            world.core._pool = pool
            world.engine.slow = True  # type: ignore[attr-defined]
            yield world
    else:
        yield world


class Slow(FakeEngine):
    """Its network takes longer than a member where it is ``slow``; what ``fails`` does so once."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = False
        self.created = threading.Event()
        self.fails: dict[type[Action], BaseException] = {}

    def perform(self, lock: Any, action: Action) -> ContainerId | None:
        if error := self.fails.pop(type(action), None):
            raise error
        if isinstance(action, SetUpNetwork) and self.slow:
            assert self.created.wait(10)
        made = super().perform(lock, action)
        if isinstance(action, CreateContainer):
            self.created.set()
        return made


def kinds(world: World) -> list[type[Action]]:
    return [type(step) for step in world.engine.performed]


def test_a_member_is_started_when_it_is_made_and_the_network_stands(world: World) -> None:
    world.hear()
    assert world.work() == 1
    assert set(world.engine.running(WEB)) == {"a", "b"}
    starts = [n for n, kind in enumerate(kinds(world)) if kind is StartContainer]
    assert len(starts) == 2
    assert min(starts) > kinds(world).index(SetUpNetwork)
    assert [type(step) for _, step in world.stepped].count(StartContainer) == 2, "each start is told of"
    assert world.reasons(WEB).count("Started") == 2


def test_where_the_network_cannot_be_set_up_nothing_is_started(world: World) -> None:
    world.engine.fails[SetUpNetwork] = TryLater("cannot set up the network")  # type: ignore[attr-defined]
    world.hear()
    world.work()
    assert kinds(world).count(CreateContainer) == 2
    assert StartContainer not in kinds(world)
    world.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}
    assert kinds(world).count(CreateContainer) == 2, "what was made is used"


def test_what_is_no_error_of_ours_keeps_nobody_waiting_for_the_network(world: World) -> None:
    world.engine.fails[SetUpNetwork] = RuntimeError("a mistake")  # type: ignore[attr-defined]
    world.hear()
    world.work()
    assert StartContainer not in kinds(world)
    world.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}


def test_a_start_that_fails_is_a_step_that_failed(world: World) -> None:
    world.engine.fails[StartContainer] = RuntimeFailed("cannot start it")  # type: ignore[attr-defined]
    world.hear()
    world.work()
    assert world.result(WEB).error is not None
    assert len(world.engine.running(WEB)) == 1
    assert [s.name for s in world.result(WEB).steps if isinstance(s, StartContainer)] == list(world.engine.running(WEB))
    world.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}


def test_a_replacement_is_not_started_beside_the_one_that_runs(world: World) -> None:
    world.settle()
    before = len(world.engine.performed)
    world.write("web.yaml", pod("web", "a", "b").replace("busybox:1", "busybox:2", 1))
    world.settle()
    names = [type(step).__name__ for step in world.engine.performed[before:]]
    assert names.index("CreateContainer") < names.index("StopContainer") < names.index("StartContainer")


class Recording:
    """Takes its time for files, and notes what it was asked for."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.created = threading.Event()

    def perform(self, lock: object, action: Action) -> ContainerId | None:
        if isinstance(action, UpdateFiles):
            assert self.created.wait(10)
        self.began.append(type(action).__name__)
        if isinstance(action, CreateContainer):
            self.created.set()
            return ContainerId("c1")
        return None


POD = PodId("p1")
SPEC = PodSpec(WEB, SandboxSpec("web"), (ContainerSpec("a", "busybox:1"),))
WHY = Reason(Why.NEW, "")
CREATION = CreateContainer(POD, "a", 0, SPEC, WHY, start=True)


def test_a_member_that_starts_finds_the_files_of_its_pod_as_they_are_to_be() -> None:
    engine, files = Recording(), UpdateFiles(POD, SPEC, SourceId("dir:/x"), WHY)
    with ThreadPoolExecutor(2) as pool:
        done = _perform_all(FakeLock(WEB), engine, [CREATION, files], pool)  # type: ignore[arg-type]
    assert engine.began == ["CreateContainer", "UpdateFiles", "StartContainer"]
    assert [(type(step).__name__, error) for step, error in done] == [
        ("UpdateFiles", None),
        ("CreateContainer", None),
        ("StartContainer", None),
    ]


def test_a_pool_that_takes_no_more_keeps_nobody_waiting() -> None:
    """As when the controller ends."""
    with ThreadPoolExecutor(2) as pool:
        taken: list[Future[Any]] = []

        class Closing:
            def submit(self, *work: Any) -> Future[Any]:
                if taken:
                    raise RuntimeError("cannot schedule new futures after shutdown")
                taken.append(pool.submit(*work))
                return taken[0]

        steps = [CREATION, replace(CREATION, name="b"), SetUpNetwork(POD, WHY)]
        with pytest.raises(RuntimeError, match="cannot schedule"):
            _perform_all(FakeLock(WEB), Recording(), steps, Closing())  # type: ignore[arg-type]
        assert [type(step) for step, _ in taken[0].result(10)] == [CreateContainer], "it is not started"
