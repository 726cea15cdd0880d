"""What is done in one round while a file is broken, and for pods that are not to run."""

from __future__ import annotations

from reconciler.model.desired import Desired, RunState
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import (
    UNKNOWN,
    present,
)
from tests.unit.plan.scenes import (
    CHANGED,
    GRACE,
    POD,
    WEB2,
    Given,
    Row,
    check,
    edit,
    ended,
    grace_over,
    here,
    infra_dead,
    rebooted,
    rounds,
    rows,
    unfinished_stop_of_a_recorded_edit,
)


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


@rows(
    Row(
        "a pod that is to be stopped has its members stopped",
        edit(POD, run=RunState.STOPPED),
        (
            f"stop container side {GRACE} a command asked for it",
            f"stop container web {GRACE} a command asked for it",
        ),
        wake=30,
    ),
    Row(
        "its infra container is stopped when no member runs",
        edit(POD, run=RunState.STOPPED, after=1),
        ("kill container  because a command asked for it",),
    ),
    Row("a stopped pod stays stopped", edit(POD, run=RunState.STOPPED, after=2)),
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
