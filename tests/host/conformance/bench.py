"""A conmon with a runtime of our making: a shell script that notes how it was called and starts a shell script as the
container. So a case takes milliseconds, and sees exactly what the runtime and the container see.

Nothing waits by sleeping: a monitor's end is told by a pidfd, everything else by a pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from conmon.framing import via_directory
from tests.host.conformance.programs import Program
from tests.host.conmon_box import pidfd, wait_gone
from tests.slowness import seconds

DEADLINE = seconds(60.0)

RUNTIME = r"""#!/bin/sh
here=${0%/*}
printf '%s\n' "$@" > "$here/argv"
for word; do [ "$last" = --pid-file ] && pidfile=$word; last=$word; done
[ -e "$here/before" ] && . "$here/before"
(exec 9<&0; setsid env --default-signal=INT,QUIT "$here/init" <&9 9<&- & printf %s $! > "$pidfile")
[ -e "$here/after" ] && . "$here/after"
exit 0
"""

INIT = r"""#!/bin/sh
read _ < "${0%/*}/start"
exec /bin/sh "${0%/*}/container"
"""


class Bench:
    """``launch`` starts the conmon for a container; files and directories have the names that its options have."""

    def __init__(self, directory: Path, conmon: Program) -> None:
        self.conmon = conmon
        self.directory = directory
        self.cid = secrets.token_hex(32)
        self.bundle = directory / "bundle"
        self.exits = directory / "exits"
        self.persist = directory / "persist"
        for made in (self.bundle, self.exits, self.persist):
            made.mkdir()
        self.runtime = self.script("runtime", RUNTIME)
        self.script("init", INIT)
        self._start = os.open(self.fifo("start"), os.O_RDWR | os.O_CLOEXEC)
        self.pidfile = directory / "container.pid"
        self.monitor = directory / "monitor.pid"
        self.log = directory / "log"
        self.ended = self.exits / self.cid
        self._launched: list[Launched] = []
        self._clients: list[socket.socket] = []

    def words(self) -> list[str]:
        """A command line that says all there is to say; a test adds to it (the last of two options counts)."""
        return [
            *("--cid", self.cid, "--cuuid", self.cid, "--runtime", str(self.runtime), "--bundle", str(self.bundle)),
            *("--container-pidfile", str(self.pidfile), "--log-path", f"k8s-file:{self.log}"),
            *("--exit-dir", str(self.exits), "--persist-dir", str(self.persist), "--full-attach", "--api-version"),
            *("--conmon-pidfile", str(self.monitor)),
        ]

    def launch(
        self,
        *more: str,
        container: str = "exit 0",
        before: str = "",
        after: str = "",
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        words: Sequence[str] | None = None,
        via: Sequence[str] = (),
    ) -> Launched:
        """``container``: its script, begun when its pid is told (a session's at once); ``before``, ``after``: what the
        runtime does around creating it; ``words``: in place of the usual ones; ``via``: a program that becomes conmon.
        """
        for name, text in (("container", container), ("before", before), ("after", after)):
            (self.directory / name).write_text(text + "\n")
        command = [*via, *self.conmon.words, *(self.words() if words is None else words), *more]
        launched = Launched(self, command, dict(env or {}), tuple(fds))
        self._launched.append(launched)
        if "-e" in more:
            self.start()
        return launched

    def noted(self) -> str:
        """For the script of a session whose end is waited for: says something until that is in the log. A monitor
        handles output when it knows the pid; 2.1.6 takes no notice of an end before that, and tells -1."""
        return f"echo noted; until [ -s {self.log} ]; do sleep 0.02; done"

    def start(self) -> None:
        """What the runtime's ``start`` does."""
        os.write(self._start, b"\n")

    def argv(self) -> list[str]:
        """The words that the runtime was called with."""
        return (self.directory / "argv").read_text().split("\n")[:-1]

    def output(self, stream: str = "stdout") -> str:
        """What the log says was written, put together again."""
        return read_log(self.log, stream)

    def script(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def fifo(self, name: str) -> Path:
        path = self.directory / name
        os.mkfifo(path)
        return path

    def connect(self, bundle: Path | None = None) -> socket.socket:
        """A client on the attach socket, however long its path."""
        name, directory = via_directory(f"{bundle or self.bundle}/attach")
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(DEADLINE)
        client.connect(name)
        os.close(directory)
        self._clients.append(client)
        return client

    def clear(self) -> None:
        """End what is left of it."""
        for launched in self._launched:
            launched.clear()
        for client in self._clients:
            client.close()
        os.close(self._start)


PARTS = (b"conmon", b"runtime", b"init", b"container")
"""One of these stands in the command line of each process of a bench, beside its directory."""


class Launched:
    """A conmon that was started, with a sync pipe (a packet socket, as podman's: one message is one packet)."""

    def __init__(self, bench: Bench, command: list[str], env: dict[str, str], fds: tuple[int, ...]) -> None:
        self._bench = bench
        self._told = False
        self.sync, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sync.settimeout(DEADLINE)
        self.process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "_OCI_SYNCPIPE": str(theirs.fileno()), **env},
            pass_fds=(theirs.fileno(), *fds),
            cwd=bench.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()

    def message(self) -> str:
        """The next message; "" when the monitor has ended. The container that the first one tells of is started."""
        line = self.created()
        if not self._told and ": -1" not in line:
            self._bench.start()
        self._told = True
        return line

    def created(self) -> str:
        """The next message, and no more."""
        return self.sync.recv(8192).decode()

    def messages(self) -> list[str]:
        """All there are until the monitor has ended."""
        return list(iter(self.message, ""))

    def left(self) -> tuple[int, str]:
        """Until the program that was started has ended: its exit code, and what it said."""
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out + err

    def monitor(self) -> int:
        """The pid of the monitor that goes on when the caller is let go: by then it is told."""
        self.left()
        return int(self._bench.monitor.read_text())

    def over(self) -> list[str]:
        """Until the monitor has ended (it closes the sync pipe before its exit command): its messages."""
        said = self.messages()
        if self._bench.monitor.exists():
            with contextlib.suppress(ProcessLookupError), pidfd(int(self._bench.monitor.read_text())) as ending:
                wait_gone(ending)
        return said

    def done(self) -> list[str]:
        """As ``over``; and nothing may have gone wrong."""
        said = self.over()
        assert self.left() == (0, "")
        return said

    def clear(self) -> None:
        """A monitor or container that is still there is one that a failed test left, or a monitor that failed: its
        runtime's child may not have become it yet. So they are looked for until there is none."""
        self.sync.close()
        deadline = time.monotonic() + DEADLINE
        while left := processes_of(self._bench.directory):
            assert time.monotonic() < deadline, f"processes that do not end: {left}"
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            select.select([], [], [], 0.005)
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def processes_of(directory: Path) -> list[int]:
    """The processes of a bench: by where they are (one that becomes another program has no command line for a moment),
    and by their command line (a monitor is elsewhere)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                named = os.fsencode(directory) in command and any(part in command for part in PARTS)
                if named or (entry / "cwd").readlink() == directory:
                    found.append(int(entry.name))
    return found


def read_log(path: Path, stream: str = "stdout") -> str:
    text = ""
    for line in path.read_text().splitlines():
        _, name, tag, content = line.split(" ", 3)
        if name == stream:
            text += content + ("\n" if tag == "F" else "")
    return text


def records(client: socket.socket) -> list[bytes]:
    """All that an attach client gets until the end."""
    with client:
        return list(iter(lambda: client.recv(8193), b""))


def joined(taken: list[bytes], kind: bytes = b"\2") -> bytes:
    return b"".join(record[1:] for record in taken if record[:1] == kind)


def heard(client: socket.socket) -> None:
    """Until the monitor has read what a client sends (2.1.6 goes on reading only where the container has a stdin)."""
    client.send(b"x")
    unread = bytearray(4)
    deadline = time.monotonic() + DEADLINE
    while fcntl.ioctl(client, termios.TIOCOUTQ, unread) or any(unread):
        assert time.monotonic() < deadline, "the monitor does not read from its client"
        select.select([], [], [], 0.005)


def command(bench: Bench, text: bytes, name: str = "ctl") -> None:
    fd = os.open(bench.bundle / name, os.O_WRONLY | os.O_NONBLOCK)  # fails when nobody reads
    try:
        assert select.select([], [fd], [], DEADLINE)[1]
        os.write(fd, text)
    finally:
        os.close(fd)


def idle(pid: int) -> bool:
    """Whether a process uses no processor for a moment (in ticks of 10 ms)."""

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    for _ in range(10):  # it may have something left to do; who spins never rests
        before = ticks()
        select.select([], [], [], 0.3)
        if ticks() - before <= 2:
            return True
    return False
