"""The attach socket: clients get the container's output from the moment they connect, and may send it input.

Clients come and go at any time and may be slow, stuck or killed: none of that may hold up the container,
the log or another client. So nothing here waits; what a client has not taken yet is queued for it, and a
client with too much in its queue is cut off. Imported only by monitors that have such a socket.
"""

from __future__ import annotations

import _socket as socket  # why: see memory.py
import os
import select
import time
from _collections import deque  # type: ignore[import-not-found]  # why: see memory.py

from conmon import fds, say
from conmon.framing import via_directory
from conmon.loop import Loop
from conmon.say import Fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = {b"stdout": b"\2", b"stderr": b"\3"}
"""The first byte of a record; a terminal's output is stdout."""
QUEUE = 1 << 20
"""Bytes of output that may wait for one client."""
RECORD = 8192
"""Bytes of output in a record, as clients expect."""
INPUT = 32768
"""Bytes of input per read."""
LINGER = 1.0
"""Seconds that clients are given, at the end, to take what is queued for them."""
_LINK_MOST = 107


class Stdin:
    """The way into the container: a pipe, a terminal, or nothing (what is sent is swallowed)."""

    def __init__(self, loop: Loop, fd: int | None = None, *, close_at_eof: bool = False, later: bool = False) -> None:
        """``close_at_eof``: the end of a client's input is the end of the container's.

        ``later``: the way in is opened later; until then input waits.
        """
        self._loop = loop
        self._fd: int | None = None
        self._pending = b""
        self._close_at_eof = close_at_eof
        self._ending = False
        self._later = later
        self.resume: Callable[[], None] = lambda: None
        self.closed: Callable[[], None] = lambda: None
        """Called when the container has no stdin any more."""
        if fd is not None:
            self.open(fd)

    def open(self, fd: int) -> None:
        """From now on input goes here."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._later = False
        self.resume()

    @property
    def full(self) -> bool:
        """Whether input must wait; ``resume`` is called when it need not any more."""
        return self._later or bool(self._pending)

    def write(self, data: bytes) -> None:
        if self._fd is None or self._ending:
            return
        self._pending += data
        self._flush()
        if self._pending:
            self._loop.watch(self._fd, self._ready, select.EPOLLOUT)

    def end(self) -> None:
        """A client's input has ended."""
        if self._close_at_eof and self._fd is not None:
            self._ending = True
            if not self._pending:
                self.close()

    def close(self) -> None:
        if self._fd is not None:
            self._loop.forget(self._fd)
            os.close(self._fd)
            self._fd = None
            self._pending = b""
            self.closed()

    def _ready(self) -> None:
        self._flush()
        if self._pending:
            return
        if self._fd is not None:
            self._loop.forget(self._fd)
            if self._ending:
                self.close()
        self.resume()

    def _flush(self) -> None:
        assert self._fd is not None
        try:
            while self._pending:
                self._pending = self._pending[os.write(self._fd, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()  # nobody reads it any more


class Client:
    """One connection. ``left`` is called when it is over."""

    def __init__(self, loop: Loop, connection: socket.socket, stdin: Stdin, left: Callable[[Client], None]) -> None:
        connection.setblocking(False)
        self._loop = loop
        self._socket = connection
        self._stdin = stdin
        self._left = left
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._listening = True
        self._parked = False
        loop.watch(connection.fileno(), self._ready, self._interest())

    @property
    def idle(self) -> bool:
        """Whether it has taken all that there is for it."""
        return not self._queue

    def send(self, record: bytes) -> None:
        """A record for it: now, later, or, if it is stuck, never."""
        if self._queued + len(record) > QUEUE:
            say.warn(f"attach client does not read, {self._queued} bytes wait for it: it is dropped")
            self.close()
            return
        self._queue.append(record)
        self._queued += len(record)
        if len(self._queue) == 1:
            self._flush()
            self.refresh()

    def refresh(self) -> None:
        """Tell the loop what it waits for."""
        if self._parked and not self._stdin.full:
            self._parked = False
            self._loop.watch(self._socket.fileno(), self._ready, self._interest())
        elif self._socket.fileno() >= 0 and not self._parked:
            self._loop.change(self._socket.fileno(), self._interest())

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._parked = False
            self._queue.clear()
            self._left(self)

    def _interest(self) -> int:
        reading = select.EPOLLIN if self._listening and not self._stdin.full else 0
        return reading | (select.EPOLLOUT if self._queue else 0)

    def _ready(self) -> None:
        gone = self._loop.events & (select.EPOLLHUP | select.EPOLLERR)
        if self._loop.events & select.EPOLLOUT:
            self._flush()
        if self._listening and (gone or self._loop.events & select.EPOLLIN) and not self._stdin.full:
            self._receive()
        if gone and self._listening and self._stdin.full:
            self._parked = True  # its hang-up would be told again and again until the input it left can be taken
            self._loop.forget(self._socket.fileno())
        elif gone:
            self._end_of_input()
            self.close()
        self.refresh()

    def _receive(self) -> None:
        """Take its input. After a hang-up: all that is left of it, as far as the container takes it."""
        while self._listening and not self._stdin.full:
            try:
                data = self._socket.recv(INPUT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._end_of_input()
            else:
                self._stdin.write(data)
            if not self._loop.events & select.EPOLLHUP:
                return

    def _end_of_input(self) -> None:
        if self._listening:
            self._listening = False
            self._stdin.end()

    def _flush(self) -> None:
        try:
            while self._queue:
                self._socket.send(self._queue[0])
                self._queued -= len(self._queue.popleft())
        except BlockingIOError:
            return
        except OSError:  # it does not want output any more; its input counts as before
            self._queue.clear()
            self._queued = 0


class Attach:
    """The listening socket ``attach`` in the bundle, and who is connected."""

    def __init__(self, loop: Loop, bundle: str, link: str | None, stdin: Stdin, listener: int | None = None) -> None:
        """``link``: where to put a short symbolic link to the bundle. ``listener``: the socket, where another monitor
        made both. Raises Fail."""
        self._loop = loop
        self._bundle = bundle
        self._stdin = stdin
        self._clients: list[Client] = []
        self._spare = fds.Spare()
        stdin.resume = self._refresh
        self._link = _make_link(bundle, link) if link is not None and listener is None else link
        self._listener = _listen(bundle) if listener is None else socket.socket(fileno=listener)
        loop.watch(self._listener.fileno(), self._accept)

    @property
    def fd(self) -> int:
        return self._listener.fileno()

    def output(self, stream: bytes, data: bytes) -> None:
        """What one read of the container's stdout or stderr gave, for everybody."""
        if self._clients:
            for start in range(0, len(data), RECORD):
                record = KINDS[stream] + data[start : start + RECORD]
                for client in tuple(self._clients):
                    client.send(record)

    def end(self) -> None:
        """The end for whoever has got everything, and for the socket's name: nobody else comes."""
        if self._listener.fileno() >= 0:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._spare.close()
            _unlink(f"{self._bundle}/attach")
        for client in tuple(self._clients):
            if client.idle:
                client.close()

    def close(self) -> None:
        """The end for all, after those who read have got everything."""
        self.end()
        self._loop.run(lambda: all(client.idle for client in self._clients), time.monotonic() + LINGER)
        for client in tuple(self._clients):
            client.close()

    def remove_link(self) -> None:
        """The last thing a monitor does."""
        if self._link is not None:
            _unlink(self._link)

    def _accept(self) -> None:
        connection = self._spare.accept(self._listener)
        if connection is not None:
            self._clients.append(Client(self._loop, connection, self._stdin, self._clients.remove))

    def _refresh(self) -> None:
        for client in self._clients:
            client.refresh()


def link_path(directory: str, cuuid: str) -> str:
    """The short link's name; of 107 bytes, the protocol drops the last."""
    path = f"{directory}/{cuuid}"
    return path[:-1] if len(os.fsencode(path)) == _LINK_MOST else path


def _make_link(bundle: str, link: str) -> str:
    try:
        _unlink(link)
        os.symlink(bundle, link)
    except OSError as error:
        raise Fail(f"Failed to create symlink for attach socket {link}: {error.strerror}") from None
    return link


def _listen(bundle: str) -> socket.socket:
    """A socket for this user alone. The bundle's path may be longer than an address."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        name, directory = via_directory(f"{bundle}/attach")
        old = os.umask(0o077)
        try:
            _unlink(name)
            listener.bind(name)
        finally:
            os.umask(old)
            os.close(directory)
        listener.listen(10)
    except OSError as error:
        listener.close()
        raise Fail(f"Failed to bind attach socket: {bundle}/attach: {error.strerror}") from None
    return listener


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
