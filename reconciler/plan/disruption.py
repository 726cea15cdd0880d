"""What differs between two specs, field by field, and what each difference costs. Pure.

Everything is derived from the metadata next to the fields (``model.cost``), so the disruption table, its tests
and its documentation cannot disagree. A field without a cost raises TypeError here, and fails a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from reconciler.model.cost import Cost
from reconciler.model.sources import EnvEntry
from reconciler.model.spec import ContainerSpec, Pairs, PodSpec, Resources, Role

PAIRS = frozenset({"contents", "env", "labels", "annotations", "sysctls", "ulimits"})
"""Fields that hold named values: reported one name at a time."""

DIGESTS = {"env_digest": "{}", "contents": "the files of volume {}"}
"""Fields that hold digests of what is never told: by name, only that it is another one."""

NAMED = {"mounts": "path", "volumes": "name"}
"""Lists of things of which each is called something, and which field says what."""

QUANTITIES = ("resources.requests.cpu", "resources.limits.cpu", "resources.requests.memory", "resources.limits.memory")
"""Ends of the paths of fields that are shown as manifests write them: "64Mi", "500m"."""

USER_PATHS: dict[str, str] = {
    "PodSpec.key": "metadata.name",
    "PodSpec.labels": "metadata.labels",
    "PodSpec.annotations": "metadata.annotations",
    "PodSpec.restart_policy": "spec.restartPolicy",
    "PodSpec.grace_period": "spec.terminationGracePeriodSeconds",
    "PodSpec.deadline": "spec.activeDeadlineSeconds",
    "PodSpec.volumes": "spec.volumes",
    "PodSpec.keep": "a member that is started again",
    "PodSpec.stop_when_done": "--exit-policy",
    "PodSpec.limits": "spec.",
    "PodSpec.mounts": "--volume",
    "PodSpec.contents": "the files of spec.volumes",
    "PodSpec.init": "spec.initContainers",
    "PodSpec.host_aliases": "spec.hostAliases",
    "Dns.policy": "spec.dnsPolicy",
    "Dns.nameservers": "spec.dnsConfig.nameservers",
    "Dns.searches": "spec.dnsConfig.searches",
    "Dns.options": "spec.dnsConfig.options",
    "SandboxSpec.hostname": "spec.hostname",
    "SandboxSpec.hostname_override": "spec.hostnameOverride",
    "SandboxSpec.subdomain": "spec.subdomain",
    "SandboxSpec.fqdn_as_hostname": "spec.setHostnameAsFQDN",
    "SandboxSpec.ports": "spec.containers[].ports[].hostPort",
    "SandboxSpec.host_network": "spec.hostNetwork",
    "SandboxSpec.host_pid": "spec.hostPID",
    "SandboxSpec.host_ipc": "spec.hostIPC",
    "SandboxSpec.share_pid": "spec.shareProcessNamespace",
    "SandboxSpec.network": "metadata.annotations[reconciler/network]",
    "SandboxSpec.sysctls": "spec.securityContext.sysctls",
    "SandboxSpec.host_users": "spec.hostUsers",
    "SandboxSpec.infra": "--infra",
    "SandboxSpec.infra_image": "--infra-image",
    "SandboxSpec.infra_command": "--infra-command",
    "SandboxSpec.infra_name": "--infra-name",
    "SandboxSpec.cgroup_parent": "--cgroup-parent",
    "SandboxSpec.shared": "--share",
    "SandboxSpec.ip": "--ip",
    "SandboxSpec.ip6": "--ip6",
    "SandboxSpec.mac": "--mac-address",
    "SandboxSpec.no_hosts": "--no-hosts",
    "SandboxSpec.shm_size": "--shm-size",
    "ContainerSpec.name": "name",
    "ContainerSpec.image": "image",
    "ContainerSpec.pull_policy": "imagePullPolicy",
    "ContainerSpec.pull_secrets": "imagePullSecrets",
    "ContainerSpec.command": "command",
    "ContainerSpec.args": "args",
    "ContainerSpec.working_dir": "workingDir",
    "ContainerSpec.env": "env",
    "ContainerSpec.program": "env",
    "ContainerSpec.env_digest": "env",
    "ContainerSpec.ports": "ports",
    "ContainerSpec.mounts": "volumeMounts",
    "ContainerSpec.stdin": "stdin",
    "ContainerSpec.stdin_once": "stdinOnce",
    "ContainerSpec.tty": "tty",
    "ContainerSpec.restart": "restartPolicy",
    "ContainerSpec.restart_rules": "restartPolicyRules",
    "ContainerSpec.stop_signal": "lifecycle.stopSignal",
    "ContainerSpec.post_start": "lifecycle.postStart",
    "ContainerSpec.pre_stop": "lifecycle.preStop",
    "ContainerSpec.message_path": "terminationMessagePath",
    "ContainerSpec.message_policy": "terminationMessagePolicy",
    "ContainerSpec.storage_limit": "resources.limits.ephemeral-storage",
    "ContainerSpec.resize_restarts": "resizePolicy",
    "ContainerSpec.liveness": "livenessProbe",
    "ContainerSpec.readiness": "readinessProbe",
    "ContainerSpec.startup": "startupProbe",
    "ContainerSpec.grace": "--stop-timeout",
    "ContainerSpec.retries": "--restart",
    "ContainerSpec.user": "--user",
    "ContainerSpec.labels": "--label",
    "ContainerSpec.devices": "--device",
    "ContainerSpec.ulimits": "--ulimit",
    "Resources.cpu_request": "resources.requests.cpu",
    "Resources.cpu_limit": "resources.limits.cpu",
    "Resources.memory_request": "resources.requests.memory",
    "Resources.memory_limit": "resources.limits.memory",
    "Resources.pids_limit": "resources.limits.pids",
    "Resources.of_pod": "whose limits they are",
    "Security.run_as_user": "securityContext.runAsUser",
    "Security.run_as_group": "securityContext.runAsGroup",
    "Security.privileged": "securityContext.privileged",
    "Security.cap_add": "securityContext.capabilities.add",
    "Security.cap_drop": "securityContext.capabilities.drop",
    "Security.read_only_root": "securityContext.readOnlyRootFilesystem",
    "Security.allow_privilege_escalation": "securityContext.allowPrivilegeEscalation",
    "Security.run_as_non_root": "securityContext.runAsNonRoot",
    "Security.seccomp": "securityContext.seccompProfile",
    "Security.apparmor": "securityContext.appArmorProfile",
    "Security.selinux": "securityContext.seLinuxOptions",
    "Security.selinux_recursive": "securityContext.seLinuxChangePolicy",
    "Security.unmasked_proc": "securityContext.procMount",
    "Security.groups": "securityContext.supplementalGroups",
    "Security.strict_groups": "securityContext.supplementalGroupsPolicy",
    "Security.fs_group": "securityContext.fsGroup",
    "Security.fs_group_on_mismatch": "securityContext.fsGroupChangePolicy",
}
"""Where a user finds a field, by ``Class.field``; below a container the path is relative to it. Of a field that holds
others it is what their paths begin with."""


_MEMBERS, _INIT = "spec.containers", "spec.initContainers"

SHOWN = 20
"""Of a list, what a sentence names: a pod may publish a thousand ports."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. ``container`` "" is the pod's own; a member that comes or goes has None on one side.
    ``hidden``: ``field`` says in words what differs, and no more is told."""

    field: str
    before: Any
    after: Any
    cost: Cost
    container: str = ""
    hidden: bool = False

    def __str__(self) -> str:
        if self.hidden:
            return (
                f"{self.field} {'is gone' if self.after is None else 'is there' if self.before is None else 'changed'}"
            )
        if self.before is None and isinstance(self.after, ContainerSpec):
            return f"{_called(self.field)} {self.container} was added"
        if self.after is None and isinstance(self.before, ContainerSpec):
            return f"{_called(self.field)} {self.container} was removed"
        return f"{self.field} changed: {self._shown(self.before)} -> {self._shown(self.after)}"

    def _shown(self, value: Any) -> str:
        if isinstance(value, int) and self.field.endswith(QUANTITIES):
            return _memory(value) if self.field.endswith("memory") else _cpu(value)
        return show(value)


def pod_changes(applied: PodSpec, want: PodSpec) -> tuple[Change, ...]:
    """Every difference between two pod specs. Members are matched by name; their order means nothing."""
    if applied == want:
        return ()
    return (*_compare(applied, want, prefix="", container=""), *_member_changes(applied, want))


def container_changes(old: ContainerSpec, new: ContainerSpec) -> tuple[Change, ...]:
    """Every difference between two specs of one container."""
    return tuple(_compare_container(old, new, f"{_MEMBERS}[{new.name}]."))


def _compare_container(old: ContainerSpec, new: ContainerSpec, prefix: str) -> Iterator[Change]:
    """Field by field; requests and limits that are not to change while it runs replace it."""
    if old == new:
        return
    restarts = tuple(f".{name}" for name in new.resize_restarts)
    for change in _compare(old, new, prefix=prefix, container=new.name):
        is_resize = change.cost is Cost.LIVE and change.field.endswith(QUANTITIES)
        yield replace(change, cost=Cost.CONTAINER) if is_resize and change.field.endswith(restarts) else change


def resource_changes(old: Resources, new: Resources) -> tuple[Change, ...]:
    """Every difference between two sets of requests and limits: of a container, or of a whole pod."""
    return tuple(_compare(old, new, prefix="", container=""))


def highest(changes: Iterable[Change]) -> Cost:
    """What the changes cost together: the highest of them, NOTHING for none."""
    return max((c.cost for c in changes), default=Cost.NOTHING)


def at_least(cost: Cost, changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes that cost ``cost`` or more."""
    return tuple(c for c in changes if c.cost >= cost)


