"""PodSpec: the one internal form of a wanted pod, normalised and defaulted.

Kubernetes YAML and podman-style flags both compile to it, and everything below ``kube`` works on it
alone. Two manifests that mean the same compile to equal specs: quantities are integers, ``$(VAR)`` is
expanded, order that carries no meaning is sorted away. The spec that a pod runs by is stored in its
record, so a new field must have a default that means "as before" (design: applied spec, cost metadata).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from reconciler.model.cost import Cost, costs, nested
from reconciler.model.key import Key
from reconciler.model.probe import Handler, Probe, ProbeKind
from reconciler.model.projection import VolumeSource
from reconciler.model.sources import EnvEntry

SPEC_VERSION = 2
"""Version of the shape below, written into each record; ``engine/records.py`` reads older ones by their own rules."""

Pairs = tuple[tuple[str, str], ...]
"""A sorted, immutable mapping of strings."""


class RestartPolicy(StrEnum):
    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Protocol(StrEnum):
    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class MessagePolicy(StrEnum):
    """Where a container's last words are read when it has ended."""

    FILE = "File"
    FALLBACK_TO_LOGS_ON_ERROR = "FallbackToLogsOnError"


class DnsPolicy(StrEnum):
    """Whose name servers a pod asks. CLUSTER_FIRST: our own where the pod has a network of its own, else the host's."""

    CLUSTER_FIRST = "ClusterFirst"
    CLUSTER_FIRST_WITH_HOST_NET = "ClusterFirstWithHostNet"
    DEFAULT = "Default"
    NONE = "None"


class VolumeKind(StrEnum):
    """NAMED is a volume of this machine's, which outlives what mounts it; TMPFS is each container's own. PROJECTED has
    files that are written for the pod (configMap, secret, downwardAPI, projected); IMAGE shows an image's."""

    HOST_PATH = "hostPath"
    EMPTY_DIR = "emptyDir"
    TMPFS = "tmpfs"
    NAMED = "named"
    PROJECTED = "projected"
    IMAGE = "image"


class RecursiveReadOnly(StrEnum):
    """Whether what is mounted below a read-only mount is read-only, too. IF_POSSIBLE: where the kernel can (5.12)."""

    DISABLED = "Disabled"
    IF_POSSIBLE = "IfPossible"
    ENABLED = "Enabled"


@dataclass(frozen=True, slots=True, order=True)
class PortBinding:
    """A host port that belongs to the infra container. ``host_ip`` is ``""`` for every address of both families,
    ``0.0.0.0`` and ``::`` for every one of theirs."""

    host_port: int = costs(Cost.POD)
    container_port: int = costs(Cost.POD)
    protocol: Protocol = costs(Cost.POD, Protocol.TCP)
    host_ip: str = costs(Cost.POD, "")

    def __str__(self) -> str:
        address = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip
        return f"{address}{':' if address else ''}{self.host_port}/{self.protocol.lower()}"

    def overlaps(self, other: PortBinding) -> bool:
        """Whether both ask for the same host port, so that only one of them can have it."""
        same = (self.host_port, self.protocol) == (other.host_port, other.protocol)
        return same and share_address(self.host_ip, other.host_ip)


def share_address(one: str, other: str) -> bool:
    """Whether two host addresses as a binding has them have an address in common."""
    if one == other or "" in (one, other):
        return True
    if (":" in one) != (":" in other):
        return False
    return one in EVERY or other in EVERY


EVERY = ("0.0.0.0", "::")
"""Every address of a family."""


@dataclass(frozen=True, slots=True, order=True)
class ContainerPort:
    """A port that a container says it listens on: documentation, unless it has a host port."""

    container_port: int = costs(Cost.NOTHING)
    protocol: Protocol = costs(Cost.NOTHING, Protocol.TCP)
    name: str = costs(Cost.NOTHING, "")
    host_port: int = costs(Cost.NOTHING, 0)
    host_ip: str = costs(Cost.NOTHING, "")


