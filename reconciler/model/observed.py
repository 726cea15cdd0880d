"""What the kernel and the records say of one key, read afresh for each plan.

Instants are seconds of CLOCK_BOOTTIME (they do not jump); wall times are seconds since the epoch and are
only shown, never computed with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.model.hook import HookState
from reconciler.model.key import ContainerId, Key, PodId, SourceId, infra_name
from reconciler.model.probe import Handler
from reconciler.model.process import PidRef as PidRef  # part of what is observed
from reconciler.model.qos import Qos
from reconciler.model.spec import ContainerSpec, PodSpec, PortBinding, Resources

Instant = float


class ContainerState(StrEnum):
    CREATING = "creating"
    """A record without a created container: its creation was cut short, or goes on elsewhere."""
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"

    def can_start(self) -> bool:
        return self is ContainerState.CREATED

    def can_signal(self) -> bool:
        return self in (ContainerState.CREATED, ContainerState.RUNNING)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended. ``code`` is the exit code, 128+signal, or -1 where it cannot be known."""

    code: int
    finished: Instant
    finished_wall: float
    started_wall: float = 0.0
    ran_for: float = 0.0
    """Seconds from start to end."""
    oom: bool = False
    """The kernel killed it because memory ran out."""
    message: str = ""
    """Its last words: what it wrote for this, or the end of its log."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """TERM was sent; KILL is due at ``deadline``. ``killed``: KILL was recorded, and is due again at ``deadline``.

    Whoever sends KILL moves the deadline on first, so that one that was recorded but never sent is made up for.
    ``hook``: TERM was not sent yet; it follows the preStop hook, at the deadline at the latest.
    """

    deadline: Instant
    killed: bool = False
    hook: HookState | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """One attempt at a member (or the infra container). ``restarts`` counts restarts after exits; ``crashes``
    counts those in a row that backoff looks at; ``last`` is how the attempt before this one ended. ``refused``:
    resources that could not be applied to it while it runs. ``newer``: the image that is to take its image's place, or,
    behind a reference, that of an image which a volume shows."""

    id: ContainerId
    name: str
    attempt: int
    spec: ContainerSpec
    state: ContainerState
    pid: PidRef | None = None
    exit: Exit | None = None
    stopping: Stopping | None = None
    restarts: int = 0
    crashes: int = 0
    last: Exit | None = None
    image_id: str = ""
    created_wall: float = 0.0
    started_wall: float = 0.0
    started: Instant = 0.0
    log_path: str = ""
    refused: Resources | None = None
    newer: str = ""
    turn: int = 0
    """Which of its lives it had last, as ``desired.Wish`` numbers them."""
    paused: bool = False
    started_up: bool = True
    """Its postStart hook and its startup probe have passed, where it has one. This and the next are only said of one
    that runs."""
    is_ready: bool = True
    """It has started up, and its readiness probe has passed, where it has one."""
    unhealthy: str = ""
    """The probe (``probe.ProbeKind``) for which it is to end, or has ended; "" for none."""
    judged_wall: float = 0.0
    """When what its probes say of it changed last; 0 where they said nothing yet, or it has none."""
    post_start: HookState | None = None
    """How far its postStart hook is, where it has one and was started."""
    pre_stop: Handler | None = None
    """What is to be done in it before it is told to stop."""

    @property
    def by_itself(self) -> bool:
        """Whether its end, if it has ended, was not our wish: one that was ill counts as one that failed."""
        return self.stopping is None or bool(self.ill)

    @property
    def ill(self) -> str:
        """What it has failed, and is to end for, or has ended for: "liveness probe"; "" for nothing."""
        hook = "postStart hook" if self.post_start is HookState.FAILED else ""
        return f"{self.unhealthy} probe" if self.unhealthy else hook


@dataclass(frozen=True, slots=True)
class Eviction:
    """More was found in an emptyDir, or in what a ``container`` has for itself, than its ``limit`` of bytes; ``text``
    says so in the kubelet's words."""

    volume: str
    limit: int
    text: str
    container: str = ""

    def holds(self, spec: PodSpec) -> bool:
        """Whether it still counts for a pod that runs by ``spec``: not where the limit is another by now."""
        if self.container:
            limited = spec.container(self.container)
            return limited is not None and limited.storage_limit == self.limit
        return any(v.name == self.volume and v.size_limit == self.limit for v in spec.bounded)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod as recorded: its identity, the spec it runs by, its infra container.

    ``ready``: the infra container runs and the network stands, so members may be created and started.
    ``networked`` False with a running infra container: the network is still to be set up.
    """

    id: PodId
    uid: str
    applied: PodSpec
    owner: SourceId
    infra: Container | None
    networked: bool = False
    ip: str = ""
    ip6: str = ""
    created_wall: float = 0.0
    begun: Instant = 0.0
    """When the pod began to be active, on the clock of this boot: before it for a pod that is older. That goes on where
    a pod is only made again (its infra container died, the machine was rebooted)."""
    begun_wall: float = 0.0
    removing: bool = False
    """Its removal began: whatever is wanted now, this life of the pod ends first."""
    ended: bool = False
    """Removed with ``keep_address``, and all that is left is the record: it holds no port, has no containers, and
    keeps the address and the applied spec for the next life, also where the wanted spec cannot be read."""
    resources: Resources | None = None
    """What its cgroup is given; None for a pod of an older version, whose cgroup is left as it is."""
    qos: Qos | None = None
    """The class by which its processes were scored for the kernel's choice of a victim."""

    services: tuple[str, ...] = ()
    """Those whose names lead to it."""

    evicted: Eviction | None = None

    files_stale: bool = False
    """What its files of /etc should say is not what was last written there: the host's resolvers changed."""

    @property
    def infra_name(self) -> str:
        """What the infra container is called."""
        return self.applied.sandbox.infra_name or infra_name(self.id)

    @property
    def infra_up(self) -> bool:
        return self.infra is not None and self.infra.state is ContainerState.RUNNING

    @property
    def stands(self) -> bool:
        """Whether its namespaces are there, so that members can be created: its infra container runs, or waits to."""
        return self.infra is not None and self.infra.state.can_signal()

    @property
    def ready(self) -> bool:
        return self.infra_up and self.networked