def tell(changes: Iterable[Change]) -> str:
    """The changes as one line: "image changed: a -> b, args changed: …", container paths shortened."""
    return ", ".join(_short(c) for c in changes)


def _short(change: Change) -> str:
    return in_short(change, str(change))


def in_short(change: Change, text: str) -> str:
    """The text about a change without the path to the container that it is of."""
    if not change.container:
        return text
    return text.removeprefix(f"{_MEMBERS}[{change.container}].").removeprefix(f"{_INIT}[{change.container}].")


def _called(field: str) -> str:
    return "init container" if field.startswith(_INIT) else "container"


def _cpu(thousandths: int) -> str:
    return f"{thousandths // 1000}" if thousandths % 1000 == 0 else f"{thousandths}m"


def _memory(size: int) -> str:
    for power, suffix in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{suffix}"
    return str(size)


def show(value: Any) -> str:
    """A value as a user reads it in a sentence."""
    if value is None or value == () or value == "":
        return "(none)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        more = f" and {len(value) - SHOWN} more" if len(value) > SHOWN else ""
        return "[" + " ".join(show(v) for v in value[:SHOWN]) + more + "]"
    if is_dataclass(value) and type(value).__str__ is object.__str__:
        return ":".join(
            f.name if getattr(value, f.name) is True else show(getattr(value, f.name))
            for f in fields(value)
            if getattr(value, f.name) not in ("", f.default)
        )
    return str(value)


