"""The zygote: a prepared interpreter that forks a monitor per request, in milliseconds and with shared memory.

Single-threaded; it never blocks on a connection, because a fork of it reads the request. It may die at
any time: its monitors live on, and the next client starts another. Clients start it under a file lock
(``<socket without suffix>.lock``), so there is one per socket; it ends by itself when it has neither
children nor requests for a while.

Start-up, with the launcher at the other end of ``--ready``: it writes its pid, waits for a byte (the
launcher puts it into a cgroup meanwhile), listens, and writes ``ready``. A launcher that dies first ends it.

It is its monitors' subreaper and keeps a copy of what each holds of its container (``keeping``, ``wards``): one that
dies is replaced by another fork, and nobody else notices. So it stays for as long as it has monitors or containers.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # why: see process.py
import _socket as socket  # why: see memory.py
import errno
import fcntl
import os
import resource
import select
import sys
import time

from conmon import fds, framing, keeping, libc, lifecycle, memory, process, say
from conmon.framing import Request
from conmon.say import Fail
from conmon.settings import Settings
from conmon.wards import Ward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "conmon-zygote"
AGAIN = 1.0
"""Seconds after which a fork that failed is tried again."""
IDLE = 30.0
"""Seconds without children and requests after which it ends."""


def main(argv: list[str]) -> int:
    """``SOCKET [--ready FD] [--idle SECONDS] [padding]``: become the zygote. Returns when it has ended."""
    path, options = argv[0], dict(zip(argv[1::2], argv[2::2], strict=False))
    ready = int(options["--ready"]) if "--ready" in options else None
    idle = float(options.get("--idle", IDLE))
    code = framing.version()
    if os.fork() != 0:
        return 0
    _part(ready)
    if ready is not None:
        os.write(ready, f"{os.getpid()}\n".encode())
        if os.read(ready, 1) != b"g":
            return 1
    listener = listen(path)
    if ready is not None:
        os.write(ready, b"ready\n")
        os.close(ready)
    _preload()
    _open_many()
    from conmon import rehearsal

    rehearsal.rehearse()
    memory.before_forks()
    Zygote(path, listener, code, idle).serve()
    return 0


def listen(path: str) -> socket.socket:
    """A listening socket at ``path``, for this user alone; a stale one is replaced (the caller holds the lock)."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    name, directory = framing.via_directory(path)
    old = os.umask(0o077)
    try:
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass
        listener.bind(name)
    finally:
        os.umask(old)
        os.close(directory)
    listener.listen(128)
    return listener


def lock_path(path: str) -> str:
    """The lock under which a zygote for this socket is started."""
    return os.path.splitext(path)[0] + ".lock"


def _preload() -> None:
    """What only some monitors import: here it costs them nothing, and the others neither."""
    import conmon.attach
    import conmon.console
    import conmon.control
    import conmon.logs.dated
    import conmon.logs.journald
    import conmon.logs.rotation
    import conmon.notify
    import conmon.rehearsal  # noqa: F401


