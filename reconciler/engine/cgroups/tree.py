"""Cgroups made, entered, emptied, removed and found."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from reconciler.engine.cgroups import hierarchies as hosts
from reconciler.engine.cgroups import names, systemd, values
from reconciler.engine.cgroups.hierarchies import Hierarchy, children, tree
from reconciler.engine.cgroups.names import Driver
from reconciler.engine.effects import effect
from reconciler.engine.files import read_small
from reconciler.engine.oci.host import CgroupMode
from reconciler.engine.oci.linux import MIN_SHARES
from reconciler.model.errors import Busy
from reconciler.model.key import PodId
from reconciler.model.qos import Qos
from reconciler.model.spec import Resources

DEFAULT_SHARES = 1024
NOTHING_SET = Resources()
ATTEMPTS = 50
"""How often to make a directory anew that another process, which saw it empty, removed at that moment."""
_VANISHED = (errno.ENOENT, errno.ENODEV)


def make_pod(path: str, resources: Resources = NOTHING_SET, cpu_shares: int = DEFAULT_SHARES) -> None:
    """Make a pod's cgroup in each hierarchy, with its values, and what lies above it. ``cpu_shares`` are those of the
    instance's own cgroup. Raises RuntimeFailed."""
    tag, driver = names.tag_of(path), names.driver_of(path)
    above = {names.top(tag, driver): cpu_shares, names.level(tag, Qos.BEST_EFFORT, driver): MIN_SHARES}
    if driver is Driver.SYSTEMD:
        with systemd.alone():
            _make_slices(names.parents(path), above)
            systemd.start(path, systemd.properties(resources))
        return
    _make_pod(path)
    for parent in names.parents(path):
        if parent in above:
            values.set_level(parent, above[parent])
    values.update_pod(path, resources)


def _make_slices(paths: Iterable[str], cpu_shares: dict[str, int]) -> None:
    """Outer ones first. Each is started by us: a change of one that systemd made by itself would outlive it.

    What all instances together weigh on this machine is its administrator's to say: that slice has systemd's default.
    """
    for path in paths:
        if not hosts.current().all[0].at(path).is_dir():
            shares = cpu_shares.get(path, DEFAULT_SHARES)
            systemd.start(path, [] if path == names.SLICE else systemd.weight(shares))
        elif path in cpu_shares:
            values.set_level_alone(path, cpu_shares[path])


@effect("cgroup.make")
def _make_pod(path: str) -> None:
    """In each hierarchy, with its controllers handed down."""
    for hierarchy in hosts.current().made():
        _make(hierarchy, path)


def remove_pod(path: str, *, above: bool = True) -> None:
    """Remove a pod's cgroup and those of its containers, in every hierarchy; gone already is fine. ``above``: and what
    lies above it, if nothing else does. Raises Busy while processes are in the pod's."""
    _remove(path)
    if above:
        _remove_above(names.tag_of(path), names.driver_of(path))


def tidy(tag: str) -> None:
    """With the last pod go the levels and the instance's own cgroup. Those in use stay."""
    for driver in Driver:
        if driver is not Driver.SYSTEMD or hosts.current().all[0].at(names.top(tag, driver)).is_dir():
            _remove_above(tag, driver)


def _remove_above(tag: str, driver: Driver) -> None:
    tops = (*names.levels(tag, driver), names.top(tag, driver))
    if driver is Driver.SYSTEMD:
        systemd.take_away_if_empty((*tops, names.SLICE))
    else:
        _remove_if_empty((names.monitors(tag), *tops))


def remove_container(path: str) -> None:
    """Remove the cgroup of a container, and what is below it; gone already is fine. Raises Busy while it is in use."""
    _remove(path)


def _remove(path: str) -> None:
    if names.driver_of(path) is Driver.SYSTEMD and hosts.current().all[0].at(path).is_dir():
        with systemd.alone():  # stopping would kill what is begun meanwhile
            _expect_nobody(path)
            systemd.stop(path)
    _remove_everywhere(path)


@effect("cgroup.tidy")
def _remove_if_empty(paths: Iterable[str]) -> None:
    for hierarchy in hosts.current().all:
        for directory in map(hierarchy.at, paths):
            with contextlib.suppress(OSError):  # not empty, or gone
                directory.rmdir()


def enter_monitors(tag: str, pid: int, driver: Driver = Driver.CGROUPFS) -> None:
    """Move a process out of the service's and the login session's cgroup, with all its threads.

    systemd kills what is in those with them; monitors must outlive both. Where a hierarchy does not take
    the process (cpuset without CPUs, a controller in use), it stays where it is: nobody is killed by that.
    """
    path = names.monitors(tag, driver)
    if driver is Driver.SYSTEMD:
        with systemd.alone(), contextlib.suppress(ProcessLookupError):
            _make_slices(names.parents(path), {})
            systemd.enter(path, pid)
        return
    _enter_monitors(path, pid)