def _compare(old: Any, new: Any, prefix: str, container: str) -> Iterator[Change]:
    for spec_field in fields(old):
        before, after = getattr(old, spec_field.name), getattr(new, spec_field.name)
        name = f"{type(old).__name__}.{spec_field.name}"
        if spec_field.metadata.get("nested"):
            if is_dataclass(before):
                yield from _compare(before, after, prefix + USER_PATHS.get(name, ""), container)
        elif "cost" not in spec_field.metadata:
            raise TypeError(f"{name} does not say what its change costs")
        elif before != after:
            path = prefix + USER_PATHS.get(name, spec_field.name)
            yield from _split(spec_field.name, path, before, after, spec_field.metadata["cost"], container)


def _split(name: str, path: str, before: Any, after: Any, cost: Cost, container: str) -> Iterator[Change]:
    if name in DIGESTS:
        for key, old, new in _sides(before, after):
            yield Change(DIGESTS[name].format(key), old, new, cost, container, hidden=True)
    elif name in PAIRS:
        for key, old, new in _sides(before, after):
            yield Change(f"{path}[{key}]", old, new, cost, container)
    elif name in NAMED:
        yield from _of_named(path, before, after, cost, container, NAMED[name])
    elif name == "program":
        yield from _of_program(path, before, after, cost, container)
    else:
        yield Change(path, before, after, cost, container)


