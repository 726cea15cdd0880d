"""What is done about a container that probes say is not well, and what is told of one that is not ready."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.controller.narrate import done
from reconciler.model.actions import StopContainer
from reconciler.model.desired import Desired, Suspended
from reconciler.model.probe import Probe, TcpAction, Verdict
from reconciler.model.spec import PodSpec, RestartPolicy
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import KEY, UNKNOWN, container, observe, one_round, plan, pod, present, settle, settled
from tests.unit.plan.driver import status as status_of
from tests.unit.plan.scenes import Given, Row, check, here, rows

PROBE = Probe(TcpAction(80))
WEB = container("web", liveness=PROBE, readiness=PROBE)
POD = pod(WEB, container("side"))
HASTY = pod(replace(WEB, liveness=replace(PROBE, grace=5)), container("side"))
SLOW = pod(container("web", startup=PROBE), container("side"))
AGAIN = "stop container web (grace {}s) because it failed {} probe, will be restarted"


def with_policy(policy: RestartPolicy, spec: PodSpec = POD) -> PodSpec:
    return replace(spec, restart_policy=policy)


def judged(verdict: Verdict, spec: PodSpec = POD, want: Desired | None = None) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        say(engine, verdict)
        return want or present(spec)

    return given


def say(engine: FakeEngine, verdict: Verdict) -> None:
    web = engine.container(KEY, "web")
    engine.note_verdict(web.id, web.started, verdict)


ILL = Verdict(unhealthy="liveness")


def ended_ill(spec: PodSpec = POD, *, code: int = 143, times: int = 1) -> Given:
    """It failed its probe, was told to stop, and has ended."""

    def given(engine: FakeEngine) -> Desired:
        engine.term_code = code
        want = judged(Verdict(), spec)(engine)
        for n in range(times):
            if n:
                settle(engine, want)
            say(engine, ILL)
            one_round(engine, want)
        return want

    return given


@rows(
    Row("one that is well goes on", judged(Verdict())),
    Row("one that is not ready goes on", judged(Verdict(is_ready=False))),
    Row("one that has not started up goes on", judged(Verdict(False, False), SLOW)),
    Row("one that failed liveness is stopped", judged(ILL), (AGAIN.format(30, "liveness"),), wake=30),
    Row(
        "with the grace of the probe where it has one",
        judged(ILL, HASTY),
        (AGAIN.format(5, "liveness"),),
        wake=5,
    ),
    Row(
        "one that failed startup is stopped",
        judged(Verdict(False, False, "startup"), SLOW),
        (AGAIN.format(30, "startup"),),
        wake=30,
    ),
    Row(
        "nothing is said of a restart where there will be none",
        judged(ILL, with_policy(RestartPolicy.NEVER)),
        ("stop container web (grace 30s) because it failed liveness probe",),
        wake=30,
    ),
    Row(
        "also one of a pod whose file is broken",
        judged(ILL, want=UNKNOWN),
        (AGAIN.format(30, "liveness"),),
        waits=(f"the pod waits: {UNKNOWN.why}",),
        wake=30,
    ),
    Row(
        "but none that is suspended",
        judged(ILL, want=Suspended(present(POD))),
        waits=("the pod waits: it is suspended",),
    ),
    Row(
        "it is restarted at once the first time",
        ended_ill(),
        ("restart container web because it exited with code 143: it had failed its liveness probe",),
    ),
    Row(
        "it is restarted although it ended well, where failures are",
        ended_ill(with_policy(RestartPolicy.ON_FAILURE), code=0),
        ("restart container web because it exited with code 0: it had failed its liveness probe",),
    ),
    Row("it stays ended where nothing is restarted", ended_ill(with_policy(RestartPolicy.NEVER))),
    Row(
        "it waits for its restart the second time, as after a crash",
        ended_ill(times=2),
        waits=("container web waits: back-off 10s restarting failed container web",),
        wake=10,
    ),
)
def test_what_is_done(row: Row) -> None:
    check(row)


def test_one_that_is_replaced_anyway_is_replaced_before_it_goes() -> None:
    engine = FakeEngine()
    judged(ILL)(engine)
    want = present(pod(replace(WEB, image="busybox:2"), container("side")))
    first = [type(step).__name__ for step in plan(engine, want).steps]
    assert "CreateContainer" in first and "StopContainer" not in first


def test_the_restart_is_counted_and_starts_without_a_record() -> None:
    engine = FakeEngine()
    want = ended_ill()(engine)
    settle(engine, want)
    web = engine.container(KEY, "web")
    assert (web.restarts, web.crashes, web.unhealthy, web.is_ready) == (1, 1, "", False)


def test_the_event_has_the_kubelets_words() -> None:
    engine = FakeEngine()
    (step,) = plan(engine, judged(ILL)(engine)).steps
    assert isinstance(step, StopContainer)
    said = done(step)
    assert said is not None and said[1:] == ("Killing", "Container web failed liveness probe, will be restarted")


@pytest.mark.parametrize(
    ("spec", "verdict", "ready", "started", "why"),
    [
        pytest.param(POD, Verdict(), True, True, "", id="ready"),
        pytest.param(POD, Verdict(is_ready=False), False, True, "its readiness probe has not passed", id="not ready"),
        pytest.param(SLOW, Verdict(False, False), False, False, "its startup probe has not passed", id="not started"),
    ],
)
def test_readiness_is_in_all_that_is_told(
    spec: PodSpec, verdict: Verdict, ready: bool, started: bool, why: str
) -> None:
    engine = FakeEngine()
    found = status_of(engine, judged(verdict, spec)(engine))
    (web,) = (c for c in found.containers if c.name == "web")
    assert (web.ready, web.started, web.message) == (ready, started, why)
    conditions = {c.type: (c.status, c.message) for c in found.conditions}
    message = "" if ready else "containers with unready status: [web]"
    assert conditions["Ready"] == conditions["ContainersReady"] == (ready, message)
    assert (found.summary, found.phase, found.converged) == ("Running", "Running", ready)


def test_one_that_ended_for_its_probe_is_shown_as_one_that_crashed() -> None:
    engine = FakeEngine()
    found = status_of(engine, ended_ill(times=2)(engine))
    assert found.summary == "CrashLoopBackOff"


def test_edited_probes_are_recorded_and_nothing_is_touched() -> None:
    engine = FakeEngine()
    judged(Verdict())(engine)
    before = engine.running(KEY)
    steps = settle(engine, present(HASTY))
    assert [type(step).__name__ for step in steps] == ["UpdateRecord"]
    assert engine.running(KEY) == before
    assert observe(engine, present(HASTY)).applied == HASTY
