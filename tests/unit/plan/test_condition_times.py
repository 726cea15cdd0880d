"""Since when a pod's conditions are as they are: derived from what is on record of its containers."""

from __future__ import annotations

import pytest

from reconciler.model.key import Key, PodId, SourceId
from reconciler.model.observed import Container, ContainerState, Exit, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec
from reconciler.model.status import ContainerStatus, Phase
from reconciler.plan.phase import conditions_of

KEY = Key("default", "web")
BEGUN = 100.0


def sandbox(infra: ContainerState = ContainerState.RUNNING, *, networked: bool = True) -> Sandbox:
    ended = Exit(137, 170.0, 170.0) if infra is ContainerState.EXITED else None
    made = Container("i" * 64, "infra", 0, ContainerSpec("infra", ""), infra, exit=ended, started_wall=101.0)  # type: ignore[arg-type]
    owner = SourceId("dir:/x")
    return Sandbox(PodId("p" * 64), "u", PodSpec(KEY), owner, made, networked, created_wall=BEGUN, begun_wall=BEGUN)


def one(name: str, since: float, *, ready: bool, state: str = "running", sidecar: bool = False, restarts: int = 0):
    ended = Exit(0, since, since) if state == "terminated" else None
    return ContainerStatus(
        name,
        "x",
        state,
        ready,
        restarts,
        exit=ended,
        started=state == "running",
        started_wall=since,
        sidecar=sidecar,
        changed_wall=since,
    )


A, B = one("a", 110, ready=True), one("b", 120, ready=True)
LATE = one("b", 130, ready=False)
INIT = one("i", 105, ready=True, state="terminated")
SIDECAR = one("s", 107, ready=True, sidecar=True)

ROWS = [
    ("ready since the last container is", [], [A, B], "Ready", (True, 120.0)),
    (
        "not ready since the first of those that are not",
        [],
        [A, LATE, one("c", 140, ready=False)],
        "Ready",
        (False, 130),
    ),
    ("not ready since it began, where one never ran", [], [A, one("b", 0, ready=False)], "Ready", (False, BEGUN)),
    ("as containers are", [], [A, B], "ContainersReady", (True, 120.0)),
    ("a sidecar counts", [one("s", 150, ready=True, sidecar=True)], [A, B], "Ready", (True, 150.0)),
    ("initialized when the last init container was through", [INIT, SIDECAR], [A], "Initialized", (True, 107.0)),
    (
        "a sidecar that was restarted does not initialize again",
        [INIT, one("s", 180, ready=True, sidecar=True, restarts=1)],
        [A],
        "Initialized",
        (True, 105.0),
    ),
    ("initialized from the beginning, without init containers", [], [A], "Initialized", (True, BEGUN)),
    (
        "not yet initialized since it began",
        [one("i", 105, ready=False)],
        [one("a", 0, ready=False, state="waiting")],
        "Initialized",
        (False, BEGUN),
    ),
    ("stands since its infra container runs", [], [A], "PodReadyToStartContainers", (True, 101.0)),
    ("scheduled when it began", [], [A], "PodScheduled", (True, BEGUN)),
]


@pytest.mark.parametrize(("init", "members", "condition", "found"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_since_when(init: list[ContainerStatus], members: list[ContainerStatus], condition: str, found: object) -> None:
    told = {c.type: (c.status, c.since_wall) for c in conditions_of(sandbox(), init, members, Phase.RUNNING)}
    assert told[condition] == found


def test_a_pod_whose_infra_container_died_does_not_stand_since_then() -> None:
    told = conditions_of(sandbox(ContainerState.EXITED), [], [A], Phase.RUNNING)[0]
    assert (told.status, told.since_wall) == (False, 170.0)


def test_nothing_is_said_of_a_pod_that_is_not_there() -> None:
    assert {c.since_wall for c in conditions_of(None, [], [], Phase.PENDING)} == {0.0}