class Zygote:
    """Accepts, greets, forks, reaps.

    Wards are found, never gone through: to look at one writes to it (its reference count), and so copies a page that
    all monitors had in common since the last fork. ``_bereft`` are those that wait for another monitor, which are few.
    """

    def __init__(self, path: str, listener: socket.socket, code: str, idle: float) -> None:
        self._path = path
        self._listener: socket.socket | None = listener
        self._inode = os.stat(path).st_ino
        self._code = code
        self._idle = idle
        self._epoll = select.epoll()
        self._spare = fds.Spare()
        self._waiting: dict[int, socket.socket] = {}
        self._lines: dict[int, Ward] = {}
        self._monitors: dict[int, Ward] = {}
        self._bereft: list[Ward] = []
        self._children = 0

    def serve(self) -> None:
        """Until idle for long enough, or replaced and without children."""
        wakeup, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        assert self._listener is not None
        self._epoll.register(wakeup, select.EPOLLIN)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        quiet_since = time.monotonic()
        while self._busy or self._listener is not None:
            ready = self._epoll.poll(self._patience(quiet_since))
            if not ready and not self._busy:
                self._unlink()
                return
            for fd, _ in ready:
                self._event(fd, wakeup)
            for ward in [ward for ward in self._bereft if ward.due <= time.monotonic()]:
                self._replace(ward)
            quiet_since = time.monotonic()

    @property
    def _busy(self) -> bool:
        return bool(self._children or self._monitors or self._bereft)

    def _patience(self, quiet_since: float) -> float | None:
        """Seconds until something is to be done though nothing happens."""
        if not self._busy:
            return max(0.0, quiet_since + self._idle - time.monotonic())
        due = [ward.due for ward in self._bereft]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _event(self, fd: int, wakeup: int) -> None:
        if fd == wakeup:
            os.read(wakeup, 4096)
            self._reap()
        elif self._listener is not None and fd == self._listener.fileno():
            self._accept()
        elif fd in self._waiting:
            self._greet(self._waiting[fd])
        elif fd in self._lines:
            self._listen_to(self._lines[fd])

    def _accept(self) -> None:
        assert self._listener is not None
        connection = self._spare.accept(self._listener)
        if connection is None:
            return  # it has gone again, or descriptors are short: the client sees an end and starts the command line
        connection.setblocking(False)
        self._waiting[connection.fileno()] = connection
        self._epoll.register(connection.fileno(), select.EPOLLIN)
        self._greet(connection)

    def _greet(self, connection: socket.socket) -> None:
        """Read the greeting, when it is there; then the connection is a child's, or refused."""
        try:
            packet = connection.recv(256)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        self._epoll.unregister(connection.fileno())
        del self._waiting[connection.fileno()]
        try:
            self._answer(connection, *framing.read_greeting(packet))
        except ValueError:
            pass  # nobody that we know
        connection.close()

    def _answer(self, connection: socket.socket, code: str, length: int) -> None:
        if code != self._code:
            self._step_aside()
            _send(connection, framing.STALE)
        elif length == framing.PING:
            _send(connection, framing.TAKEN)
        elif length == framing.END:
            self._end(connection)
        else:
            self._fork(connection, length)

    def _fork(self, connection: socket.socket, length: int) -> None:
        """A monitor for a request, which it reads itself."""
        try:
            self._watch(Ward(*self._monitor(lambda line: child(connection, length, line))))
        except OSError:
            return  # no process, or no descriptor, to be had: the client sees an end and starts the command line

    def _replace(self, ward: Ward) -> None:
        """Another monitor for a container whose own has died."""
        try:
            ward.replaced(*self._monitor(lambda line: _again(ward, line)))
        except OSError:
            ward.due = time.monotonic() + AGAIN
            return
        self._bereft.remove(ward)
        self._watch(ward)

    def _monitor(self, body: Callable[[int], int]) -> tuple[int, socket.socket]:
        """Fork; ``body`` is done there with its end of the line. The pid, and our end. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
        try:
            pid = os.fork()
            if pid == 0:
                _be(body, theirs.detach())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._children += 1
        theirs.close()
        return pid, ours

    def _watch(self, ward: Ward) -> None:
        self._lines[ward.line.fileno()] = ward
        self._epoll.register(ward.line.fileno(), select.EPOLLIN)
        self._monitors[ward.monitor] = ward

    def _listen_to(self, ward: Ward) -> None:
        """A monitor says something; or has closed its end, by which it is dying."""
        if not ward.read():
            self._forget_line(ward)

    def _forget_line(self, ward: Ward) -> None:
        if self._lines.pop(ward.line.fileno(), None) is not None:
            self._epoll.unregister(ward.line.fileno())

    def _reap(self) -> None:
        """Take every dead child: a monitor, a container whose monitor has died, or an orphan of one."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._children = 0
                return
            if pid == 0:
                return
            ward = self._monitors.pop(pid, None)
            if ward is not None:
                self._died(ward, status)
            else:
                self._orphan_ended(pid, status)

    def _orphan_ended(self, pid: int, status: int) -> None:
        for ward in (*self._monitors.values(), *self._bereft):
            if ward.container == pid:
                ward.ended(process.exit_code(status))

    def _died(self, ward: Ward, status: int) -> None:
        """Its monitor has, and is among the monitors no more."""
        replaced = ward.died(status)
        self._forget_line(ward)
        ward.line.close()
        if replaced:
            self._bereft.append(ward)
        else:
            ward.close()

    def _step_aside(self) -> None:
        """Another version is wanted: listen no more, stay for the children."""
        if self._listener is not None:
            self._epoll.unregister(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def _end(self, connection: socket.socket) -> None:
        """Somebody has no use for it any more; a monitor whose end they saw may still lie here."""
        self._reap()
        if not self._busy:
            self._step_aside()
        _send(connection, framing.BUSY if self._busy else framing.TAKEN)

    def _unlink(self) -> None:
        """Remove the socket, unless somebody is about to replace it, or has.

        Only while we listen: that pins the inode; after it another zygote's socket may get the same number.
        """
        try:
            lock = os.open(lock_path(self._path), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except OSError:
            return
        finally:
            os.close(lock)


def _part(ready: int | None) -> None:
    """Leave everything of the caller's behind: session, descriptors, directory, environment, signals."""
    os.setsid()
    process.default_signals()
    fds.to_null((0, 1, 2))
    fds.close_all_but((0, 1, 2) if ready is None else (0, 1, 2, ready))
    os.chdir("/")
    os.umask(0o022)
    os.environ.clear()
    os.environ = {}  # type: ignore[assignment]  # noqa: B003  # why: see _take_on
    libc.become_subreaper()
    process.set_name(NAME)
    process.find_title()


def _be(body: Callable[[int], int], line: int) -> None:
    """In the fork: do it, and end."""
    status = 1
    try:
        status = body(line)
    finally:
        os._exit(status)


def child(connection: socket.socket, length: int, line: int) -> int:
    """In the fork: be the command line of one request. Its exit status."""
    process.default_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    conn = connection.detach()
    fds.close_all_but((0, 1, 2, conn, line))
    os.set_blocking(conn, True)
    os.write(conn, framing.TAKEN)
    answered = False

    def detach(settings: Settings) -> None:
        nonlocal answered
        lifecycle.write_conmon_pidfile(settings.options, os.getpid())
        answered = True
        tell(conn, 0, os.getpid())

    try:
        request, given = receive(conn, length)
        conn, line = settle([conn, line], request, given)
        process.set_title(" ".join(["conmon", *request.argv]))
        held = [fd for fd in request.targets if fd >= fds.FIRST]
        return_status = lifecycle.main(
            request.argv, detach, held, keeping.Line(line, request.argv, request.env, request.cwd)
        )
    except (OSError, ValueError) as error:
        say.failure(Fail(f"cannot take the request: {error}"))
        return_status = 1
    if not answered:
        tell(conn, return_status, 0)
    return return_status


def receive(conn: int, length: int) -> tuple[Request, list[int]]:
    """The request and the descriptors that came with it. Raises ValueError, OSError."""
    connection = socket.socket(fileno=conn)
    body, given = b"", list[int]()
    while len(body) < length:
        packet, ancillary, flags, _ = connection.recvmsg(framing.PACKET, socket.CMSG_SPACE(4 * framing.MOST_FDS))
        given += [
            int.from_bytes(data[start : start + 4], sys.byteorder)
            for level, kind, data in ancillary
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS
            for start in range(0, len(data), 4)
        ]
        if flags & socket.MSG_CTRUNC:
            raise ValueError("descriptors were lost")
        if not packet:
            raise ValueError("request is cut short")
        body += packet
    connection.detach()
    request = framing.unpack(body)
    if len(given) != len(request.targets):
        raise ValueError(f"{len(given)} descriptors for {len(request.targets)} numbers")
    return request, given


def settle(ours: list[int], request: Request, given: list[int]) -> list[int]:
    """Take on what the request says: descriptors, directory, environment, limits. Our descriptors' new numbers."""
    beyond = max([*request.targets, *given, *ours]) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, beyond) for fd in ours]
    fds.close_all(ours)
    fds.place(given, request.targets)
    _take_on(request.env, request.cwd)
    _limit(request.rlimits)
    return moved


