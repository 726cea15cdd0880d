"""What cgroups' files say: CPU shares and quotas, limits of memory and processes. Written, and read back.

Written to the files themselves, not through the runtime's ``update``: crun 1.8.1 applies half of it and fails. A limit
of memory below what is in use is refused on v1 (EBUSY, after it reclaimed what it could); v2 takes it, and kills. So
there ``memory.high`` goes first: it reclaims and slows down, and never kills.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from reconciler.engine.cgroups import hierarchies as hosts
from reconciler.engine.cgroups import names, systemd
from reconciler.engine.cgroups.hierarchies import read_number
from reconciler.engine.cgroups.names import Driver
from reconciler.engine.effects import effect
from reconciler.engine.files import read_small
from reconciler.engine.oci.host import CgroupMode
from reconciler.engine.oci.linux import CPU_PERIOD, cpu_quota, shares, to_weight
from reconciler.model.errors import RuntimeFailed
from reconciler.model.spec import Resources

_UNLIMITED_V1 = 1 << 62
"""v1 shows "no limit" as the highest multiple of a page."""


class LimitBelowUsage(RuntimeFailed):
    """The memory limit cannot be lowered in the living cgroup: more is in use, and cannot be reclaimed."""


def memory_usage(path: str) -> int | None:
    """Bytes charged to the cgroup, or None where nobody counts."""
    file = _memory_file(path, "memory.current", "memory.usage_in_bytes")
    return None if file is None else read_number(file)


def memory_limit(path: str) -> int | None:
    """The limit in bytes; None for none."""
    file = _memory_file(path, "memory.max", "memory.limit_in_bytes")
    number = None if file is None else read_number(file)
    return None if number is None or number > _UNLIMITED_V1 else number


def update(path: str, resources: Resources) -> None:
    """Apply limits to a running container and read them back.

    Memory comes first, as it alone may be refused: raises LimitBelowUsage before anything is changed, RuntimeFailed
    when the kernel does not take a value. In a scope of systemd the container may have a cgroup inside it that is its
    own (crun); what the scope itself has is systemd's to set.
    """
    leaf = leaf_of(path)
    _limit_memory(leaf, resources.memory_limit)
    for file, value in (*_cpu(leaf, resources), *_pids(leaf, resources.pids_limit)):
        _set(file, value)
    if names.driver_of(path) is Driver.SYSTEMD:
        systemd.set_properties(path, _of_scope(path, leaf, resources))


def leaf_of(path: str) -> str:
    """The cgroup that the container's processes are in: crun makes one inside the scope."""
    inner = f"{path}/container"
    there = names.driver_of(path) is Driver.SYSTEMD and hosts.current().all[0].at(inner).is_dir()
    return inner if there else path


def _of_scope(path: str, leaf: str, resources: Resources) -> systemd.Properties:
    """What the scope has beside the cgroup inside it: its weight among its siblings, and limits where it has any."""
    directory = hosts.current().all[0].at(path)
    files = {"MemoryMax": "memory.max", "TasksMax": "pids.max", "CPUQuotaPerSecUSec": "cpu.max"}

    def has(name: str) -> bool:
        file = directory / files.get(name, "cpu.weight")
        return leaf == path or (file.exists() and not file.read_text().startswith("max"))

    return [(name, value) for name, value in systemd.properties(resources) if has(name)]


def update_pod(path: str, resources: Resources) -> None:
    """Give a pod's cgroup its values: those of its containers together (kubelet: ResourceConfigForPod).

    A controller that this host does not hand down is left out: each container has limits of its own, and without the
    controller those fail loudly. Raises LimitBelowUsage, RuntimeFailed.
    """
    if names.driver_of(path) is Driver.SYSTEMD:
        _update_slice(path, resources)
        return
    _limit_memory(path, resources.memory_limit)
    for file, value in (*_cpu(path, resources), *_pids(path, resources.pids_limit)):
        if _said(file) not in (None, value):  # as most are: v1 goes through all cgroups to set a quota
            _set(file, value)


def _update_slice(path: str, resources: Resources) -> None:
    with _room_for(path, resources.memory_limit):
        systemd.set_properties(path, systemd.properties(resources))
    _expect_limit(path, resources.memory_limit)


def set_level(path: str, cpu_shares: int) -> None:
    """The CPU shares of a cgroup that holds pods; where it is not there (any more), nothing.

    systemd would remember them for a slice that was stopped meanwhile, so nobody does that.
    """
    with systemd.alone() if names.driver_of(path) is Driver.SYSTEMD else nullcontext():
        set_level_alone(path, cpu_shares)


