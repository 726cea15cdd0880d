"""The life of one monitor, in the steps of the C conmon (the numbers are those of the reference, section 3 and 5).

One process, one thread. Whoever started us may be killed at any moment; from step 3 on nothing here
depends on it any more.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # why: see process.py
import errno
import os
import time

from conmon import exitfiles, fds, keeping, libc, process, runtime, say
from conmon.flight import Flight
from conmon.keeping import Kept, Line
from conmon.logs.k8sfile import K8sFile
from conmon.loop import Loop, signals
from conmon.oom import Watch
from conmon.options import Options, parse, usage, version
from conmon.pump import READ, Held, Stream
from conmon.say import Fail
from conmon.settings import Settings, check, resumed
from conmon.sync import Sync, key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from conmon.attach import Attach, Stdin
    from conmon.console import Console

    Detach = Callable[[Settings], None]
    """Step 3: part from the launcher. Returns in the monitor only."""

UNKNOWN = -1
"""The status of a container that took too long, or whose end nobody saw who could have been told its status."""

_NO_PROCESS = (errno.ESRCH, errno.EINVAL, errno.ENOENT)
"""What pidfd_open says of a number that is nobody's, or that of a thread or of a session only."""

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_PIPES = ("_OCI_SYNCPIPE", "_OCI_STARTPIPE", "_OCI_ATTACHPIPE")


def fork_away(settings: Settings) -> None:
    """The command line's way: the launcher waits for a parent that ends at once."""
    pid = os.fork()
    if pid == 0:
        return
    status = 0
    try:
        write_conmon_pidfile(settings.options, pid)
    except Fail as fail:
        say.failure(fail)
        status = 1
    os._exit(status)


def write_conmon_pidfile(options: Options, pid: int) -> None:
    """--conmon-pidfile, if there is one. Raises Fail."""
    path = options.conmon_pidfile
    if path is not None:
        try:
            exitfiles.replace(path, str(pid))
        except OSError as error:
            raise Fail(f"Failed to write conmon pidfile {path}: {error.strerror}") from None


def _take_over_pidfile(path: str | None) -> bool:
    """Say in --conmon-pidfile that we are the monitor now. Whether there is a place for it; that it cannot be written
    is no reason to leave the container alone."""
    if path is None:
        return True
    try:
        exitfiles.replace(path, str(os.getpid()))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        say.warn(f"Failed to write conmon pidfile {path}: {error.strerror}")
        try:
            exitfiles.overwrite(path, str(os.getpid()))
        except OSError:
            return True
    return True


def main(
    argv: list[str], detach: Detach = fork_away, inherited: list[int] | None = None, line: Line | None = None
) -> int:
    """Everything; the exit status. ``inherited``: the descriptors >= 3 that the caller gave us, default all.

    ``line``: to a zygote that can replace us.
    """
    given = fds.opened() if inherited is None else inherited
    os.umask(0o022)  # before the logs are made
    try:
        options = parse(argv)
        if options.help or options.version:
            os.write(1, (usage() if options.help else version()).encode())
            return 0
        settings = check(options)
        return _monitor(settings, detach, given, line or Line())
    except Fail as fail:
        say.failure(fail)
        return 1


def resume(kept: Kept, line: Line) -> int:
    """Take the place of a monitor that has died; the exit status. The container is the zygote's child.

    The first act is the pid file: where its directory is gone, the container was removed, and nobody wants us.
    """
    options = parse(kept.argv)
    oom_score = stand()
    settings = resumed(options)
    if not _take_over_pidfile(options.conmon_pidfile) or not os.path.isdir(settings.bundle):
        return keeping.UNWANTED
    say.warn("took the place of a monitor that was killed")
    os.setsid()
    libc.become_subreaper()
    sync = Sync(None, "")
    reserve = exitfiles.Reserve(options.exit_dir, kept.fd(keeping.RESERVE))
    monitor = Monitor(settings, sync, kept.all(keeping.HELD), oom_score, line=line, reserve=reserve)
    return _live(settings, sync, oom_score, monitor, lambda: monitor.resume(kept))