@effect("cgroup.enter")
def _enter_monitors(path: str, pid: int) -> None:
    for hierarchy in hosts.current().made():
        try:
            _enter(hierarchy, path, pid)
        except ProcessLookupError:
            return
        except OSError:
            if hierarchy.v2 or "name=systemd" in hierarchy.controllers:  # what systemd goes by
                raise


def monitors(tag: str) -> frozenset[int]:
    """Every process that was made to ``enter_monitors``, and their children there."""
    return frozenset().union(*(pids(names.monitors(tag, driver)) for driver in Driver))


def _enter(hierarchy: Hierarchy, path: str, pid: int) -> None:
    for attempt in range(ATTEMPTS):
        directory = _make(hierarchy, path, leaf=True)
        try:
            _write(directory / "cgroup.procs", str(pid))
            return
        except OSError as e:  # another process tidied up in between
            if e.errno not in _VANISHED or attempt == ATTEMPTS - 1:
                raise


def pods(tag: str) -> dict[PodId, tuple[str, ...]]:
    """Every pod cgroup of the instance, by the pod's id: its paths (more than one only by a mistake)."""
    found: dict[PodId, set[str]] = {}
    for path in _all(tag):
        pod = names.pod_of(path)
        if pod is not None:
            found.setdefault(pod, set()).add(path)
    return {pod: tuple(sorted(paths)) for pod, paths in found.items()}


def find(tag: str, pod: PodId) -> tuple[str, ...]:
    """The paths at which the pod has a cgroup, looked for by its name alone."""
    everywhere = hosts.current().all
    found = tuple(p for p in names.pod_places(tag, pod) if any(h.at(p).is_dir() for h in everywhere))
    return found or tuple(path for path in elsewhere(tag) if names.pod_of(path) == pod)


def containers(pod: str) -> tuple[str, ...]:
    """The paths of the cgroups in a pod's."""
    found = {child.name for hierarchy in hosts.current().all for child in children(hierarchy.at(pod))}
    return tuple(f"{pod}/{name}" for name in sorted(found))


def leaked(tag: str, known_pods: Iterable[PodId]) -> tuple[Path, ...]:
    """Cgroups of this instance, in each hierarchy, that belong to no known pod."""
    known = set(known_pods)
    strange = [path for path in _all(tag) if names.pod_of(path) not in known]
    found = (hierarchy.at(path) for path in strange for hierarchy in hosts.current().all)
    return tuple(path for path in found if path.is_dir())


def elsewhere(tag: str) -> tuple[str, ...]:
    """The cgroups of pods that lie below those of others. Reads all that this host has."""
    found: set[str] = set()
    for hierarchy in hosts.current().all:
        for top, directories, _ in os.walk(hierarchy.root):
            ours = [name for name in directories if (match := names.elsewhere(name)) and match[1] == tag]
            found.update("/" + str((Path(top) / name).relative_to(hierarchy.root)) for name in ours)
            directories[:] = [name for name in directories if name not in ours]
    return tuple(sorted(found))


def _all(tag: str) -> list[str]:
    """Every cgroup directly below the instance's own and its levels, but those that are its own furniture; and those
    of pods that lie elsewhere."""
    found: list[str] = [*elsewhere(tag)]
    for driver in Driver:
        levels = names.levels(tag, driver)
        below = [path for parent in (names.top(tag, driver), *levels) for path in containers(parent)]
        found += [path for path in below if path not in {names.monitors(tag, driver), *levels}]
    return found


def tops(tag: str) -> tuple[str, ...]:
    """The instance's own cgroups, of each driver."""
    return tuple(names.top(tag, driver) for driver in Driver)


@effect("cgroup.remove-instance")
def remove_instance(tag: str, others: Iterable[str] = ()) -> None:
    """Remove all cgroups of an instance that has no process left, and ``others`` of it. Raises Busy while there is
    one."""
    for path in (*others, *tops(tag)):
        _remove(path)
    if hosts.current().mode is CgroupMode.V2:
        systemd.take_away_if_empty((names.SLICE,))


def pids(path: str) -> frozenset[int]:
    """Every process in the cgroup and below, in any hierarchy."""
    found: set[int] = set()
    for hierarchy in hosts.current().all:
        for directory in tree(hierarchy.at(path)):
            try:
                found.update(int(line) for line in (directory / "cgroup.procs").read_text().split())
            except OSError as e:
                if e.errno not in (errno.ENOENT, errno.ENODEV):
                    raise
    return frozenset(found - {0})


