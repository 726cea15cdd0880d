"""Attaching to a container that has an input or a terminal: its monitor's socket, and the pipe that resizes.

The protocol is the C conmon's (conmon/attach.py, conmon/control.py). Any number of clients may be attached at once, and
each may be killed at any time: the monitor goes on without it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conmon import framing
from reconciler.engine import files, processes, recorded, watched
from reconciler.engine.context import Context
from reconciler.model.errors import InvalidInput, TryLater
from reconciler.model.key import ContainerId

RECORD = 8193
"""The most bytes of a record: what it is, and 8192 of it."""
STDOUT, STDERR = 2, 3
"""What a record's first byte says it is; a terminal's output is the former."""
LAST_BREATH = 1.0
"""How long a process may take from closing its output to its end."""
END_SECONDS = 10.0
"""How long a monitor may take from the end of its sessions to its own."""


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to the monitor: a packet socket, a record of output in each packet, input sent as it is."""

    connection: socket.socket
    bundle: Path
    stdin: bool
    tty: bool

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
    record = recorded.require(ctx, container)
    bundle = ctx.layout.container(container)
    if not (bundle / "attach").exists():
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
        yield Session(connection, bundle, record.spec.stdin, record.spec.tty)


def exit_code(ctx: Context, container: ContainerId) -> int | None:
    """How a container ended whose monitor has ended a session; None where it runs on, or nobody knows any more.

    The session's end comes first: the exit file is waited for until the monitor has ended.
    """
    bundle = ctx.layout.container(container)
    process = watched.process_of(recorded.facts_of(ctx, container))
    if not processes.wait_gone(process, LAST_BREATH):
        return None
    monitor = watched.monitor_of(bundle)
    if monitor is not None:
        processes.wait_gone(monitor, END_SECONDS)
    for path in (bundle / "exit", ctx.layout.exits / container):
        text = (files.read_or_none(path) or b"").strip()
        if text.lstrip(b"-").isdigit():
            return int(text)
    return None
