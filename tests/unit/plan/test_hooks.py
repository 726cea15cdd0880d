"""postStart and preStop: what is done, waited for and told while they run, when they end, and when nobody is at it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.actions import KillContainer, StopContainer
from reconciler.model.desired import Desired
from reconciler.model.probe import ExecAction
from reconciler.model.spec import PodSpec, RestartPolicy
from reconciler.model.status import Phase
from tests.fakes import hooks
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import ABSENT, KEY, NEVER, ON_FAILURE, UNKNOWN, container, one_round, pod, present, status
from tests.unit.plan.scenes import Given, Row, changed, check, here, rows

HOOK = ExecAction(("true",))
AFTER = pod(container("web", post_start=HOOK))
AFTER2 = pod(container("web", "busybox:2", post_start=HOOK))
BEFORE = pod(container("web", pre_stop=HOOK))
BEFORE2 = pod(container("web", "busybox:2"))
NOW = pod(container("web", pre_stop=ExecAction(("other",))))

GONE = "its manifest was removed"
RUNS = ("container web waits: its preStop hook runs",)
CREATES = ("container web waits: its postStart hook runs",)
CHANGED = "image changed: busybox:1 -> busybox:2"
STOP = f"stop container web (grace 30s) because {GONE}"
KILL_AT = 30.0


def runs(spec: PodSpec, **ends: bool) -> Given:
    """The pod runs; its postStart hook ended so, if it did."""

    def given(engine: FakeEngine) -> Desired:
        here(engine)
        for _ in range(4):
            one_round(engine, present(spec))
        for name, passed in ends.items():
            hooks.end(engine, KEY, name, passed=passed)
        return present(spec)

    return given


def failed(spec: PodSpec, *, rounds: int = 0, want: Desired | None = None, code: int = 143) -> Given:
    """The postStart hook failed, and so many rounds ago."""

    def given(engine: FakeEngine) -> Desired:
        engine.term_code = code
        wanted = runs(spec, web=False)(engine)
        for _ in range(rounds):
            one_round(engine, want or wanted)
        return want or wanted

    return given


def asked(spec: PodSpec = BEFORE, want: Desired = ABSENT, *, rounds: int = 1, deaf: bool = False) -> Given:
    """It was asked to stop, whose preStop hook comes first."""

    def given(engine: FakeEngine) -> Desired:
        runs(spec)(engine)
        engine.deaf |= {"web"} if deaf else set()
        for _ in range(rounds):
            one_round(engine, want)
        return want

    return given


def then(given: Given, *, after: float = 0.0, passed: bool | None = None, lost: bool = False, rounds: int = 0) -> Given:
    """And then: time passes, the hook ends, whoever ran it is killed; and so many rounds."""

    def made(engine: FakeEngine) -> Desired:
        want = given(engine)
        engine.tick(after)
        if passed is not None:
            hooks.end(engine, KEY, "web", passed=passed)
        if lost:
            hooks.lose(engine)
        for _ in range(rounds):
            one_round(engine, want)
        return want

    return made


def edited(engine: FakeEngine) -> Desired:
    """Another image is wanted, and its container stands ready."""
    runs(BEFORE)(engine)
    one_round(engine, present(BEFORE2))
    return present(BEFORE2)


def hook_edited(engine: FakeEngine) -> Desired:
    runs(BEFORE)(engine)
    one_round(engine, present(NOW))
    return ABSENT


NO_HOOK = "lifecycle.preStop changed: exec [true] -> (none)"
OVER, LATE = "its preStop hook is over", "its preStop hook took all of its grace period"


@rows(
    Row("after its start a member counts as being created", runs(AFTER), waits=CREATES),
    Row("until its postStart hook has ended well", runs(AFTER, web=True)),
    Row(
        "a hook whose process was killed is run again",
        then(runs(AFTER), lost=True),
        ("run the postStart hook of container web because nobody is at it",),
        CREATES,
    ),
    Row("and then it is waited for", then(runs(AFTER), lost=True, rounds=1), waits=CREATES),
    Row(
        "one whose hook failed is stopped",
        failed(AFTER),
        ("stop container web (grace 30s) because its postStart hook failed",),
        wake=30,
    ),
    Row(
        "also where what is wanted is not known",
        failed(AFTER, want=UNKNOWN),
        ("stop container web (grace 30s) because its postStart hook failed",),
        (f"the pod waits: {UNKNOWN.why}",),
        wake=30,
    ),
    Row(
        "and restarted by its policy, at once at first",
        failed(AFTER, rounds=1),
        ("restart container web because it exited with code 143: it had failed its postStart hook",),
    ),
    Row("but not where that is Never", failed(changed(AFTER, restart_policy=NEVER), rounds=1)),
    Row(
        "with OnFailure also when it ended well",
        failed(changed(AFTER, restart_policy=ON_FAILURE), rounds=1, code=0),
        ("restart container web because it exited with code 0: it had failed its postStart hook",),
    ),
    Row(
        "an edit takes the place of one whose hook failed",
        then(failed(AFTER, want=present(AFTER2)), rounds=1),
        (
            f"stop container web (grace 30s) because {CHANGED}",
            f"update the pod's record because {CHANGED}",
        ),
        wake=30,
    ),
    Row("a member that goes is told so", runs(BEFORE) and asked(rounds=0), (STOP,), wake=KILL_AT),
    Row("first its preStop hook runs", asked(), waits=RUNS, wake=KILL_AT),
    Row(
        "when that is over it is told to stop",
        then(asked(), after=5, passed=True),
        (f"tell container web to stop because {OVER}",),
    ),
    Row(
        "also when it failed",
        then(asked(), after=5, passed=False),
        (f"tell container web to stop because {OVER}",),
    ),
    Row(
        "and has the rest of its grace period",
        then(asked(deaf=True), after=5, passed=True, rounds=1),
        waits=("container web waits: it was told to stop",),
        wake=25,
    ),
    Row(
        "a hook that takes all of the grace period is not waited for any longer",
        then(asked(), after=30),
        (f"tell container web to stop because {LATE}",),
    ),
    Row(
        "and it has two seconds all the same",
        then(asked(deaf=True), after=30, rounds=1),
        waits=("container web waits: it was told to stop",),
        wake=2,
    ),
    Row(
        "then it is killed",
        then(then(asked(deaf=True), after=30, rounds=1), after=2),
        ("kill container web because its grace period is over",),
    ),
    Row(
        "a hook whose process was killed is run again, within the same grace period",
        then(asked(), after=10, lost=True),
        ("run the preStop hook of container web because nobody is at it",),
        RUNS,
        wake=20,
    ),
    Row(
        "but not when that is over by then",
        then(asked(), after=40, lost=True),
        (f"tell container web to stop because {LATE}",),
    ),
    Row(
        "a replaced member runs its own hook, though its successor has none",
        edited,
        (f"stop container web (grace 30s) because {CHANGED}", f"update the pod's record because {CHANGED}, {NO_HOOK}"),
        wake=KILL_AT,
    ),
    Row(
        "a file that breaks meanwhile does not keep it from its end",
        lambda engine: then(asked(), after=5, passed=True)(engine) and UNKNOWN,
        (
            f"tell container web to stop because {OVER}",
            "restart container web because it was stopped and is wanted",
        ),
        (f"the pod waits: {UNKNOWN.why}",),
    ),
)  # fmt: skip
def test_hooks(row: Row) -> None:
    check(row)


@pytest.mark.parametrize(
    ("given", "hook"),
    [
        pytest.param(asked(rounds=0), HOOK, id="its own"),
        pytest.param(edited, HOOK, id="its own, not its successor's"),
        pytest.param(hook_edited, ExecAction(("other",)), id="the one that was recorded since"),
        pytest.param(asked(pod(container("web")), rounds=0), None, id="none"),
    ],
)
def test_the_hook_of_a_stop(given: Given, hook: ExecAction | None) -> None:
    engine = FakeEngine()
    steps = one_round(engine, given(engine)).steps
    assert [s.pre_stop for s in steps if isinstance(s, StopContainer)] == [hook]


def test_without_grace_there_is_no_hook() -> None:
    engine = FakeEngine()
    runs(changed(BEFORE, grace_period=0))(engine)
    assert [type(s) for s in one_round(engine, ABSENT).steps] == [KillContainer]


def test_hooks_that_fail_again_and_again_back_off() -> None:
    engine = FakeEngine()
    failed(AFTER, rounds=5)(engine)
    hooks.end(engine, KEY, "web", passed=False)
    one_round(engine, present(AFTER))
    check_waits = one_round(engine, present(AFTER)).waiting
    assert [w.reason.text for w in check_waits] == ["back-off 10s restarting failed container web"]


def once(spec: PodSpec) -> PodSpec:
    return replace(spec, restart_policy=RestartPolicy.NEVER)


@pytest.mark.parametrize(
    ("given", "phase", "summary", "web"),
    [
        pytest.param(runs(AFTER), Phase.PENDING, "ContainerCreating", ("waiting", "ContainerCreating"), id="it runs"),
        pytest.param(runs(AFTER, web=True), Phase.RUNNING, "Running", ("running", ""), id="it has passed"),
        pytest.param(
            failed(AFTER), Phase.PENDING, "PostStartHookError", ("waiting", "PostStartHookError"), id="it has failed"
        ),
        pytest.param(
            failed(AFTER, rounds=1),
            Phase.RUNNING,
            "PostStartHookError",
            ("waiting", "PostStartHookError"),
            id="it was stopped for it and is to be restarted",
        ),
        pytest.param(failed(once(AFTER), rounds=1), Phase.FAILED, "Error", ("terminated", "Error"), id="for good"),
        pytest.param(
            failed(once(AFTER), rounds=1, code=0),
            Phase.FAILED,
            "Error",
            ("terminated", "Error"),
            id="with any exit code",
        ),
        pytest.param(asked(want=present(BEFORE2), rounds=2), Phase.RUNNING, "Running", ("running", ""), id="preStop"),
    ],
)
def test_what_is_told(given: Given, phase: Phase, summary: str, web: tuple[str, str]) -> None:
    engine = FakeEngine()
    told = status(engine, given(engine))
    assert (told.phase, told.summary) == (phase, summary)
    assert [(c.state, c.reason) for c in told.containers] == [web]
    assert told.containers[0].ready is (
        summary == "Running" and not engine.container(KEY, "web").stopping and told.converged
    )


def test_what_comes_after_a_sidecar_waits_for_its_hook() -> None:
    """One of a member keeps nobody waiting."""
    engine = FakeEngine()
    car = container("car", restart=RestartPolicy.ALWAYS, post_start=HOOK)
    want = present(replace(pod(container("web", post_start=HOOK), container("side")), init=(car,)))
    here(engine)
    for _ in range(6):
        one_round(engine, want)
    assert set(engine.running(KEY)) == {"car"}
    hooks.end(engine, KEY, "car")
    for _ in range(3):
        one_round(engine, want)
    assert set(engine.running(KEY)) == {"car", "web", "side"}
