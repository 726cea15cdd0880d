"""What `scripts/torture` calls lost: differences between the shadow and what processes show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.process import PidRef
from tests.torture import checks
from tests.torture.churn import Step
from tests.torture.kernel import INFRA, Process, Running, Sight
from tests.torture.world import Hand, Member, Pod, Role, Shape, World

POD = Pod("a", Shape.PLAIN, "a.yaml", 1, (Member("main", Role.STEADY, 1), Member("side", Role.STEADY, 1)))
WORLD = World({"a": POD}, {"hand0": Hand("hand0", 2)})


def seen(pod: str, mark: str, pid: int) -> Running:
    """A container; an infra container has no mark."""
    return Running(pod, f"c{pid}", Process(PidRef(pid, pid), INFRA if not mark else "sh", "/x"), mark, "")


INFRA_A, MAIN, SIDE = seen("p1", "", 10), seen("p1", "a/main/1", 11), seen("p1", "a/side/1", 12)
BY_HAND = seen("p2", "hand0/hand0/2", 20)
GOOD = (INFRA_A, MAIN, SIDE, BY_HAND)


@pytest.mark.parametrize(
    ("containers", "said"),
    [
        pytest.param(GOOD, [], id="nothing when all is well"),
        pytest.param((INFRA_A, MAIN, BY_HAND), ["a: [] instead of [a/side/1]"], id="a member that does not run"),
        pytest.param(
            (*GOOD, seen("p1", "a/main/1", 13)),
            ["a: ['a/main/1', 'a/main/1'] instead of [a/main/1]"],
            id="a member that runs twice",
        ),
        pytest.param(
            (INFRA_A, seen("p1", "a/main/0", 11), SIDE, BY_HAND),
            ["a: ['a/main/0'] instead of [a/main/1]"],
            id="a member of another version",
        ),
        pytest.param(
            (*GOOD, seen("p1", "a/more/3", 14)), ["pod a also runs a/more/3 (c14)"], id="a member that nobody wants"
        ),
        pytest.param((MAIN, SIDE, BY_HAND), ["pod a has 0 infra containers"], id="a pod without its infra container"),
        pytest.param((*GOOD, seen("p3", "a/main/1", 30)), ["pod a is there 2 times"], id="a pod that is there twice"),
        pytest.param((BY_HAND,), ["pod a is there 0 times"], id="a pod that is not there"),
        pytest.param(GOOD[:3], ["hand0: [] instead of ['hand0/hand0/2']"], id="what was made by hand and is gone"),
        pytest.param(
            (*GOOD, seen("p4", "b/main/9", 40)), ["pod b (p4) should not be there"], id="a pod that nobody wants"
        ),
    ],
)
def test_differences(containers: tuple[Running, ...], said: list[str]) -> None:
    assert checks.differences(WORLD, Sight(containers, {}, ())) == said


def test_what_was_not_touched_has_to_be_the_same() -> None:
    before = Sight(GOOD, {}, ())
    after = Sight((INFRA_A, seen("p1", "a/main/1", 15), SIDE, seen("p2", "hand0/hand0/2", 21)), {}, ())
    step = Step(1, "", (), frozenset(), WORLD)
    assert checks.lost(step, before, before, WORLD) == []
    assert checks.lost(step, before, after, WORLD) == [
        "a/main was not kept: process 11@11, then 15@15",
        "hand0 was not kept: process 20@20, then 21@21",
    ]
    touched = frozenset({("a", "main"), ("hand0", "*")})
    assert checks.lost(replace(step, touched=touched), before, after, WORLD) == []


def test_what_was_not_there_any_more_may_come_back() -> None:
    job = Member("job", Role.ONCE, 1)
    over = World({"a": Pod("a", Shape.ONCE, "a.yaml", 1, (job,), again=True)})
    edited = over.having(over.pods["a"].with_member(replace(job, version=3)))
    step = Step(1, "", (), frozenset({("a", "job")}), edited)
    there = (INFRA_A, seen("p1", "a/job/3", 12))  # whose pod it is, its members tell
    another = (seen("p1", "", 13), seen("p1", "a/job/3", 12))
    assert checks.lost(step, Sight((), {}, ()), Sight(there, {}, ()), over) == []
    assert checks.lost(step, Sight(there, {}, ()), Sight(another, {}, ()), over) != []