@dataclass(frozen=True, slots=True)
class Volume:
    """Where a mount's files come from. ``host_path`` and ``host_path_type`` only for hostPath. ``name`` is unique in
    the pod; a named volume's is the machine's, unless ``claim`` is. ``options`` are what a tmpfs is made with:
    ``size=BYTES`` (or ``size=50%``), ``mode=OCTAL``. ``anonymous``: nobody chose this named volume's name, and it goes
    with the container that it was made for.

    Of an emptyDir: ``memory``, whether it is a tmpfs; ``size_limit``, the bytes that may be in it. Of an image volume:
    ``image`` and ``pull_policy``. Of a projected one: ``sources``, later ones over earlier ones, and ``default_mode``,
    the mode of files that have none of their own."""

    name: str = costs(Cost.CONTAINER)
    kind: VolumeKind = costs(Cost.CONTAINER)
    host_path: str = costs(Cost.CONTAINER, "")
    host_path_type: str = costs(Cost.CONTAINER, "")
    options: tuple[str, ...] = costs(Cost.CONTAINER, ())
    anonymous: bool = costs(Cost.CONTAINER, False)
    claim: str = costs(Cost.CONTAINER, "")
    memory: bool = costs(Cost.CONTAINER, False)
    size_limit: int | None = costs(Cost.CONTAINER, None)
    image: str = costs(Cost.CONTAINER, "")
    pull_policy: PullPolicy = costs(Cost.CONTAINER, PullPolicy.IF_NOT_PRESENT)
    sources: tuple[VolumeSource, ...] = costs(Cost.CONTAINER, ())
    default_mode: int = costs(Cost.CONTAINER, 0o644)

    @property
    def named(self) -> str:
        """What a named volume is called on this machine."""
        return self.claim or self.name

    @property
    def in_memory(self) -> bool:
        """Whether it is a tmpfs of the pod's, which its infra container holds."""
        return self.memory or self.kind is VolumeKind.PROJECTED


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume at a place in one container. Carries its volume, so a changed source replaces just its users.

    ``options`` are how it is mounted, sorted, what is so anyway left out: ``nodev``, ``noexec``, ``nosuid``; of a
    hostPath ``bind`` (without what is mounted below it) and one of the words of mount propagation (``shared``,
    ``rslave``…); of a named volume ``nocopy`` (podman fills a new one with what the image has there); of a tmpfs
    ``tmpcopyup`` (the same for it), ``noswap``, ``noatime``.

    ``sub_path``: the file or directory of the volume that is mounted instead of all of it, relative and without
    ``..``; ``sub_path_expr``: the same with ``$(VAR)`` of the container's environment, where that is not known yet.
    ``recursive``: whether mounts below it are read-only as well."""

    path: str = costs(Cost.CONTAINER)
    volume: Volume = costs(Cost.CONTAINER)
    read_only: bool = costs(Cost.CONTAINER, False)
    options: tuple[str, ...] = costs(Cost.CONTAINER, ())
    sub_path: str = costs(Cost.CONTAINER, "")
    sub_path_expr: str = costs(Cost.CONTAINER, "")
    recursive: RecursiveReadOnly = costs(Cost.CONTAINER, RecursiveReadOnly.DISABLED)


@dataclass(frozen=True, slots=True, order=True)
class Device:
    """A device of the host's in one container. ``permissions`` of ``r``, ``w`` and ``m`` (mknod)."""

    path: str = costs(Cost.CONTAINER)
    host_path: str = costs(Cost.CONTAINER)
    permissions: str = costs(Cost.CONTAINER, "rwm")


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests and limits. CPU in thousandths of a core, memory in bytes, pids in processes and threads; None is "not
    set". ``of_pod``: of ``cpu`` and ``memory`` those of which a container has no limit of its own, but its pod's."""

    cpu_request: int | None = costs(Cost.LIVE, None)
    cpu_limit: int | None = costs(Cost.LIVE, None)
    memory_request: int | None = costs(Cost.LIVE, None)
    memory_limit: int | None = costs(Cost.LIVE, None)
    pids_limit: int | None = costs(Cost.LIVE, None)
    of_pod: tuple[str, ...] = costs(Cost.RECORD, ())

    @property
    def own(self) -> Resources:
        """What the container says itself."""
        if not self.of_pod:
            return self
        cpu = None if "cpu" in self.of_pod else self.cpu_limit
        memory = None if "memory" in self.of_pod else self.memory_limit
        return replace(self, cpu_limit=cpu, memory_limit=memory, of_pod=())