@effect("cgroup.kill")
def kill_all(path: str) -> None:
    """Send KILL to every process in the cgroup and below, and return; what is forked meanwhile is caught as well."""
    where = hosts.current()
    if where.mode is CgroupMode.V2:
        with contextlib.suppress(OSError):
            _write(where.all[0].at(path) / "cgroup.kill", "1")  # since Linux 5.14
            return
    killed: set[int] = set()
    while fresh := pids(path) - killed:  # ends: each round kills what could fork
        for pid in fresh:
            _kill_inside(pid, path)
        killed |= fresh
    _thaw(path)


def _thaw(path: str) -> None:
    """Let what is frozen go on, as a frozen process of v1 does not die (v2 lets it: cgroup-v2.rst, cgroup.freeze)."""
    freezer = hosts.current().v1("freezer")
    for directory in tree(freezer.at(path)) if freezer else ():
        with contextlib.suppress(OSError):  # gone meanwhile
            if (directory / "freezer.state").read_text().strip() != "THAWED":
                _write(directory / "freezer.state", "THAWED")


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


def _make(hierarchy: Hierarchy, path: str, *, leaf: bool = False) -> Path:
    directory = hierarchy.at(path)
    for attempt in range(ATTEMPTS):
        try:
            _make_once(hierarchy, directory, leaf=leaf)
            break
        except OSError as e:
            if e.errno not in _VANISHED or attempt == ATTEMPTS - 1:
                raise
    return directory


def _make_once(hierarchy: Hierarchy, directory: Path, *, leaf: bool) -> None:
    """Make each directory on the way, which is there nearly always. v2 hands controllers down, v1's cpuset copies its
    parent's CPUs; elsewhere there is nothing to see to."""
    copies = "cpuset" in hierarchy.controllers
    if not hierarchy.v2 and _is_made(directory) and (not copies or _copy_cpuset(directory)):
        return
    top = hierarchy.root
    for part in directory.relative_to(top).parts:
        if hierarchy.v2:
            _hand_down(top)
        top = top / part
        with contextlib.suppress(FileExistsError):  # not exist_ok: that looks again, and it may be gone by then
            top.mkdir(mode=0o755)
        if copies:
            _copy_cpuset(top)
    if hierarchy.v2 and not leaf:
        _hand_down(directory)


def _is_made(directory: Path) -> bool:
    try:
        directory.mkdir(mode=0o755)
    except FileExistsError:
        pass
    except FileNotFoundError:
        return False
    return True


def _hand_down(directory: Path) -> None:
    """Enable every controller for the children. One that cannot be (its parent has none) is left out."""
    have = read_small(directory / "cgroup.controllers").decode().split()
    enabled = read_small(directory / "cgroup.subtree_control").decode().split()
    for controller in have:
        if controller not in enabled and controller in _WANTED:
            try:
                _write(directory / "cgroup.subtree_control", f"+{controller}")
            except OSError as e:
                if e.errno not in (errno.EBUSY, errno.ENOENT, errno.EOPNOTSUPP):
                    raise


_WANTED = frozenset({"cpu", "io", "memory", "pids"})


def _copy_cpuset(directory: Path) -> bool:
    """False where the parent has none to copy: whoever made it was killed before it had. What is made below has its
    CPUs from the beginning: for each that is written later the kernel goes through all cpusets of the machine."""
    here, above, copied = str(directory), str(directory.parent), False
    prefix = "cpuset." if os.access(f"{above}/cpuset.cpus", os.F_OK) else ""  # mounted with noprefix
    for name in (f"{prefix}cpus", f"{prefix}mems"):
        if not read_small(f"{here}/{name}").strip():
            inherited = read_small(f"{above}/{name}").strip()
            if not inherited:
                return False
            _write(f"{here}/{name}", inherited.decode())
            copied = True
    if copied:
        with contextlib.suppress(OSError):
            _write(f"{here}/cgroup.clone_children", "1")
    return True


@effect("cgroup.remove")
def _remove_everywhere(path: str) -> None:
    busy = [directory for h in hosts.current().all for directory in _rmdir_tree(h.at(path))]
    if busy:
        _expect_nobody(path)
        raise Busy(f"cannot remove cgroup {busy[0]}: in use", after=0.1)


def _expect_nobody(path: str) -> None:
    inside = sorted(pids(path))
    if inside:
        raise Busy(f"cannot remove cgroup {path}: pid {', '.join(map(str, inside[:5]))} in it", after=0.1)


def _rmdir_tree(directory: Path) -> list[Path]:
    """Remove from the leaves up; returns what could not be."""
    busy: list[Path] = []
    for path in tree(directory):
        try:
            path.rmdir()
        except FileNotFoundError:
            continue
        except OSError as e:
            if e.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            busy.append(path)
    return busy


def _write(file: Path | str, value: str) -> None:
    """One write(2), which is how the kernel takes a value or refuses it."""
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
