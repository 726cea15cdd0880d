"""The processes of a container, as it sees them itself: its own process ids, users by its own names.

All is read from /proc from outside. A container may have made anything of its files: names of users are looked up in
what its root directory shows, no link leads out of that, and nothing but a regular file is opened. Reading only: a
process that ends meanwhile is left out.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.engine import cgroups, podgroups, processes
from reconciler.engine.context import Context
from reconciler.linux.syscalls import KERNEL, Syscalls
from reconciler.model.key import PodId
from reconciler.model.observed import Container, PidRef

TICKS = os.sysconf("SC_CLK_TCK")
_MOST = 4 << 20
"""Bytes of /etc/passwd that are read: as much as of an image's."""
_ARGS_MOST = 1 << 16

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@dataclass(frozen=True, slots=True)
class Ids:
    """Of users or groups: real, effective, and the supplementary groups."""

    real: int
    effective: int
    more: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """``pid``, ``parent`` and ``group`` are numbers in the container's namespace (0: not there), ``host_pid`` on this
    machine; ``users`` and ``groups`` likewise. Sizes are bytes, times seconds: ``cpu`` of all its threads since its
    start, which was ``elapsed`` ago. ``state`` is /proc's letter, ``tty`` "?" for none, ``seccomp`` /proc's number,
    ``capabilities`` are bits, by the names in CAPABILITIES."""

    pid: int
    parent: int
    group: int
    host_pid: int
    users: Ids
    groups: Ids
    host_users: Ids
    host_groups: Ids
    name: str
    command: str
    state: str
    nice: int
    tty: str
    size: int
    resident: int
    cpu: float
    elapsed: float
    seccomp: int
    label: str
    capabilities: dict[str, int]


@dataclass(frozen=True, slots=True)
class Inside:
    """``users`` and ``groups`` are names by number, as the container itself has them."""

    processes: tuple[Process, ...] = ()
    users: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IdMap:
    """How a user namespace's ids lie on this machine: (first inside, first outside, count). None: it is our own."""

    ranges: tuple[tuple[int, int, int], ...] | None = None

    def inside(self, outside: int) -> int:
        """The id in the namespace; what it does not have is nobody there, as the kernel tells it."""
        if self.ranges is None:
            return outside
        found = (first + outside - begin for first, begin, count in self.ranges if begin <= outside < begin + count)
        return next(found, NOBODY)


NOBODY = 65534
"""The kernel's overflowuid."""


def of_container(ctx: Context, pod: PodId, container: Container) -> Inside:
    """In the order of their ids; nothing where the container has ended."""
    first = container.pid
    status = _status(first.pid) if first else None
    if first is None or status is None:
        return Inside()
    depth = len(status["NSpid"].split())
    users, groups = _id_map(first.pid, "uid_map"), _id_map(first.pid, "gid_map")
    names = _names(first)
    if not processes.alive(first):  # looked at after reading: that was it
        return Inside()
    places = podgroups.container_places(ctx, pod, container.id)
    now = ctx.clock.now()
    seen = [_process(pid, depth, users, groups, now) for pid in _pids(places)]
    still = _pids(places)  # a number may be somebody else's by now
    there = [process for process in seen if process and process.host_pid in still]
    return Inside(tuple(sorted(there, key=lambda process: process.pid)), *names)


def _pids(places: Iterable[str]) -> frozenset[int]:
    return frozenset().union(*map(cgroups.pids, places))


def _process(pid: int, depth: int, users: IdMap, groups: IdMap, now: float) -> Process | None:
    status, fields = _status(pid), _stat(pid)
    if status is None or fields is None:
        return None
    host_users, host_groups = ids(status["Uid"]), ids(status["Gid"], status.get("Groups", ""))
    name = status["Name"]
    return Process(
        pid=at_depth(status["NSpid"], depth),
        parent=_parent(status["PPid"], depth),
        group=at_depth(status["NSpgid"], depth),
        host_pid=pid,
        users=mapped(host_users, users),
        groups=mapped(host_groups, groups),
        host_users=host_users,
        host_groups=host_groups,
        name=name,
        command=_command(pid) or f"[{name}]",
        state=fields[0],
        nice=int(fields[16]),
        tty=terminal(int(fields[4])),
        size=int(fields[20]),
        resident=int(status.get("VmRSS", "0").split()[0]) << 10,
        cpu=(int(fields[11]) + int(fields[12])) / TICKS,
        elapsed=max(1 / TICKS, now - int(fields[19]) / TICKS),
        seccomp=int(status.get("Seccomp", "0")),
        label=_label(pid),
        capabilities={name: int(status.get(name, "0"), 16) for name in CAPABILITIES},
    )