@dataclass(frozen=True, slots=True)
class Security:
    """Container-level securityContext, with the pod's values already folded in.

    ``seccomp`` and ``apparmor``: "" for the runtime's default, "unconfined", or "localhost/NAME". ``selinux`` is
    "user:role:type:level", each of them perhaps empty. ``groups`` and ``fs_group`` are the pod's: every member has
    the same. ``fs_group_on_mismatch`` says when the ownership of volumes is looked at again; what runs has them.
    ``selinux_recursive`` says how volumes would be given a label, and nothing gives them one here.
    """

    run_as_user: int | None = costs(Cost.CONTAINER, None)
    run_as_group: int | None = costs(Cost.CONTAINER, None)
    privileged: bool = costs(Cost.CONTAINER, False)
    cap_add: tuple[str, ...] = costs(Cost.CONTAINER, ())
    cap_drop: tuple[str, ...] = costs(Cost.CONTAINER, ())
    read_only_root: bool = costs(Cost.CONTAINER, False)
    allow_privilege_escalation: bool = costs(Cost.CONTAINER, True)
    run_as_non_root: bool = costs(Cost.CONTAINER, False)
    seccomp: str = costs(Cost.CONTAINER, "")
    apparmor: str = costs(Cost.CONTAINER, "")
    selinux: str = costs(Cost.CONTAINER, "")
    unmasked_proc: bool = costs(Cost.CONTAINER, False)
    groups: tuple[int, ...] = costs(Cost.CONTAINER, ())
    strict_groups: bool = costs(Cost.CONTAINER, False)
    fs_group: int | None = costs(Cost.CONTAINER, None)
    fs_group_on_mismatch: bool = costs(Cost.RECORD, False)
    selinux_recursive: bool = costs(Cost.RECORD, False)


@dataclass(frozen=True, slots=True)
class RestartRule:
    """A container that ends with one of these exit codes (``among`` False: with any other) is started again, whatever
    its restart policy says (core/v1: ContainerRestartRule)."""

    codes: tuple[int, ...] = costs(Cost.RECORD)
    among: bool = costs(Cost.RECORD, True)

    def fits(self, code: int) -> bool:
        return (code in self.codes) is self.among


