"""Whether a container's process runs, and whether its monitor watches it.

For whoever looks, so nothing here makes or changes anything.
"""

from __future__ import annotations

import time
from pathlib import Path

from reconciler.engine import files, processes, recorded
from reconciler.engine.context import Context
from reconciler.engine.records import ContainerFacts
from reconciler.model.key import ContainerId
from reconciler.model.observed import PidRef

MONITOR_PID = "monitor.pid"
ZYGOTE = b"conmon-zygote\n"
"""What the kernel calls it (conmon/zygote.py)."""
SUCCESSOR_SECONDS = 1.0
"""For a monitor that was killed to have another in its place."""


def lives(ctx: Context, container: ContainerId) -> bool:
    """Whether its process runs."""
    return processes.alive(process_of(recorded.facts_of(ctx, container)))


def process_of(facts: ContainerFacts) -> PidRef:
    """The container's process; nobody's number where it was made in another boot."""
    if facts.boot != processes.boot_id():
        return PidRef(0, 0)
    return PidRef(facts.pid, facts.pid_start)


def monitored(ctx: Context, container: ContainerId) -> bool:
    """Whether the container's monitor lives, and so will tell how it ended."""
    monitor = monitor_of(ctx.layout.container(container))
    return monitor is not None and processes.alive(monitor) and watches(monitor, container)


def await_successor(ctx: Context, container: ContainerId) -> bool:
    """Whether the container has a monitor, after a moment: the zygote replaces one that was killed."""
    deadline = time.monotonic() + SUCCESSOR_SECONDS
    while not monitored(ctx, container):
        if time.monotonic() > deadline or not _zygote_lives(ctx):
            return False
        time.sleep(0.005)  # rare, and nobody tells
    return True


def monitor_of(bundle: Path) -> PidRef | None:
    """The process that wrote its pid there as the container's monitor, while it is there."""
    text = files.read_or_none(bundle / MONITOR_PID) or b""
    return processes.pid_ref(int(text)) if text.strip().isdigit() else None


def watches(monitor: PidRef, container: ContainerId) -> bool:
    """Whether the process is (still) the container's monitor, not a later one of the same number."""
    try:
        return container.encode() in Path(f"/proc/{monitor.pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _zygote_lives(ctx: Context) -> bool:
    """Of any version: one that stepped aside goes on for its monitors."""
    from reconciler.engine import cgroups

    return any(files.read_or_none(Path(f"/proc/{pid}/comm")) == ZYGOTE for pid in cgroups.monitors(ctx.layout.tag))
