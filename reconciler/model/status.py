"""PodStatus: what a user is told of one pod, in Kubernetes' words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.key import Key
from reconciler.model.observed import Exit


class Phase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """``state``: waiting, running or terminated; ``reason`` and ``message`` explain the first and last."""

    name: str
    image: str
    state: str
    ready: bool
    restarts: int
    container_id: str = ""
    image_id: str = ""
    reason: str = ""
    message: str = ""
    exit: Exit | None = None
    last: Exit | None = None
    started_wall: float = 0.0
    started: bool = False
    """It runs, and its startup probe has passed where it has one."""


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PodStatus:
    """``summary`` is the word for the STATUS column as kubectl prints it (Running, CrashLoopBackOff, Terminating…)."""

    key: Key
    phase: Phase
    summary: str
    containers: tuple[ContainerStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    ips: tuple[str, ...] = ()
    """The pod's addresses, IPv4 first."""
    uid: str = ""
    created_wall: float = 0.0
    begun_wall: float = 0.0
    """When it began to be active; before it was created, where it was made again since."""
    reason: str = ""
    """Why it has failed as a whole, in a word (DeadlineExceeded)."""
    message: str = ""
    behind: bool = False
    """What runs is not yet (or cannot be) what is wanted; ``message`` says why where something stands in the way."""

    @property
    def ip(self) -> str:
        return self.ips[0] if self.ips else ""

    @property
    def converged(self) -> bool:
        """What is wanted is what is there: every container runs and is ready, or ended with success for good."""
        return (
            not self.behind
            and not self.reason
            and bool(self.containers)
            and all(
                c.ready or (c.state == "terminated" and c.exit is not None and c.exit.code == 0)
                for c in self.containers
            )
        )
