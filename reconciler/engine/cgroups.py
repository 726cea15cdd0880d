"""The cgroups of this instance, in every hierarchy the host has: /reconciler-TAG/pod-ID/CONTAINER, and monitors.

Nothing outside a ``/reconciler-TAG`` directory is ever made, changed or removed. Any number of processes
may work here at the same time: mkdir and rmdir are atomic, and both take "already so" for an answer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.oci.host import CgroupMode
from reconciler.engine.oci.linux import CPU_PERIOD, cpu_quota, shares, weight
from reconciler.model.errors import Busy, RuntimeFailed
from reconciler.model.key import PodId
from reconciler.model.spec import Resources

MONITORS = "monitors"
ATTEMPTS = 50
"""How often to make a directory anew that another process, which saw it empty, removed at that moment."""
_VANISHED = (errno.ENOENT, errno.ENODEV)
_OURS = re.compile(r"/reconciler-[a-z2-7]{4}(/|$)")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted cgroup tree. ``controllers`` are v1's names (``name=systemd`` for a bare one); empty for v2."""

    root: Path
    v2: bool
    controllers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Hierarchies:
    mode: CgroupMode
    all: tuple[Hierarchy, ...]

    def v1(self, controller: str) -> Hierarchy | None:
        return next((h for h in self.all if controller in h.controllers), None)

    @property
    def unified(self) -> Hierarchy | None:
        return next((h for h in self.all if h.v2), None)

    def made(self) -> tuple[Hierarchy, ...]:
        """Where cgroups are made: all of v1, or v2. The ``unified`` tree of a hybrid host is only cleaned."""
        return self.all if self.mode is CgroupMode.V2 else tuple(h for h in self.all if not h.v2)


@cache
def hierarchies() -> Hierarchies:
    """Those of this process's mount namespace, read once."""
    return parse(Path("/proc/self/mountinfo").read_text())


