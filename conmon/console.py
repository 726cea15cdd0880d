"""The container's terminal: the runtime makes it and hands us the master over a socket. We hold it until the end.

The socket's file exists until the runtime has connected, or has failed. Imported only with --terminal.
"""

from __future__ import annotations

import _socket as socket  # why: see memory.py
import fcntl
import os
import sys
import termios

from conmon import fds, say
from conmon.loop import Loop
from conmon.say import Fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TIOCGPTPEER = 0x5441
_MOST = 4096


class Console:
    """Waits for the terminal; ``arrived(master)`` is called once, at most."""

    def __init__(self, loop: Loop, arrived: Callable[[int], None], ends: list[int] | None = None) -> None:
        """``ends``: of a terminal that is there already, the master and what ``hold_other_end`` gave.

        Raises Fail if there is no place for the socket ($TMPDIR, else /tmp).
        """
        self._loop = loop
        self._arrived = arrived
        self._rows_columns: tuple[int, int] | None = None
        self._master: int | None = None
        self._connection: socket.socket | None = None
        self._listener: socket.socket | None = None
        self.ends = ends or []
        self.path = ""
        if ends:
            self._master = ends[0]
        else:
            self._listen()

    def _listen(self) -> None:
        self.path = f"{os.environ.get('TMPDIR') or '/tmp'}/conmon-term.{os.urandom(6).hex()}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        old = os.umask(0o077)
        try:
            self._listener.bind(self.path)
            self._listener.listen(1)
        except OSError as error:
            self._listener.close()
            raise Fail(f"Failed to bind to console-socket {self.path}: {error.strerror or error}") from None
        finally:
            os.umask(old)
        self._loop.watch(self._listener.fileno(), self._accept)

    def resize(self, rows: int, columns: int) -> None:
        """Now, or as soon as there is a terminal."""
        self._rows_columns = (rows, columns)
        if self._master is None:
            return
        size = b"".join(number.to_bytes(2, sys.byteorder) for number in (rows, columns, 0, 0))
        try:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        except OSError as error:
            say.warn(f"Failed to set process pty terminal size: {error.strerror}")

    def finish(self) -> bool:
        """The runtime has ended: take what it sent, if we have not yet. Whether there is a terminal."""
        if self._master is None and self._connection is None:
            self._accept()
        if self._master is None and self._connection is not None:
            self._receive()
        self._stop_listening()
        return self._master is not None

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            self._connection = fds.accept(self._listener)
        except OSError:
            return
        self._stop_listening()
        self._connection.setblocking(False)
        self._loop.watch(self._connection.fileno(), self._receive)

    def _stop_listening(self) -> None:
        if self._listener is not None and self._listener.fileno() >= 0:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            os.unlink(self.path)

    def _receive(self) -> None:
        assert self._connection is not None
        try:
            _, ancillary, _, _ = self._connection.recvmsg(_MOST, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            ancillary = []
        self._loop.forget(self._connection.fileno())
        self._connection.close()
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._take(int.from_bytes(data[:4], sys.byteorder))
                return

    def _take(self, master: int) -> None:
        self._master = master
        try:
            attributes = termios.tcgetattr(master)
            attributes[1] |= termios.ONLCR
            termios.tcsetattr(master, termios.TCSANOW, attributes)
        except termios.error as error:
            say.warn(f"Failed to set console terminal settings: {error.args[-1]}")
        self.ends = [master, *hold_other_end(master)]
        if self._rows_columns is not None:
            self.resize(*self._rows_columns)
        self._arrived(master)


def hold_other_end(master: int) -> list[int]:
    """Open the terminal's other end ourselves: it cannot hang up while processes of the container close and open it."""
    try:
        return [fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)]
    except OSError as error:
        say.warn(f"cannot hold the terminal open: {error.strerror}")
        return []