def stand() -> str | None:
    """1. This process' standing. The old out-of-memory score."""
    oom_score = process.avoid_oom_kill()
    process.default_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(1))
    return oom_score


def _monitor(settings: Settings, detach: Detach, given: list[int], line: Line) -> int:
    options = settings.options
    oom_score = stand()
    # 2. Wait until the launcher has put us where it wants us (its cgroup).
    sync_fd, start_fd, attach_fd = (pipe(name) for name in _PIPES)
    ours = (sync_fd, start_fd, attach_fd, options.runtime_fd)
    if start_fd is not None:
        os.read(start_fd, 8192)
        if not options.exec_attach:
            os.close(start_fd)
            start_fd = None
    held = [fd for fd in given if fd not in ours]
    # 3. Part from the launcher.
    if not options.sync:
        detach(settings)
    # 4. The line back to it.
    if options.exec_attach and attach_fd is None:
        raise Fail("--attach specified but _OCI_ATTACHPIPE was not")
    sync = Sync(sync_fd, key(api_version=options.api_version, executing=options.exec))
    # 5. Part from its terminal and session; orphans in the container become ours.
    if not settings.passthrough:
        fds.to_null((0, 1, 2))
    try:
        os.setsid()
    except PermissionError:
        pass  # a group's leader already, as with --sync from a shell
    libc.become_subreaper()
    # 6.-13. and the end.
    monitor = Monitor(settings, sync, held, oom_score, start_fd, attach_fd, line)
    return _live(settings, sync, oom_score, monitor, monitor.run)


def _live(settings: Settings, sync: Sync, oom_score: str | None, monitor: Monitor, run: Callable[[], int]) -> int:
    """A monitor's work to its end, whatever goes wrong in it. The exit status.

    One that fails while its container lives leaves everything to the next: it must neither tell of an end nor clean up.
    """
    options = settings.options
    status = 1
    try:
        status = run()
    except (Fail, OSError) as error:
        text = str(error)
        say.failure(Fail(text))
        sync.send(-1, text.encode(errors="surrogateescape"))
        if monitor.container_lives:
            return status
    monitor.close()
    if options.exit_command is not None:
        failed = exitfiles.run_command(options.exit_command, options.exit_command_arg, options.exit_delay, oom_score)
        status = failed or status
    monitor.remove_link()
    return status & 0xFF


def pipe(name: str) -> int | None:
    try:
        return fds.from_environment(name)
    except (ValueError, OSError) as error:
        raise Fail(f"{name} is not a descriptor: {error}") from None


