"""What the states of its containers make of a pod: phase and conditions. Pure.

Sources of the rules: pkg/kubelet/kubelet_pods.go (getPhase), pkg/kubelet/status/generate.go (conditions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciler.model.observed import Sandbox
from reconciler.model.status import Condition, ContainerStatus, Phase

Statuses = Sequence[ContainerStatus]


def phase_of(init: Statuses, members: Statuses, *, begun: bool) -> Phase:
    """getPhase. ``begun``: a member of the pod was made, so that its init containers are through. A container that
    waits for its restart counts as stopped."""
    plain = [c for c in init if not c.sidecar]
    sidecars = [c for c in init if c.sidecar]
    if any(_ended(c) and not c.ended_well and not c.again for c in plain):
        return Phase.FAILED
    pending = [c for c in plain if not _ended(c)]
    if not begun:
        pending += [c for c in sidecars if (c.state == "running" and not c.started) or _is_new(c)]
    if pending or any(map(_is_new, (*members, *sidecars))) or not members:
        return Phase.PENDING
    if any(c.state == "running" for c in (*sidecars, *members)) or any(c.again for c in members):
        return Phase.RUNNING
    return Phase.SUCCEEDED if all(c.ended_well for c in members) else Phase.FAILED


def _is_new(c: ContainerStatus) -> bool:
    """Whether it waits for its first start."""
    return c.state == "waiting" and c.last is None


def _ended(c: ContainerStatus) -> bool:
    return c.state == "terminated" or (c.state == "waiting" and c.last is not None)


def conditions_of(sandbox: Sandbox | None, init: Statuses, members: Statuses, phase: Phase) -> tuple[Condition, ...]:
    """The pod's conditions, in the kubelet's order. Since when is derived from what is on record of containers, so that
    nothing more has to be written down, and everybody who looks is told the same."""
    lasting = (*(c for c in init if c.sidecar), *members)
    begun = (sandbox.begun_wall or sandbox.created_wall) if sandbox else 0.0
    ready, reason, message = _readiness(lasting, phase)
    since = _ready_since(lasting, begun) if ready else _unready_since(lasting, begun)
    initialized = _initialized(init, members, phase)
    return (
        Condition("PodReadyToStartContainers", *_stands(sandbox, begun)),
        replace(initialized, since_wall=_through_since(init, begun) if initialized.status else begun),
        Condition("Ready", ready, reason, message, since),
        Condition("ContainersReady", ready, reason, message, since),
        Condition("PodScheduled", True, since_wall=begun),
    )


def _stands(sandbox: Sandbox | None, begun: float) -> tuple[bool, str, str, float]:
    infra = sandbox.infra if sandbox else None
    if sandbox is None or infra is None or not sandbox.ready:
        return False, "", "", infra.exit.finished_wall if infra and infra.exit else begun
    return True, "", "", infra.started_wall or begun


def _ready_since(lasting: Statuses, begun: float) -> float:
    """The last of them made it so."""
    return max([begun, *(c.changed_wall for c in lasting)])


def _unready_since(lasting: Statuses, begun: float) -> float:
    """The first of those that are not ready did."""
    return max(begun, min((c.changed_wall for c in lasting if not c.ready), default=begun))


def _through_since(init: Statuses, begun: float) -> float:
    """The last of them was through; a sidecar that was restarted since was so before."""
    sidecars = (c.started_wall for c in init if c.sidecar and not c.restarts)
    return max([begun, *sidecars, *(c.changed_wall for c in init if not c.sidecar)])


def _initialized(init: Statuses, members: Statuses, phase: Phase) -> Condition:
    """Once a member has run it stays true, whatever becomes of the sidecars."""
    if phase is Phase.SUCCEEDED:
        return Condition("Initialized", True, "PodCompleted")
    unfinished = [c.name for c in init if not (c.started if c.sidecar else c.ready)]
    if not unfinished or any(c.state == "running" or _ended(c) for c in members):
        return Condition("Initialized", True)
    message = f"containers with incomplete status: [{' '.join(unfinished)}]"
    return Condition("Initialized", False, "ContainersNotInitialized", message)


def _readiness(lasting: Statuses, phase: Phase) -> tuple[bool, str, str]:
    if phase is Phase.SUCCEEDED:
        return False, "PodCompleted", ""
    if phase is Phase.FAILED:
        return False, "PodFailed", ""
    unready = [c.name for c in lasting if not c.ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""
