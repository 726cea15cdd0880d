"""What is done in one round when something ended: members, infra containers, machines, the pod itself."""

from __future__ import annotations

from tests.unit.plan.driver import (
    ABSENT,
    NEVER,
    UNKNOWN,
    container,
    pod,
    present,
)
from tests.unit.plan.scenes import (
    CHANGED,
    CREATE_BOTH,
    DIED,
    GRACE,
    HOSTNAME,
    ON_FAIL,
    ONCE,
    PLUS_LOG,
    POD,
    WEB2,
    Row,
    absent,
    absent_husk,
    blocked_and_crashed,
    changed,
    check,
    cut_creation,
    cut_removal,
    cut_sandbox,
    ended,
    ended_husk_with_conflict,
    infra_dead,
    lost_image,
    ran_long,
    rebooted,
    rebooted_with_bad_edit,
    rebooted_with_conflict,
    restarted,
    rows,
    stopped_with_success,
)


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
        wake=3,
    ),
    Row(
        "if a port of both versions is taken the pod waits for it",
        rebooted_with_conflict,
        waits=("the pod waits: port 8080/tcp is held by pid 123 (nginx)",),
        wake=3,
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
