"""What a user is told: phase, STATUS word, container states, conditions, in Kubernetes' words."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from reconciler.model.desired import Desired, Missing, RunState
from reconciler.model.observed import HostFacts, Problem
from reconciler.model.spec import RestartPolicy, RestartRule, SandboxSpec
from reconciler.model.status import ContainerStatus, Phase, PodStatus
from reconciler.plan.pod_status import pod_status
from reconciler.plan.situation import lacks_nothing
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import (
    ABSENT,
    KEY,
    NEVER,
    ON_FAILURE,
    UNKNOWN,
    container,
    pod,
    present,
    settle,
    status,
)
from tests.unit.plan.given import (
    crash_loop,
    deaf,
    ends,
    exits,
    image_never,
    infra_dead,
    port_taken,
    problem,
    pull_failed,
    pulling,
    rebooted_once,
    rounds,
    running,
)
from tests.unit.plan.scenes import POD, WEB2, Given


@dataclass(frozen=True)
class Row:
    """``web``: state and reason of the member web."""

    sentence: str
    given: Given
    phase: Phase
    summary: str
    web: tuple[str, str]
    converged: bool = False
    message: str = ""


PENDING, RUNNING, SUCCEEDED, FAILED = Phase.PENDING, Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED
CREATING = ("waiting", "ContainerCreating")
RUNS = ("running", "")
BACK_OFF = ("waiting", "CrashLoopBackOff")
SRV = "CreateContainerConfigError: no such directory: /srv"
LOST = "its exit code was lost (the machine or its monitor went down)"
NGINX = "HostPortConflict: port 8080/tcp is held by pid 123 (nginx)"

ROWS = [
    Row("a pod nobody made yet is pending", rounds(0), PENDING, "ContainerCreating", CREATING),
    Row("a pod with created members is pending", rounds(2), PENDING, "ContainerCreating", CREATING),
    Row("a pod whose members run has converged", rounds(3), RUNNING, "Running", RUNS, converged=True),
    Row(
        "while an image is pulled the pod is pending",
        pulling,
        PENDING,
        "ContainerCreating",
        CREATING,
        message="container web: ContainerCreating: pulling image busybox:1; "
        "container side: ContainerCreating: pulling image busybox:1",
    ),
    Row(
        "a failed pull backs off",
        pull_failed(1),
        PENDING,
        "ImagePullBackOff",
        ("waiting", "ImagePullBackOff"),
        message="container web: ImagePullBackOff: cannot pull image busybox:1: manifest unknown; "
        "container side: ImagePullBackOff: cannot pull image busybox:1: manifest unknown",
    ),
    Row(
        "a failed pull that is due again is an error",
        pull_failed(10),
        PENDING,
        "ErrImagePull",
        ("waiting", "ErrImagePull"),
        message="container web: ErrImagePull: cannot pull image busybox:1: manifest unknown; "
        "container side: ErrImagePull: cannot pull image busybox:1: manifest unknown",
    ),
    Row(
        "an image that may not be pulled is named",
        image_never,
        PENDING,
        "ErrImageNeverPull",
        ("waiting", "ErrImageNeverPull"),
        message="container web: ErrImageNeverPull: image busybox:1 is not here and imagePullPolicy is Never",
    ),
    Row(
        "a member that cannot be made says why, its sibling runs",
        problem("web"),
        PENDING,
        "CreateContainerConfigError",
        ("waiting", "CreateContainerConfigError"),
        message=f"container web: {SRV}",
    ),
    Row(
        "a pod that cannot be made says why",
        problem(""),
        PENDING,
        "CreateContainerConfigError",
        ("waiting", "CreateContainerConfigError"),
        message=SRV,
    ),
    Row(
        "a host port that is taken is named with its holder",
        port_taken(),
        PENDING,
        "HostPortConflict",
        ("waiting", "HostPortConflict"),
        message=NGINX,
    ),
    Row(
        "a missing reference is named",
        running(want=present(WEB2, missing=(Missing("ConfigMap", "a", "spec.volumes[0]"),))),
        RUNNING,
        "Running",
        RUNS,
        message='CreateContainerConfigError: configmap "a" not found (needed by spec.volumes[0])',
    ),
    Row(
        "an edit that cannot run leaves the pod running, and it has not converged",
        problem("web", old=POD, new=WEB2),
        RUNNING,
        "Running",
        RUNS,
        message=f"container web: {SRV}",
    ),
    Row(
        "a new host port that is taken leaves the pod running, and it has not converged",
        port_taken(POD),
        RUNNING,
        "Running",
        RUNS,
        message=NGINX,
    ),
    Row("while a member is replaced the old one shows", running(want=present(WEB2), after=1), RUNNING, "Running", RUNS),
    Row(
        "between the old one's end and the new one's start it is being created",
        running(want=present(WEB2), after=2),
        PENDING,
        "ContainerCreating",
        CREATING,
    ),
    Row(
        "a replaced member has converged",
        running(want=present(WEB2), after=3),
        RUNNING,
        "Running",
        RUNS,
        converged=True,
    ),
    Row(
        "a label that is not recorded yet has not converged",
        running(want=present(replace(POD, labels=(("a", "b"),)))),
        RUNNING,
        "Running",
        RUNS,
    ),
    Row(
        "a member that still leaves keeps the pod from having converged",
        running(want=present(pod(container("web")), settled=False)),
        RUNNING,
        "Running",
        RUNS,
        message="container side: NotSettled: it leaves when the source has been quiet for a moment",
    ),
    Row(
        "a second file that claims the pod is told beside it",
        running(want=present(POD, problem="DuplicatePod: also in b.yaml")),
        RUNNING,
        "Running",
        RUNS,
        converged=True,
        message="DuplicatePod: also in b.yaml",
    ),
    Row(
        "a member that crashed and restarts at once",
        exits(RestartPolicy.ALWAYS, web=1),
        RUNNING,
        "CrashLoopBackOff",
        ("waiting", "CrashLoopBackOff"),
    ),
    Row("a crash loop backs off", crash_loop, RUNNING, "CrashLoopBackOff", BACK_OFF),
    Row(
        "a member that succeeded beside one that runs",
        exits(NEVER, web=0),
        RUNNING,
        "NotReady",
        ("terminated", "Completed"),
        converged=True,
    ),
    Row(
        "all succeeded",
        exits(NEVER, web=0, side=0),
        SUCCEEDED,
        "Completed",
        ("terminated", "Completed"),
        converged=True,
    ),
    Row("one failed and is not restarted", exits(NEVER, web=3, side=0), FAILED, "Error", ("terminated", "Error")),
    Row("one failed beside one that runs", exits(NEVER, web=3), RUNNING, "Error", ("terminated", "Error")),
    Row(
        "OnFailure: all succeeded",
        exits(ON_FAILURE, web=0, side=0),
        SUCCEEDED,
        "Completed",
        ("terminated", "Completed"),
        converged=True,
    ),
    Row(
        "OnFailure: one failed and is restarted",
        exits(ON_FAILURE, web=3, side=0),
        RUNNING,
        "CrashLoopBackOff",
        ("waiting", "CrashLoopBackOff"),
    ),
    Row(
        "Never: one that failed has a policy of its own",
        ends(NEVER, restart=ON_FAILURE, web=3, side=0),
        RUNNING,
        "CrashLoopBackOff",
        ("waiting", "CrashLoopBackOff"),
    ),
    Row(
        "Always: the only one that ended has a policy of its own",
        ends(RestartPolicy.ALWAYS, restart=NEVER, web=3),
        RUNNING,
        "Error",
        ("terminated", "Error"),
    ),
    Row(
        "an exit code that a rule names",
        ends(NEVER, restart=NEVER, rule=RestartRule((3,)), web=3, side=0),
        RUNNING,
        "CrashLoopBackOff",
        ("waiting", "CrashLoopBackOff"),
    ),
    Row(
        "an exit code that no rule names",
        ends(NEVER, restart=NEVER, rule=RestartRule((4, 5)), web=3, side=0),
        FAILED,
        "Error",
        ("terminated", "Error"),
    ),
    Row(
        "an exit code that a rule leaves out",
        ends(NEVER, restart=NEVER, rule=RestartRule((3,), among=False), web=3, side=0),
        FAILED,
        "Error",
        ("terminated", "Error"),
    ),
    Row(
        "a rule restarts what ended well, too",
        ends(ON_FAILURE, restart=ON_FAILURE, rule=RestartRule((0,)), web=0, side=0),
        RUNNING,
        "CrashLoopBackOff",
        ("waiting", "CrashLoopBackOff"),
    ),
    Row(
        "a pod that runs once was cut short by a reboot",
        rebooted_once,
        FAILED,
        "ContainerStatusUnknown",
        ("terminated", "ContainerStatusUnknown"),
    ),
    Row("a pod without its infra container is not ready", infra_dead, RUNNING, "Running", RUNS),
    Row(
        "a pod that is not wanted any more is terminating",
        deaf(ABSENT, 1),
        RUNNING,
        "Terminating",
        RUNS,
        message="its manifest was removed",
    ),
    Row(
        "a broken file leaves the last good version running, and tells the line",
        running(want=UNKNOWN),
        RUNNING,
        "Running",
        RUNS,
        message="line 3: mapping values are not allowed here",
    ),
    Row(
        "a pod that is stopped shows how it ended",
        running(want=present(POD, run=RunState.STOPPED), after=1),
        RUNNING,
        "Error",
        ("terminated", "Error"),
    ),
    Row(
        "members that are told to stop are not ready",
        deaf(present(replace(POD, sandbox=SandboxSpec(hostname="x"))), 1),
        RUNNING,
        "Running",
        RUNS,
    ),
]


def tell(row: Row) -> tuple[PodStatus, ContainerStatus]:
    engine = FakeEngine()
    told = status(engine, row.given(engine))
    return told, told.containers[0]


@pytest.mark.parametrize("row", ROWS, ids=[r.sentence for r in ROWS])
def test_what_is_told(row: Row):
    told, web = tell(row)
    assert (told.phase, told.summary) == (row.phase, row.summary)
    assert (web.state, web.reason) == row.web
    assert told.converged is row.converged
    assert told.message == row.message


@pytest.mark.parametrize("row", ROWS, ids=[r.sentence for r in ROWS])
def test_what_lacks_nothing_is_told_without_a_word_of_images_and_problems(row: Row) -> None:
    """So that who only looks need not have them judged."""
    engine = FakeEngine()
    row.given(engine)
    engine.judge = lambda spec: tuple(Problem("Refused", "no", c.name) for c in spec.containers)
    applied = engine.look(KEY).applied
    if applied is not None:
        want = present(applied)
        bare = replace(engine.look(KEY), images={}, problems=())
        if lacks_nothing(want, bare):
            assert pod_status(want, bare, HostFacts(), engine.clock.now()) == status(engine, want)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(running(), True, id="all of it runs"),
        pytest.param(exits(NEVER, web=0, side=0), True, id="it has ended for good"),
        pytest.param(crash_loop, False, id="a member is to be started again"),
        pytest.param(rounds(1), False, id="a member is still to be made"),
        pytest.param(infra_dead, False, id="its infra container died"),
        pytest.param(running(replace(POD, sandbox=SandboxSpec(fqdn_as_hostname=True))), False, id="a full host name"),
    ],
)
def test_a_pod_that_lacks_nothing(given: Given, expected: bool) -> None:
    engine = FakeEngine()
    given(engine)
    have = engine.look(KEY)
    assert have.applied is not None
    assert lacks_nothing(present(have.applied), have) is expected
    assert not lacks_nothing(present(WEB2), have), "another version is to be made"


def conditions(given: Given) -> dict[str, tuple[bool, str, str]]:
    engine = FakeEngine()
    told = status(engine, given(engine))
    return {c.type: (c.status, c.reason, c.message) for c in told.conditions}


UNREADY = (False, "ContainersNotReady", "containers with unready status: [web side]")
FINE = (True, "", "")
CONDITIONS = [
    ("a pod nobody made yet", rounds(0), (False, "", ""), FINE, UNREADY),
    ("a pod without network", rounds(1), (False, "", ""), FINE, UNREADY),
    ("a pod with created members", rounds(2), FINE, FINE, UNREADY),
    ("a pod that runs", rounds(3), FINE, FINE, FINE),
    (
        "a crash loop",
        crash_loop,
        FINE,
        FINE,
        (False, "ContainersNotReady", "containers with unready status: [web]"),
    ),
    (
        "a pod that succeeded",
        exits(NEVER, web=0, side=0),
        FINE,
        (True, "PodCompleted", ""),
        (False, "PodCompleted", ""),
    ),
    ("a pod that failed", exits(NEVER, web=1, side=0), FINE, FINE, (False, "PodFailed", "")),
    (
        "a pod whose members are told to stop",
        deaf(present(replace(POD, sandbox=SandboxSpec(hostname="x"))), 1),
        FINE,
        FINE,
        UNREADY,
    ),
    ("a pod without its infra container", infra_dead, (False, "", ""), FINE, UNREADY),
]


@pytest.mark.parametrize(
    ("given", "sandbox", "initialized", "ready"), [c[1:] for c in CONDITIONS], ids=[c[0] for c in CONDITIONS]
)
def test_conditions(given: Given, sandbox, initialized, ready):
    assert conditions(given) == {
        "PodReadyToStartContainers": sandbox,
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": FINE,
    }


def test_a_crash_loop_tells_the_delay_the_restarts_and_the_last_exit():
    engine = FakeEngine()
    web = status(engine, crash_loop(engine)).containers[0]
    uid = status(engine, present(POD)).uid
    assert web.message == f"back-off 20s restarting failed container=web pod=shop_default({uid})"
    assert web.restarts == 2
    assert web.last is not None
    assert web.last.code == 1
    assert not web.ready


def test_a_restarted_member_counts_and_remembers():
    engine = FakeEngine()
    want = exits(RestartPolicy.ALWAYS, web=5)(engine)
    settle(engine, want)
    web, side = status(engine, want).containers
    assert (web.state, web.restarts, side.restarts) == ("running", 1, 0)
    assert web.last is not None
    assert (web.last.code, side.last) == (5, None)


def test_the_image_of_a_finished_member_may_go():
    engine = FakeEngine()
    want = exits(NEVER, web=0, side=0)(engine)
    engine.images.clear()
    told = status(engine, want)
    assert (told.message, told.converged) == ("", True)


def test_a_stopped_pod_that_would_always_restart_has_not_succeeded():
    engine = FakeEngine()
    engine.term_code = 0
    assert status(engine, running(want=present(POD, run=RunState.STOPPED), after=1)(engine)).phase is RUNNING


def test_a_running_member_tells_its_ids_and_its_start():
    engine = FakeEngine()
    told = status(engine, rounds(3)(engine))
    web = told.containers[0]
    assert (web.container_id, web.image_id) == (engine.container(KEY, "web").id, "sha256:busybox:1")
    assert web.started_wall == engine.clock.wall()
    assert told.ip == "10.88.0.2"
    assert told.uid


def test_a_finished_member_tells_its_exit():
    engine = FakeEngine()
    web = status(engine, exits(NEVER, web=3)(engine)).containers[0]
    assert web.exit is not None
    assert web.exit.code == 3


@pytest.mark.parametrize(
    ("code", "said", "message"),
    [
        pytest.param(3, "no tea", "no tea", id="its last words"),
        pytest.param(-1, "no tea", f"{LOST}: no tea", id="behind what is said of an end that nobody saw"),
        pytest.param(-1, "", LOST, id="nothing more where it left none"),
    ],
)
def test_a_finished_member_tells(code: int, said: str, message: str):
    engine = FakeEngine()
    want = exits(NEVER, web=code)(engine)
    have = engine.observe(KEY, None)
    ended = tuple(replace(c, exit=replace(c.exit, message=said)) if c.exit else c for c in have.containers)
    told = pod_status(want, replace(have, containers=ended), HostFacts(), engine.clock.now())
    assert told.containers[0].message == message


def test_while_an_edit_cannot_run_the_old_image_shows():
    engine = FakeEngine()
    web = status(engine, problem("web", old=POD, new=WEB2)(engine)).containers[0]
    assert web.image == "busybox:1"


@pytest.mark.parametrize(("want", "word", "behind"), [(UNKNOWN, "Unknown", True), (ABSENT, "Terminated", False)])
def test_a_pod_that_is_not_there(want: Desired, word: str, behind: bool):
    told = status(FakeEngine(), want)
    assert (told.phase, told.summary, told.containers, told.behind) == (PENDING, word, (), behind)
    assert not told.converged
