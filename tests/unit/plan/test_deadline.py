"""A pod that may be active for so long: what is done and told before, at and after its deadline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.actions import CreateSandbox, StopContainer
from reconciler.model.desired import Desired, Suspended
from reconciler.model.observed import Eviction
from reconciler.model.spec import Volume, VolumeKind
from reconciler.model.status import Phase
from reconciler.plan.deadline import EVICTION_GRACE, LOOK
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import ABSENT, KEY, NEVER, UNKNOWN, one_round, plan, present, settle, status
from tests.unit.plan.scenes import GRACE, HOSTNAME, POD, WEB2, Given, Row, changed, check, here, rows

POD60 = changed(POD, deadline=60)
ONCE60 = changed(POD60, restart_policy=NEVER)
OVER = "it was active for longer than its activeDeadlineSeconds (60 s)"
STOPS = tuple(f"stop container {name} {GRACE} {OVER}" for name in ("side", "web"))
WAITS = (f"the pod waits: {OVER}",)
STOPPING = tuple(f"container {name} waits: it was told to stop" for name in ("side", "web"))


def after(seconds: float, spec=POD60, want: Desired | None = None, *, rounds: int = 0, **finish: int) -> Given:
    """``spec`` has run for so long; members have ended by then, with these codes."""

    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settle(engine, present(spec), patience=0)
        engine.tick(seconds)
        for name, code in finish.items():
            engine.exit(KEY, name, code)
        wanted = want or present(spec)
        for _ in range(rounds):
            one_round(engine, wanted)
        return wanted

    return given


def infra_died(engine: FakeEngine) -> Desired:
    want = after(50)(engine)
    engine.kill_infra(KEY)
    settle(engine, want, patience=0)
    engine.tick(10)
    return want


def rebooted(seconds: float, spec=POD60, **finish: int) -> Given:
    def given(engine: FakeEngine) -> Desired:
        want = after(seconds, spec, **finish)(engine)
        engine.reboot()  # it takes 30 seconds
        return want

    return given


def killed_between_two_lives(engine: FakeEngine) -> Desired:
    want = rebooted(25)(engine)
    one_round(engine, want)
    engine.tick(10)
    return want


def deaf(engine: FakeEngine) -> Desired:
    engine.deaf |= {"web", "side"}
    return after(60, rounds=1)(engine)


def waits_for_its_start(engine: FakeEngine) -> Desired:
    here(engine)
    one_round(engine, present(POD60))
    one_round(engine, present(POD60))
    engine.tick(60)
    return present(POD60)


@rows(
    Row("before it nothing is done, and it is looked again when it comes", after(20), wake=40),
    Row("at it every member is told to stop", after(60), STOPS, WAITS, wake=30),
    Row("with their grace", deaf, (), (*STOPPING, *WAITS), wake=30),
    Row("afterwards nothing is started again", after(60, rounds=1), (), WAITS),
    Row(
        "what waited for its start does not wait any longer",
        waits_for_its_start,
        tuple(f"kill container {name} because {OVER}" for name in ("side", "web")),
        WAITS,
    ),
    Row(
        "a pod that has run its course is not looked at again",
        after(20, ONCE60, web=0, side=1),
    ),
    Row(
        "one member of several has ended: the other is stopped",
        after(60, ONCE60, web=0),
        (f"stop container side {GRACE} {OVER}",),
        WAITS,
        wake=30,
    ),
    Row(
        "it is moved on: what was stopped runs again",
        after(60, want=present(changed(POD, deadline=100)), rounds=0),
        (
            "update the pod's record because spec.activeDeadlineSeconds changed: 60 -> 100",
        ),
        wake=40,
    ),
    Row(
        "it comes for a pod that runs longer already",
        after(90, POD, present(POD60)),
        (*STOPS, "update the pod's record because spec.activeDeadlineSeconds changed: (none) -> 60"),
        WAITS,
        wake=30,
    ),
    Row(
        "a file that is broken now stops nothing",
        after(60, want=UNKNOWN),
        (),
        (
            *WAITS,
            *(f"container {n} waits: it is left alone while what is wanted is not known" for n in ("side", "web")),
            f"the pod waits: {UNKNOWN.why}",
        ),
    ),
    Row(
        "a suspended pod is left alone",
        after(60, want=Suspended(present(POD60))),
        waits=("the pod waits: it is suspended",),
    ),
    Row(
        "a pod that goes, goes",
        after(60, want=ABSENT, rounds=1),
        ("remove the pod because its manifest was removed",),
    ),
    Row("its time goes on where the infra container died", infra_died, STOPS, WAITS, wake=30),
    Row("its time goes on over a reboot, after which it is not made again", rebooted(30), (), WAITS),
    Row("nor where the one who made it again was killed", killed_between_two_lives, (), WAITS),
    Row(
        "an edit that makes another pod of it begins anew",
        after(60, want=present(changed(HOSTNAME, deadline=60)), rounds=1),
        ("remove the pod, to be recreated, because spec.hostname changed: (none) -> other (the pod is recreated)",),
    ),
)  # fmt: skip
def test_a_deadline(row: Row) -> None:
    check(row)


def test_after_it_was_moved_on_all_runs_again() -> None:
    engine = FakeEngine()
    after(60, rounds=2)(engine)
    assert not engine.running(KEY)
    settle(engine, present(changed(POD, deadline=100)), patience=30)
    assert set(engine.running(KEY)) == {"web", "side"}


def test_the_other_pod_has_all_of_its_time() -> None:
    engine = FakeEngine()
    after(60, rounds=2)(engine)
    want = present(changed(HOSTNAME, deadline=60))
    assert any(isinstance(step, CreateSandbox) for step in settle(engine, want, patience=59))
    assert set(engine.running(KEY)) == {"web", "side"}


@pytest.mark.parametrize(
    ("given", "phase", "summary", "states", "converged"),
    [
        pytest.param(after(59), Phase.RUNNING, "Running", {"running"}, True, id="before it"),
        pytest.param(after(60), Phase.RUNNING, "Running", {"running"}, True, id="at it, when nobody has seen to it"),
        pytest.param(deaf, Phase.FAILED, "DeadlineExceeded", {"running"}, False, id="while its members stop"),
        pytest.param(after(60, rounds=1), Phase.FAILED, "Completed", {"terminated"}, False, id="afterwards"),
        pytest.param(rebooted(30), Phase.FAILED, "ContainerStatusUnknown", {"terminated"}, False, id="after a reboot"),
        pytest.param(
            after(90, ONCE60, web=0, side=0), Phase.SUCCEEDED, "Completed", {"terminated"}, True, id="it had succeeded"
        ),
        pytest.param(
            after(60, want=present(replace(WEB2, deadline=60)), rounds=2),
            Phase.FAILED,
            "Completed",
            {"terminated"},
            False,
            id="a member that was edited since is not started either",
        ),
    ],
)
def test_what_is_told(given: Given, phase: Phase, summary: str, states: set[str], converged: bool) -> None:
    engine = FakeEngine()
    engine.term_code = 0
    want = given(engine)
    told = status(engine, want)
    assert (told.phase, told.summary, {c.state for c in told.containers}) == (phase, summary, states)
    failed = phase is Phase.FAILED
    assert told.reason == ("DeadlineExceeded" if failed else "")
    assert told.message == ("Pod was active on the node longer than the specified deadline" if failed else "")
    assert told.converged is converged
    if not converged and states == {"terminated"}:
        assert not plan(engine, want).steps


SMALL = Volume("scratch", VolumeKind.EMPTY_DIR, size_limit=1 << 20)
FULL = Eviction("scratch", 1 << 20, 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".')


def test_a_pod_with_too_much_on_the_disk_is_stopped_and_failed_until_its_limit_is_another() -> None:
    engine = FakeEngine()
    want = present(changed(POD, volumes=(SMALL,)))
    here(engine)
    settle(engine, want, patience=0)
    assert plan(engine, want).wake_at == engine.clock.now() + LOOK, "it is looked at again"
    engine._pods[KEY].sandbox = replace(engine._pods[KEY].sandbox, evicted=FULL)
    stops = [step for step in plan(engine, want).steps if isinstance(step, StopContainer)]
    assert stops and {stop.grace for stop in stops} == {EVICTION_GRACE}
    settle(engine, want, patience=90)
    told = status(engine, want)
    assert (told.phase, told.reason, told.summary) == (Phase.FAILED, "Evicted", "Error")
    assert told.message == FULL.text
    more = present(changed(POD, volumes=(replace(SMALL, size_limit=2 << 20),)))
    settle(engine, more, patience=0)
    assert status(engine, more).phase is Phase.RUNNING
