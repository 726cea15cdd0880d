"""What state a container is in, and how it ended, as tables: from facts, exit files, boots and clocks that jump."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import containers, observe, processes, recorded, records, watched
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.records import STATE, Begun, ContainerFacts, ContainerRecord, PodRecord
from reconciler.engine.store import pods as index
from reconciler.model.hook import HookState
from reconciler.model.key import HAND, ContainerId, Key, PodId
from reconciler.model.observed import Container, ContainerState, Exit, Stopping
from reconciler.model.probe import Probe, SleepAction
from reconciler.model.spec import ContainerSpec, PodSpec, Resources
from tests.fakes.clock import FakeClock

CONTAINER = ContainerId("c" * 64)
KEY = Key("default", "web")
ME = processes.pid_ref(os.getpid())
assert ME is not None
BOOT = processes.boot_id()
LIVING = ContainerFacts(boot=BOOT, pid=ME.pid, pid_start=ME.start)
GONE = replace(LIVING, pid_start=ME.start + 1)
"""A process whose number another one has by now."""
RAN = replace(GONE, started=900.0, started_wall=5000.0)
ELSEWHEN = replace(RAN, boot="another boot")
POD = PodRecord(PodId("p" * 64), "uid", KEY, PodSpec(KEY), HAND, "", 0.0)
C, R, E = ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    layout = Layout.at(tmp_path)
    layout.make()
    layout.container(CONTAINER).mkdir()
    return Context(Settings(tmp_path), layout, FakeClock(now=1000.0, wall=6000.0))


def _exited(ctx: Context, text: str, at: float = 5990.0, *, in_bundle: bool = True) -> None:
    path = ctx.layout.container(CONTAINER) / "exit" if in_bundle else ctx.layout.exits / CONTAINER
    path.write_text(text)
    os.utime(path, (at, at))


@pytest.mark.parametrize(
    ("begun", "at"),
    [
        pytest.param(Begun(1.0, 700.0, BOOT), 700.0, id="in this boot, whatever the wall clock says"),
        pytest.param(Begun(5900.0, 700.0, "another boot"), 900.0, id="in another boot, by the wall clock"),
        pytest.param(Begun(1000.0), -4000.0, id="before this boot"),
        pytest.param(Begun(7000.0), 1000.0, id="never in what is to come: that clock was set back"),
    ],
)
def test_when_a_pod_began(begun: Begun, at: float, ctx: Context) -> None:
    index.add_pod(ctx.store, POD.id, KEY, ())
    ctx.layout.pod(POD.id).mkdir()
    records.write(ctx.layout.pod(POD.id), records.RECORD, replace(POD, begun=begun))
    sandbox = observe.look(ctx, KEY).sandbox
    assert sandbox is not None
    assert (sandbox.begun, sandbox.begun_wall) == (at, begun.wall)


def test_what_is_equal_to_what_is_wanted_is_that(ctx: Context) -> None:
    """So that nobody who compares them need look into them again; what differs stays what it is."""
    one, two = ContainerSpec("one", "busybox:1"), ContainerSpec("two", "busybox:1")
    spec = PodSpec(KEY, containers=(one, two))
    index.add_pod(ctx.store, POD.id, KEY, ())
    index.add_container(ctx.store, CONTAINER, POD.id, "one")
    ctx.layout.pod(POD.id).mkdir()
    records.write(ctx.layout.pod(POD.id), records.RECORD, replace(POD, spec=spec))
    record = ContainerRecord(CONTAINER, POD.id, KEY, "one", 0, one)
    records.write(ctx.layout.container(CONTAINER), records.RECORD, record)
    same, edited = copy.deepcopy(spec), replace(spec, containers=(replace(one, image="busybox:2"), two))
    for want in (same, edited, same, spec):
        have = observe.look(ctx, KEY, want)
        assert have.applied == spec
        assert (have.applied is want) == (want == spec)
        assert have.containers[0].spec == one
        assert (have.containers[0].spec is want.containers[0]) == (want == spec)
    assert observe.look(ctx, KEY).applied == spec


def test_a_container_that_lives_is_put_together_once(ctx: Context) -> None:
    """As long as nothing that it follows from is another; and not where there is more to ask than the records."""
    spec = PodSpec(KEY, containers=(ContainerSpec("one", "busybox:1"),))
    pod, record = replace(POD, spec=spec), ContainerRecord(CONTAINER, POD.id, KEY, "one", 0, spec.containers[0])
    facts = replace(LIVING, started_wall=1.0)

    def seen(facts: ContainerFacts, pod: PodRecord = pod) -> Container:
        return observe._container(ctx, record, facts, pod, held=False)

    first = seen(facts)
    assert (first.state, seen(facts)) == (R, first)
    assert seen(facts) is first
    for other in (replace(facts, newer="another image"), replace(facts, refused=Resources(pids_limit=3)), facts):
        assert seen(other) == observe._container(fresh(ctx), record, other, pod, held=False)
    assert seen(replace(facts, pid_start=facts.pid_start + 1)).state is E
    asks_more = replace(facts, deadline=1100.0, told=True)
    assert seen(asks_more) is not seen(asks_more)
    probed = replace(spec, containers=(replace(spec.containers[0], readiness=Probe(SleepAction(1.0))),))
    assert seen(facts, replace(pod, spec=probed)) is not first
    assert not seen(facts, replace(pod, spec=probed)).is_ready


def fresh(ctx: Context) -> Context:
    """One that has seen nothing."""
    return Context(ctx.settings, ctx.layout, ctx.clock)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        pytest.param(ContainerFacts(), ContainerState.CREATING, id="nothing is known: its creation was cut short"),
        pytest.param(LIVING, C, id="its process waits to be started"),
        pytest.param(replace(LIVING, started_wall=1.0), R, id="it was started and lives"),
        pytest.param(GONE, E, id="its process is gone and nobody watches"),
        pytest.param(replace(LIVING, pid_start=0), E, id="it died before its start time could be read"),
        pytest.param(replace(LIVING, boot="another boot", started_wall=1.0), E, id="the machine was restarted"),
        pytest.param(replace(LIVING, exit=Exit(3, 1.0, 2.0)), E, id="its end was written down"),
    ],
)
def test_the_state_of_a_container_whose_monitor_is_gone(ctx: Context, facts: ContainerFacts, state: str) -> None:
    assert observe.state_of(ctx, CONTAINER, facts)[0] is state


@pytest.mark.parametrize(
    ("text", "code"),
    [("0", 0), ("137\n", 137), ("-1", -1), ("", -1), ("oops", -1), ("1\x002", -1), ("--", -1)],
)
def test_a_damaged_exit_file_tells_of_an_end_with_an_unknown_code(ctx: Context, text: str, code: int) -> None:
    _exited(ctx, text)
    state, end = observe.state_of(ctx, CONTAINER, RAN)
    assert state is E
    assert end is not None
    assert end.code == code


@pytest.mark.parametrize(
    ("noted", "told", "code"),
    [
        pytest.param(-1, "7", 7, id="nobody knew, and then its monitor told"),
        pytest.param(-1, None, -1, id="nobody knows"),
        pytest.param(-1, "-1", -1, id="its monitor does not know either"),
        pytest.param(3, "7", 3, id="what is known does not change"),
    ],
)
def test_a_status_that_is_told_late(ctx: Context, noted: int, told: str | None, code: int) -> None:
    if told is not None:
        _exited(ctx, told)
    state, end = observe.state_of(ctx, CONTAINER, replace(RAN, exit=Exit(noted, 999.0, 5999.0)))
    assert state is E
    assert end is not None
    assert end.code == code


def test_what_is_known_of_an_end_is_written_down_once(ctx: Context) -> None:
    """By who holds the pod: that it has ended, then with what status, if that is told."""
    record = ContainerRecord(CONTAINER, PodId("p" * 64), KEY, "web", 0, ContainerSpec("web", "i"))
    records.write(ctx.layout.container(CONTAINER), STATE, RAN)

    def noted() -> Exit | None:
        observe._container(ctx, record, recorded.facts_of(ctx, CONTAINER), POD, held=True)
        return recorded.facts_of(ctx, CONTAINER).exit

    unknown = noted()
    assert unknown is not None
    assert unknown.code == -1
    assert noted() == unknown
    _exited(ctx, "7")
    known = noted()
    assert known is not None
    assert (known.code, known.finished_wall) == (7, 5990.0)
    _exited(ctx, "8")
    assert noted() == known


def test_an_exit_file_counts_while_its_process_seems_to_live(ctx: Context) -> None:
    _exited(ctx, "7", in_bundle=False)
    assert observe.state_of(ctx, CONTAINER, replace(LIVING, started=900.0, started_wall=1.0))[0] is E


@pytest.mark.parametrize(
    ("facts", "at", "finished", "ran_for"),
    [
        pytest.param(RAN, 5990.0, 990.0, 90.0, id="ended ten seconds ago"),
        pytest.param(RAN, 6500.0, 1000.0, 100.0, id="the wall clock was set back since: seen now counts"),
        pytest.param(RAN, 100.0, 1000.0, 100.0, id="the wall clock was set forward since: seen now counts"),
        pytest.param(GONE, 5990.0, 990.0, 0.0, id="ended before we wrote down its start"),
        pytest.param(ELSEWHEN, 5990.0, 0.0, 0.0, id="ended in another boot: before all of this one"),
    ],
)
def test_the_instant_of_an_end(ctx: Context, facts: ContainerFacts, at: float, finished: float, ran_for: float) -> None:
    _exited(ctx, "1", at)
    end = observe.state_of(ctx, CONTAINER, facts)[1]
    assert end is not None
    assert (end.finished, end.ran_for) == (finished, ran_for)
    assert end.finished_wall == max(at, RAN.started_wall), "nothing ends before its start"


def test_an_end_that_was_written_down_in_another_boot_is_before_all_of_this_one(ctx: Context) -> None:
    facts = replace(ELSEWHEN, exit=Exit(1, 1e6, 5990.0))
    assert observe.state_of(ctx, CONTAINER, facts)[1] == Exit(1, 0.0, 5990.0)


@pytest.mark.parametrize(
    ("state", "facts", "stopping"),
    [
        pytest.param(R, replace(LIVING, deadline=9.0), Stopping(9.0), id="it was told"),
        pytest.param(R, replace(LIVING, deadline=9.0, told=False), None, id="perhaps nobody told it: not begun"),
        pytest.param(R, replace(LIVING, deadline=9.0, told=False, killed=True), Stopping(9.0, True), id="killed since"),
        pytest.param(E, replace(LIVING, deadline=9.0, told=False), Stopping(9.0), id="it ended: of that stop"),
        pytest.param(R, LIVING, None, id="no stop"),
        pytest.param(
            R,
            replace(LIVING, deadline=9.0, told=False, pre_stop=SleepAction(1)),
            Stopping(9.0, hook=HookState.DUE),
            id="begun, as its hook comes first",
        ),
        pytest.param(E, replace(LIVING, deadline=9.0, told=False, pre_stop=SleepAction(1)), Stopping(9.0), id="in it"),
    ],
)
def test_a_stop_has_begun_once_its_signal_was_sent(
    state: ContainerState, facts: ContainerFacts, stopping: Stopping, ctx: Context
) -> None:
    record = ContainerRecord(CONTAINER, POD.id, KEY, "app", 0, ContainerSpec("app", "i"))
    assert observe._stopping(ctx, record, state, facts) == stopping


@pytest.mark.parametrize(
    ("name", "number"),
    [("SIGTERM", 15), ("TERM", 15), ("sigint", 2), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("", 15), ("99", 15)],
)
def test_stop_signals_as_images_write_them(name: str, number: int) -> None:
    assert containers.signal_number(name) == number


@pytest.mark.parametrize("text", ["", "x", "-4", "12 34", "\x00"])
def test_a_damaged_pid_file_names_no_monitor(ctx: Context, text: str) -> None:
    (ctx.layout.container(CONTAINER) / watched.MONITOR_PID).write_text(text)
    assert not watched.monitored(ctx, CONTAINER, 0)


def test_a_state_file_of_an_older_program_means_that_its_stops_were_told(ctx: Context) -> None:
    (ctx.layout.container(CONTAINER) / STATE).write_text('{"boot": "b", "pid": 1, "deadline": 3.0}')
    assert recorded.facts_of(ctx, CONTAINER).told
