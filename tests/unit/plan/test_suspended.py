"""What is done and told of a pod that a person wants left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.actions import Why
from reconciler.model.desired import Absent, Desired, Present, Suspended, Unknown
from reconciler.model.spec import RestartPolicy
from reconciler.model.status import Phase
from tests.fakes.engine import FakeEngine
from tests.unit.plan.driver import ABSENT, KEY, NEVER, UNKNOWN, plan, present, settle, settled, status
from tests.unit.plan.scenes import (
    HOSTNAME,
    POD,
    WEB2,
    Given,
    Row,
    absent,
    check,
    cut_creation,
    edit,
    ended,
    grace_over,
    here,
    infra_dead,
    new,
    rebooted,
    rows,
    stale_files,
)


def suspended(given: Given) -> Given:
    """The same, but left alone."""

    def left(engine: FakeEngine) -> Desired:
        meant = given(engine)
        assert not isinstance(meant, Suspended)
        return Suspended(meant)

    return left


WORD = "the pod waits: it is suspended"


@rows(
    Row("one that is not there is not made", suspended(new), waits=(WORD,)),
    Row("one that runs goes on", suspended(edit(POD)), waits=(WORD,)),
    Row("an edit waits", suspended(edit(WEB2)), waits=(WORD,)),
    Row("so does one that needs another pod", suspended(edit(HOSTNAME)), waits=(WORD,)),
    Row("what has crashed is not started again", suspended(ended(1, ago=100)), waits=(WORD,)),
    Row("nor after a reboot", suspended(rebooted(present(POD))), waits=(WORD,)),
    Row("a dead infra container is not replaced", suspended(infra_dead()), waits=(WORD,)),
    Row("a removed manifest removes nothing", suspended(absent()), waits=(WORD,)),
    Row("its files of /etc stay as they are", suspended(stale_files()), waits=(WORD,)),
    Row("what was half made stays half made", suspended(cut_creation), waits=(WORD,)),
    Row(
        "what was told to stop is brought to its end",
        suspended(grace_over),
        ("kill container web because its grace period is over",),
        (WORD,),
    ),
    Row(
        "and waited for until then",
        suspended(absent(after=1, deaf=True)),
        waits=("container web waits: it was told to stop", WORD),
        wake=30,
    ),
)
def test_left_alone(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("meant", [present(POD), ABSENT, UNKNOWN], ids=["present", "absent", "unknown"])
def test_nothing_is_ever_begun(meant: Present | Absent | Unknown) -> None:
    engine = settled(POD)
    for event in (lambda: engine.exit(KEY, "web", 1), lambda: engine.kill_infra(KEY), engine.reboot):
        event()
        assert settle(engine, Suspended(meant)) == []
    (waits,) = plan(engine, Suspended(meant)).waiting
    assert waits.reason.why is Why.SUSPENDED


# --- what is told ----------------------------------------------------------------------------------------------------


def test_status_shows_how_it_is_and_that_it_is_left_so() -> None:
    engine = settled(POD)
    told = status(engine, Suspended(present(POD)))
    assert (told.summary, told.phase, told.converged) == ("Running,Suspended", Phase.RUNNING, True)
    assert told.message == "it is suspended"
    assert [(c.type, c.status) for c in told.conditions][-1] == ("Suspended", True)


@pytest.mark.parametrize(("code", "word"), [(0, "NotReady"), (1, "Error")])
def test_what_ended_waits_for_nothing(code: int, word: str) -> None:
    engine = settled(POD)
    engine.exit(KEY, "web", code)
    told = status(engine, Suspended(present(POD)))
    assert (told.summary, told.converged) == (f"{word},Suspended", False)
    assert [c.state for c in told.containers] == ["terminated", "running"]


def test_what_has_run_its_course_is_as_wanted() -> None:
    spec = replace(POD, restart_policy=NEVER)
    engine = settled(spec)
    engine.exit(KEY, "web", 0)
    engine.exit(KEY, "side", 0)
    assert status(engine, Suspended(present(spec))).converged


def test_an_edit_is_told_as_not_taken_up() -> None:
    engine = settled(POD)
    here(engine)
    assert not status(engine, Suspended(present(WEB2))).converged


@pytest.mark.parametrize("meant", [Absent("its manifest web.yaml was removed"), UNKNOWN])
def test_one_without_a_manifest_is_not_terminating(meant: Absent | Unknown) -> None:
    engine = settled(POD)
    engine.exit(KEY, "web", 1)
    told = status(engine, Suspended(meant))
    assert (told.summary, told.converged) == ("Error,Suspended", False)
    assert told.message == f"it is suspended; {meant.why}"


@pytest.mark.parametrize("meant", [present(POD), ABSENT])
def test_one_that_is_not_there(meant: Present | Absent) -> None:
    told = status(FakeEngine(), Suspended(meant))
    assert (told.summary, told.converged) == ("Suspended", False)
    assert "it is suspended" in told.message


def test_policies_are_the_manifests() -> None:
    spec = replace(POD, restart_policy=RestartPolicy.ON_FAILURE)
    engine = settled(spec)
    engine.exit(KEY, "web", 0)
    assert status(engine, Suspended(present(spec))).converged
    engine.exit(KEY, "side", 1)
    assert not status(engine, Suspended(present(spec))).converged
