"""What is done in one round, from each situation: every row is a sentence, one thing different in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from reconciler.model.actions import CreateContainer, CreateSandbox, PodActions, UpdateRecord, Why
from reconciler.model.desired import Desired, Missing, RunState
from reconciler.model.key import Key, SourceId
from reconciler.model.observed import ContainerState, HostFacts, ImageState, ImageStatus, Observed, PortHolder, Problem
from reconciler.model.spec import (
    ContainerPort,
    PodSpec,
    PortBinding,
    Protocol,
    PullPolicy,
    Resources,
    RestartPolicy,
    SandboxSpec,
)
from reconciler.plan.obstacles import overlap, port_obstacles
from reconciler.plan.sentences import describe, describe_waiting
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import (
    ABSENT,
    KEY,
    NEVER,
    ON_FAILURE,
    UNKNOWN,
    container,
    one_round,
    perform,
    plan,
    pod,
    present,
    settle,
    settled,
    with_ports,
)

POD = pod()
WEB2 = pod(container("web", "busybox:2"), container("side"))
WEB3 = pod(container("web", "busybox:3"), container("side"))
GONE_SIDE = pod(container("web"))
PLUS_LOG = pod(container("web"), container("side"), container("log"))
HOSTNAME = replace(POD, sandbox=SandboxSpec(hostname="other"))
LIMIT = pod(container("web", resources=Resources(memory_limit=1 << 20)), container("side"))

CHANGED = "image changed: busybox:1 -> busybox:2"
POD_CHANGED = "spec.hostname changed: (none) -> other (the pod is recreated)"


def changed(spec: PodSpec, **fields: object) -> PodSpec:
    return replace(spec, **fields)  # type: ignore[arg-type]


Given = Callable[[FakeEngine], Desired]


@dataclass(frozen=True)
class Row:
    """``then``: the steps, sorted; ``waits``: what is waited for; ``wake``: seconds until the next look by itself."""

    sentence: str
    given: Given
    then: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    wake: float | None = None


def check(row: Row) -> PodActions:
    engine = FakeEngine()
    want = row.given(engine)
    made = plan(engine, want)
    assert sorted(map(describe, made.steps)) == sorted(row.then)
    assert sorted(map(describe_waiting, made.waiting)) == sorted(row.waits)
    wake = None if made.wake_at is None else made.wake_at - engine.clock.now()
    assert wake == pytest.approx(row.wake) if row.wake is not None else wake is None
    return made


def rows(*made: Row) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", made, ids=[r.sentence for r in made])


def here(engine: FakeEngine, *refs: str) -> None:
    for ref in refs or ("busybox:1", "busybox:2", "busybox:3"):
        engine.images[ref] = ImageState(ImageStatus.PRESENT, id=f"sha256:{ref}")


def rounds(engine: FakeEngine, want: Desired, count: int) -> None:
    for _ in range(count):
        one_round(engine, want)


# --- a new pod -----------------------------------------------------------------------------------------------------


def new(engine: FakeEngine) -> Desired:
    here(engine)
    return present(POD)


def new_after(count: int) -> Given:
    def given(engine: FakeEngine) -> Desired:
        want = new(engine)
        rounds(engine, want, count)
        return want

    return given


def no_images(engine: FakeEngine) -> Desired:
    return present(WEB2)


def one_image(engine: FakeEngine) -> Desired:
    here(engine, "busybox:1")
    engine.pull_time = 7
    want = present(WEB2)
    rounds(engine, want, 1)
    return want


def never_pulled(engine: FakeEngine) -> Desired:
    return present(pod(container("web", pull_policy=PullPolicy.NEVER)))


def pull_failed(after: float) -> Given:
    def given(engine: FakeEngine) -> Desired:
        engine.unknown_images.add("busybox:1")
        want = present(pod(container("web")))
        rounds(engine, want, 1)
        engine.tick(after)
        return want

    return given


def missing_reference(engine: FakeEngine) -> Desired:
    here(engine)
    return present(POD, missing=(Missing("ConfigMap", "settings", "spec.volumes[0]"),))


def port_taken_and_no_images(engine: FakeEngine) -> Desired:
    engine.foreign_ports.append(NGINX)
    return present(with_ports(pod(container("web")), 8080))


def problem(container_name: str, *, transient: bool = True) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        found = Problem("CreateContainerConfigError", "no such directory: /srv", container_name, transient)
        engine.judge = lambda _spec: (found,)
        return present(POD)

    return given


def port_taken(holder: PortHolder) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        engine.foreign_ports.append(holder)
        return present(with_ports(POD, 8080))

    return given


NGINX = PortHolder(PortBinding(8080, 80, host_ip="127.0.0.1"), pid=123, command="nginx")
CREATE_BOTH = ("create container side because it is not there yet", "create container web because it is not there yet")


@rows(
    Row("a new pod begins with its infra container", new, ("create pod default/shop because it is not there yet",)),
    Row(
        "once the infra container runs the network is set up and the members are created at the same time",
        new_after(1),
        (*CREATE_BOTH, "set up the pod's network because its infra container runs"),
    ),
    Row(
        "members that are created start when the network stands",
        new_after(2),
        (
            "start container side because it is created and the pod is ready",
            "start container web because it is created and the pod is ready",
        ),
    ),
    Row("a pod that runs as wanted needs nothing", new_after(3)),
    Row(
        "missing images are pulled while the infra container is made",
        no_images,
        (
            "create pod default/shop because it is not there yet",
            "pull image busybox:1 because image busybox:1 is not here",
            "pull image busybox:2 because image busybox:2 is not here",
        ),
        ("container side waits: pulling image busybox:1", "container web waits: pulling image busybox:2"),
    ),
    Row(
        "a member whose image is pulled waits, its sibling does not",
        one_image,
        (CREATE_BOTH[0], "set up the pod's network because its infra container runs"),
        ("container web waits: pulling image busybox:2",),
    ),
    Row(
        "an image that may not be pulled is waited for, not pulled",
        never_pulled,
        ("create pod default/shop because it is not there yet",),
        ("container web waits: image busybox:1 is not here and imagePullPolicy is Never",),
    ),
    Row(
        "a failed pull is tried again when its time has come, not before",
        pull_failed(4),
        ("set up the pod's network because its infra container runs",),
        ("container web waits: cannot pull image busybox:1: manifest unknown",),
        wake=6,
    ),
    Row(
        "when its time has come a failed pull is tried again",
        pull_failed(10),
        (
            "pull image busybox:1 because the last pull of busybox:1 failed and is tried again",
            "set up the pod's network because its infra container runs",
        ),
        ("container web waits: cannot pull image busybox:1: manifest unknown",),
    ),
    Row(
        "a reference that nothing answers keeps the pod from being created",
        missing_reference,
        waits=('the pod waits: configmap "settings" not found (needed by spec.volumes[0])',),
    ),
    Row(
        "a problem of the whole pod keeps it from being created, and is looked at again",
        problem(""),
        waits=("the pod waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "a problem that time does not heal is not looked at again",
        problem("", transient=False),
        waits=("the pod waits: no such directory: /srv",),
    ),
    Row(
        "a problem of one member does not keep the pod from being created",
        problem("web"),
        ("create pod default/shop because it is not there yet",),
        ("container web waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "a port that a process holds keeps the pod from being created, and names the process",
        port_taken(NGINX),
        waits=("the pod waits: port 8080/tcp is held by pid 123 (nginx)",),
        wake=10,
    ),
    Row(
        "images are pulled while a pod waits for its port",
        port_taken_and_no_images,
        ("pull image busybox:1 because image busybox:1 is not here",),
        ("the pod waits: port 8080/tcp is held by pid 123 (nginx)", "container web waits: pulling image busybox:1"),
        wake=10,
    ),
    Row(
        "a port on another protocol is no conflict",
        port_taken(replace(NGINX, binding=replace(NGINX.binding, protocol="UDP"))),
        ("create pod default/shop because it is not there yet",),
    ),
    Row(
        "a port that another pod of ours is about to give up is waited for",
        port_taken(PortHolder(NGINX.binding, key=Key("default", "old"), yields=True)),
        waits=("the pod waits: port 8080/tcp is held by pod default/old",),
        wake=1,
    ),
)
def test_a_new_pod(row: Row):
    check(row)


# --- edits ---------------------------------------------------------------------------------------------------------


def edit(new_spec: PodSpec, old: PodSpec = POD, *, deaf: bool = False, after: int = 0, **fields: object) -> Given:
    """``old`` runs; then ``new_spec`` is wanted and ``after`` rounds were done for it."""

    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(old, engine=engine)
        if deaf:
            engine.deaf |= {"web", "side"}
        want = present(new_spec, **fields)
        rounds(engine, want, after)
        return want

    return given


def edit_blocked(new_spec: PodSpec, block: Callable[[FakeEngine], None], old: PodSpec = POD) -> Given:
    def given(engine: FakeEngine) -> Desired:
        want = edit(new_spec, old)(engine)
        block(engine)
        return want

    return given


def no_image_2(engine: FakeEngine) -> None:
    engine.images.pop("busybox:2")


def web_is_bad(engine: FakeEngine) -> None:
    engine.judge = lambda _spec: (Problem("CreateContainerConfigError", "no such directory: /srv", "web"),)


def nginx_is_there(engine: FakeEngine) -> None:
    engine.foreign_ports.append(NGINX)


def old_yields(engine: FakeEngine) -> None:
    engine.foreign_ports.append(PortHolder(NGINX.binding, key=Key("default", "old"), yields=True))


def edited_again(second: PodSpec, *, after: int, deaf: bool = True) -> Given:
    """web is being replaced for the second image, when another version is wanted."""

    def given(engine: FakeEngine) -> Desired:
        edit(WEB2, deaf=deaf, after=after)(engine)
        return present(second)

    return given


def grace_over(engine: FakeEngine) -> Desired:
    want = edit(WEB2, deaf=True, after=2)(engine)
    engine.tick(30)
    return want


def killed(seconds_ago: float) -> Given:
    def given(engine: FakeEngine) -> Desired:
        want = grace_over(engine)
        engine.undead.add("web")
        rounds(engine, want, 1)
        engine.tick(seconds_ago)
        return want

    return given


def no_network(engine: FakeEngine) -> Desired:
    want = edit(WEB2, after=1)(engine)
    live = engine._pods[KEY]
    live.sandbox = replace(live.sandbox, networked=False)
    return want


def never_made(engine: FakeEngine) -> Desired:
    engine.unknown_images.add("typo:1")
    rounds(engine, present(pod(container("web", "typo:1"))), 1)
    engine.tick(60)
    return present(pod(container("web", "busybox:2")))


def died_before_its_start(policy: RestartPolicy) -> Given:
    """The replacement of web was created, and ended without ever being started."""

    def given(engine: FakeEngine) -> Desired:
        want = edit(changed(WEB2, restart_policy=policy), changed(POD, restart_policy=policy), after=1)(engine)
        rounds_before = engine._pods[KEY].containers
        new = max((c for c in rounds_before if c.name == "web"), key=lambda c: c.attempt)
        engine._pods[KEY].put(engine._ended(new, 137))
        return want

    return given


def taken_back_without_image(engine: FakeEngine) -> Desired:
    edit(HOSTNAME, deaf=True, after=1)(engine)
    engine.images.clear()
    return present(POD)


def unfinished_stop_of_a_recorded_edit(engine: FakeEngine) -> Desired:
    want = edit(WEB2, after=1)(engine)
    perform(engine, tuple(s for s in plan(engine, want).steps if isinstance(s, UpdateRecord)))
    return UNKNOWN


def other_owner(engine: FakeEngine) -> Desired:
    return replace(edit(POD)(engine), owner=SourceId("dir:/elsewhere"))  # type: ignore[type-var]


STOP_ALL = (
    f"stop container side (grace 30s) because {POD_CHANGED}",
    f"stop container web (grace 30s) because {POD_CHANGED}",
)


@rows(
    Row(
        "a changed member is created anew beside the running one",
        edit(WEB2),
        (f"replace container web because {CHANGED}",),
    ),
    Row(
        "when the replacement stands ready the old one is told to stop, and the new version is recorded",
        edit(WEB2, after=1),
        (
            f"stop container web (grace 30s) because {CHANGED}",
            f"update the pod's record because {CHANGED}",
        ),
        wake=30,
    ),
    Row(
        "when the old one has ended the replacement starts, and the old one is removed",
        edit(WEB2, after=2),
        (
            "remove container web because it ended and has a successor",
            "start container web because it is created and the pod is ready",
        ),
    ),
    Row("after that nothing is left to do", edit(WEB2, after=3)),
    Row(
        "an old one that ignores TERM is waited for until its deadline",
        edit(WEB2, deaf=True, after=2),
        waits=("container web waits: it was told to stop",),
        wake=30,
    ),
    Row("at the deadline it is killed", grace_over, ("kill container web because its grace period is over",)),
    Row(
        "a killed process is given a moment to end",
        killed(1),
        waits=("container web waits: it was killed and has not ended yet",),
        wake=1,
    ),
    Row("a kill without effect is repeated", killed(2), ("kill container web because it was killed and runs still",)),
    Row(
        "without grace the old one is killed at once",
        edit(changed(WEB2, grace_period=0), after=1),
        (f"kill container web because {CHANGED}", f"update the pod's record because {CHANGED}"),
    ),
    Row(
        "the old one is not stopped while the replacement could not start",
        no_network,
        (
            "set up the pod's network because its infra container runs",
            f"update the pod's record because {CHANGED}",
        ),
    ),
    Row(
        "an edit while the old one stops takes the created replacement away and makes another",
        edited_again(WEB3, after=2),
        (
            "remove container web because it was created for a version that is not wanted any more",
            "replace container web because image changed: busybox:2 -> busybox:3",
        ),
        ("container web waits: it was told to stop",),
        wake=30,
    ),
    Row(
        "a replacement that died before its start has a successor, and the old one runs on",
        died_before_its_start(NEVER),
        (
            "remove container web because it ended and has a successor",
            "restart container web because it was stopped and is wanted",
            f"update the pod's record because {CHANGED}",
        ),
    ),
    Row(
        "what stops already is no reason not to pull the image again",
        taken_back_without_image,
        ("pull image busybox:1 because image busybox:1 is not here",),
        (
            "container side waits: it was told to stop",
            "container side waits: pulling image busybox:1",
            "container web waits: it was told to stop",
            "container web waits: pulling image busybox:1",
        ),
        wake=30,
    ),
    Row(
        "an edit taken back before the old one was told to stop leaves it running",
        edited_again(POD, after=1),
        ("remove container web because it was created for a version that is not wanted any more",),
    ),
    Row(
        "an edit taken back while the old one stops makes a new one of the old version",
        edited_again(POD, after=2),
        (
            "remove container web because it was created for a version that is not wanted any more",
            "replace container web because image changed: busybox:2 -> busybox:1",
            "update the pod's record because image changed: busybox:2 -> busybox:1",
        ),
        ("container web waits: it was told to stop",),
        wake=30,
    ),
    Row(
        "a new image that is not here is pulled, and what runs stays",
        edit_blocked(WEB2, no_image_2),
        ("pull image busybox:2 because image busybox:2 is not here",),
        ("container web waits: pulling image busybox:2",),
    ),
    Row(
        "a version that never could be made is not fallen back to",
        never_made,
        (
            "pull image busybox:2 because image busybox:2 is not here",
            "set up the pod's network because its infra container runs",
        ),
        ("container web waits: pulling image busybox:2",),
    ),
    Row(
        "a member that cannot run leaves its old version running",
        edit_blocked(WEB2, web_is_bad),
        waits=("container web waits: no such directory: /srv",),
        wake=10,
    ),
    Row("a problem of a member that runs as wanted does not matter", edit_blocked(POD, web_is_bad)),
    Row(
        "a member that cannot run does not hold up an edit of its sibling",
        edit_blocked(pod(container("web", "busybox:3"), container("side", "busybox:2")), web_is_bad),
        (f"replace container side because {CHANGED}",),
        ("container web waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "a member that cannot run does not hold up a changed label",
        edit_blocked(changed(WEB2, labels=(("a", "b"),)), web_is_bad),
        ("update the pod's record because metadata.labels[a] changed: (none) -> b",),
        ("container web waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "a changed label is recorded and touches nothing",
        edit(changed(POD, labels=(("a", "b"),))),
        ("update the pod's record because metadata.labels[a] changed: (none) -> b",),
    ),
    Row(
        "a changed restart policy is recorded and touches nothing",
        edit(changed(POD, restart_policy=NEVER)),
        ("update the pod's record because spec.restartPolicy changed: Always -> Never",),
    ),
    Row(
        "a changed pull policy is recorded and touches nothing",
        edit(pod(container("web", pull_policy=PullPolicy.ALWAYS), container("side"))),
        ("update the pod's record because imagePullPolicy changed: IfNotPresent -> Always",),
    ),
    Row(
        "a changed container port is not even recorded",
        edit(pod(container(ports=(ContainerPort(1),)), container("side"))),
    ),
    Row("another order of the members is nothing", edit(pod(*POD.containers[::-1]))),
    Row(
        "another owner is recorded",
        other_owner,
        ("update the pod's record because owner changed: dir:/pods -> dir:/elsewhere",),
    ),
    Row(
        "changed resources are applied live and recorded",
        edit(LIMIT),
        (
            "update the pod's record because resources.limits.memory changed: (none) -> 1048576",
            "update the resources of container web because resources.limits.memory changed: (none) -> 1048576",
        ),
    ),
    Row("changed resources need no second round", edit(LIMIT, after=1)),
    Row(
        "an added member is created beside its siblings",
        edit(PLUS_LOG),
        (
            "create container log because it was added to the manifest",
            "update the pod's record because container log was added",
        ),
    ),
    Row(
        "a member that is not wanted any more is told to stop, and the record forgets it",
        edit(GONE_SIDE),
        (
            "stop container side (grace 30s) because it is not in the manifest any more",
            "update the pod's record because container side was removed",
        ),
        wake=30,
    ),
    Row(
        "when it has ended it is removed",
        edit(GONE_SIDE, after=1),
        ("remove container side because it is not in the manifest any more",),
    ),
    Row("then nothing is left of it", edit(GONE_SIDE, after=2)),
    Row(
        "a member leaves only when its source is quiet",
        edit(GONE_SIDE, settled=False),
        waits=("container side waits: it leaves when the source has been quiet for a moment",),
    ),
    Row(
        "an edit does not wait for the source to be quiet",
        edit(WEB2, settled=False),
        (f"replace container web because {CHANGED}",),
    ),
    Row(
        "an edit is taken while a removal waits",
        edit(pod(container("web", "busybox:2")), settled=False),
        (f"replace container web because {CHANGED}",),
        ("container side waits: it leaves when the source has been quiet for a moment",),
    ),
    Row(
        "a change of the pod that also takes a member away waits until the source is quiet",
        edit(changed(GONE_SIDE, sandbox=SandboxSpec(hostname="other")), settled=False),
        waits=(
            "the pod waits: side leaves when the source has been quiet for a moment, and the pod is recreated then",
        ),
    ),
    Row("a changed hostname stops every member at the same time", edit(HOSTNAME), STOP_ALL, wake=30),
    Row(
        "when no member runs the pod is removed, to come back",
        edit(HOSTNAME, after=1),
        (f"remove the pod, to be recreated, because {POD_CHANGED}",),
    ),
    Row(
        "then it is created anew",
        edit(HOSTNAME, after=2),
        ("create pod default/shop because spec.hostname changed: (none) -> other",),
    ),
    Row(
        "a change of the pod is taken only when every image is there",
        edit_blocked(changed(WEB2, sandbox=SandboxSpec(hostname="other")), no_image_2),
        ("pull image busybox:2 because image busybox:2 is not here",),
        ("container web waits: pulling image busybox:2",),
    ),
    Row(
        "a change of the pod is taken only when every member can run",
        edit_blocked(HOSTNAME, web_is_bad),
        waits=("container web waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "a new port that a process holds stops nothing",
        edit_blocked(with_ports(POD, 8080), nginx_is_there),
        waits=("the pod waits: port 8080/tcp is held by pid 123 (nginx)",),
        wake=10,
    ),
    Row(
        "a new port that another pod is about to give up does not keep this one from giving up its own",
        edit_blocked(with_ports(POD, 8080), old_yields),
        (
            "stop container side (grace 30s) because spec.containers[].ports[].hostPort changed: "
            "(none) -> [8080/tcp] (the pod is recreated)",
            "stop container web (grace 30s) because spec.containers[].ports[].hostPort changed: "
            "(none) -> [8080/tcp] (the pod is recreated)",
        ),
        wake=30,
    ),
    Row(
        "its own ports are never a conflict",
        edit(changed(with_ports(POD, 8080), labels=(("a", "b"),)), with_ports(POD, 8080)),
        ("update the pod's record because metadata.labels[a] changed: (none) -> b",),
    ),
    Row(
        "a port that the pod holds is not asked for again",
        edit_blocked(with_ports(POD, 8080), nginx_is_there, with_ports(POD, 8080)),
    ),
    Row(
        "a reference that nothing answers leaves what runs running",
        edit(WEB2, missing=(Missing("Secret", "key", "spec.containers[0].env[1]"),)),
        waits=('the pod waits: secret "key" not found (needed by spec.containers[0].env[1])',),
    ),
)
def test_an_edit(row: Row):
    check(row)


# --- ends and restarts ---------------------------------------------------------------------------------------------


def ended(code: int, spec: PodSpec = POD, *, times: int = 1, ago: float = 0.0, want: Desired | None = None) -> Given:
    """web ended ``times`` times in a row; the last one ``ago`` seconds ago."""

    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        for n in range(times):
            engine.exit(KEY, "web", code)
            if n < times - 1:
                settle(engine, present(spec))
        engine.tick(ago)
        return want or present(spec)

    return given


def restarted(engine: FakeEngine) -> Desired:
    want = ended(1)(engine)
    rounds(engine, want, 1)
    return want


def ran_long(engine: FakeEngine) -> Desired:
    want = ended(1, times=5)(engine)
    settle(engine, want)
    engine.tick(601)
    engine.exit(KEY, "web", 1)
    return want


def lost_image(engine: FakeEngine) -> Desired:
    want = ended(1)(engine)
    engine.images.clear()
    return want


def blocked_and_crashed(engine: FakeEngine) -> Desired:
    want = edit_blocked(WEB2, web_is_bad)(engine)
    engine.exit(KEY, "web", 1)
    return want


def cut_creation(engine: FakeEngine) -> Desired:
    want = new_after(1)(engine)
    engine.fail(1, "middle")
    perform(engine, tuple(s for s in plan(engine, want).steps if isinstance(s, CreateContainer) and s.name == "web"))
    return want


ON_FAIL = changed(POD, restart_policy=ON_FAILURE)
ONCE = changed(POD, restart_policy=NEVER)


@rows(
    Row(
        "the first restart is immediate",
        ended(1),
        ("restart container web because it exited with code 1",),
    ),
    Row(
        "a member that ended with success is restarted as well",
        ended(0),
        ("restart container web because it exited with code 0",),
    ),
    Row(
        "the next attempt starts, and the one before is removed",
        restarted,
        (
            "remove container web because it ended and has a successor",
            "start container web because it is created and the pod is ready",
        ),
    ),
    Row(
        "the second restart waits ten seconds from the end",
        ended(1, times=2, ago=3),
        waits=("container web waits: back-off 10s restarting failed container web",),
        wake=7,
    ),
    Row(
        "then it restarts",
        ended(1, times=2, ago=10),
        ("restart container web because it exited with code 1",),
    ),
    Row(
        "the fifth waits eighty",
        ended(1, times=5),
        waits=("container web waits: back-off 80s restarting failed container web",),
        wake=80,
    ),
    Row(
        "after a run of over ten minutes the restart is immediate again",
        ran_long,
        ("restart container web because it exited with code 1",),
    ),
    Row(
        "OnFailure restarts a failed member",
        ended(3, ON_FAIL),
        ("restart container web because it exited with code 3",),
    ),
    Row("OnFailure leaves a member that succeeded", ended(0, ON_FAIL)),
    Row("Never leaves a member that failed", ended(1, ONCE)),
    Row(
        "a policy changed to Always restarts what ended",
        ended(0, ONCE, want=present(POD)),
        (
            "restart container web because it exited with code 0",
            "update the pod's record because spec.restartPolicy changed: Never -> Always",
        ),
    ),
    Row(
        "an edit of a member in back-off is taken at once",
        ended(1, times=5, want=present(WEB2)),
        (f"replace container web because {CHANGED}",),
    ),
    Row(
        "an edit of a member that ended for good runs it again",
        ended(0, ONCE, want=present(changed(WEB2, restart_policy=NEVER))),
        (f"replace container web because {CHANGED}",),
    ),
    Row(
        "a member that ended and is not wanted any more is removed",
        ended(0, ONCE, want=present(pod(container("side"), restart_policy=NEVER))),
        (
            "remove container web because it is not in the manifest any more",
            "update the pod's record because container web was removed",
        ),
    ),
    Row(
        "an image that went away is pulled before the restart",
        lost_image,
        ("pull image busybox:1 because image busybox:1 is not here",),
        ("container web waits: pulling image busybox:1",),
    ),
    Row(
        "a member whose new version cannot run is restarted in its old one",
        blocked_and_crashed,
        ("restart container web because it exited with code 1",),
        ("container web waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "what was half created is removed and created again",
        cut_creation,
        (
            *CREATE_BOTH,
            "remove container web because its creation was cut short",
            "set up the pod's network because its infra container runs",
        ),
    ),
)
def test_members_that_end(row: Row):
    check(row)


# --- the infra container, reboots, and the end ---------------------------------------------------------------------


def infra_dead(spec: PodSpec = POD, want: Desired | None = None, finish: dict[str, int] | None = None) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        for name, code in (finish or {}).items():
            engine.exit(KEY, name, code)
        engine.kill_infra(KEY)
        return want or present(spec)

    return given


def stopped_with_success(engine: FakeEngine) -> Desired:
    engine.term_code = 0
    want = infra_dead(ON_FAIL)(engine)
    rounds(engine, want, 1)
    return want


def rebooted(want: Desired, spec: PodSpec = POD, *, after: int = 0, finish: bool = False) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        for name in list(engine.running(KEY)) if finish else ():
            engine.exit(KEY, name, 0)
        engine.reboot()
        rounds(engine, want, after)
        return want

    return given


def cut_sandbox(engine: FakeEngine) -> Desired:
    want = new(engine)
    engine.fail(1, "middle")
    rounds(engine, want, 1)
    return want


def cut_removal(then: Desired) -> Given:
    def given(engine: FakeEngine) -> Desired:
        edit(HOSTNAME, after=1)(engine)
        engine.fail(1, "middle")
        rounds(engine, present(HOSTNAME), 1)
        return then

    return given


def ended_husk_with_conflict(engine: FakeEngine) -> Desired:
    want = edit(with_ports(POD, 8080), after=2)(engine)
    nginx_is_there(engine)
    return want


def rebooted_with_conflict(engine: FakeEngine) -> Desired:
    want = rebooted(present(with_ports(POD, 8080)), with_ports(POD, 8080), after=1)(engine)
    nginx_is_there(engine)
    return want


def rebooted_with_bad_edit(engine: FakeEngine) -> Desired:
    want = rebooted(present(WEB2), after=0)(engine)
    web_is_bad(engine)
    rounds(engine, want, 1)
    return want


def absent(*, after: int = 0, deaf: bool = False, spec: PodSpec = POD) -> Given:
    def given(engine: FakeEngine) -> Desired:
        here(engine)
        settled(spec, engine=engine)
        engine.deaf |= {"web"} if deaf else set()
        rounds(engine, ABSENT, after)
        return ABSENT

    return given


def absent_husk(engine: FakeEngine) -> Desired:
    edit(HOSTNAME, after=2)(engine)
    return ABSENT


GRACE = "(grace 30s) because"
DIED = "its infra container died"


@rows(
    Row(
        "when the infra container died every member is told to stop",
        infra_dead(),
        (f"stop container side {GRACE} {DIED}", f"stop container web {GRACE} {DIED}"),
        wake=30,
    ),
    Row(
        "what was stopped for the infra container's sake comes back, whatever its exit code",
        stopped_with_success,
        (f"remove the pod, to be recreated, because {DIED}",),
    ),
    Row(
        "after a reboot the pod is removed at once, to come back",
        rebooted(present(POD)),
        (f"remove the pod, to be recreated, because {DIED}",),
    ),
    Row(
        "after a reboot the pod comes back",
        rebooted(present(POD), after=1),
        ("create pod default/shop because its life before this one ended",),
    ),
    Row(
        "a creation of the pod that was cut short begins anew",
        cut_sandbox,
        ("remove the pod, to be recreated, because its creation was cut short",),
    ),
    Row("a finished pod does not run again after a reboot", rebooted(present(ONCE), ONCE, finish=True)),
    Row("a pod that succeeded does not run again after a reboot", rebooted(present(ON_FAIL), ON_FAIL, finish=True)),
    Row("a pod that runs once does not run twice, even cut short by a reboot", rebooted(present(ONCE), ONCE)),
    Row(
        "a pod that is restarted on failure runs again after a reboot in the middle",
        rebooted(present(ON_FAIL), ON_FAIL),
        (f"remove the pod, to be recreated, because {DIED}",),
    ),
    Row(
        "an edit of a finished pod runs it again",
        rebooted(present(changed(WEB2, restart_policy=NEVER)), ONCE, finish=True),
        (f"remove the pod, to be recreated, because {DIED}",),
    ),
    Row(
        "a member added to a finished pod runs it again",
        rebooted(present(changed(PLUS_LOG, restart_policy=NEVER)), ONCE, finish=True),
        (f"remove the pod, to be recreated, because {DIED}",),
    ),
    Row("what still runs of a pod that runs once runs to its end without infra", infra_dead(ONCE, finish={"web": 0})),
    Row(
        "a removal that began goes on",
        cut_removal(present(HOSTNAME)),
        ("remove the pod, to be recreated, because its removal had begun",),
    ),
    Row(
        "a removal that began goes on although the edit was taken back",
        cut_removal(present(POD)),
        ("remove the pod, to be recreated, because its removal had begun",),
    ),
    Row(
        "a removal that began goes on although the file is broken now",
        cut_removal(UNKNOWN),
        ("remove the pod, to be recreated, because its removal had begun",),
        ("the pod waits: line 3: mapping values are not allowed here",),
    ),
    Row(
        "if the port is taken meanwhile the version before it comes back",
        ended_husk_with_conflict,
        ("create pod default/shop because its life before this one ended",),
        ("the pod waits: port 8080/tcp is held by pid 123 (nginx)",),
        wake=10,
    ),
    Row(
        "if a port of both versions is taken the pod waits for it",
        rebooted_with_conflict,
        waits=("the pod waits: port 8080/tcp is held by pid 123 (nginx)",),
        wake=10,
    ),
    Row(
        "after a reboot a member whose edit cannot run comes back in its old version",
        rebooted_with_bad_edit,
        ("create pod default/shop because its life before this one ended",),
        ("container web waits: no such directory: /srv",),
        wake=10,
    ),
    Row(
        "a pod that is not wanted any more has all its members stopped at the same time",
        absent(),
        (
            f"stop container side {GRACE} its manifest was removed",
            f"stop container web {GRACE} its manifest was removed",
        ),
        wake=30,
    ),
    Row("when no member runs it is removed", absent(after=1), ("remove the pod because its manifest was removed",)),
    Row("then nothing is left", absent(after=2)),
    Row(
        "a member that ignores TERM is waited for",
        absent(after=1, deaf=True),
        waits=("container web waits: it was told to stop",),
        wake=30,
    ),
    Row(
        "what is left of a pod between two lives goes too",
        absent_husk,
        ("remove the pod because its manifest was removed",),
    ),
    Row("a pod that was never there needs nothing to be gone", lambda _engine: ABSENT),
)
def test_lives_and_ends(row: Row):
    check(row)


# --- what is not known ---------------------------------------------------------------------------------------------


def then_unknown(given: Given) -> Given:
    def unknown(engine: FakeEngine) -> Desired:
        given(engine)
        return UNKNOWN

    return unknown


BROKEN = "the pod waits: line 3: mapping values are not allowed here"
LEFT_ALONE = "waits: it is left alone while what is wanted is not known"


@rows(
    Row("a broken file of a pod that was never there makes nothing", lambda _engine: UNKNOWN, waits=(BROKEN,)),
    Row("a broken file stops nothing", then_unknown(edit(POD)), waits=(BROKEN,)),
    Row(
        "a broken file does not keep a member from being restarted",
        then_unknown(ended(1)),
        ("restart container web because it exited with code 1",),
        (BROKEN,),
    ),
    Row(
        "a replacement that was just created for a version now unknown goes, what runs stays",
        then_unknown(edit(WEB2, after=1)),
        ("remove container web because it was created for a version that is not wanted any more",),
        (BROKEN,),
    ),
    Row(
        "an old one that was not told to stop yet is left alone, its replacement waits",
        unfinished_stop_of_a_recorded_edit,
        waits=(BROKEN, f"container web {LEFT_ALONE}"),
    ),
    Row(
        "a replacement that has begun is finished",
        then_unknown(edit(WEB2, after=2)),
        (
            "remove container web because it ended and has a successor",
            "start container web because it is created and the pod is ready",
        ),
        (BROKEN,),
    ),
    Row(
        "a stop that has begun is finished",
        then_unknown(grace_over),
        ("kill container web because its grace period is over",),
        (BROKEN,),
    ),
    Row(
        "without its infra container what runs is still left alone",
        then_unknown(infra_dead()),
        waits=(BROKEN, f"container side {LEFT_ALONE}", f"container web {LEFT_ALONE}"),
    ),
    Row(
        "after a reboot the pod comes back in its last good version",
        rebooted(UNKNOWN, after=1),
        ("create pod default/shop because its life before this one ended",),
        (BROKEN,),
    ),
)
def test_a_broken_file(row: Row):
    check(row)


# --- run states ----------------------------------------------------------------------------------------------------


@rows(
    Row(
        "a pod that is to be stopped has its members stopped",
        edit(POD, run=RunState.STOPPED),
        (
            f"stop container side {GRACE} the pod is to be stopped",
            f"stop container web {GRACE} the pod is to be stopped",
        ),
        wake=30,
    ),
    Row("a stopped pod stays stopped", edit(POD, run=RunState.STOPPED, after=1)),
    Row(
        "a stopped pod that is to run has its members made anew",
        lambda engine: (edit(POD, run=RunState.STOPPED, after=1)(engine), present(POD))[1],
        (
            "restart container side because it was stopped and is wanted",
            "restart container web because it was stopped and is wanted",
        ),
    ),
    Row(
        "in a pod that is to be created only nothing that runs is replaced",
        edit(WEB2, after=1, run=RunState.CREATED),
        (f"update the pod's record because {CHANGED}",),
    ),
    Row("a pod that is to be created only is not started", lambda e: _created_only(e)),
)
def test_run_states(row: Row):
    check(row)


def _created_only(engine: FakeEngine) -> Desired:
    here(engine)
    want = present(POD, run=RunState.CREATED)
    rounds(engine, want, 2)
    return want


# --- what the steps carry ------------------------------------------------------------------------------------------


def creation(given: Given) -> CreateContainer:
    engine = FakeEngine()
    found = [s for s in plan(engine, given(engine)).steps if isinstance(s, CreateContainer) and s.name == "web"]
    assert len(found) == 1
    return found[0]


def test_a_restart_counts_and_remembers_how_the_attempt_before_ended():
    step = creation(ended(7, times=3, ago=20))
    assert (step.attempt, step.restarts, step.crashes, step.reason.why) == (3, 3, 3, Why.EXITED)
    assert step.last is not None
    assert step.last.code == 7


def test_a_replacement_is_a_new_attempt_that_counts_from_zero():
    step = creation(ended(7, times=3, want=present(WEB2)))
    assert (step.attempt, step.restarts, step.crashes, step.last) == (3, 0, 0, None)
    assert step.spec.container("web") == WEB2.container("web")


def test_a_member_whose_edit_cannot_run_is_created_from_its_old_version_beside_the_new_rest():
    step = creation(blocked_and_crashed)
    assert step.spec.container("web") == POD.container("web")


def test_the_record_holds_the_old_version_of_a_member_until_the_new_one_is_made():
    engine = FakeEngine()
    want = edit_blocked(changed(WEB2, labels=(("a", "b"),)), web_is_bad)(engine)
    (step,) = plan(engine, want).steps
    assert isinstance(step, UpdateRecord)
    assert step.spec == changed(POD, labels=(("a", "b"),))


def test_a_recreated_pod_is_created_as_wanted_and_owned_by_who_wants_it():
    engine = FakeEngine()
    (step,) = plan(engine, edit(HOSTNAME, after=2)(engine)).steps
    assert isinstance(step, CreateSandbox)
    assert (step.spec, step.owner, step.reason.why) == (HOSTNAME, SourceId("dir:/pods"), Why.POD_CHANGED)


def test_a_row_without_a_record_is_removed_even_while_the_source_is_not_quiet():
    engine = FakeEngine()
    want = edit(POD, settled=False)(engine)
    odd = replace(engine.container(KEY, "web"), id="f" * 64, name="", state=ContainerState.CREATING)  # type: ignore[arg-type]
    engine._pods[KEY].containers.append(odd)
    made = plan(engine, want)
    assert [describe(s) for s in made.steps] == ["remove container  because its creation was cut short"]


def test_an_exit_after_now_counts_as_now():
    engine = FakeEngine()
    want = ended(1, times=2)(engine)
    last = engine.container(KEY, "web")
    assert last.exit is not None
    engine._pods[KEY].put(replace(last, exit=replace(last.exit, finished=engine.clock.now() + 5000)))
    assert plan(engine, want).wake_at == engine.clock.now() + 10


def test_a_holder_that_is_the_pod_itself_is_no_obstacle():
    want = with_ports(POD, 8080)
    host = HostFacts((replace(NGINX, key=KEY), replace(NGINX, key=Key("default", "other"))))
    found = port_obstacles(want, Observed(KEY), host, 0.0)
    assert [o.message for o in found] == ["port 8080/tcp is held by pod default/other"]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (PortBinding(80, 1), PortBinding(80, 2), True),
        (PortBinding(80, 1), PortBinding(81, 1), False),
        (PortBinding(80, 1), PortBinding(80, 1, Protocol.UDP), False),
        (PortBinding(80, 1, host_ip="127.0.0.1"), PortBinding(80, 1, host_ip="127.0.0.2"), False),
        (PortBinding(80, 1, host_ip="127.0.0.1"), PortBinding(80, 1, host_ip="0.0.0.0"), True),
        (PortBinding(80, 1), PortBinding(80, 1, host_ip="127.0.0.2"), True),
    ],
    ids=str,
)
def test_which_ports_are_the_same(a: PortBinding, b: PortBinding, same: bool):
    assert overlap(a, b) is overlap(b, a) is same
