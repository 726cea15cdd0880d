"""What is done in one round after an edit: one thing different in each row."""

from __future__ import annotations

from reconciler.model.desired import Missing
from reconciler.model.spec import (
    ContainerPort,
    Dns,
    HostAlias,
    PullPolicy,
    SandboxSpec,
)
from tests.unit.plan.driver import (
    NEVER,
    container,
    pod,
    with_ports,
)
from tests.unit.plan.scenes import (
    CHANGED,
    GONE_SIDE,
    HOSTNAME,
    LIMIT,
    LIMITED,
    LIMITED_MORE,
    PLUS_LOG,
    POD,
    POD_CHANGED,
    SECOND,
    STOP_ALL,
    WEB2,
    WEB3,
    Row,
    changed,
    check,
    died_before_its_start,
    edit,
    edit_blocked,
    edited_again,
    edited_old_pod,
    grace_over,
    killed,
    moved_tag,
    moved_tag_of_a_volume,
    never_made,
    nginx_is_there,
    no_image_2,
    no_network,
    old_yields,
    other_owner,
    refused_live,
    rows,
    stale_files,
    taken_back_after_refusal,
    taken_back_without_image,
    web_is_bad,
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
)
def test_an_edit_of_a_member(row: Row):
    check(row)


@rows(
    Row(
        "a changed label is recorded and touches nothing",
        edit(changed(POD, labels=(("a", "b"),))),
        ("update the pod's record because metadata.labels[a] changed: (none) -> b",),
    ),
    Row(
        "changed resolvers are written into the pod's files, then recorded",
        edit(changed(POD, dns=Dns(searches=("lan",)), labels=(("a", "b"),))),
        (
            "rewrite the pod's files because metadata.labels[a] changed: (none) -> b, "
            "spec.dnsConfig.searches changed: (none) -> [lan]",
        ),
    ),
    Row(
        "changed host aliases are written into the pod's files",
        edit(changed(POD, host_aliases=(HostAlias("192.0.2.1", ("db",)),))),
        ("rewrite the pod's files because spec.hostAliases changed: (none) -> [192.0.2.1=db]",),
    ),
    Row(
        "the host's resolvers changed: the pod's files are rewritten",
        stale_files(),
        ("rewrite the pod's files because what the host says of names changed",),
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
            "update the pod's record because resources.limits.memory changed: (none) -> 1Mi",
            "update the resources of container web because resources.limits.memory changed: (none) -> 1Mi",
            "update the pod's cgroup because BestEffort -> Burstable; its cgroup stays where it was made until the "
            "pod is recreated",
        ),
    ),
    Row("changed resources need no second round", edit(LIMIT, after=1)),
    Row(
        "a pod is given more before its container is",
        edit(LIMITED_MORE, LIMITED),
        (
            "update the pod's record because resources.limits.cpu changed: 1 -> 2",
            "update the pod's cgroup because resources.limits.cpu changed: 1 -> 2",
        ),
    ),
    Row(
        "then its container is",
        edit(LIMITED_MORE, LIMITED, after=1),
        ("update the resources of container web because resources.limits.cpu changed: 1 -> 2",),
    ),
    Row(
        "a pod is given less after its container is",
        edit(LIMITED, LIMITED_MORE),
        (
            "update the pod's record because resources.limits.cpu changed: 2 -> 1",
            "update the resources of container web because resources.limits.cpu changed: 2 -> 1",
        ),
    ),
    Row(
        "then it is given less",
        edit(LIMITED, LIMITED_MORE, after=1),
        ("update the pod's cgroup because resources.limits.cpu changed: 2 -> 1",),
    ),
    Row(
        "an added member is made when the pod has room for it",
        edit(pod(*LIMITED.containers, *SECOND.containers), LIMITED),
        (
            "update the pod's record because container side was added",
            "update the pod's cgroup because resources.requests.cpu changed: 100m -> 1100m, "
            "resources.limits.cpu changed: 1 -> 2",
        ),
    ),
    Row(
        "the cgroup of a pod that an older version made is left as it is",
        edited_old_pod(LIMITED_MORE, LIMITED),
        (
            "update the pod's record because resources.limits.cpu changed: 1 -> 2",
            "update the resources of container web because resources.limits.cpu changed: 1 -> 2",
        ),
    ),
    Row(
        "a tag that moved replaces the container when that was asked for",
        moved_tag,
        ("replace container web because busybox:1 is another image now: aaaaaaaaaaaa -> bbbbbbbbbbbb",),
    ),
    Row(
        "so does one of an image that a volume shows",
        moved_tag_of_a_volume,
        ("replace container web because data:1, which a volume shows, is another image now: bbbbbbbbbbbb",),
    ),
    Row(
        "limits that cannot be applied live replace the container",
        refused_live,
        (
            "replace container web because resources.limits.cpu changed: 2 -> 1 "
            "(more is in use: it cannot be done live)",
        ),
    ),
    Row(
        "taken back, they leave it running",
        taken_back_after_refusal,
        ("update the pod's record because resources.limits.cpu changed: 1 -> 2",),
    ),
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
        wake=3,
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
def test_an_edit_of_the_pod(row: Row):
    check(row)
