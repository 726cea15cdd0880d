"""READY, STATUS and RESTARTS of a pod, as kubectl prints them. Pure.

The rules are those of pkg/printers/internalversion/printers.go (printPod), read off the states of the containers: they
say more than the pod's own reason, so a pod that ran out of time is shown as its containers ended (Error, Completed),
and ``describe`` says DeadlineExceeded. What only a cluster has (gates, a node that is lost) is not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.model.status import INITIALIZING, Condition, ContainerStatus, Phase, PodStatus

Statuses = Sequence[ContainerStatus]
TERMINATING = "Terminating"


@dataclass(frozen=True, slots=True)
class Counts:
    """READY is ``ready`` of all that last, RESTARTS is ``restarts``, the last of them at ``ended_wall`` (0: not
    known)."""

    ready: int
    restarts: int
    ended_wall: float = 0.0


def word(status: PodStatus, *, ending: bool = False) -> str:
    """The STATUS column. ``ending``: it is being deleted."""
    if ending and status.phase not in (Phase.SUCCEEDED, Phase.FAILED):
        return TERMINATING
    beginning = _beginning(status.init)
    told = beginning or status.reason or status.phase.value
    if beginning and not status.initialized:
        return told
    for member in reversed(status.containers):
        told = _word(member) or told
    if told == "Completed" and any(map(_serves, status.containers)):
        return "Running" if _is_ready(status.conditions) else "NotReady"
    return told


def counts(status: PodStatus) -> Counts:
    """The numbers. Of init containers those count that have had a turn; once the pod is initialized only sidecars."""
    begun = _begun(status.init)
    through = status.initialized or not _beginning(status.init)
    counted = [*(c for c in begun if c.sidecar), *status.containers] if through else begun
    ready = sum(c.ready for c in begun if c.sidecar and c.started)
    return Counts(
        ready=ready + sum(map(_serves, status.containers if through else ())),
        restarts=sum(c.restarts for c in counted),
        ended_wall=max((c.last.finished_wall for c in counted if c.last is not None), default=0.0),
    )


def _beginning(init: Statuses) -> str:
    """How far the init containers are, where they are not through: Init:1/2, Init:CrashLoopBackOff…"""
    place = len(_begun(init)) - 1
    if place < 0 or _is_through(init[place]):
        return ""
    c = init[place]
    told = _word(c) if c.state == "terminated" or c.reason != INITIALIZING else ""
    return f"Init:{told}" if told else f"Init:{place}/{len(init)}"


def _begun(init: Statuses) -> Statuses:
    """Those that are through, and the first that is not."""
    for place, c in enumerate(init):
        if not _is_through(c):
            return init[: place + 1]
    return init


def _is_through(c: ContainerStatus) -> bool:
    return c.ended_well or (c.sidecar and c.started)


def _word(c: ContainerStatus) -> str:
    """What a container that does not run has to say."""
    if c.state == "terminated":
        return c.reason or f"ExitCode:{c.exit.code if c.exit else 0}"
    return c.reason if c.state == "waiting" else ""


def _serves(c: ContainerStatus) -> bool:
    return c.state == "running" and c.ready


def _is_ready(conditions: Sequence[Condition]) -> bool:
    return any(c.type == "Ready" and c.status for c in conditions)
