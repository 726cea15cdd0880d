"""What there is of a container's lives is ended: monitors, processes, and the traces that they leave for others.

A monitor's first act is to say its pid in a file in the bundle, and it cannot create a container without what lies
beside that file. So once the directory of both is out of the way no monitor can begin that was asked for by somebody
who was killed, nor another take the place of a dead one; those that began before have said so in it, or have the
container on their command line. For holders of the pod's lock.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from reconciler.engine import cgroups, files, podgroups, processes
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.recorded import facts_of
from reconciler.engine.store import pods as index
from reconciler.engine.watched import (
    LIFE,
    MONITOR_PID,
    children_of,
    exit_command_of,
    monitor_in,
    monitor_of,
    process_of,
    watches,
)
from reconciler.model.errors import Busy, TryLater
from reconciler.model.key import ContainerId
from reconciler.model.observed import PidRef

KILL_SECONDS = 10.0
LAST_WORDS = 2.0
"""Seconds that a monitor has for what comes after its container's end: clients who read slowly get one of them."""
_LOOK = 0.005
"""Seconds between two looks whether a monitor that is still there is through."""

_OF_A_LIFE = ("exit", "oom", "attach", "ctl", "winsz")
"""What a monitor makes in the bundle."""


def bury(ctx: Context, container: ContainerId) -> Path | None:
    """Take the bundle away and end every monitor that began with it; where it lies now."""
    bundle = ctx.layout.container(container)
    for file in _monitor_files(bundle):
        _end_monitor(container, file)
    grave = files.bury(bundle, ctx.layout.trash)
    for file in _monitor_files(grave) if grave is not None else ():
        _end_monitor(container, file)
    _end_monitors_by_name(container)
    return grave


def end_monitors(ctx: Context, container: ContainerId, life: int, *, cut_short: bool) -> None:
    """See that no monitor does anything for the container any more; the bundle stays. ``life``: whose monitor is given
    the time to tell all; ``cut_short``: a later one was begun, and whoever asked for it was killed."""
    bundle = ctx.layout.container(container)
    monitor = monitor_of(bundle, life)
    if monitor is not None and watches(monitor, container):
        _is_through_in(monitor, container, LAST_WORDS)
    for directory in bundle.glob(f"{LIFE}*"):
        grave = files.bury(directory, ctx.layout.trash)
        if grave is not None:
            _end_monitor(container, grave / MONITOR_PID)
            files.delete(grave)
    if not life:
        _end_monitor(container, bundle / MONITOR_PID)
    if cut_short:
        _end_monitors_by_name(container)


def await_monitor(container: ContainerId, bundle: Path, life: int) -> None:
    """Its last acts are the exit files and the release of held ports; both must be over. One that was killed has a
    successor. Raises TryLater."""
    deadline = time.monotonic() + KILL_SECONDS
    while (monitor := monitor_of(bundle, life)) is not None and watches(monitor, container):
        if not _is_through_in(monitor, container, deadline - time.monotonic()):
            raise TryLater(f"cannot remove container {container[:12]}: its monitor {monitor.pid} does not end")
        if processes.alive(monitor):
            return  # we are the one for whom it waits


def end_processes(ctx: Context, container: ContainerId) -> None:
    """Kill all of it, and wait: neither the runtime nor the cgroup can be rid of what is still dying.

    Raises TryLater when something does not die.
    """
    paths = cgroups_of(ctx, container)
    facts = facts_of(ctx, container)
    inside = sorted(pid for path in paths for pid in cgroups.pids(path))
    ends = [process_of(facts), *filter(None, map(processes.pid_ref, inside))]
    processes.send_signal(process_of(facts), signal.SIGKILL)
    for path in paths:
        cgroups.kill_all(path)
    for process in ends:
        if not processes.wait_gone(process, KILL_SECONDS):
            raise TryLater(f"cannot remove container {container[:12]}: process {process.pid} does not die")


def end_group(ctx: Context, container: ContainerId) -> None:
    """The same, and remove its cgroup. What the runtime was just making may come into it late. Raises TryLater."""
    deadline = time.monotonic() + KILL_SECONDS
    while True:
        end_processes(ctx, container)
        try:
            for path in cgroups_of(ctx, container):
                cgroups.remove_container(path)
            return
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK)


@effect("container.forget")
def forget(ctx: Context, container: ContainerId) -> None:
    """Drop what lies of it in the instance's own directories: exit, kills for want of memory, pid, runtime's state."""
    known = (ctx.layout.exits / container, ctx.layout.oom_count(container), ctx.layout.pids / container)
    for path in known:
        path.unlink(missing_ok=True)
        for cut_short in path.parent.glob(f".{path.name}*"):  # of a monitor or a runtime that was killed as it wrote
            cut_short.unlink(missing_ok=True)
    for state in (ctx.layout.run / "runtime").glob(f"*/{container}"):
        files.discard(state, ctx.layout.run_trash)


@effect("bundle.clear")
def clear(ctx: Context, container: ContainerId) -> None:
    """Drop what monitors left in a bundle that is to be used again: the C conmon makes its pipes but once."""
    bundle = ctx.layout.container(container)
    for name in _OF_A_LIFE:
        (bundle / name).unlink(missing_ok=True)
        for cut_short in bundle.glob(f".{name}.*"):
            cut_short.unlink(missing_ok=True)


def cgroups_of(ctx: Context, container: ContainerId) -> tuple[str, ...]:
    """The container's cgroup, relative to the root of each hierarchy. By the index, as the record may be lost: then
    all that it may be."""
    pod = index.pod_of(ctx.store, container)
    return podgroups.container_places(ctx, pod, container) if pod else ()


def _is_through_in(monitor: PidRef, container: ContainerId, seconds: float) -> bool:
    """Whether a monitor ends within so many seconds, or does nothing any more but wait for us.

    An exit command is to do what we are about to do, or waits for nothing any more: it is ended.
    """
    deadline = time.monotonic() + seconds
    while not processes.wait_gone(monitor, _LOOK):
        command = exit_command_of(monitor, container)
        if command is not None and command.pid == os.getpid():
            return True
        if command is not None:
            processes.send_signal(command, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
    return True


def _monitor_files(bundle: Path) -> Iterator[Path]:
    yield bundle / MONITOR_PID
    yield from bundle.glob(f"{LIFE}*/{MONITOR_PID}")


def _end_monitor(container: ContainerId, file: Path) -> None:
    monitor = monitor_in(file)
    if monitor is not None and watches(monitor, container):
        _end(monitor)


def _end(monitor: PidRef) -> None:
    """With the runtime that it may be waiting for: that is told to die with it, but takes a moment."""
    children = [child for child in children_of(monitor) if child.pid != os.getpid()]
    for process in (monitor, *children):
        processes.send_signal(process, signal.SIGKILL)
    for process in (monitor, *children):
        processes.wait_gone(process, KILL_SECONDS)


def _end_monitors_by_name(container: ContainerId) -> None:
    """Those that have the container on their command line, whatever else is known of them: also in no cgroup of ours,
    where whoever was to move it there was killed."""
    for entry in os.scandir("/proc"):
        monitor = processes.pid_ref(int(entry.name)) if entry.name.isdecimal() else None
        if monitor is not None and watches(monitor, container):
            _end(monitor)