def set_level_alone(path: str, cpu_shares: int) -> None:
    """The same, for those who are ``systemd.alone`` where the cgroup is systemd's."""
    where = hosts.current()
    hierarchy = where.all[0] if where.mode is CgroupMode.V2 else where.v1("cpu")
    if hierarchy is None:
        return
    name, value = ("cpu.weight", to_weight(cpu_shares)) if hierarchy.v2 else ("cpu.shares", cpu_shares)
    file = hierarchy.at(path) / name
    if read_number(file) in (None, value):
        return
    if names.driver_of(path) is Driver.SYSTEMD:
        systemd.set_properties(path, systemd.weight(cpu_shares))
    else:
        _set_if_there(file, str(value))


def _limit_memory(path: str, limit: int | None) -> None:
    before, usage = memory_limit(path), memory_usage(path)
    if usage is None or before == _page(limit):
        return
    if hosts.current().mode is CgroupMode.V2:
        _limit_memory_v2(path, limit)
    else:
        file = _memory_file(path, "", "memory.limit_in_bytes")
        assert file is not None, "usage is counted"
        _set(file, str(limit or -1))
    _expect_limit(path, limit)


def _expect_limit(path: str, limit: int | None) -> None:
    after = memory_limit(path)
    if memory_usage(path) is not None and after != _page(limit):
        raise RuntimeFailed(f"cannot set the memory limit of {_short(path)} to {limit}: it reads {after}")


def _limit_memory_v2(path: str, limit: int | None) -> None:
    with _room_for(path, limit):
        _set(hosts.current().all[0].at(path) / "memory.max", str(limit or "max"))


@contextmanager
def _room_for(path: str, limit: int | None) -> Iterator[None]:
    """While a limit is set on v2: no more than that is in use, and growth is slowed. Raises LimitBelowUsage."""
    high = hosts.current().all[0].at(path) / "memory.high"
    try:
        if limit and (memory_usage(path) or 0) > limit:
            _set(high, str(limit))  # reclaims down to it, as far as that goes
            usage = memory_usage(path) or 0
            if usage > limit:
                raise LimitBelowUsage(
                    f"cannot lower the memory limit of {_short(path)} to {limit} bytes: {usage} are in use"
                )
        yield
    finally:
        if read_number(high) is not None:
            _set(high, "max")


def _cpu(path: str, resources: Resources) -> Iterator[tuple[Path, str]]:
    where = hosts.current()
    quota = cpu_quota(resources)
    if where.mode is CgroupMode.V2:
        directory = where.all[0].at(path)
        yield directory / "cpu.weight", str(to_weight(shares(resources)))
        yield directory / "cpu.max", f"{quota or 'max'} {CPU_PERIOD}"
    elif cpu := where.v1("cpu"):
        yield cpu.at(path) / "cpu.shares", str(shares(resources))
        yield cpu.at(path) / "cpu.cfs_period_us", str(CPU_PERIOD)
        yield cpu.at(path) / "cpu.cfs_quota_us", str(quota or -1)


def _pids(path: str, limit: int | None) -> Iterator[tuple[Path, str]]:
    where = hosts.current()
    hierarchy = where.all[0] if where.mode is CgroupMode.V2 else where.v1("pids")
    if hierarchy is not None:
        yield hierarchy.at(path) / "pids.max", str(limit or "max")


def _said(file: Path) -> str | None:
    """None where there is no such file; "" where it cannot be read: whoever writes it is told why."""
    try:
        return read_small(file).decode().strip()
    except FileNotFoundError:
        return None
    except OSError:
        return ""


@effect("cgroup.set")
def _set(file: Path, value: str) -> None:
    _write(file, value)


@effect("cgroup.set-level")
def _set_if_there(file: Path, value: str) -> None:
    try:
        _write(file, value)
    except RuntimeFailed as e:
        if not isinstance(e.__cause__, FileNotFoundError):
            raise


def _write(file: Path, value: str) -> None:
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())  # one write(2), which is how the kernel takes a value or refuses it
        finally:
            os.close(fd)
    except OSError as e:
        who = _short(str(file.parent))
        if e.errno == errno.EBUSY:
            raise LimitBelowUsage(f"cannot set {file.name} of {who} to {value}: more is in use") from e
        raise RuntimeFailed(f"cannot set {file.name} of {who} to {value}: {e.strerror}") from e


def _short(path: str) -> str:
    """Who a cgroup is, as people are told: "container 0123456789ab", "pod-0123456789ab"."""
    pod, path = names.pod_of(path), path.removesuffix("/container")
    return f"pod {pod[:12]}" if pod else f"container {names.container_of(path)[:12]}"


def _page(size: int | None) -> int | None:
    """The kernel rounds limits down to pages."""
    page = os.sysconf("SC_PAGE_SIZE")
    return size // page * page if size else None


def _memory_file(path: str, v2: str, v1: str) -> Path | None:
    where = hosts.current()
    if where.mode is CgroupMode.V2:
        return where.all[0].at(path) / v2
    hierarchy = where.v1("memory")
    return None if hierarchy is None else hierarchy.at(path) / v1
