"""Asks for monitors (conmon processes), one per container, and learns what became of the container's creation.

The quick way is a zygote (conmon/zygote.py) that forks them; the sure way, taken with a foreign conmon or when
no zygote can be had, is to start the command line. Either way the monitor owes nothing to us once it has the
request: we may be killed at any line. Then the container may come to exist without our having read its pid:
pidfile, exit file and the runtime's state tell the next run.

Any number of threads and processes may call at once: each request has its own connection, and a zygote is
started under a file lock.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from conmon import framing
from reconciler.engine import children, locks, processes, sealed
from reconciler.engine.beside import nothing
from reconciler.engine.effects import effect
from reconciler.engine.layout import Layout
from reconciler.model.errors import Busy, RuntimeFailed
from reconciler.model.key import ContainerId

TIMEOUT = 120.0
"""Seconds for a container's creation; a runtime that hangs is told to stop."""

_START_TIMEOUT = 20.0
"""Seconds for a zygote to start, or for a command line to daemonise."""

_END_TIMEOUT = 2.0
"""Seconds for a zygote to end that has nothing to do; one of an older version does when its last monitor has ended."""

_PASSED = ("PATH", "TZ", "TMPDIR", "DBUS_SYSTEM_BUS_ADDRESS")
"""What of our environment a monitor and the runtime get: nothing that changes what a container is. Not XDG_RUNTIME_DIR:
crun 1.8 would ask the user's systemd of a root that logged in, and the container would end with the login."""

_PADDING = 256
"""Spaces on the zygote's command line, for its monitors to write theirs over."""


@dataclass(frozen=True, slots=True)
class MonitorRequest:
    """One container to create and to watch.

    runtime_args are the runtime's global arguments. log is a CRI log file, or None for output that nobody
    wants. monitor_pidfile gets the monitor's own pid, before create returns. exit_dir and persist_dir must exist.
    prepare is a file of mount operations (conmon/prepare.py) done in the runtime's process. keep_fds stay open
    in the monitor until the container has ended (sockets that hold published ports); the container gets none.
    oom_file counts the processes that the kernel killed for want of memory (by our own conmon only). With stdin or
    terminal, or when it is to be reachable, there are an attach socket and a ctl pipe in the bundle (sessions.py);
    stdin_once closes the container's stdin at the end of the first client's.
    exit_command is run by the monitor when all is told of a container that has ended.
    log_size is the bytes after which the log is rotated (0: never is), log_files how many files of it there are at
    most; a foreign conmon discards the log instead (it could keep some from 2.2 on, but under other names).
    """

    cid: ContainerId
    name: str
    bundle: Path
    runtime: Path
    runtime_args: tuple[str, ...]
    log: Path | None
    pidfile: Path
    exit_dir: Path
    persist_dir: Path
    prepare: Path | None = None
    keep_fds: tuple[int, ...] = ()
    monitor_pidfile: Path | None = None
    oom_file: Path | None = None
    stdin: bool = False
    stdin_once: bool = False
    terminal: bool = False
    reachable: bool = False
    exit_command: tuple[str, ...] = ()
    log_size: int = 0
    log_files: int = 5


