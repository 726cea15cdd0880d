"""Attaching to a container that has an input or a terminal: its monitor's socket, and the pipe that resizes.

The protocol is the C conmon's (conmon/attach.py, conmon/control.py). Any number of clients may be attached at once, and
each may be killed at any time: the monitor goes on without it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conmon import framing
from reconciler.engine import files, processes, recorded, watched
from reconciler.engine.context import Context
from reconciler.engine.observe import UNKNOWN_EXIT
from reconciler.engine.records import ContainerRecord
from reconciler.model.errors import InvalidInput, TryLater
from reconciler.model.key import ContainerId

RECORD = 8193
"""The most bytes of a record: what it is, and 8192 of it."""
STDOUT, STDERR = 2, 3
"""What a record's first byte says it is; a terminal's output is the former."""
LAST_BREATH = 1.0
"""How long a process may take from closing its output to its end."""
LOOK = 0.01
"""Between two looks at what a monitor has told; it may have much to do when it has."""
END_SECONDS = 10.0
"""How long a monitor may take from the end of its sessions to its own."""


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to the monitor: a packet socket, a record of output in each packet, input sent as it is. ``life``:
    which of the container's, where it has several."""

    connection: socket.socket
    bundle: Path
    stdin: bool
    tty: bool
    life: int = 0

    def resize(self, rows: int, columns: int) -> None:
        """Tell the container's terminal how large ours is. A monitor that has ended needs not know."""
        try:
            fd = os.open(self.bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.write(fd, f"1 {rows} {columns}\n".encode())
        except OSError:
            return  # full: somebody else floods it
        finally:
            os.close(fd)


@contextmanager
def attached(ctx: Context, container: ContainerId) -> Iterator[Session]:
    """Raises NotFound, InvalidInput where the container has nothing to attach to, TryLater where nobody answers."""
    facts = recorded.facts_of(ctx, container)
    record = recorded.record_for(ctx, container, facts) or recorded.require(ctx, container)
    bundle = ctx.layout.container(container)
    if not (bundle / "attach").exists() or not _has_streams(ctx, record):
        raise InvalidInput(
            f"cannot attach to {record.name}: its manifest gives it neither stdin nor tty",
            hint=f"see what it writes: reconciler logs -f {record.name}",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            name, directory = framing.via_directory(str(bundle / "attach"))
            try:
                connection.connect(name)
            finally:
                os.close(directory)
        except OSError as e:
            raise TryLater(f"cannot attach to {record.name}: its monitor does not answer ({e.strerror})") from e
        yield Session(connection, bundle, record.spec.stdin, record.spec.tty, facts.life)


def _has_streams(ctx: Context, record: ContainerRecord) -> bool:
    """Whether there is something to attach to: the C conmon always offers its socket. As ``containers`` has it made."""
    return record.spec.stdin or record.spec.tty or recorded.is_by_hand(ctx, record)


def exit_code(ctx: Context, container: ContainerId, life: int | None = None) -> int | None:
    """How a container ended (that ``life`` of it) whose monitor has ended a session; None where it runs on, or nobody
    knows any more.

    The session's end comes first: what the monitor tells then is waited for, as long as it is there. Somebody may have
    written that down before us, and begun another life.
    """
    facts = recorded.facts_of(ctx, container)
    life = facts.life if life is None else life
    if facts.life == life and not processes.wait_gone(watched.process_of(facts), LAST_BREATH):
        return None
    bundle, deadline = ctx.layout.container(container), time.monotonic() + END_SECONDS
    while True:
        monitor = watched.monitor_of(bundle, life)
        code = _told(ctx, container, life)
        if code is not None or monitor is None or time.monotonic() > deadline:
            return code
        processes.wait_gone(monitor, LOOK)


def _told(ctx: Context, container: ContainerId, life: int) -> int | None:
    """What is known of that life's end. The files are its as long as the facts are, before and after."""
    code = None
    for path in (ctx.layout.container(container) / "exit", ctx.layout.exits / container):
        text = (files.read_or_none(path) or b"").strip()
        if code is None and text.lstrip(b"-").isdigit():
            code = int(text)
    facts = recorded.facts_of(ctx, container)
    if facts.life == life:
        end = facts.exit
        return code if end is None or (end.code == UNKNOWN_EXIT and code is not None) else end.code
    end = facts.past.end if facts.past is not None else None
    return end.code if end is not None else None
