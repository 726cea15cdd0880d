"""Hooks are run in threads, and how each ended is found again by anybody: by whom, when, and when not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import containers, hooks, locks, processes, recorded, records
from reconciler.engine.context import Context, Settings
from reconciler.engine.hooks import End
from reconciler.engine.layout import Layout
from reconciler.engine.records import RECORD, ContainerFacts, ContainerRecord, PodRecord
from reconciler.engine.store import events
from reconciler.model.errors import TryLater
from reconciler.model.hook import Hook, HookState
from reconciler.model.key import HAND, ContainerId, Key, PodId
from reconciler.model.probe import Handler, SleepAction, TcpAction
from reconciler.model.spec import ContainerSpec, PodSpec
from tests.fakes.clock import FakeClock
from tests.slowness import seconds

CONTAINER, POD, KEY = ContainerId("c" * 64), PodId("p" * 64), Key("default", "web")
PASSES = SleepAction(0)
FAILS = TcpAction(1, "127.0.0.1")  # nobody listens there

ME = processes.pid_ref(os.getpid())
assert ME is not None
STARTED = ContainerFacts(boot=processes.boot_id(), pid=ME.pid, pid_start=ME.start, started=900.0, started_wall=5000.0)
STOPPING = replace(STARTED, deadline=1030.0, asked=1000.0, told=False)


Told = Callable[[], None]


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    layout = Layout.at(tmp_path)
    layout.make()
    for directory in (layout.container(CONTAINER), layout.pod(POD)):
        directory.mkdir()
    records.write(layout.pod(POD), RECORD, PodRecord(POD, "uid", KEY, PodSpec(KEY), HAND, "", 0.0))
    return Context(Settings(tmp_path), layout, FakeClock(now=1000.0))


@pytest.fixture
def told(ctx: Context) -> Told:
    """Waits until the end of a hook was told."""
    ended = threading.Semaphore(0)
    ctx.tell = lambda _key: ended.release()
    return lambda: ended.acquire(timeout=seconds(30)) or pytest.fail("no end of a hook was told")  # type: ignore[return-value]


def made(ctx: Context, facts: ContainerFacts, post_start: Handler | None = None) -> ContainerRecord:
    record = ContainerRecord(CONTAINER, POD, KEY, "app", 0, ContainerSpec("app", "i", post_start=post_start))
    records.write(ctx.layout.container(CONTAINER), RECORD, record)
    recorded.begin(ctx, CONTAINER, facts)
    return record


def reasons(ctx: Context) -> list[str]:
    return [event.reason for event in events.read(ctx.store)]


@pytest.mark.parametrize(
    ("hook", "state", "event"),
    [
        pytest.param(PASSES, HookState.PASSED, [], id="passes"),
        pytest.param(FAILS, HookState.FAILED, ["FailedPostStartHook"], id="fails"),
    ],
)
def test_a_hook_after_the_start(hook: Handler, state: HookState, event: list[str], ctx: Context, told: Told) -> None:
    record = made(ctx, STARTED, hook)
    assert hooks.post_start_state(ctx, record, STARTED) is HookState.DUE
    hooks.begin(ctx, CONTAINER, Hook.POST_START)
    told()
    assert hooks.post_start_state(ctx, record, STARTED) is state
    assert hooks.post_start_state(another(ctx), record, STARTED) is state, "another process sees it, too"
    assert hooks.post_start_state(ctx, record, replace(STARTED, started=901.0)) is HookState.DUE, "of another life"
    assert hooks.post_start_state(ctx, record, replace(STARTED, boot="x")) is HookState.DUE, "of another boot"
    assert reasons(ctx) == event


@pytest.mark.parametrize(
    ("hook", "state", "event"),
    [
        pytest.param(PASSES, HookState.PASSED, [], id="passes"),
        pytest.param(FAILS, HookState.FAILED, ["FailedPreStopHook"], id="fails"),
    ],
)
def test_a_hook_before_the_stop(hook: Handler, state: HookState, event: list[str], ctx: Context, told: Told) -> None:
    facts = replace(STOPPING, pre_stop=hook)
    made(ctx, facts)
    hooks.begin(ctx, CONTAINER, Hook.PRE_STOP)
    told()
    assert hooks.pre_stop_state(ctx, CONTAINER, facts) is state
    assert hooks.pre_stop_state(ctx, CONTAINER, replace(facts, asked=1001.0)) is HookState.DUE, "of another stop"
    assert hooks.pre_stop_state(ctx, CONTAINER, replace(facts, deadline=9999.0)) is state, "whose deadline was moved on"
    assert reasons(ctx) == event


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(replace(STOPPING, pre_stop=FAILS, told=True), id="it was told already"),
        pytest.param(replace(STOPPING, pre_stop=FAILS, killed=True), id="it was killed"),
        pytest.param(replace(STOPPING, pre_stop=FAILS, deadline=999.0), id="its grace is over"),
        pytest.param(STOPPING, id="it has no such hook"),
        pytest.param(STARTED, id="it is not being stopped"),
    ],
)
def test_what_is_not_due_is_not_run(facts: ContainerFacts, ctx: Context, told: Told) -> None:
    made(ctx, facts)
    hooks.begin(ctx, CONTAINER, Hook.PRE_STOP)
    told()
    assert hooks.pre_stop_state(ctx, CONTAINER, facts) is HookState.DUE
    assert reasons(ctx) == []


def test_while_another_process_is_at_it_it_is_waited_for_and_its_end_counts(ctx: Context, told: Told) -> None:
    record = made(ctx, STARTED, FAILS)
    bundle = ctx.layout.container(CONTAINER)
    with locks.exclusive(bundle / "postStart.lock"):
        hooks.begin(ctx, CONTAINER, Hook.POST_START)
        hooks.begin(ctx, CONTAINER, Hook.POST_START)  # there is a thread for it already
        assert hooks.post_start_state(ctx, record, STARTED) is HookState.RUNNING
        assert hooks.post_start_state(another(ctx), record, STARTED) is HookState.DUE
        records.write(bundle, Hook.POST_START, End(STARTED.started, STARTED.boot, passed=True))
    told()
    assert hooks.post_start_state(ctx, record, STARTED) is HookState.PASSED
    assert reasons(ctx) == []


def test_where_another_process_was_killed_it_is_run(ctx: Context, told: Told) -> None:
    record = made(ctx, STARTED, PASSES)
    with locks.exclusive(ctx.layout.container(CONTAINER) / "postStart.lock"):
        hooks.begin(ctx, CONTAINER, Hook.POST_START)
    told()
    assert hooks.post_start_state(ctx, record, STARTED) is HookState.PASSED


def test_a_container_that_ended_by_itself_has_not_failed_its_hook(ctx: Context, told: Told) -> None:
    gone = replace(STARTED, pid_start=STARTED.pid_start + 1)
    record = made(ctx, gone, FAILS)
    hooks.begin(ctx, CONTAINER, Hook.POST_START)
    told()
    assert hooks.post_start_state(ctx, record, gone) is HookState.DUE
    assert reasons(ctx) == []


def test_an_end_that_cannot_be_written_down_counts_here(
    ctx: Context, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = made(ctx, STARTED, PASSES)

    def full(*_: object) -> None:
        raise TryLater("cannot write x: No space left on device")

    monkeypatch.setattr(records, "write", full)
    hooks.begin(ctx, CONTAINER, Hook.POST_START)
    told()
    assert hooks.post_start_state(ctx, record, STARTED) is HookState.PASSED


def test_a_container_that_is_gone_is_no_trouble(ctx: Context) -> None:
    hooks.begin(ctx, CONTAINER, Hook.POST_START)
    ctx.layout.container(CONTAINER).rmdir()
    hooks.begin(ctx, CONTAINER, Hook.POST_START)


NOW, OTHER = SleepAction(1), SleepAction(2)


@pytest.mark.parametrize(
    ("pod", "hook"),
    [
        pytest.param(ContainerSpec("app", "i", pre_stop=NOW), NOW, id="what its pod says by now"),
        pytest.param(ContainerSpec("app", "i"), None, id="nothing, where its pod has none any more"),
        pytest.param(ContainerSpec("app", "j", pre_stop=NOW), OTHER, id="its own, where its pod has another version"),
        pytest.param(ContainerSpec("else", "i", pre_stop=NOW), OTHER, id="its own, where its pod has it no more"),
    ],
)
def test_what_is_done_before_a_stop(pod: ContainerSpec, hook: Handler | None) -> None:
    record = ContainerRecord(CONTAINER, POD, KEY, "app", 0, ContainerSpec("app", "i", pre_stop=OTHER))
    assert hooks.pre_stop_of(PodSpec(KEY, containers=(pod,)), record) == hook


def test_a_stop_with_a_hook_is_a_deadline_on_record_and_no_signal(
    ctx: Context, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[int] = []
    monkeypatch.setattr(processes, "send_signal", lambda _ref, number: signals.append(number))
    made(ctx, STARTED)
    containers.stop(ctx, CONTAINER, 30.0, PASSES)
    told()
    facts = recorded.facts_of(ctx, CONTAINER)
    assert (facts.deadline, facts.told, facts.pre_stop, signals) == (1030.0, False, PASSES, [])
    ctx.clock.advance(29.5)  # type: ignore[attr-defined]
    containers.term(ctx, CONTAINER)
    containers.term(ctx, CONTAINER)
    facts = recorded.facts_of(ctx, CONTAINER)
    assert (facts.deadline, facts.told, facts.pre_stop, signals) == (1031.5, True, None, [15])


def another(ctx: Context) -> Context:
    """As another process has it."""
    return Context(ctx.settings, ctx.layout, ctx.clock)
