"""One step each, with a typed reason and a sentence a user can read.

All steps of one ``PodActions`` are independent: the executor may perform them at the same time. What must
come later is left to the next plan, which is made from what is observed then.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.hook import Hook
from reconciler.model.key import ContainerId, PodId, SourceId
from reconciler.model.observed import Exit, Instant
from reconciler.model.probe import Handler
from reconciler.model.qos import Qos
from reconciler.model.spec import PodSpec, PullPolicy, Resources


class Why(StrEnum):
    """The reason of an action or of waiting, as a word for events and tests."""

    NEW = "New"
    SPEC_CHANGED = "SpecChanged"
    RECORD_CHANGED = "RecordChanged"
    RESOURCES_CHANGED = "ResourcesChanged"
    FILES_CHANGED = "FilesChanged"
    NAMES_CHANGED = "NamesChanged"
    POD_CHANGED = "PodChanged"
    QOS_CHANGED = "QOSClassChanged"
    ADDED = "Added"
    REMOVED = "Removed"
    EXITED = "Exited"
    INFRA_DIED = "InfraDied"
    INCOMPLETE = "Incomplete"
    SUPERSEDED = "Superseded"
    GRACE_OVER = "GraceOver"
    UNHEALTHY = "Unhealthy"
    """A probe says that it is not well."""
    READY_TO_START = "ReadyToStart"
    BY_HAND = "ByHand"
    """A command asked for it."""
    DONE = "Done"
    """No member runs or will."""
    IMAGE_NEEDED = "ImageNeeded"
    HOOK = "Hook"
    """A hook is due, or over."""
    HOOK_FAILED = "FailedPostStartHook"
    EVICTED = "Evicted"
    DEADLINE = "DeadlineExceeded"
    """The pod was active for as long as it may be."""
    # waiting only
    BACKOFF = "CrashLoopBackOff"
    PULLING = "Pulling"
    PULL_FAILED = "ImagePullBackOff"
    IMAGE_NEVER = "ErrImageNeverPull"
    TERMINATING = "Terminating"
    PROBLEM = "Problem"
    NOT_SETTLED = "NotSettled"
    UNKNOWN = "Unknown"
    CREATING = "ContainerCreating"
    INITIALIZING = "PodInitializing"
    """An init container has its turn."""
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class Reason:
    """``text`` completes "because": "image changed: busybox:1 -> busybox:2"."""

    why: Why
    text: str


@dataclass(frozen=True, slots=True)
class PullImage:
    """Begin to fetch an image; returns at once. ``secrets``: names of Secrets with passwords for it."""

    image: str
    policy: PullPolicy
    reason: Reason
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """Record the pod, create its infra container (namespaces, cgroup parent, held ports), and ``start`` that.

    Takes over the address of a sandbox that ``ended``, and deletes that record once its own is written.
    """

    spec: PodSpec
    owner: SourceId
    reason: Reason
    start: bool = True


@dataclass(frozen=True, slots=True)
class RenewSandbox:
    """Create the infra container of a stopped pod again, with its id and the pod's address, by ``spec``; and ``start``
    it. Performed only when no member runs; its network is set up anew."""

    pod: PodId
    spec: PodSpec
    reason: Reason
    start: bool = True


@dataclass(frozen=True, slots=True)
class SetUpNetwork:
    """Address, links and published ports for a pod whose infra container runs."""

    pod: PodId
    reason: Reason


@dataclass(frozen=True, slots=True)
class UpdateRecord:
    """Write ``spec`` as the applied one: nothing that runs is touched. May also change the owner."""

    pod: PodId
    spec: PodSpec
    owner: SourceId
    reason: Reason


@dataclass(frozen=True, slots=True)
class UpdateFiles:
    """Rewrite the pod's /etc/hosts and /etc/resolv.conf in place, then write ``spec`` as the applied one, as
    ``UpdateRecord`` does."""

    pod: PodId
    spec: PodSpec
    owner: SourceId
    reason: Reason


@dataclass(frozen=True, slots=True)
class UpdateNames:
    """Have the names of these Services of its namespace, and of no others, lead to the pod."""

    pod: PodId
    services: tuple[str, ...]
    reason: Reason


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Make the next attempt at a member, up to and not including its start.

    ``spec`` is the whole pod's, of which the member ``name`` is created; ``last`` is how the attempt before ended.
    ``start``: nothing stands in the way of its start but what this plan does for the whole pod, so who carries it out
    may start it when both are done, and need not plan again.
    """

    pod: PodId
    name: str
    attempt: int
    spec: PodSpec
    reason: Reason
    restarts: int = 0
    crashes: int = 0
    last: Exit | None = None
    turn: int = 0
    start: bool = False


