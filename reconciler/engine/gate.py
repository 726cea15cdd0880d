"""The gate at which a created container waits for its start: a FIFO in the runtime's directory of it.

Whoever starts a container meets its first process there and takes the FIFO away; to both runtimes a container counts as
created as long as it is there. crun's process reads a byte, then its program runs (crun: status.c,
libcrun_status_write_exec_fifo); runc's writes one (runc: libcontainer/container_linux.go, exec). A runtime's ``start``
does just that, and hooks, which no container of ours has; it is a program more to load for each, though, and with runc
that takes longer than all else.

What is not as it is known here is left to the runtime: it starts the container, or says what is wrong with it.
"""

from __future__ import annotations

import json
import os
import select
from contextlib import suppress
from pathlib import Path

from reconciler.engine import processes
from reconciler.engine.effects import effect
from reconciler.model.process import PidRef

FIFO = "exec.fifo"
PATIENCE = 5.0
"""Seconds that runc's process may take to write its byte; it has been waiting for us."""

_STATE = {
    "runc": ("state.json", "init_process_pid", "init_process_start"),
    "crun": ("status", "pid", "process-start-time"),
}
"""Where a runtime keeps who a container's first process is: file, and keys of number and start time."""


def open_gate(runtime: str, known: Path, container: str) -> bool:
    """Let the process of a created container run its program; whether it does, or did already.

    ``known``: the runtime's directory of the container. One who was killed here had perhaps let the process go: the
    FIFO is still there, then, and nobody waits at it; the runtime's own ``start`` would wait for ever.
    """
    fifo = known / FIFO
    if not fifo.exists():
        return False
    process = _process_of(runtime, known)
    if process is None or not processes.alive(process):  # its number may be another's by now
        return False
    if not (_has_gone(process, container) or _lets_go(runtime, fifo, process)):
        return False
    _take_away(fifo)
    return True


def _process_of(runtime: str, known: Path) -> PidRef | None:
    file, pid, start = _STATE[runtime]
    try:
        state = json.loads((known / file).read_bytes())
        return PidRef(int(state[pid]), int(state[start]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _has_gone(process: PidRef, container: str) -> bool:
    """Whether it runs the container's program already, and is not runc's or crun's any more."""
    try:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return len(words) > 1 and words[1] != b"init" and container.encode() not in words


@effect("gate.open")
def _lets_go(runtime: str, fifo: Path, process: PidRef) -> bool:
    with suppress(OSError):  # ENXIO: nobody waits there
        return _hears(fifo) if runtime == "crun" else _speaks(fifo, process)
    return False


def _hears(fifo: Path) -> bool:
    fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.write(fd, b"\0") == 1
    finally:
        os.close(fd)


def _speaks(fifo: Path, process: PidRef) -> bool:
    pidfd = processes.opened(process)
    if pidfd is None:
        return False
    try:
        fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            poll = select.poll()
            for either in (fd, pidfd):
                poll.register(either, select.POLLIN)
            return bool(poll.poll(PATIENCE * 1000) and os.read(fd, 1))
        finally:
            os.close(fd)
    finally:
        os.close(pidfd)


@effect("gate.remove")
def _take_away(fifo: Path) -> None:
    fifo.unlink(missing_ok=True)
