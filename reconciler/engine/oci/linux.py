"""OCI ``linux``: namespaces, cgroup, limits, devices, hidden paths."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from reconciler.engine.oci.bundle import IDS, Bundle
from reconciler.engine.oci.host import CgroupMode, HostCapabilities
from reconciler.engine.oci.mounts import INFRA_MASKED, MASKED, READ_ONLY, root_propagation
from reconciler.engine.oci.process import selinux_label
from reconciler.model.spec import ContainerSpec, Device, Resources, SandboxSpec
from reconciler.model.words import sysctl_namespace

CPU_PERIOD = 100_000
"""Microseconds (kubelet: quotaPeriod)."""

MIN_SHARES, MAX_SHARES = 2, 262_144
MIN_QUOTA = 1_000

NOT_HOST_DEVICES = frozenset({"console", "fd", "mqueue", "pts", "ptmx", "shm", "stderr", "stdin", "stdout", ".udev"})
"""Of /dev, what every container has of its own (containers/common and libcontainer leave these out as well)."""


def infra_linux(bundle: Bundle, facts: HostCapabilities) -> dict[str, Any]:
    """``seccomp`` is added by the caller."""
    linux: dict[str, Any] = {
        "namespaces": _infra_namespaces(bundle, facts),
        "cgroupsPath": bundle.cgroups_path,
        "resources": {"devices": [_DENY_ALL], "cpu": {"shares": MIN_SHARES}},
        "maskedPaths": list(INFRA_MASKED),
        "readonlyPaths": list(READ_ONLY),
        "rootfsPropagation": "rprivate",
    }
    linux["sysctl"] = _sysctls(bundle.sandbox)
    return linux | _id_mappings(bundle)


def _id_mappings(bundle: Bundle) -> dict[str, Any]:
    if not bundle.ids:
        return {}
    mapping = [{"containerID": 0, "hostID": bundle.ids, "size": IDS}]
    return {"uidMappings": mapping, "gidMappings": mapping}


def _sysctls(sandbox: SandboxSpec) -> dict[str, str]:
    """Podman's default and the manifest's; they belong to the namespaces that the infra container holds."""
    default = {} if sandbox.host_network else {"net.ipv4.ping_group_range": "0 0"}
    return default | dict(sandbox.sysctls)


def _own_sysctls(sandbox: SandboxSpec) -> dict[str, str]:
    """Of namespaces that a member has for itself."""
    default = {"net.ipv4.ping_group_range": "0 0"}
    asked = default | dict(sandbox.sysctls)
    own = {"net", "ipc"} - set(sandbox.shared)
    return {name: value for name, value in asked.items() if sysctl_namespace(name) in own}


def member_linux(bundle: Bundle, spec: ContainerSpec, facts: HostCapabilities) -> dict[str, Any]:
    """``seccomp`` is added by the caller. Reads /dev where the container is privileged."""
    privileged = spec.security.privileged
    given = given_devices(spec.devices)
    linux: dict[str, Any] = {
        "namespaces": _member_namespaces(bundle, facts),
        "cgroupsPath": bundle.cgroups_path,
        "resources": {
            **limits(bundle.as_run(spec.resources), facts.cgroups),
            "devices": [_ALLOW_ALL] if privileged else [_DENY_ALL, *_allowed(given)],
        },
        "rootfsPropagation": root_propagation(spec),
    }
    if apart := _own_sysctls(bundle.sandbox):
        linux["sysctl"] = apart
    if facts.selinux is not None and spec.security.selinux:
        level = selinux_label(spec.security.selinux, facts.selinux).split(":", 3)[3]
        linux["mountLabel"] = f"system_u:object_r:container_file_t:{level}"
    if not facts.reads_joined_users:
        linux |= _id_mappings(bundle)
    if given:
        linux["devices"] = [node for node, _ in given]
    if privileged:
        own = {node["path"] for node, _ in given}
        more = [node for node in host_devices(Path("/dev")) if node["path"] not in own]
        linux["devices"] = [*linux.get("devices", []), *more]
    elif not spec.security.unmasked_proc:
        linux["maskedPaths"] = list(MASKED)
        linux["readonlyPaths"] = list(READ_ONLY)
    return linux


_DENY_ALL = {"allow": False, "access": "rwm"}
"""The runtimes add null, zero, full, random, urandom, tty and the ptys to it (OCI, "Default Devices")."""

_ALLOW_ALL = {"allow": True, "access": "rwm"}


def limits(resources: Resources, cgroups: CgroupMode) -> dict[str, Any]:
    """OCI ``resources`` by the kubelet's formulae (cm/helpers_linux.go). An absent request is the limit.

    Where v2 can, a container that runs out of memory is killed as a whole (kubelet: singleProcessOOMKill is false).
    """
    cpu: dict[str, int] = {"shares": shares(resources)}
    quota = cpu_quota(resources)
    if quota is not None:
        cpu |= {"quota": quota, "period": CPU_PERIOD}
    result: dict[str, Any] = {"cpu": cpu}
    if resources.memory_limit:
        result["memory"] = {"limit": resources.memory_limit}
    if resources.pids_limit:
        result["pids"] = {"limit": resources.pids_limit}
    if cgroups is CgroupMode.V2:
        result["unified"] = {"memory.oom.group": "1"}
    return result


def shares(resources: Resources) -> int:
    """CPU weight in v1's unit, 1024 for a core."""
    request = resources.cpu_request if resources.cpu_request is not None else resources.cpu_limit or 0
    return to_shares(request)