class Monitors:
    """Creates containers under monitors, for one root.

    conmon: a binary that speaks the C conmon's protocol, to be used instead of ours. enter_cgroup: called with the
    pid of a zygote or of a cold-started monitor before it serves, to move it out of our own cgroup. idle: seconds
    after which a zygote without children and requests ends.
    """

    def __init__(
        self,
        layout: Layout,
        conmon: Path | None = None,
        enter_cgroup: Callable[[int], None] | None = None,
        *,
        idle: float = 30.0,
    ) -> None:
        self._socket = layout.zygote_socket
        self._lock = layout.run / "zygote.lock"
        self._conmon = conmon
        self._enter_cgroup = enter_cgroup
        self._idle = idle

    def warm(self) -> None:
        """Make sure a zygote of this version runs, so that the first create is quick.

        Raises RuntimeFailed when there can be none; ``create`` still works then, slowly.
        """
        if self._conmon is None and not _listens(self._socket):
            try:
                self._start_zygote()
            except _NoZygote as error:
                raise RuntimeFailed(f"cannot start the zygote: {error}") from None

    @effect("zygote.end")
    def end(self) -> None:
        """End the zygote, if one listens. Raises Busy when it has monitors, which it could not replace any more."""
        with locks.exclusive(self._lock):
            connection = _connected(self._socket)
            if connection is None:
                return
            with connection:
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                pidfd = _pidfd(struct.unpack("3i", credentials)[0])
                answer = _asked_to_end(connection)
            if pidfd is None:
                return
            with _closing(pidfd):
                if answer == framing.BUSY or not processes.ended(pidfd, _END_TIMEOUT):
                    raise Busy("cannot end the zygote: it has monitors", after=_END_TIMEOUT)

    @effect("monitor.create")
    def create(self, request: MonitorRequest, asked: Callable[[], None] = nothing) -> int:
        """Create the container under a new monitor; the pid of its init process, which waits for ``start``.

        ``asked`` is called when a zygote has been asked for it, which may be more than once, or never.
        Raises RuntimeFailed with the runtime's own words; then the container does not run, but parts of its state may
        exist.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        with _closing(reader), open(os.memfd_create("errors"), "w+b") as errors:
            try:
                monitor = self._launch(request, writer, errors, asked)
            finally:
                os.close(writer)
            with _closing(monitor) if monitor is not None else contextlib.nullcontext():
                return _pid(_answer(reader, monitor, request), request)

    def _launch(
        self, request: MonitorRequest, sync: int, errors: IO[bytes], asked: Callable[[], None] = nothing
    ) -> int | None:
        """Get a monitor going; a pidfd of it where its pid is known. Raises RuntimeFailed."""
        if self._conmon is None:
            with sealed.copy_of(request.runtime) as copy:
                try:
                    return self._by_zygote(request, sync, errors, copy, asked)
                except _NoZygote:
                    self._by_command(request, sync, errors, copy)
        else:
            self._by_command(request, sync, errors)
        return None

    def _by_zygote(
        self, request: MonitorRequest, sync: int, errors: IO[bytes], copy: int | None, asked: Callable[[], None]
    ) -> int | None:
        """Raises _NoZygote as long as nothing has been done, RuntimeFailed after that."""
        fds = [errors.fileno(), sync, *request.keep_fds, *(() if copy is None else (copy,))]
        wanted = framing.Request(
            argv=_own_arguments(request, None if copy is None else len(fds) + 1),
            env=_environment(3),
            cwd="/",
            targets=list(range(2, 2 + len(fds))),
            rlimits=[],
        )
        for _ in range(3):
            try:
                status, pid = _ask(self._socket, wanted, fds, asked)
            except _NoZygote:
                self._start_zygote()
                continue
            if status != 0:
                raise _failed(request, _last_line(errors) or f"conmon ended with status {status}")
            return _pidfd(pid)
        raise _NoZygote("it keeps ending")

    def _by_command(self, request: MonitorRequest, sync: int, errors: IO[bytes], copy: int | None = None) -> None:
        """Start the command line; it reads the start pipe before anything else, until it is in its cgroup."""
        go_reader, go_writer = os.pipe2(os.O_CLOEXEC)
        with _closing(go_writer):
            with _closing(go_reader):
                process = self._command(request, sync, go_reader, errors, copy)
            try:
                self._enter(process.pid)
                with contextlib.suppress(BrokenPipeError):
                    os.write(go_writer, b"g")
                status = process.wait(_START_TIMEOUT)
            except BaseException as error:
                children.end(process)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise _failed(request, "conmon does not daemonise") from None
                raise
        if status != 0:
            raise _failed(request, _last_line(errors) or f"conmon ended with status {status}")

    def _command(
        self, request: MonitorRequest, sync: int, start: int, errors: IO[bytes], copy: int | None
    ) -> subprocess.Popen[bytes]:
        if self._conmon is None:
            words = [*framing.interpreter(), *_own_arguments(request, copy)]
        else:
            words = [str(self._conmon), *_conmon_arguments(request, ours=False)]
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd="/",
                env=_environment(sync, start),
                pass_fds=(sync, start, *request.keep_fds, *(() if copy is None else (copy,))),
            )
        except OSError as error:
            raise _failed(request, f"cannot start {words[0]}: {error.strerror}") from None

    def _enter(self, pid: int) -> None:
        if self._enter_cgroup is not None:
            self._enter_cgroup(pid)

    @effect("zygote.start")
    def _start_zygote(self) -> None:
        """Start a zygote unless one answers. Raises RuntimeFailed, _NoZygote."""
        with locks.exclusive(self._lock):
            if _listens(self._socket):
                return
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours:
                with theirs:
                    self._run_zygote(theirs)
                ours.settimeout(_START_TIMEOUT)
                try:
                    self._enter(int(ours.recv(64)))
                    ours.send(b"g")
                    if ours.recv(64) != b"ready\n":
                        raise _NoZygote("it ended while starting")
                except (OSError, ValueError) as error:
                    raise _NoZygote(str(error)) from None

    def _run_zygote(self, ready: socket.socket) -> None:
        words = [*framing.interpreter(), "--zygote", str(self._socket), "--ready", str(ready.fileno())]
        try:
            done = children.run(
                [*words, "--idle", str(self._idle), " " * _PADDING],
                timeout=_START_TIMEOUT,
                cwd="/",
                env={"PATH": os.defpath},
                pass_fds=(ready.fileno(),),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise _NoZygote(str(error)) from None
        if done.returncode:
            raise _NoZygote(f"it ended with status {done.returncode}")


class _NoZygote(Exception):
    """No zygote took the request; nothing has been done."""


def _ask(path: Path, request: framing.Request, fds: list[int], asked: Callable[[], None]) -> tuple[int, int]:
    """Hand a request to the zygote: (exit status, pid of the monitor). Raises _NoZygote, RuntimeFailed."""
    body = framing.pack(request)
    connection = _connected(path)
    if connection is None:
        raise _NoZygote("none listens")
    with connection:
        try:
            connection.send(framing.greeting(framing.version(), len(body)))
            for packet, some in framing.packets(body, fds):
                socket.send_fds(connection, [packet], some)
            asked()
            taken = connection.recv(64) == framing.TAKEN
        except OSError as error:
            raise _NoZygote(str(error)) from None
        if not taken:
            raise _NoZygote("another version, or it is ending")
        try:
            status, _, pid = connection.recv(64).removeprefix(b"=").partition(b" ")
            return int(status), int(pid)
        except (OSError, ValueError) as error:
            raise RuntimeFailed(f"cannot start a monitor: it ended at once ({error})") from None


def _asked_to_end(connection: socket.socket) -> bytes:
    """The zygote's answer; none where it is ending already."""
    try:
        connection.send(framing.greeting(framing.version(), framing.END))
        return connection.recv(64)
    except OSError:
        return b""


