"""READY, STATUS and RESTARTS by the table of kubectl's printPod (pkg/printers/internalversion/printers.go)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from reconciler.cli.get import restarts
from reconciler.model.key import Key
from reconciler.model.observed import Exit
from reconciler.model.status import INITIALIZING, Condition, ContainerStatus, Phase, PodStatus
from reconciler.plan.printed import Counts, counts, word

NOW = 10_000.0
UP = ContainerStatus("c", "i", "running", True, 0, started=True)
UNREADY = replace(UP, ready=False)
WAITS = ContainerStatus("c", "i", "waiting", False, 0, reason=INITIALIZING)
DONE = ContainerStatus("c", "i", "terminated", False, 0, reason="Completed", exit=Exit(0, 0.0, 0.0))
FAILED = replace(DONE, reason="Error", exit=Exit(3, 0.0, 0.0))
CRASHES = replace(WAITS, reason="CrashLoopBackOff", restarts=3, last=Exit(1, 0.0, NOW - 300))
CAR = replace(UP, sidecar=True)
CAR_BEGINS = replace(CAR, started=False, ready=False)
INIT = replace(DONE, ready=True)


def times(status: ContainerStatus, restarts: int, ago: float = 0.0) -> ContainerStatus:
    return replace(status, restarts=restarts, last=Exit(1, 0.0, NOW - ago) if ago else None)


@dataclass(frozen=True)
class Row:
    text: str
    status: str
    init: tuple[ContainerStatus, ...] = ()
    members: tuple[ContainerStatus, ...] = (UP,)
    ready: int = 0
    restarts: str = "0"
    phase: Phase = Phase.RUNNING
    reason: str = ""
    true: tuple[str, ...] = ("Initialized",)
    ending: bool = False


PENDING: dict[str, Any] = {"phase": Phase.PENDING, "true": ()}
BOTH = ("Initialized", "Ready")

ROWS = [
    # the members
    Row("all run and are ready", "Running", members=(UP, UP), ready=2, true=BOTH),
    Row("one is not ready", "Running", members=(UP, UNREADY), ready=1),
    Row("being made", "ContainerCreating", members=(replace(WAITS, reason="ContainerCreating"),), phase=Phase.PENDING),
    Row("no word of its own: the phase", "Pending", members=(replace(WAITS, reason=""),), phase=Phase.PENDING),
    Row("no status of them yet", "Pending", members=(), phase=Phase.PENDING),
    Row("the first that has something to say", "ImagePullBackOff",
        members=(UP, replace(WAITS, reason="ImagePullBackOff"), CRASHES), ready=1, restarts="3 (5m ago)"),
    Row("a crash loop", "CrashLoopBackOff", members=(CRASHES,), restarts="3 (5m ago)"),
    Row("killed for want of memory", "OOMKilled", members=(replace(FAILED, reason="OOMKilled"),), phase=Phase.FAILED),
    Row("one ended well beside one that runs, which leaves the pod unready", "NotReady", members=(DONE, UP), ready=1),
    Row("the same in a pod that is ready all the same", "Running", members=(DONE, UP), ready=1, true=BOTH),
    Row("one ended well beside one that is not ready", "Completed", members=(DONE, UNREADY)),
    Row("one failed beside one that runs", "Error", members=(FAILED, UP), ready=1),
    Row("all ended well", "Completed", members=(DONE, DONE), phase=Phase.SUCCEEDED),
    Row("an end without a word is told by its code", "ExitCode:3",
        members=(replace(FAILED, reason=""),), phase=Phase.FAILED),
    # the pod's own reason
    Row("out of time: as its containers ended", "Error", members=(FAILED,), phase=Phase.FAILED,
        reason="DeadlineExceeded"),
    Row("out of time, and they ended well", "Completed", members=(DONE,), phase=Phase.FAILED,
        reason="DeadlineExceeded"),
    Row("out of time, and they still end", "DeadlineExceeded", members=(UNREADY,), phase=Phase.FAILED,
        reason="DeadlineExceeded"),
    Row("refused before it had any", "Evicted", members=(), phase=Phase.FAILED, reason="Evicted"),
    # being deleted
    Row("ends", "Terminating", members=(UP,), ready=1, true=BOTH, ending=True),
    Row("ends while it begins", "Terminating", init=(UP,), members=(WAITS,), ending=True, **PENDING),
    Row("is removed when it had ended well", "Completed", members=(DONE,), phase=Phase.SUCCEEDED, ending=True),
    Row("is removed when it had failed", "Error", members=(FAILED,), phase=Phase.FAILED, ending=True),
    # init containers
    Row("the first runs", "Init:0/2", init=(UNREADY, WAITS), members=(WAITS,), **PENDING),
    Row("the second runs", "Init:1/2", init=(INIT, UNREADY), members=(WAITS,), **PENDING),
    Row("the second waits for its turn", "Init:1/2", init=(INIT, WAITS), members=(WAITS,), **PENDING),
    Row("its image is not to be had", "Init:ErrImagePull",
        init=(replace(WAITS, reason="ErrImagePull"),), members=(WAITS,), **PENDING),
    Row("it fails again and again", "Init:CrashLoopBackOff", init=(CRASHES, times(WAITS, 5, 9)), members=(WAITS,),
        restarts="3 (5m ago)", **PENDING),
    Row("it failed for good", "Init:Error", init=(FAILED,), members=(WAITS,), phase=Phase.FAILED, true=()),
    Row("it failed without a word", "Init:ExitCode:3",
        init=(replace(FAILED, reason=""),), members=(WAITS,), phase=Phase.FAILED, true=()),
    Row("out of time while it runs", "Init:0/1", init=(UNREADY,), members=(WAITS,), phase=Phase.FAILED,
        reason="DeadlineExceeded", true=()),
    Row("all through, members are being made", "PodInitializing", init=(INIT,), members=(WAITS,),
        phase=Phase.PENDING, true=("Initialized",)),
    Row("what they were restarted is not counted when they are through", "Running", init=(times(INIT, 4, 60),),
        members=(times(UP, 1, 120),), ready=1, restarts="1 (2m ago)", true=BOTH),
    # sidecars
    Row("a sidecar counts as a member", "Running", init=(CAR,), members=(UP,), ready=2, true=BOTH),
    Row("one that is up counts while others begin", "Init:1/2", init=(CAR, UNREADY), members=(WAITS,), ready=1,
        **PENDING),
    Row("one that begins", "Init:0/2", init=(CAR_BEGINS, WAITS), members=(WAITS,), **PENDING),
    Row("one that ended well is through", "Running", init=(replace(DONE, sidecar=True),), members=(UP,), ready=1),
    Row("one that crashes in a pod that has begun, whose members run", "Init:CrashLoopBackOff",
        init=(replace(CRASHES, sidecar=True),), members=(UP,), ready=1, restarts="3 (5m ago)", phase=Phase.RUNNING,
        true=("Initialized",)),
    Row("those after it are not counted", "Init:CrashLoopBackOff",
        init=(replace(CRASHES, sidecar=True), times(CAR, 7, 5)), members=(UP,), ready=1, restarts="3 (5m ago)"),
    Row("and of a member that has something to say that", "CrashLoopBackOff",
        init=(replace(CAR_BEGINS, restarts=2),), members=(CRASHES,), restarts="5 (5m ago)"),
    Row("restarts of sidecars and members are added up, and the last told", "Running", init=(times(CAR, 2, 45),),
        members=(times(UP, 1, 3600), times(UP, 0)), ready=3, restarts="3 (45s ago)", true=BOTH),
    Row("how often is known and not when", "Running", members=(times(UP, 2),), ready=1, restarts="2", true=BOTH),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.text for row in ROWS])
def test_as_kubectl_prints(row: Row) -> None:
    conditions = tuple(Condition(name, name in row.true) for name in ("Initialized", "Ready"))
    status = PodStatus(
        Key("default", "p"), row.phase, "", row.members, conditions, init=row.init, reason=row.reason
    )  # fmt: skip
    found = counts(status)
    assert (word(status, ending=row.ending), found.ready) == (row.status, row.ready)
    assert restarts(found, NOW) == row.restarts


def test_nothing_was_restarted_in_a_pod_that_nobody_made() -> None:
    assert counts(PodStatus(Key("default", "p"), Phase.PENDING, "")) == Counts(0, 0)