MESSAGE_PATH = "/dev/termination-log"
"""Where a container leaves its last words unless something else is said (core/v1: TerminationMessagePathDefault)."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One member. ``command`` and ``args`` None mean "the image's", ``command`` () none, so that ``args`` alone (or
    what the image has for them) is what runs; ``env`` is expanded and sorted by name.
    Where a variable comes from an object or is not known before the pod lives, all of them are in ``program`` instead,
    and command and args are not expanded yet; ``env_digest`` then says, by object, which values are meant.
    ``pull_secrets`` names the pod's Secrets with passwords for the image; what is in them is never in a spec.
    ``stdin_once``: the end of the first client's input is the end of the container's. ``message_path`` is where the
    container finds the file for its last words (none where the pod is kept: podman has no such file). ``post_start``
    is done right after its start, ``pre_stop`` before it is told to stop.

    ``restart`` is its own policy instead of the pod's (Always, of an init container: it is a sidecar); before it comes
    the first of ``restart_rules`` that fits.

    What manifests do not say, only podman's options: ``labels`` of its own; ``retries``, failures in a row after which
    its ``restart`` is given up (0: never); ``grace``, its own seconds to stop; ``stop_signal`` instead of the image's;
    ``user``, ``NAME|UID[:GROUP|GID]`` as an image writes it; ``devices`` of the host; ``ulimits``, by name
    ``SOFT:HARD`` as setrlimit(2) has them (-1: unlimited), instead of the machine's defaults."""

    name: str = costs(Cost.CONTAINER)
    image: str = costs(Cost.CONTAINER)
    pull_policy: PullPolicy = costs(Cost.RECORD, PullPolicy.IF_NOT_PRESENT)
    command: tuple[str, ...] | None = costs(Cost.CONTAINER, None)
    args: tuple[str, ...] | None = costs(Cost.CONTAINER, None)
    working_dir: str = costs(Cost.CONTAINER, "")
    env: Pairs = costs(Cost.CONTAINER, ())
    program: tuple[EnvEntry, ...] = costs(Cost.CONTAINER, ())
    env_digest: Pairs = costs(Cost.CONTAINER, ())
    ports: tuple[ContainerPort, ...] = costs(Cost.NOTHING, ())
    mounts: tuple[Mount, ...] = costs(Cost.CONTAINER, ())
    resources: Resources = nested(Resources())
    security: Security = nested(Security())
    pull_secrets: tuple[str, ...] = costs(Cost.RECORD, ())
    stdin: bool = costs(Cost.CONTAINER, False)
    stdin_once: bool = costs(Cost.CONTAINER, False)
    tty: bool = costs(Cost.CONTAINER, False)
    labels: Pairs = costs(Cost.RECORD, ())
    restart: RestartPolicy | None = costs(Cost.RECORD, None)
    restart_rules: tuple[RestartRule, ...] = costs(Cost.RECORD, ())
    retries: int = costs(Cost.RECORD, 0)
    grace: int | None = costs(Cost.RECORD, None)
    stop_signal: str = costs(Cost.CONTAINER, "")
    user: str = costs(Cost.CONTAINER, "")
    devices: tuple[Device, ...] = costs(Cost.CONTAINER, ())
    ulimits: Pairs = costs(Cost.CONTAINER, ())
    message_path: str = costs(Cost.CONTAINER, MESSAGE_PATH)
    message_policy: MessagePolicy = costs(Cost.RECORD, MessagePolicy.FILE)
    storage_limit: int | None = costs(Cost.RECORD, None)
    """Bytes of the disk that its writable layer and its logs may take together."""
    resize_restarts: tuple[str, ...] = costs(Cost.RECORD, ())
    """``cpu`` and ``memory``, sorted: of which a change is to replace the container, instead of being applied live."""
    post_start: Handler | None = costs(Cost.CONTAINER, None)
    pre_stop: Handler | None = costs(Cost.RECORD, None)
    liveness: Probe | None = costs(Cost.RECORD, None)
    readiness: Probe | None = costs(Cost.RECORD, None)
    startup: Probe | None = costs(Cost.RECORD, None)

    @property
    def probes(self) -> dict[ProbeKind, Probe]:
        """What is asked of it again and again while it runs."""
        if self.startup is self.liveness is self.readiness is None:
            return {}  # as of most, and each look at one asks
        every = {
            ProbeKind.STARTUP: self.startup,
            ProbeKind.LIVENESS: self.liveness,
            ProbeKind.READINESS: self.readiness,
        }
        return {kind: probe for kind, probe in every.items() if probe is not None}

    @property
    def images(self) -> tuple[tuple[str, PullPolicy], ...]:
        """What must be here before it can be made: its own image, and those that its volumes show."""
        shown = (m.volume for m in self.mounts if m.volume.kind is VolumeKind.IMAGE)
        return ((self.image, self.pull_policy), *((v.image, v.pull_policy) for v in shown))


@dataclass(frozen=True, slots=True)
class HostAlias:
    """A line of the pod's /etc/hosts."""

    ip: str = costs(Cost.LIVE)
    hostnames: tuple[str, ...] = costs(Cost.LIVE, ())

    def __str__(self) -> str:
        return f"{self.ip}={','.join(self.hostnames)}"


@dataclass(frozen=True, slots=True)
class Dns:
    """What the pod's resolv.conf says beside, or instead of, what follows from ``policy``. Options as they are written
    there: ``ndots:2``."""

    policy: DnsPolicy = costs(Cost.LIVE, DnsPolicy.CLUSTER_FIRST)
    nameservers: tuple[str, ...] = costs(Cost.LIVE, ())
    searches: tuple[str, ...] = costs(Cost.LIVE, ())
    options: tuple[str, ...] = costs(Cost.LIVE, ())


DEFAULT_NETWORK = "default"
"""What the instance's own network is called where it needs a name."""

NO_NETWORK = "none"
"""The ``network`` of a pod that has a network namespace with nothing but its loopback in it."""