def at_depth(numbers: str, depth: int) -> int:
    """Of a process's ids in its namespaces, from ours inwards, the one in the ``depth``-th; 0 where it has none."""
    there = numbers.split()
    return int(there[depth - 1]) if len(there) >= depth else 0


def _parent(pid: str, depth: int) -> int:
    """A parent out of the namespace is none (0): who started the container, or a command in it."""
    status = _status(int(pid)) if pid != "0" else None
    return at_depth(status["NSpid"], depth) if status else 0


def ids(line: str, more: str = "") -> Ids:
    """By the lines Uid (real, effective, saved, file system) or Gid, and Groups."""
    real, effective = line.split()[:2]
    return Ids(int(real), int(effective), tuple(map(int, more.split())))


def mapped(outside: Ids, id_map: IdMap) -> Ids:
    """The same ids as the user namespace has them."""
    more = tuple(map(id_map.inside, outside.more))
    return Ids(id_map.inside(outside.real), id_map.inside(outside.effective), more)


def terminal(number: int) -> str:
    """A terminal's name below /dev by its device number (Documentation/admin-guide/devices.txt)."""
    major, minor = os.major(number), os.minor(number)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return {(5, 0): "tty", (5, 1): "console"}.get((major, minor), "?")


def status_of(text: str) -> dict[str, str]:
    """/proc/PID/status: each line's value by its name."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _status(pid: int) -> dict[str, str] | None:
    text = _read(f"/proc/{pid}/status")
    return status_of(text) if text else None


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (a name may hold anything)."""
    text = _read(f"/proc/{pid}/stat")
    return text.rpartition(")")[2].split() if text else None


def _command(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline").rstrip("\0").replace("\0", " ")


def _label(pid: int) -> str:
    return _read(f"/proc/{pid}/attr/current").strip("\0\n")


def _read(path: str) -> str:
    """What a process's file says; "" when the process is gone, or the kernel has no such thing."""
    try:
        with open(path, "rb") as file:
            return file.read(_ARGS_MOST).decode(errors="replace")
    except OSError:
        return ""


def _id_map(pid: int, name: str) -> IdMap:
    try:
        ours = Path("/proc/self/ns/user").samefile(f"/proc/{pid}/ns/user")
    except OSError:
        return IdMap()
    return IdMap() if ours else id_map_of(_read(f"/proc/{pid}/{name}"))


def id_map_of(text: str) -> IdMap:
    """/proc/PID/uid_map or gid_map."""
    rows = (line.split() for line in text.splitlines())
    return IdMap(tuple((int(inside), int(outside), int(count)) for inside, outside, count in rows))


def _names(first: PidRef) -> tuple[dict[int, str], dict[int, str]]:
    try:
        root = os.open(f"/proc/{first.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return {}, {}
    try:
        return names_of(text_in(root, "etc/passwd")), names_of(text_in(root, "etc/group"))
    finally:
        os.close(root)


def text_in(root: int, path: str, kernel: Syscalls = KERNEL) -> str:
    """What a file says to who has the directory ``root`` as root; "" where it is none that can be read without harm.

    It is looked at before it is opened: opening a device may do something, opening a pipe waits.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = kernel.find_in_root(root, path)
            stack.callback(os.close, found)
            if not stat.S_ISREG(os.fstat(found).st_mode):
                return ""
            file = stack.enter_context(open(f"/proc/self/fd/{found}", "rb"))
            return file.read(_MOST).decode(errors="replace")
        except OSError:
            return ""


def names_of(text: str) -> dict[int, str]:
    """Names by number of /etc/passwd or /etc/group; of several with one number the first, as getpwuid(3) has it."""
    found: dict[int, str] = {}
    for fields in _fields(text.splitlines()):
        found.setdefault(int(fields[2]), fields[0])
    return found


def _fields(lines: Iterable[str]) -> Iterable[list[str]]:
    fields = (line.split(":") for line in lines)
    return (f for f in fields if len(f) >= 3 and f[0] and f[2].isascii() and f[2].isdecimal() and len(f[2]) <= 10)