def _listens(path: Path) -> bool:
    """Whether a zygote of this version answers. One of another version steps aside by being asked."""
    connection = _connected(path)
    if connection is None:
        return False
    with connection:
        try:
            connection.send(framing.greeting(framing.version(), framing.PING))
            return connection.recv(64) == framing.TAKEN
        except OSError:
            return False


def _connected(path: Path) -> socket.socket | None:
    """A connection to whoever listens there, if anybody does. Path may be longer than a socket's name."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(_START_TIMEOUT)
    try:
        name, directory = framing.via_directory(str(path))
        with _closing(directory):
            connection.connect(name)
    except OSError:
        connection.close()
        return None
    return connection


def _own_arguments(request: MonitorRequest, copy: int | None) -> list[str]:
    """Of our own conmon. ``copy``: the descriptor, there, of a copy of the runtime that is to be run."""
    words = _conmon_arguments(request, ours=True)
    return words if copy is None else [*words, "--runtime-fd", str(copy)]


def _conmon_arguments(request: MonitorRequest, *, ours: bool) -> list[str]:
    """conmon's command line. ``ours`` False: for a conmon without --prepare, whose runtime is then our wrapper."""
    runtime = [str(request.runtime), *request.runtime_args]
    own = _streams(request)
    if not ours or own or request.reachable:
        own += ["--full-attach"]  # the C conmon cannot do without an attach socket
    if request.prepare is not None and ours:
        own += ["--prepare", str(request.prepare)]
        own += ["--oom-file", str(request.oom_file)] if request.oom_file is not None else []
    elif request.prepare is not None:
        runtime = [*framing.interpreter(), "--run-prepared", str(request.prepare), *runtime]
    words = ["--api-version", "-c", request.cid, "-u", request.cid, "-n", request.name]
    words += ["-r", runtime[0], "-b", str(request.bundle), "-p", str(request.pidfile)]
    words += ["--exit-dir", str(request.exit_dir), "--persist-dir", str(request.persist_dir)]
    words += ["-l", f"k8s-file:{request.log}" if request.log else "none", "--no-sync-log", "--syslog", *own]
    words += ["--log-size-max", str(request.log_size)] if request.log_size else []
    if request.log_size and ours:
        words += ["--log-rotate", "--log-dated", "--log-max-files", str(request.log_files - 1)]
    if request.exit_command:
        program, *arguments = request.exit_command
        words += ["--exit-command", program, *(w for a in arguments for w in ("--exit-command-arg", a))]
    if request.monitor_pidfile is not None:
        words += ["-P", str(request.monitor_pidfile)]
    return words + [word for argument in runtime[1:] for word in ("--runtime-arg", argument)]


