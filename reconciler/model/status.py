"""PodStatus: what a user is told of one pod, in Kubernetes' words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.key import Key
from reconciler.model.observed import Exit

INITIALIZING = "PodInitializing"
"""Why a container waits that has had no turn yet, or is being made, in a pod with init containers."""


class Phase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """``state``: waiting, running or terminated; ``reason`` and ``message`` explain the first and last. ``sidecar``: an
    init container that runs as long as the pod."""

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
    sidecar: bool = False
    again: bool = False
    """Where it has ended: it is to be started again."""
    hook_failed: bool = False
    """It was ended as its postStart hook had failed: whatever its exit code says, it did not do what it is for."""
    changed_wall: float = 0.0
    """When it became ready, or ceased to be, as far as that is on record; 0 where it has not run yet."""

    @property
    def ended_well(self) -> bool:
        done = self.state == "terminated" and self.exit is not None and self.exit.code == 0
        return done and not self.hook_failed


@dataclass(frozen=True, slots=True)
class Condition:
    """``since_wall``: when it became so, as far as that is on record; 0 where it is not."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""
    since_wall: float = 0.0


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
    init: tuple[ContainerStatus, ...] = ()
    """The init containers, in their order."""

    @property
    def everyone(self) -> tuple[ContainerStatus, ...]:
        """All containers, in the order in which they begin."""
        return (*self.init, *self.containers)

    @property
    def lasting(self) -> tuple[ContainerStatus, ...]:
        """Sidecars and members: what a pod has to be ready."""
        return (*(c for c in self.init if c.sidecar), *self.containers)

    @property
    def initialized(self) -> bool:
        return any(c.type == "Initialized" and c.status for c in self.conditions)

    @property
    def ip(self) -> str:
        return self.ips[0] if self.ips else ""

    @property
    def converged(self) -> bool:
        """What is wanted is what is there: every container runs and is ready, or ended with success for good. Sidecars
        end with the members, however they do."""
        return self._is_as_wanted(lambda c: c.ready)

    @property
    def in_place(self) -> bool:
        """The same, but for what runs to be ready: that is a matter of time, and of its probes."""
        return self._is_as_wanted(lambda c: c.state == "running")

    def _is_as_wanted(self, enough: Callable[[ContainerStatus], bool]) -> bool:
        ended = all(c.state == "terminated" for c in self.containers)
        return (
            not self.behind
            and not self.reason
            and bool(self.containers)
            and all(enough(c) or c.ready or c.ended_well or (c.sidecar and ended) for c in self.everyone)
        )