@dataclass(frozen=True, slots=True)
class RenewContainer:
    """Create a member that has ended again, up to and not including its start: the same container, with its id, its
    writable layer and its log. The rest as for CreateContainer."""

    container: ContainerId
    pod: PodId
    name: str
    spec: PodSpec
    reason: Reason
    restarts: int = 0
    crashes: int = 0
    last: Exit | None = None
    turn: int = 0


@dataclass(frozen=True, slots=True)
class StartContainer:
    container: ContainerId
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Record the deadline (``grace`` seconds from now), then send TERM; or begin with what is to be done before
    (``pre_stop``), after which ``TermContainer`` does. Does not wait."""

    container: ContainerId
    name: str
    grace: float
    reason: Reason
    pre_stop: Handler | None = None


@dataclass(frozen=True, slots=True)
class TermContainer:
    """Send TERM to a container whose stop began with its preStop hook. Its deadline is moved on where hardly any time
    is left."""

    container: ContainerId
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class RunHook:
    """Begin to run a hook that is due and that nobody is at, as whoever was has been killed; returns at once."""

    container: ContainerId
    name: str
    hook: Hook
    reason: Reason


@dataclass(frozen=True, slots=True)
class KillContainer:
    container: ContainerId
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class PauseContainer:
    """Freeze every process of a running container."""

    container: ContainerId
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class ResumeContainer:
    """Let a paused container go on."""

    container: ContainerId
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class UpdateResources:
    """Apply limits to the running container and record them. ``qos`` is the pod's, by which its processes are scored
    for the kernel's choice of a victim when memory runs out."""

    container: ContainerId
    name: str
    resources: Resources
    qos: Qos
    reason: Reason


@dataclass(frozen=True, slots=True)
class UpdatePodResources:
    """Give the pod's own cgroup other values, and its processes other scores where the class is another."""

    pod: PodId
    resources: Resources
    qos: Qos
    reason: Reason


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Delete a container that does not run: runtime state, layer, record. Kills one that was never started."""

    container: ContainerId
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Mark the pod as going, then stop its infra container and delete all that is the pod's.

    Performed only when no member runs. ``keep_address``: it is recreated at once and keeps its address; its record
    stays, marked ``ended``, until CreateSandbox takes over (a broken file must not lose the last good version).
    """

    pod: PodId
    reason: Reason
    keep_address: bool = False


Action = (
    PullImage
    | CreateSandbox
    | RenewSandbox
    | SetUpNetwork
    | UpdateRecord
    | UpdateFiles
    | UpdateNames
    | CreateContainer
    | RenewContainer
    | StartContainer
    | StopContainer
    | TermContainer
    | RunHook
    | KillContainer
    | PauseContainer
    | ResumeContainer
    | UpdateResources
    | UpdatePodResources
    | RemoveContainer
    | RemoveSandbox
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something wanted that is not done now, and why. ``container`` "" means the pod."""

    container: str
    reason: Reason
    until: Instant | None = None


@dataclass(frozen=True, slots=True)
class PodActions:
    """The plan for one key: what to do now, what waits, when to look again (None: when something happens)."""

    steps: tuple[Action, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    wake_at: Instant | None = None