def _streams(request: MonitorRequest) -> list[str]:
    words = ["-t"] if request.terminal else []
    if request.stdin:
        words += ["-i"] if request.stdin_once else ["-i", "--leave-stdin-open"]
    return words


def _environment(sync: int, start: int | None = None) -> dict[str, str]:
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    env.setdefault("PATH", os.defpath)
    env["_OCI_SYNCPIPE"] = str(sync)
    if start is not None:
        env["_OCI_STARTPIPE"] = str(start)
    return env


def _answer(reader: int, monitor: int | None, request: MonitorRequest) -> bytes:
    """The monitor's message on the sync pipe. Raises RuntimeFailed when none comes."""
    deadline = time.monotonic() + TIMEOUT
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    line = b""
    while not line.endswith(b"\n"):
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            if monitor is not None:
                _stop(monitor)
            raise _failed(request, f"the runtime has not answered within {TIMEOUT:.0f} s")
        piece = os.read(reader, 8192)
        if not piece:
            raise _failed(request, "its monitor ended without a word")
        line += piece
    return line


def _pid(line: bytes, request: MonitorRequest) -> int:
    import json

    try:
        message = json.loads(line.decode(errors="replace"))
        pid = int(message["data"])
    except (ValueError, KeyError, TypeError):
        raise _failed(request, f"its monitor said {line[:200]!r}") from None
    if pid <= 0:
        raise _failed(request, _one_line(str(message.get("message", "no reason given"))))
    return pid


def _failed(request: MonitorRequest, cause: str) -> RuntimeFailed:
    return RuntimeFailed(f"cannot create container {request.name}: {cause}")


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    lines = _one_line(file.read(65536).decode(errors="replace")).split("; ")
    return lines[-1]


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


@effect("monitor.stop")
def _stop(monitor: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(monitor, signal.SIGTERM)


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)