def to_shares(thousandths: int) -> int:
    """1024 for a core, within what the kernel takes (kubelet: MilliCPUToShares)."""
    return min(max(thousandths * 1024 // 1000, MIN_SHARES), MAX_SHARES)


def to_weight(cpu_shares: int) -> int:
    """CPU weight in v2's unit, 1 to 10000 (KEP-2254; crun and runc convert alike)."""
    return 1 + (cpu_shares - 2) * 9999 // 262142


def cpu_quota(resources: Resources) -> int | None:
    """Microseconds of CPU in each period, or None for no limit."""
    return max(resources.cpu_limit * CPU_PERIOD // 1000, MIN_QUOTA) if resources.cpu_limit else None


def _infra_namespaces(bundle: Bundle, facts: HostCapabilities) -> list[dict[str, str]]:
    """The network's is made by the runtime within the pod's user namespace, and so belongs to it: else a fresh sysfs
    could not be mounted there."""
    sandbox = bundle.sandbox
    users = ["user"] if bundle.ids else []
    cgroup = {*_cgroup(facts), *({"cgroup"} & set(sandbox.shared))}
    return [{"type": kind} for kind in (*users, "mount", *_held(sandbox), *_own_pid(sandbox), *cgroup)]


def _member_namespaces(bundle: Bundle, facts: HostCapabilities) -> list[dict[str, str]]:
    assert bundle.infra is not None, "a member has an infra container"
    sandbox = bundle.sandbox
    shared = [kind for kind in (*_held(sandbox), "cgroup") if _FILE[kind] in sandbox.shared]
    joined = [*(["user"] if bundle.ids else []), *shared, *(["pid"] if _joins_pid(sandbox) else [])]
    apart = [kind for kind in ("network", "ipc", "uts") if _FILE[kind] not in sandbox.shared]
    cgroup = [] if "cgroup" in shared else _cgroup(facts)
    own = ["mount", *([] if _joins_pid(sandbox) else _own_pid(sandbox)), *apart, *cgroup]
    path = f"/proc/{bundle.infra.pid}/ns"
    return [{"type": kind} for kind in own] + [{"type": kind, "path": f"{path}/{_FILE[kind]}"} for kind in joined]


_FILE = {"user": "user", "network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid", "cgroup": "cgroup"}


def _joins_pid(sandbox: SandboxSpec) -> bool:
    return sandbox.share_pid and not sandbox.host_pid


def _held(sandbox: SandboxSpec) -> list[str]:
    """What the infra container holds for those that share it. With the host's network goes its host name, as in
    containerd."""
    network = [] if sandbox.host_network else ["network", "uts"]
    return network + ([] if sandbox.host_ipc else ["ipc"])


def _own_pid(sandbox: SandboxSpec) -> list[str]:
    return [] if sandbox.host_pid else ["pid"]


def _cgroup(facts: HostCapabilities) -> list[str]:
    """Podman's default: private on v2, the host's elsewhere."""
    return ["cgroup"] if facts.cgroups is CgroupMode.V2 else []


def host_devices(dev: Path) -> list[dict[str, Any]]:
    """Every device node below ``dev``, for a privileged container."""
    found: list[dict[str, Any]] = []
    for directory, names, files in os.walk(dev):
        if Path(directory) == dev:
            names[:] = [n for n in names if n not in NOT_HOST_DEVICES]
        for name in sorted(files):
            device = _device(dev, Path(directory, name))
            if device is not None and name not in NOT_HOST_DEVICES:
                found.append(device)
    return found


def given_devices(devices: Iterable[Device]) -> list[tuple[dict[str, Any], str]]:
    """The nodes that a container is given of the host, each with what it may do with it; of a directory all that are
    in it (podman). What is not there is left out (``security.problems`` tells)."""
    found = []
    for device in devices:
        place, top = PurePosixPath(device.path), Path(device.host_path).resolve()
        inside = sorted(path for path in top.rglob("*") if not path.is_symlink()) if top.is_dir() else [top]
        nodes = (_node(str(place / path.relative_to(top)), path) for path in inside)
        found += [(node, device.permissions) for node in nodes if node is not None]
    return found


def _allowed(given: Iterable[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
    numbers = ("type", "major", "minor")
    return [{"allow": True, "access": may, **{name: node[name] for name in numbers}} for node, may in given]


def _device(dev: Path, path: Path) -> dict[str, Any] | None:
    return _node(str("/dev" / path.relative_to(dev)), path)


def _node(place: str, path: Path) -> dict[str, Any] | None:
    """The device at ``path`` of the host, as it is to be at ``place``; None where there is none."""
    try:
        info = path.lstat()
    except OSError:
        return None
    if not (stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)):
        return None
    return {
        "path": place,
        "type": "c" if stat.S_ISCHR(info.st_mode) else "b",
        "major": os.major(info.st_rdev),
        "minor": os.minor(info.st_rdev),
        "fileMode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
    }