class ImageStatus(StrEnum):
    PRESENT = "Present"
    PULLING = "Pulling"
    FAILED = "Failed"
    MISSING = "Missing"
    OFFERED = "Offered"
    """Not ours yet, but another program of this host has it: no registry is needed."""


@dataclass(frozen=True, slots=True)
class ImageState:
    """What is known here of an image reference. ``retry_at`` only where FAILED: when to try again.

    Where PRESENT, ``error`` is why the registry could not be asked for a newer one, ``told`` how the last pull went.
    """

    status: ImageStatus
    id: str = ""
    error: str = ""
    retry_at: Instant | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a wanted spec cannot run here as things stand, found before anything is stopped.

    ``container`` "" means the whole pod. ``reason`` is a Kubernetes-style word (CreateContainerConfigError,
    HostPortConflict…). ``transient`` problems are looked at again by themselves.
    """

    reason: str
    message: str
    container: str = ""
    transient: bool = True


@dataclass(frozen=True, slots=True)
class PortHolder:
    """Somebody who has a host port: another pod of ours (``key``) or a process of the host.

    ``yields``: it is a pod of ours that is on its way to give this port up.
    """

    binding: PortBinding
    key: Key | None = None
    pid: int = 0
    command: str = ""
    yields: bool = False

    def __str__(self) -> str:
        if self.key is not None:
            return f"pod {self.key}"
        return f"pid {self.pid} ({self.command})" if self.pid else "a process that could not be identified"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What planning needs to know of the machine beyond one pod."""

    port_holders: tuple[PortHolder, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is there of one key. ``images`` is keyed by reference as the spec writes it; ``problems`` are
    those of the wanted spec it was observed with."""

    key: Key
    sandbox: Sandbox | None = None
    containers: tuple[Container, ...] = ()
    images: dict[str, ImageState] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def applied(self) -> PodSpec | None:
        return self.sandbox.applied if self.sandbox else None
