"""Pods' cgroups as units of systemd: a slice per pod, which systemd makes, and whose values only systemd may write.

Under systemd with cgroup v2 the tree is systemd's: what others write into the cgroup of a unit is undone at its next
``daemon-reload``. So slices are started, changed and stopped through it, over its private socket (which needs no bus).
Containers are scopes in their pod's slice, which the OCI runtime has systemd make (``--systemd-cgroup``); monitors have
a scope of their own, which ends neither with our service nor with the login session that started us.

All instances of the machine share ``reconciler.slice``: who makes something below it and who takes it away when it is
empty exclude each other by a lock on the tree's root directory, which leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.engine.cgroups import hierarchies as hosts
from reconciler.engine.cgroups import names
from reconciler.engine.cgroups.hierarchies import children
from reconciler.engine.effects import effect
from reconciler.engine.oci.linux import CPU_PERIOD, cpu_quota, shares, to_weight
from reconciler.linux.dbus import SIGNAL, Connection, DBusError, Message, Variant
from reconciler.linux.units import PRIVATE
from reconciler.model.errors import RuntimeFailed
from reconciler.model.spec import Resources

BUS = Path("/run/dbus/system_bus_socket")
"""What the OCI runtimes reach systemd by."""
TIMEOUT = 30.0

_MANAGER = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_EXISTS = "org.freedesktop.systemd1.UnitExists"
_UNKNOWN = "org.freedesktop.systemd1.NoSuchUnit"
_INFINITY = (1 << 64) - 1

Properties = list[tuple[str, Variant]]

_LASTING: Properties = [("DefaultDependencies", ("b", False))]
"""Not stopped when the machine begins to shut down: ``system stop`` ends containers in order then, each with its grace;
without it systemd kills what is left at the very end."""


def why_not() -> str:
    """Why this machine's cgroups cannot be systemd's; "" where they can."""
    if not Path("/run/systemd/system").is_dir():
        return "systemd does not run here"
    with contextlib.suppress(OSError):
        if Path("/proc/1/comm").read_text().strip() != "systemd":
            return "process 1 here is not systemd: process ids would be others than it knows"
    if not PRIVATE.is_socket():
        return f"{PRIVATE} is not there"
    return "" if BUS.is_socket() else f"{BUS} is not there, by which the OCI runtime would ask (install dbus)"


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else makes a slice of ours, or takes one away."""
    root = os.open(hosts.current().all[0].root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(root, fcntl.LOCK_EX)
        yield
    finally:
        os.close(root)


@effect("slice.start")
def start(path: str, properties: Properties) -> None:
    """Have the slice at ``path``, with these properties, when this returns. Raises RuntimeFailed."""
    unit = names.unit(path)
    described: Properties = [("Description", ("s", f"Pods of reconciler: {unit[:60]}")), *_LASTING, *properties]
    with _connected(f"make {unit}") as systemd:
        try:
            _run(systemd, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "replace", described, [])
        except DBusError as e:
            if e.name != _EXISTS:
                raise
            if properties:
                _set(systemd, unit, properties)  # systemd knows it, which does not mean that it runs
            _run(systemd, "StartUnit", "ss", unit, "replace")


@effect("slice.set")
def set_properties(path: str, properties: Properties) -> None:
    """Change a living unit; until the next boot, as it is made anew then. Raises RuntimeFailed."""
    unit = names.unit(path)
    with _connected(f"set {', '.join(name for name, _ in properties)} of {unit}") as systemd:
        _set(systemd, unit, properties)


@effect("slice.stop")
def stop(path: str) -> None:
    """End a unit and what is in it; gone already is fine. Raises RuntimeFailed."""
    unit = names.unit(path)
    with _connected(f"stop {unit}") as systemd:
        try:
            _run(systemd, "StopUnit", "ss", unit, "replace")
        except DBusError as e:
            if e.name != _UNKNOWN:
                raise


@effect("scope.enter")
def enter(path: str, pid: int) -> None:
    """Move a process into the scope at ``path``, made where it is not there.

    Delegated: systemd lets nobody join one that is not, and ends all of it when one is killed for want of memory.
    One that failed goes by itself, or it would be in the way for ever. One that ends or fails between two of our
    questions is made anew. Raises RuntimeFailed, ProcessLookupError.
    """
    unit, parent = names.unit(path), names.unit(path.rpartition("/")[0])
    properties: Properties = [
        ("Description", ("s", "Monitors of reconciler's pods")),
        *_LASTING,
        ("PIDs", ("au", [pid])),
        ("Slice", ("s", parent)),
        ("TasksMax", ("t", _INFINITY)),
        ("Delegate", ("b", True)),
        ("CollectMode", ("s", "inactive-or-failed")),
    ]
    with _connected(f"move process {pid} into {unit}") as systemd, _alive(pid):
        for last in (False, True):
            try:
                _run(systemd, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "replace", properties, [])
                return
            except DBusError as e:
                if e.name != _EXISTS:
                    raise
            if _joined(systemd, path, pid, must=last):
                return
            with contextlib.suppress(DBusError):
                systemd.call(*_MANAGER, "ResetFailedUnit", "s", unit)


@contextmanager
def _alive(pid: int) -> Iterator[None]:
    """What systemd refuses for a process that has ended meanwhile is told as that."""
    try:
        yield
    except DBusError as e:
        if not Path(f"/proc/{pid}").exists():
            raise ProcessLookupError(pid) from e
        raise


def _joined(systemd: Connection, path: str, pid: int, *, must: bool) -> bool:
    """Whether the process is in the scope now. Raises DBusError where it ``must`` be and is not.

    An older version made scopes that are not delegated, in which its monitors live on: systemd lets nobody join one,
    the kernel does.
    """
    try:
        systemd.call(*_MANAGER, "AttachProcessesToUnit", "ssau", names.unit(path), "", [pid])
    except DBusError:
        with contextlib.suppress(OSError):
            procs = hosts.current().all[0].at(path) / "cgroup.procs"
            procs.write_text(str(pid))
            return True
        if must:
            raise
        return False
    return True


def take_away_if_empty(paths: Iterable[str]) -> None:
    """Stop those slices, inner ones first, that hold nothing any more."""
    with alone():
        for path in paths:
            directory = hosts.current().all[0].at(path)
            if directory.is_dir() and not children(directory):
                stop(path)


def properties(resources: Resources) -> Properties:
    """A pod's values as systemd calls them."""
    quota = cpu_quota(resources)
    return [
        ("CPUWeight", ("t", to_weight(shares(resources)))),
        ("CPUQuotaPeriodUSec", ("t", CPU_PERIOD)),
        ("CPUQuotaPerSecUSec", ("t", quota * 1_000_000 // CPU_PERIOD if quota else _INFINITY)),
        ("MemoryMax", ("t", resources.memory_limit or _INFINITY)),
        ("TasksMax", ("t", resources.pids_limit or _INFINITY)),
    ]


def weight(cpu_shares: int) -> Properties:
    return [("CPUWeight", ("t", to_weight(cpu_shares)))]


@contextmanager
def _connected(to: str) -> Iterator[Connection]:
    """A connection to systemd, whose refusals are ours. ``to``: what for."""
    try:
        with Connection(PRIVATE, TIMEOUT) as connection:
            yield connection
    except DBusError as e:
        raise RuntimeFailed(f"cannot {to}: systemd says: {e}") from e
    except ProcessLookupError:
        raise
    except OSError as e:
        raise RuntimeFailed(f"cannot {to}: systemd does not answer: {e.strerror or e}") from e


def _set(systemd: Connection, unit: str, properties: Properties) -> None:
    systemd.call(*_MANAGER, "SetUnitProperties", "sba(sv)", unit, True, properties)


def _run(systemd: Connection, member: str, signature: str, *values: object) -> None:
    """Call what answers with a job, and wait for the job's end, of which a signal tells."""
    signals: list[Message] = []
    (job,) = systemd.call(*_MANAGER, member, signature, *values, signals=signals)
    while True:
        for message in signals:
            if message.kind == SIGNAL and message.member == "JobRemoved" and message.body[1] == job:
                if message.body[3] not in ("done", "skipped"):
                    raise DBusError(f"the job ended as {message.body[3]}", "")
                return
        signals = [systemd.receive()]