def parse(mountinfo: str) -> Hierarchies:
    """From the text of /proc/PID/mountinfo. A hierarchy that is mounted twice counts once, where it came first."""
    found: dict[tuple[bool, frozenset[str]], Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ")[:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        root = Path(left.split(" ")[4])
        names = (
            frozenset(o for o in options.split(",") if o not in _NOT_CONTROLLERS) if kind == "cgroup" else frozenset()
        )
        hierarchy = Hierarchy(root, kind == "cgroup2", names)
        found.setdefault((hierarchy.v2, names), hierarchy)
    trees = tuple(found.values())
    v1, v2 = any(not h.v2 for h in trees), any(h.v2 for h in trees)
    return Hierarchies(CgroupMode.HYBRID if v1 and v2 else CgroupMode.V1 if v1 else CgroupMode.V2, trees)


_NOT_CONTROLLERS = frozenset({"rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode"})


@effect("cgroup.make")
def make_pod(parent: str) -> None:
    """Make a pod's cgroup (``Layout.cgroup_parent``) in each hierarchy, with its controllers handed down."""
    where = hierarchies()
    for hierarchy in where.made():
        _make(hierarchy, parent)


@effect("cgroup.remove")
def remove_pod(parent: str) -> None:
    """Remove a pod's cgroup and those of its containers, in every hierarchy; gone already is fine.

    With the last pod goes the instance's own cgroup. Raises Busy while processes are in the pod's.
    """
    _remove_everywhere(parent)
    top = parent.rpartition("/")[0]
    for hierarchy in hierarchies().all:
        for directory in (_at(hierarchy, f"{top}/{MONITORS}"), _at(hierarchy, top)):
            with contextlib.suppress(OSError):  # not empty, or gone
                directory.rmdir()


@effect("cgroup.enter")
def enter_monitors(tag: str, pid: int) -> None:
    """Move a process out of the service's and the login session's cgroup, with all its threads.

    systemd kills what is in those with them; monitors must outlive both. Where a hierarchy does not take
    the process (cpuset without CPUs, a controller in use), it stays where it is: nobody is killed by that.
    """
    path = f"/reconciler-{tag}/{MONITORS}"
    for hierarchy in hierarchies().made():
        try:
            _enter(hierarchy, path, pid)
        except ProcessLookupError:
            return
        except OSError:
            if hierarchy.v2 or "name=systemd" in hierarchy.controllers:  # what systemd goes by
                raise


def _enter(hierarchy: Hierarchy, path: str, pid: int) -> None:
    for attempt in range(ATTEMPTS):
        directory = _make(hierarchy, path, leaf=True)
        try:
            _write(directory / "cgroup.procs", str(pid))
            return
        except OSError as e:  # another process tidied up in between
            if e.errno not in _VANISHED or attempt == ATTEMPTS - 1:
                raise


def leaked(tag: str, known_pods: Iterable[PodId]) -> tuple[Path, ...]:
    """Pod cgroups of this instance that belong to no known pod."""
    known = {f"pod-{pod}" for pod in known_pods} | {MONITORS}
    return tuple(
        child
        for hierarchy in hierarchies().all
        for child in _children(_at(hierarchy, f"/reconciler-{tag}"))
        if child.name not in known
    )


@effect("cgroup.remove-instance")
def remove_instance(tag: str) -> None:
    """Remove all cgroups of an instance that has no process left. Raises Busy while there is one."""
    _remove_everywhere(f"/reconciler-{tag}")


def pids(path: str) -> frozenset[int]:
    """Every process in the cgroup and below, in any hierarchy."""
    found: set[int] = set()
    for hierarchy in hierarchies().all:
        for directory in _tree(_at(hierarchy, path)):
            try:
                found.update(int(line) for line in (directory / "cgroup.procs").read_text().split())
            except OSError as e:
                if e.errno not in (errno.ENOENT, errno.ENODEV):
                    raise
    return frozenset(found - {0})


def children(path: str) -> tuple[str, ...]:
    """The cgroups directly below, by the union of all hierarchies."""
    found = {child.name for hierarchy in hierarchies().all for child in _children(_at(hierarchy, path))}
    return tuple(f"{path}/{name}" for name in sorted(found))


@effect("cgroup.kill")
def kill_all(path: str) -> None:
    """Send KILL to every process in the cgroup and below, and return; what is forked meanwhile is caught as well."""
    where = hierarchies()
    if where.mode is CgroupMode.V2:
        with contextlib.suppress(OSError):
            _write(_at(where.all[0], path) / "cgroup.kill", "1")  # since Linux 5.14
            return
    killed: set[int] = set()
    while fresh := pids(path) - killed:  # ends: each round kills what could fork
        for pid in fresh:
            _kill_inside(pid, path)
        killed |= fresh


def _kill_inside(pid: int, path: str) -> None:
    """Through a pidfd, and only while it is in the cgroup: the number may be another process's by now."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if pid in pids(path):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def memory_usage(path: str) -> int | None:
    """Bytes charged to the cgroup, or None where nobody counts."""
    file = _memory_file(path, "memory.current", "memory.usage_in_bytes")
    return None if file is None else _read_number(file)


def memory_limit(path: str) -> int | None:
    """The limit in bytes; None for none."""
    file = _memory_file(path, "memory.max", "memory.limit_in_bytes")
    number = None if file is None else _read_number(file)
    return None if number is None or number > _UNLIMITED_V1 else number


_UNLIMITED_V1 = 1 << 62
"""v1 shows "no limit" as the highest multiple of a page."""


class LimitBelowUsage(RuntimeFailed):
    """The memory limit cannot be lowered now: more is in use. v2 would kill, v1 refuses; try again later or replace."""


def update(path: str, resources: Resources) -> None:
    """Apply limits to a running container (or a pod) and read them back.

    Raises LimitBelowUsage before anything is changed, RuntimeFailed when the kernel does not take a value.
    """
    usage = memory_usage(path)
    if resources.memory_limit and usage is not None and usage > resources.memory_limit:
        raise LimitBelowUsage(
            f"cannot lower the memory limit of {path} to {resources.memory_limit} bytes: {usage} are in use"
        )
    for file, value in _settings(path, resources):
        _set(file, value)
    limit = memory_limit(path)
    if usage is not None and limit != _page(resources.memory_limit):
        raise RuntimeFailed(f"cannot set the memory limit of {path} to {resources.memory_limit}: it reads {limit}")


def _settings(path: str, resources: Resources) -> Iterator[tuple[Path, str]]:
    where = hierarchies()
    quota = cpu_quota(resources)
    if where.mode is CgroupMode.V2:
        directory = _at(where.all[0], path)
        yield directory / "cpu.weight", str(weight(resources))
        yield directory / "cpu.max", f"{quota or 'max'} {CPU_PERIOD}"
        yield directory / "memory.max", str(resources.memory_limit or "max")
        return
    if cpu := where.v1("cpu"):
        yield _at(cpu, path) / "cpu.shares", str(shares(resources))
        yield _at(cpu, path) / "cpu.cfs_period_us", str(CPU_PERIOD)
        yield _at(cpu, path) / "cpu.cfs_quota_us", str(quota or -1)
    if memory := where.v1("memory"):
        yield _at(memory, path) / "memory.limit_in_bytes", str(resources.memory_limit or -1)


@effect("cgroup.set")
def _set(file: Path, value: str) -> None:
    if not _OURS.match("/" + "/".join(file.parts[file.parts.index(_top(file)) :])):
        raise AssertionError(f"not ours: {file}")
    try:
        _write(file, value)
    except OSError as e:
        if e.errno == errno.EBUSY:
            raise LimitBelowUsage(f"cannot set {file.name} to {value}: more is in use") from e
        raise RuntimeFailed(f"cannot set {file.name} of {file.parent.name[:12]} to {value}: {e.strerror}") from e


def _top(file: Path) -> str:
    return next((p for p in file.parts if p.startswith("reconciler-")), file.parts[0])


def _page(size: int | None) -> int | None:
    """The kernel rounds limits down to pages."""
    page = os.sysconf("SC_PAGE_SIZE")
    return size // page * page if size else None


def _at(hierarchy: Hierarchy, path: str) -> Path:
    """Where ``path`` lies in a hierarchy. Refuses whatever does not carry our name: a bug, not an input."""
    if not _OURS.match(path) or ".." in path.split("/"):
        raise ValueError(f"not a cgroup of ours: {path}")
    return hierarchy.root / path.lstrip("/")


def _make(hierarchy: Hierarchy, path: str, *, leaf: bool = False) -> Path:
    directory = _at(hierarchy, path)
    for attempt in range(ATTEMPTS):
        try:
            _make_once(hierarchy, directory, leaf=leaf)
            break
        except OSError as e:
            if e.errno not in _VANISHED or attempt == ATTEMPTS - 1:
                raise
    return directory


def _make_once(hierarchy: Hierarchy, directory: Path, *, leaf: bool) -> None:
    """Make each directory on the way. v2 hands controllers down; v1's cpuset copies its parent's CPUs."""
    top = hierarchy.root
    for part in directory.relative_to(top).parts:
        if hierarchy.v2:
            _hand_down(top)
        top = top / part
        with contextlib.suppress(FileExistsError):  # not exist_ok: that looks again, and it may be gone by then
            top.mkdir(mode=0o755)
        if "cpuset" in hierarchy.controllers:
            _copy_cpuset(top)
    if hierarchy.v2 and not leaf:
        _hand_down(directory)


def _hand_down(directory: Path) -> None:
    """Enable every controller for the children. One that cannot be (its parent has none) is left out."""
    have = (directory / "cgroup.controllers").read_text().split()
    enabled = (directory / "cgroup.subtree_control").read_text().split()
    for controller in have:
        if controller not in enabled and controller in _WANTED:
            try:
                _write(directory / "cgroup.subtree_control", f"+{controller}")
            except OSError as e:
                if e.errno not in (errno.EBUSY, errno.ENOENT, errno.EOPNOTSUPP):
                    raise


_WANTED = frozenset({"cpu", "io", "memory", "pids"})


def _copy_cpuset(directory: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        file, inherited = directory / name, directory.parent / name
        if not inherited.exists():  # mounted with noprefix
            file, inherited = (p.with_name(name.removeprefix("cpuset.")) for p in (file, inherited))
        if not file.read_text().strip():
            _write(file, inherited.read_text().strip())


def _remove_everywhere(path: str) -> None:
    busy = [directory for h in hierarchies().all for directory in _rmdir_tree(_at(h, path))]
    if busy:
        inside = sorted(pids(path))
        who = f"pid {', '.join(map(str, inside[:5]))} in it" if inside else "in use"
        raise Busy(f"cannot remove cgroup {busy[0]}: {who}", after=0.1)


def _rmdir_tree(directory: Path) -> list[Path]:
    """Remove from the leaves up; returns what could not be."""
    busy: list[Path] = []
    for path in _tree(directory):
        try:
            path.rmdir()
        except FileNotFoundError:
            continue
        except OSError as e:
            if e.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            busy.append(path)
    return busy


def _tree(directory: Path) -> Iterator[Path]:
    """The directory and all below it, leaves first."""
    for child in _children(directory):
        yield from _tree(child)
    if directory.is_dir():
        yield directory


def _children(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _memory_file(path: str, v2: str, v1: str) -> Path | None:
    where = hierarchies()
    if where.mode is CgroupMode.V2:
        return _at(where.all[0], path) / v2
    hierarchy = where.v1("memory")
    return None if hierarchy is None else _at(hierarchy, path) / v1


def _read_number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return None if text == "max" else int(text)


def _write(file: Path, value: str) -> None:
    """One write(2), which is how the kernel takes a value or refuses it."""
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
