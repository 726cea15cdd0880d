"""A controller and commands around pods that are left alone: a folder, real files, the engine in memory."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from reconciler.controller import by_hand
from reconciler.controller.core import Core
from reconciler.controller.watch import WatchOptions, watch
from reconciler.engine.layout import Layout
from reconciler.model.clock import SystemClock
from reconciler.model.desired import Suspended
from reconciler.model.key import HAND
from reconciler.model.spec import PortBinding
from reconciler.sources.hand import HandPod, HandSource
from reconciler.sources.suspended import Suspensions
from tests.fakes.engine import FakeEngine
from tests.slowness import seconds
from tests.unit.controller.world import World
from tests.unit.plan.driver import pod as spec_of
from tests.unit.sources.manifests import key, pod

WEB, DB = key("web"), key("db")
DEADLINE = seconds(20)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.write("web.yaml", pod("web", "a", "b"))
    world.settle()
    world.suspensions.suspend(WEB, 1.0)
    world.stepped.clear()
    return world


def resumed(world: World) -> None:
    assert world.suspensions.resume(WEB)
    world.core.queue.add(WEB)
    world.settle()


def test_what_ends_is_started_again_when_it_is_resumed(world: World) -> None:
    world.engine.exit(WEB, "a", 1)
    world.settle()
    assert world.stepped == []
    assert isinstance(world.result(WEB).desired, Suspended)
    resumed(world)
    assert set(world.engine.running(WEB)) == {"a", "b"}


def test_an_edit_is_taken_up_when_it_is_resumed(world: World) -> None:
    before = world.engine.running(WEB)
    world.write("web.yaml", pod("web", "a", "b").replace("busybox:1", "busybox:2", 1))
    world.settle()
    assert world.engine.running(WEB) == before
    resumed(world)
    after = world.engine.running(WEB)
    assert after["b"] == before["b"]
    assert after["a"] != before["a"]


def test_a_removal_is_taken_up_when_it_is_resumed(world: World) -> None:
    world.remove("web.yaml")
    world.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}
    resumed(world)
    assert world.engine.keys() == ()


def test_others_are_looked_after(world: World) -> None:
    world.write("db.yaml", pod("db"))
    world.settle()
    assert set(world.engine.running(DB)) == {"main"}
    assert {about for about, _ in world.stepped} == {DB}


def test_it_is_left_alone_by_the_next_controller_and_after_a_reboot(world: World) -> None:
    world.engine.reboot()
    following = World(world.root, engine=world.engine)
    following.settle()
    assert following.stepped == []
    assert world.engine.running(WEB) == {}
    assert following.suspensions.resume(WEB)
    following.core.queue.add(WEB)
    following.settle()
    assert set(world.engine.running(WEB)) == {"a", "b"}


def test_it_gives_up_no_port(world: World) -> None:
    binding = PortBinding(8080, 80)
    world.remove("web.yaml")
    world.settle()
    assert not world.core.releases(WEB, binding)


def test_a_pod_of_a_source_that_is_not_looked_after_is_left_alone_too(world: World) -> None:
    (world.root / "elsewhere").mkdir()
    other = World(world.root, "elsewhere", engine=world.engine)
    world.engine.exit(WEB, "a", 1)
    other.core.queue.add(WEB)
    other.settle()
    assert other.stepped == []


def test_where_neither_pod_nor_manifest_is_left_the_word_goes(world: World) -> None:
    resumed(world)
    world.remove("web.yaml")
    world.settle()
    assert world.engine.keys() == ()
    world.suspensions.suspend(WEB, 1.0)
    world.core.queue.add(WEB)
    world.settle()
    assert world.suspensions.keys() == set()


def test_a_pod_that_is_only_defined_is_not_made(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.suspensions.suspend(WEB, 1.0)
    world.write("web.yaml", pod("web"))
    world.settle()
    assert world.engine.keys() == ()
    assert world.suspensions.keys() == {WEB}


def test_pods_made_by_hand_are_as_commands_want_them(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.make()
    engine = FakeEngine()
    bench = by_hand.Bench(engine, layout, engine.clock)
    spec = spec_of(key=WEB)
    Suspensions(layout.suspended).suspend(WEB, 1.0)
    by_hand.edit(bench, WEB, lambda _: HandPod(spec))
    assert by_hand.settle(bench, WEB).owner == HAND
    assert set(engine.running(WEB)) == {"web", "side"}
    assert HandSource(layout.hand).asked_for(WEB)


def test_without_a_controller_the_monitors_call_starts_nothing_again(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "root")
    layout.make()
    world = World(tmp_path)
    world.write("web.yaml", pod("web", "a"))
    world.settle()
    Suspensions(layout.suspended).suspend(WEB, 1.0)
    ident = world.engine.container(WEB, "a").id
    world.engine.exit(WEB, "a", 1)
    by_hand.ended(world.engine, layout, ident)
    assert world.engine.running(WEB) == {}


def test_a_live_controller_hears_of_both_at_once(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "root")
    layout.make()
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "web.yaml").write_text(pod("web", "a"))
    engine = FakeEngine(SystemClock())  # type: ignore[arg-type]  # time goes by itself here
    suspensions = Suspensions(layout.suspended)
    stop, changed = threading.Event(), threading.Condition()
    cores: list[Core] = []

    def tell(_key: object) -> None:
        with changed:
            changed.notify_all()

    def is_suspended() -> bool:
        result = cores[0].result(WEB) if cores else None
        return result is not None and isinstance(result.desired, Suspended)

    def until(condition) -> None:
        with changed:
            assert changed.wait_for(condition, DEADLINE)

    options = WatchOptions(layout, resync=0, firewall=False, on_start=cores.append, on_change=tell)
    thread = threading.Thread(target=lambda: watch(engine, [folder], options, stop=stop))
    thread.start()
    try:
        until(lambda: engine.running(WEB))
        suspensions.suspend(WEB, 1.0)
        until(is_suspended)
        engine.exit(WEB, "a", 1)
        suspensions.resume(WEB)
        until(lambda: not is_suspended() and engine.running(WEB))
    finally:
        stop.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()