SHARED = ("ipc", "net", "uts")
"""What the members of a pod have in common unless something else is said (Kubernetes' default, and podman's)."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What the infra container fixes for the pod's life: a change of any of it recreates the pod.

    ``network`` "" is the instance's own.

    What manifests do not say, only podman's options: ``infra`` False, no infra container, so that nothing is shared and
    each member has namespaces of its own; its image, command and name instead of our own (the command () is the
    image's); ``cgroup_parent``, where the pod's cgroup is made; ``shared``, sorted, what members have in common of
    ``cgroup``, ``ipc``, ``net`` and ``uts`` (``share_pid`` says it of ``pid``); the pod's addresses; ``no_hosts``, the
    image's /etc/hosts is left alone; ``shm_size``, the bytes of /dev/shm (None: 64 MiB, 0: no limit)."""

    hostname: str = costs(Cost.POD, "")
    ports: tuple[PortBinding, ...] = costs(Cost.POD, ())
    host_network: bool = costs(Cost.POD, False)
    host_pid: bool = costs(Cost.POD, False)
    host_ipc: bool = costs(Cost.POD, False)
    share_pid: bool = costs(Cost.POD, False)
    hostname_override: str = costs(Cost.POD, "")
    """What the kernel calls the pod, whatever its names for others are."""
    subdomain: str = costs(Cost.POD, "")
    fqdn_as_hostname: bool = costs(Cost.POD, False)
    network: str = costs(Cost.POD, "")
    sysctls: Pairs = costs(Cost.POD, ())
    host_users: bool = costs(Cost.POD, True)
    infra: bool = costs(Cost.POD, True)
    infra_image: str = costs(Cost.POD, "")
    infra_command: tuple[str, ...] = costs(Cost.POD, ())
    infra_name: str = costs(Cost.RECORD, "")
    cgroup_parent: str = costs(Cost.POD, "")
    shared: tuple[str, ...] = costs(Cost.POD, SHARED)
    ip: str = costs(Cost.POD, "")
    ip6: str = costs(Cost.POD, "")
    mac: str = costs(Cost.POD, "")
    no_hosts: bool = costs(Cost.POD, False)
    shm_size: int | None = costs(Cost.POD, None)

    @property
    def connected(self) -> bool:
        """Whether the pod has a network of its own that leads somewhere: no host's, and not none."""
        return self.infra and not self.host_network and self.network != NO_NETWORK

    @property
    def apart(self) -> bool:
        """Whether each member has a network of its own that leads somewhere."""
        return "net" not in self.shared and self.network != NO_NETWORK

    @property
    def on_bridge(self) -> bool:
        """Whether anything of the pod is in a network of ours."""
        return self.connected or self.apart

    @property
    def separate(self) -> bool:
        """Whether each member has a host name or addresses of its own, and so files of /etc that say them."""
        return not {"net", "uts"} <= set(self.shared)


LEAST_GRACE = 2.0
"""Seconds that a sidecar has at least when the members have used up the pod's grace (kubelet:
minimumGracePeriodInSeconds)."""


class Role(StrEnum):
    """What a container is in its pod. INIT: a plain init container."""

    INIT = "init container"
    SIDECAR = "sidecar"
    MEMBER = "container"