class Monitor:
    """A container, or a process in one, being created, then running, then ended.

    ``start`` and ``attach`` are the pipes of an exec session whose launcher wants to be attached before it begins.
    """

    def __init__(
        self,
        settings: Settings,
        sync: Sync,
        held: list[int],
        oom_score: str | None,
        start: int | None = None,
        attach: int | None = None,
        line: Line | None = None,
        reserve: exitfiles.Reserve | None = None,
    ) -> None:
        self._settings = settings
        self._sync = sync
        self._held = held
        self._oom_score = oom_score
        self._start_fd = start
        self._attach_fd = attach
        self._line = line or Line()
        self._loop = Loop()
        self._ended: dict[int, int] = {}
        self._runtime = 0
        self._container = 0
        self._attach: Attach | None = None
        self._input: Stdin | None = None
        self._console: Console | None = None
        self._oom: Watch | None = None
        self._reserve = reserve or exitfiles.Reserve(settings.options.exit_dir)
        self._stdin: int | None = None
        self._stdout: Stream | None = None
        self._stderr: Stream | None = None
        self._deadline: float | None = None
        self._flight: Flight | None = None
        marked = [log for log in settings.logs if isinstance(log, K8sFile)]
        self._marked = marked[0] if marked else None

    def run(self) -> int:
        """Create the container and stay until it has ended; its status. Raises Fail."""
        self._relay_notices()
        # 6. Streams.
        if self._line.fd >= 0 and not self._settings.options.exec:
            self._flight = Flight()
        stdout_end = self._open_stdout()
        stderr, stderr_end = _pipe_to_container()
        words = Held(self._log)
        self._stderr = Stream(self._loop, stderr, b"stderr", words, self._flight)
        stdin_end = self._open_stdin()
        # 7. What others reach the container through.
        if self._settings.reachable:
            self._open_doors()
        options = self._settings.options
        if options.exec_attach:
            Sync(self._attach_fd, "data").send(0)
        if options.exec:
            _remove(self._settings.pidfile)  # of an earlier session: it would be taken for ours
        # 8., 9. The runtime starts; signals are events from now on.
        signals(self._loop, (signal.SIGCHLD, *_FORWARDED), self._signal)
        stdio = (stdin_end, stdout_end, stderr_end)
        console = self._console.path if self._console is not None else None
        passed = (0, 1, 2) if self._settings.passthrough else stdio
        self._runtime = runtime.spawn(self._settings, passed, self._held, self._oom_score, console, self._start_fd)
        if self._settings.passthrough:
            fds.to_null((0, 1, 2))
        fds.close_all(stdio if self._start_fd is None else (*stdio, self._start_fd))
        # 10., 12. Output is taken while the runtime works: a full pipe must not stop it.
        self._loop.run(lambda: self._runtime in self._ended)
        terminal_is_there = self._console is None or self._console.finish()
        if self._ended[self._runtime] != 0 and not (options.exec and os.path.exists(self._settings.pidfile)):
            self._stderr.drain()
            return self._refused(words.text)
        if not terminal_is_there:
            raise Fail("Runtime did not set up terminal")
        # 13. The pid is known.
        self._container = self._read_pid()
        words.release()
        if options.timeout > 0:
            self._deadline = time.monotonic() + options.timeout
        if not options.exec:
            self._oom = Watch(self._loop, self._container, _oom_files(self._settings), options.oom_file)
            self._keep()
        if options.api_version or not options.exec:
            self._sync.send(self._container)
        self._watch_stranger(0)
        return self._end(self._wait())

    def resume(self, kept: Kept) -> int:
        """Go on where another monitor died, with a container that runs or has ended meanwhile; its status."""
        options = self._settings.options
        self._container, self._deadline = kept.container, kept.deadline
        self._stdin = kept.fd(keeping.STDIN)
        _try(self._relay_notices)
        self._take_streams(kept)
        if self._settings.reachable:
            _try(lambda: self._open_doors(kept))
        signals(self._loop, (signal.SIGCHLD, *_FORWARDED), self._signal)
        if kept.status is None:
            self._loop.watch(self._line.fd, self._told)
        else:
            self._ended[self._container] = kept.status
        self._oom = Watch(self._loop, self._container, _oom_files(self._settings), options.oom_file, again=True)
        return self._end(self._wait())

    @property
    def container_lives(self) -> bool:
        """As far as we know; False where we do not know it yet."""
        return self._container != 0 and self._container not in self._ended

    def close(self) -> None:
        """The end for those who are attached, if that has not come yet."""
        if self._console is not None:
            self._console.finish()
        if self._attach is not None:
            self._attach.close()

    def remove_link(self) -> None:
        """The short link to the attach socket; others may look for it until the very end."""
        if self._attach is not None:
            self._attach.remove_link()

    def _relay_notices(self) -> None:
        if self._settings.options.sdnotify_socket:
            from conmon.notify import Relay

            Relay(self._loop, self._settings.bundle, self._settings.options.sdnotify_socket)

    def _open_stdout(self) -> int:
        """The runtime's end of stdout. With a terminal, our end comes over the console socket."""
        if not self._settings.options.terminal:
            ours, theirs = _pipe_to_container()
            self._stdout = Stream(self._loop, ours, b"stdout", self._log, self._flight)
            return theirs
        from conmon.console import Console

        self._console = Console(self._loop, self._terminal)
        return os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)

    def _terminal(self, master: int) -> None:
        """The terminal is there: what is said on it is stdout, and input goes to it."""
        self._stdout = Stream(self._loop, os.dup(master), b"stdout", self._log, self._flight)
        if self._input is not None:
            self._input.open(os.dup(master))

    def _open_stdin(self) -> int:
        """The container's end of its stdin; ours stays open until a client says that the input has ended."""
        if not self._settings.options.stdin or self._console is not None:
            return fds.nothing()
        theirs, self._stdin = os.pipe2(os.O_CLOEXEC)
        os.fchmod(theirs, 0o777)
        return theirs

    def _keep(self) -> None:
        """From now on another monitor can go on in our place."""
        found = [(keeping.HELD, fd) for fd in self._held]
        found.append((keeping.RESERVE, self._reserve.fd))
        if self._console is not None:
            found += zip((keeping.TERMINAL, keeping.PEER), self._console.ends, strict=False)
        elif self._stdout is not None:
            found.append((keeping.STDOUT, self._stdout.fd))
        found += [(keeping.FLIGHT, self._flight.fd)] if self._flight is not None else []
        found += [(keeping.STDERR, self._stderr.fd)] if self._stderr is not None else []
        found += [(keeping.STDIN, self._stdin)] if self._stdin is not None else []
        found += [(keeping.ATTACH, self._attach.fd)] if self._attach is not None else []
        self._line.keep(self._container, self._deadline, [(role, fd) for role, fd in found if fd >= 0])

    def _take_streams(self, kept: Kept) -> None:
        if (flight := kept.fd(keeping.FLIGHT)) is not None:
            self._flight = Flight(flight)
            self._land(self._flight)
        ends = [*kept.all(keeping.TERMINAL), *kept.all(keeping.PEER)]
        if ends:
            from conmon.console import Console

            self._console = Console(self._loop, self._terminal, ends)
            self._stdout = Stream(self._loop, os.dup(ends[0]), b"stdout", self._log, self._flight)
        elif (stdout := kept.fd(keeping.STDOUT)) is not None:
            self._stdout = Stream(self._loop, stdout, b"stdout", self._log, self._flight)
        if (stderr := kept.fd(keeping.STDERR)) is not None:
            self._stderr = Stream(self._loop, stderr, b"stderr", self._log, self._flight)

    def _land(self, flight: Flight) -> None:
        """Finish what another monitor had read: once in the log, whole, even if it was half there."""
        left = flight.left
        if left is not None:
            there = left.place is not None and self._marked is not None and not self._marked.cut(*left.place)
            if not there:
                self._log(left.stream, left.data)
        flight.landed(READ)

    def _told(self) -> None:
        """The zygote knows how our container ended; or it was killed, and nobody will."""
        status = self._line.status()
        if status is not None:
            self._ended[self._container] = status
        else:
            self._loop.forget(self._line.fd)
            self._watch_stranger(UNKNOWN)

    def _open_doors(self, kept: Kept | None = None) -> None:
        """The attach socket and the control pipes. What they need is imported here: most monitors do without."""
        from conmon.attach import Attach, Stdin, link_path
        from conmon.control import Control

        options, bundle = self._settings.options, self._settings.bundle
        link = None if options.full_attach else link_path(options.socket_dir_path or "", options.cuuid or "")
        close = options.stdin and not options.leave_stdin_open
        self._input = Stdin(self._loop, self._stdin, close_at_eof=close, later=self._console is not None)
        self._input.closed = self._no_input
        terminal, listener = (kept.fd(keeping.TERMINAL), kept.fd(keeping.ATTACH)) if kept is not None else (None, None)
        if terminal is not None:
            self._input.open(os.dup(terminal))
        self._attach = Attach(self._loop, bundle, link, self._input, listener)
        Control(self._loop, bundle, self._resize, self._reopen_logs, again=kept is not None)

    def _no_input(self) -> None:
        """Its number may be another file's from now on."""
        self._stdin = None
        self._line.no_input()

    def _resize(self, rows: int, columns: int) -> None:
        if self._console is not None:
            self._console.resize(rows, columns)

    def _reopen_logs(self) -> None:
        for log in self._settings.logs:
            log.reopen()

    def _refused(self, words: bytes) -> int:
        """The runtime failed: its words go to the launcher. There is no exit file."""
        words = words or f"runtime ended with status {self._ended[self._runtime]}".encode()
        self._sync.send(-1, words)
        return 1

    def _wait(self) -> int | None:
        """The container's status; None if it took longer than --timeout."""
        in_time = self._loop.run(lambda: self._container in self._ended, self._deadline)
        return self._ended[self._container] if in_time else None

    def _end(self, status: int | None) -> int:
        """Section 5: the order matters to whoever waits for the exit file."""
        options = self._settings.options
        if self._oom is not None:
            self._oom.look(killed=status == 128 + signal.SIGKILL)
        if status is None:
            _kill_group(self._container)
        _try(lambda: self._finish_logs(drain=status is not None))
        result = UNKNOWN if status is None else status
        self._line.ended(result, wait=bool(self._held))
        fds.close_all(self._held)
        if self._attach is not None:
            self._attach.end()
        exitfiles.write_status(result, options.persist_dir, options.exit_dir, self._settings.cid, self._reserve)
        if options.exec:
            self._sync.send(result, b"command timed out" if status is None else None)
        _take(self._container)
        self.close()
        return result

    def _finish_logs(self, *, drain: bool) -> None:
        """Raises OSError."""
        for stream in filter(None, (self._stdout, self._stderr)) if drain else ():
            stream.drain()
        for log in self._settings.logs:
            log.end()
            if not self._settings.options.no_sync_log:
                log.sync()

    def _log(self, stream: bytes, data: bytes) -> None:
        if self._flight is not None and self._marked is not None:
            self._flight.logging(*self._marked.place())
        for log in self._settings.logs:
            log.write(stream, data)
        if self._attach is not None:
            self._attach.output(stream, data)

    def _signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        else:
            _kill(self._container or self._runtime, number)

    def _reap(self) -> None:
        """Take every dead child; orphans of the container among them are of no interest once its pid is known.

        The container itself is left lying until its status is in a file: if we are killed before, it lies there for
        the zygote, and the status is not lost with us.
        """
        while (pid := _dead_child()) and pid != self._container:
            status = os.waitpid(pid, 0)[1]
            if not self._container:
                self._ended[pid] = process.exit_code(status)
        if pid and pid not in self._ended:
            self._ended[pid] = _status(pid)

    def _read_pid(self) -> int:
        try:
            return int(process.read(self._settings.pidfile))
        except (OSError, ValueError) as error:
            raise Fail(f"cannot read container pid from {self._settings.pidfile}: {error}") from None

    def _watch_stranger(self, status: int) -> None:
        """A container that is not our child: its end can be seen, but not with what status (0 says the C conmon)."""
        if self._container in self._ended:
            return
        try:
            os.waitid(os.P_PID, self._container, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return
        except ChildProcessError:
            pass
        try:
            fd = os.pidfd_open(self._container)
        except OSError as error:
            if error.errno not in _NO_PROCESS:
                raise
            self._ended[self._container] = status
            return
        self._loop.watch(fd, lambda: self._ended.update({self._container: status}))


def _try(work: Callable[[], None]) -> None:
    """Do what a container that exists can do without: its end is to be told whatever comes of it."""
    try:
        work()
    except (Fail, OSError) as error:
        say.warn(str(error))


def _oom_files(settings: Settings) -> list[str]:
    """Where the C conmon notes that the kernel killed in the container for want of memory."""
    persist = settings.options.persist_dir
    places = [settings.bundle] if persist in (None, settings.bundle) else [persist, settings.bundle]
    return [f"{place}/oom" for place in places]


def _pipe_to_container() -> tuple[int, int]:
    """Our end and the container's. Everybody in the container may open its end again (/dev/stdout)."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    os.fchmod(theirs, 0o777)
    return ours, theirs


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _dead_child() -> int:
    """The pid of one, which stays; 0 without one."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found is not None else 0


def _status(pid: int) -> int:
    """How a dead child ended; it stays."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else 128 + found.si_status


def _take(pid: int) -> None:
    """Let go of a dead child, if it is one."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended: SIGCHLD is under way


def _kill_group(pid: int) -> None:
    try:
        group = os.getpgid(pid)
        if group > 1:
            os.killpg(group, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