def _of_named(path: str, before: Any, after: Any, cost: Cost, container: str, called: str) -> Iterator[Change]:
    """One of them at a time, by what it is called; of two lists of the same the order."""
    old, new = ({getattr(one, called): one for one in side} for side in (before, after))
    differ = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    yield from (Change(f"{path}[{name}]", old.get(name), new.get(name), cost, container) for name in differ)
    if not differ:
        yield Change(path, before, after, cost, container)


def _sides(before: Pairs, after: Pairs) -> Iterator[tuple[str, str | None, str | None]]:
    """The names of which the values differ, and both of them."""
    old, new = dict(before), dict(after)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def _of_program(
    path: str, before: tuple[EnvEntry, ...], after: tuple[EnvEntry, ...], cost: Cost, container: str
) -> Iterator[Change]:
    """One variable at a time; of two programs with the same steps the order."""
    sides = tuple(_sides(_told(before), _told(after)))
    yield from (Change(f"{path}[{key}]", old, new, cost, container) for key, old, new in sides)
    if not sides:
        yield Change(path, before, after, cost, container)


def _told(program: tuple[EnvEntry, ...]) -> Pairs:
    return tuple(step.told for step in program)


def _member_changes(applied: PodSpec, want: PodSpec) -> Iterator[Change]:
    for old in applied.everyone:
        new = want.container(old.name)
        if new is None:
            yield Change(_place(applied, old.name), old, None, _of_whole(applied, old.name), old.name)
        else:
            yield from _changes_of(old, new, applied, want)
    for new in want.everyone:
        if applied.container(new.name) is None:
            yield Change(_place(want, new.name), None, new, _of_whole(want, new.name), new.name)
    yield from _order_changes(applied, want)


def _place(pod: PodSpec, name: str) -> str:
    return f"{_MEMBERS if pod.role_of(name) is Role.MEMBER else _INIT}[{name}]"


def _of_whole(pod: PodSpec, name: str) -> Cost:
    """What it costs that a container comes or goes: a plain init container has to end before the members begin."""
    return Cost.POD if pod.role_of(name) is Role.INIT else Cost.CONTAINER


def _changes_of(old: ContainerSpec, new: ContainerSpec, applied: PodSpec, want: PodSpec) -> Iterator[Change]:
    """Those of one container. What replaces a plain init container recreates the pod; what it may use, and what is only
    recorded, does not. A container that becomes something else in the pod goes on, unless it becomes one that ends."""
    roles = applied.role_of(old.name), want.role_of(new.name)
    plain = Role.INIT in roles
    for change in _compare_container(old, new, f"{_place(want, new.name)}."):
        yield replace(change, cost=Cost.POD) if plain and change.cost >= Cost.CONTAINER else change
    if roles[0] is not roles[1]:
        yield Change(f"what {new.name} is", *roles, Cost.POD if plain else Cost.RECORD, new.name)


def _order_changes(applied: PodSpec, want: PodSpec) -> Iterator[Change]:
    """Plain init containers run one after the other; of sidecars the order says how they end."""
    for cost, old, new in (
        (Cost.POD, applied.plain_init, want.plain_init),
        (Cost.RECORD, applied.init, want.init),
    ):
        before, after = tuple(c.name for c in old), tuple(c.name for c in new)
        if before != after and sorted(before) == sorted(after):
            yield Change("the order of spec.initContainers", before, after, cost)
            return