@dataclass(frozen=True, slots=True)
class PodSpec:
    """A whole pod as it is wanted. ``grace_period`` is in seconds; ``deadline`` also: how long it may be active in all.

    ``init``: what begins before the members, in order: *plain* ones, each of which must end well before the next
    begins, and *sidecars* (``restart`` is ALWAYS), which run as long as the pod.

    ``keep``: a member that is started again goes on with its id and its writable layer (podman's way), instead of a new
    container (Kubernetes'). ``stop_when_done``: when no member runs or will, the infra container ends, too. ``limits``:
    what all members together may use, beside what follows from their own. ``mounts``: what each member that is added by
    hand is given, too (``pod create -v``); those that there are have it among their own. ``contents``: a stamp of what
    stands in the files of each projected volume, by its name; the files follow it."""

    key: Key = costs(Cost.POD)
    sandbox: SandboxSpec = nested(SandboxSpec())
    containers: tuple[ContainerSpec, ...] = nested(())
    labels: Pairs = costs(Cost.RECORD, ())
    annotations: Pairs = costs(Cost.RECORD, ())
    restart_policy: RestartPolicy = costs(Cost.RECORD, RestartPolicy.ALWAYS)
    grace_period: int = costs(Cost.RECORD, 30)
    volumes: tuple[Volume, ...] = costs(Cost.RECORD, ())
    dns: Dns = nested(Dns())
    host_aliases: tuple[HostAlias, ...] = costs(Cost.LIVE, ())
    keep: bool = costs(Cost.RECORD, False)
    stop_when_done: bool = costs(Cost.RECORD, False)
    limits: Resources = nested(Resources())
    mounts: tuple[Mount, ...] = costs(Cost.RECORD, ())
    deadline: int | None = costs(Cost.RECORD, None)
    contents: Pairs = costs(Cost.LIVE, ())
    init: tuple[ContainerSpec, ...] = nested(())

    @property
    def everyone(self) -> tuple[ContainerSpec, ...]:
        """All containers, in the order in which they begin."""
        return self.init + self.containers if self.init else self.containers

    @property
    def images(self) -> frozenset[str]:
        """Every image that the pod needs, by reference."""
        own = frozenset({self.sandbox.infra_image} - {""})
        return own.union(reference for c in self.everyone for reference, _ in c.images)

    @property
    def sidecars(self) -> tuple[ContainerSpec, ...]:
        """The init containers that run as long as the pod."""
        return tuple(c for c in self.init if c.restart is RestartPolicy.ALWAYS)

    @property
    def plain_init(self) -> tuple[ContainerSpec, ...]:
        """The init containers that end before the members begin."""
        return tuple(c for c in self.init if c.restart is not RestartPolicy.ALWAYS)

    @property
    def lasting(self) -> tuple[ContainerSpec, ...]:
        """What runs in a pod that has begun: sidecars and members."""
        return (*self.sidecars, *self.containers)

    def role_of(self, name: str) -> Role | None:
        """What the container called ``name`` is in the pod; None: it has none of that name."""
        begins = next((c for c in self.init if c.name == name), None)
        if begins is not None:
            return Role.SIDECAR if begins.restart is RestartPolicy.ALWAYS else Role.INIT
        return Role.MEMBER if any(c.name == name for c in self.containers) else None

    @property
    def bounded(self) -> tuple[Volume, ...]:
        """The emptyDirs on the disk that have a limit."""
        return tuple(v for v in self.volumes if v.size_limit is not None and not v.memory)

    def policy_of(self, container: ContainerSpec) -> RestartPolicy:
        """The restart policy of a container: its own, or the pod's. A plain init container is never started again when
        it has ended well (kubelet: findNextInitContainerToRun)."""
        if container.restart is None and self.init and self.role_of(container.name) is Role.INIT:
            return RestartPolicy.NEVER if self.restart_policy is RestartPolicy.NEVER else RestartPolicy.ON_FAILURE
        return container.restart or self.restart_policy

    def rules_restart(self, container: ContainerSpec, code: int) -> bool:
        """Whether a rule of a container has it started again as it ended with exit code ``code``. A plain init
        container that ended well is through all the same."""
        if not container.restart_rules or (code == 0 and self.role_of(container.name) is Role.INIT):
            return False
        return any(rule.fits(code) for rule in container.restart_rules)

    def grace_of(self, container: ContainerSpec) -> int:
        """Seconds that a member has to stop: its own, or the pod's."""
        return self.grace_period if container.grace is None else container.grace

    def container(self, name: str) -> ContainerSpec | None:
        """The container called ``name``, or None."""
        return next((c for c in self.everyone if c.name == name), None)

    def ending_now(self, names: Iterable[str]) -> frozenset[str]:
        """Of containers that are all to end those whose turn it is: the members, at the same time; then one sidecar
        after the other, the last that began first (kubelet: kuberuntime_termination_order.go)."""
        living = frozenset(names)
        sidecars = [c.name for c in self.sidecars if c.name in living]
        return living.difference(sidecars) or frozenset(sidecars[-1:])

    def with_everyone(self, change: Callable[[ContainerSpec], ContainerSpec]) -> PodSpec:
        """The same with each container changed so; this one where none is another."""
        init, containers = tuple(map(change, self.init)), tuple(map(change, self.containers))
        pairs = zip((*init, *containers), self.everyone, strict=True)
        same = all(new is old for new, old in pairs)
        return self if same else replace(self, init=init, containers=containers)