def _take_on(env: dict[str, str], cwd: str) -> None:
    """Environment, directory and name. The environment is a plain dictionary (see memory.py), which whom we start is
    given; the C library knows no more of it than the time zone."""
    os.environ = env  # type: ignore[assignment]  # noqa: B003  # why: see above
    if "TZ" in env:
        os.putenv("TZ", env["TZ"])
    libc.tzset()
    os.chdir(cwd)
    process.set_name("conmon")


def _again(ward: Ward, line: int) -> int:
    """In the fork: take a dead monitor's place. The exit status."""
    process.default_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    fds.close_all_but((0, 1, 2, line, *ward.fds))
    kept = ward.kept()
    _take_on(kept.env, kept.cwd)
    process.set_title(" ".join(["conmon", *kept.argv]))
    return lifecycle.resume(kept, keeping.Line(line))


def _open_many() -> None:
    """As many files as may be: a pod with a thousand ports has as many sockets, and what is kept of each monitor is a
    few more. Containers get limits of their own."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _limit(rlimits: list[tuple[int, int, int]]) -> None:
    for number, soft, hard in rlimits:
        _, most = resource.getrlimit(number)
        ceiling = (
            hard if most == resource.RLIM_INFINITY else most if hard == resource.RLIM_INFINITY else min(hard, most)
        )
        limited = soft != resource.RLIM_INFINITY and (ceiling == resource.RLIM_INFINITY or soft <= ceiling)
        resource.setrlimit(number, (soft if limited else ceiling, ceiling))


def tell(conn: int, status: int, pid: int) -> None:
    try:
        os.write(conn, f"={status} {pid}".encode())
    except OSError:
        pass  # the client has gone: it will find the monitor, or not miss it
    os.close(conn)


def _send(connection: socket.socket, packet: bytes) -> None:
    try:
        connection.send(packet, socket.MSG_NOSIGNAL)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.EAGAIN):
            raise
