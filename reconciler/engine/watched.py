"""Whether a container's process runs, and whether its monitor watches it.

For whoever looks, so nothing here makes or changes anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from reconciler.engine import files, processes, recorded
from reconciler.engine.context import Context
from reconciler.engine.records import ContainerFacts
from reconciler.model.key import ContainerId
from reconciler.model.observed import PidRef

MONITOR_PID = "monitor.pid"
LIFE = "life-"
"""Begins the name of the directory of one life of a container that may have several."""
ZYGOTE = b"conmon-zygote\n"
"""What the kernel calls it (conmon/zygote.py)."""
ENDED = "ended"
"""The word before the container's id at the end of an exit command."""
SUCCESSOR_SECONDS = 1.0
"""For a monitor that was killed to have another in its place."""


def lives(ctx: Context, container: ContainerId) -> bool:
    """Whether its process runs."""
    return ctx.lives(process_of(recorded.facts_of(ctx, container)))


def process_of(facts: ContainerFacts) -> PidRef:
    """The container's process; nobody's number where it was made in another boot."""
    if facts.boot != processes.boot_id():
        return PidRef(0, 0)
    return PidRef(facts.pid, facts.pid_start)


def monitored(ctx: Context, container: ContainerId, life: int) -> bool:
    """Whether the monitor of that life of the container is there, and so will tell how it ended."""
    known = ctx.cache.monitors.get(container)
    if known is not None and known[0] == life and ctx.lives(known[1]):
        return True  # a process that was its monitor stays that until it ends
    monitor = monitor_of(ctx.layout.container(container), life)
    if monitor is None or not processes.alive(monitor) or not watches(monitor, container):
        return False
    ctx.cache.monitors[container] = life, monitor
    return True


def await_successor(ctx: Context, container: ContainerId, life: int) -> bool:
    """Whether the container has a monitor, after a moment: the zygote replaces one that was killed."""
    deadline = time.monotonic() + SUCCESSOR_SECONDS
    while not monitored(ctx, container, life):
        if time.monotonic() > deadline or not _zygote_lives(ctx):
            return False
        time.sleep(0.005)  # rare, and nobody tells
    return True


def _monitor_file(bundle: Path, life: int) -> str:
    return f"{bundle}/{LIFE}{life}/{MONITOR_PID}" if life else f"{bundle}/{MONITOR_PID}"


def monitor_file(bundle: Path, life: int) -> Path:
    """Where the monitor says its pid, as its first act.

    A container that may have several lives has a directory for each, in which there is also what the container is
    created with: when that is gone, no monitor of that life can begin any more, nor take the place of another one.
    """
    return Path(_monitor_file(bundle, life))


def monitor_of(bundle: Path, life: int = 0) -> PidRef | None:
    """The process that wrote its pid there as the container's monitor, while it is there."""
    return monitor_in(_monitor_file(bundle, life))


def monitor_in(file: str | Path) -> PidRef | None:
    """The process whose pid is in the file, while it is there."""
    text = files.read_or_none(file) or b""
    return processes.pid_ref(int(text)) if text.strip().isdigit() else None


def watches(monitor: PidRef, container: ContainerId) -> bool:
    """Whether the process is (still) the container's monitor, not a later one of the same number. Others, too, name
    the container on their command line: its exit command does."""
    return f" -c {container} ".encode() in _command_line(monitor.pid).replace(b"\0", b" ")


def is_zygote(ctx: Context, pid: int) -> bool:
    """Whether a process is the instance's zygote, or one that it has just forked."""
    return f"\0--zygote\0{ctx.layout.zygote_socket}\0".encode() in _command_line(pid)


def exit_command_of(monitor: PidRef, container: ContainerId) -> PidRef | None:
    """The exit command (``… ended ID``) that a monitor waits for: it has told all that it has to tell of a container
    that has ended."""
    return next((child for child in children_of(monitor) if _is_exit_command(child, container)), None)


def children_of(monitor: PidRef) -> Iterator[PidRef]:
    """The runtime, the exit command, the container, orphans of it; where the kernel tells of children."""
    try:
        children = Path(f"/proc/{monitor.pid}/task/{monitor.pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return
    yield from filter(None, (processes.pid_ref(int(child)) for child in children))


def _is_exit_command(process: PidRef, container: ContainerId) -> bool:
    return _command_line(process.pid).endswith(f"\0{ENDED}\0{container}\0".encode())


def _command_line(pid: int) -> bytes:
    """A zero after each word; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _zygote_lives(ctx: Context) -> bool:
    """Of any version: one that stepped aside goes on for its monitors."""
    from reconciler.engine import cgroups

    return any(files.read_or_none(Path(f"/proc/{pid}/comm")) == ZYGOTE for pid in cgroups.monitors(ctx.layout.tag))
