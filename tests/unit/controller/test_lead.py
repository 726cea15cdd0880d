"""One worker goes ahead until it may have to wait; then another one does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from reconciler.controller.core import Core
from reconciler.controller.lead import Lead
from reconciler.controller.wanted import Wanted
from reconciler.model.actions import Action
from reconciler.model.key import Key
from reconciler.sources.directory import DirectorySource
from tests.fakes.clock import FakeClock
from tests.fakes.engine import FakeEngine
from tests.unit.sources.manifests import key, pod

PATIENCE = 60


def test_who_goes_ahead_keeps_that_until_it_gives_it_up() -> None:
    lead = Lead()
    lead.take()
    lead.take()
    taken, done = threading.Event(), threading.Event()

    def follow() -> None:
        lead.give_up()  # it is not its own
        lead.take()
        taken.set()
        done.wait(PATIENCE)
        lead.give_up()

    thread = threading.Thread(target=follow)
    thread.start()
    assert not taken.is_set()
    lead.give_up()
    assert taken.wait(PATIENCE)
    lead.give_up()  # it is the other's by now
    done.set()
    thread.join(PATIENCE)
    lead.take()
    lead.give_up()


def test_a_step_that_takes_its_time_and_a_lock_that_is_held_keep_no_other_pod_waiting(tmp_path: Path) -> None:
    engine = FakeEngine(FakeClock())
    slow, held, quick = key("slow"), key("held"), key("quick")
    for name in ("slow", "held", "quick"):
        (tmp_path / f"{name}.yaml").write_text(pod(name))
    source = DirectorySource(tmp_path, clock=engine.clock, settle=0)
    source.scan()
    go_on, through = threading.Event(), {k: threading.Event() for k in (slow, held, quick)}
    core = Core(
        engine,
        Wanted([source]),
        engine.clock,
        on_step=_waits(slow, go_on),
        on_change=lambda key: through[key].set(),
    )
    core.start()
    try:
        with engine.lock(held):
            for one in (slow, held, quick):
                core.queue.add(one)
            assert through[quick].wait(PATIENCE)
            assert not through[slow].is_set()
            assert not through[held].is_set()
        assert through[held].wait(PATIENCE)
        assert not through[slow].is_set()
    finally:
        go_on.set()
        assert core.stop()
    assert through[slow].is_set()


def test_what_is_to_be_done_afterwards_is_done_once_when_no_key_waits(tmp_path: Path) -> None:
    engine = FakeEngine(FakeClock())
    through: list[str] = []
    done = threading.Event()
    core = Core(engine, Wanted([]), engine.clock, on_change=lambda k: through.append(k.name))
    core.afterwards(lambda: through.append("at once"))
    for name in ("one", "two"):
        core.queue.add(key(name))
    core.afterwards(lambda: (through.append("afterwards"), done.set()))
    assert through == ["at once"]
    core.start()
    assert done.wait(PATIENCE)
    assert core.stop()
    assert through == ["at once", "one", "two", "afterwards"]


def _waits(slow: Key, go_on: threading.Event) -> Callable[[Key, Action], None]:
    def step(at: Key, _: Action) -> None:
        if at == slow:
            go_on.wait(PATIENCE)

    return step
