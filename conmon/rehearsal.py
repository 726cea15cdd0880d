"""A monitor's life played through in the zygote, before the first fork (see ``memory``).

Caches of attributes and counters in code that is not specialised yet (PEP 659) are then filled in memory that all
monitors share; each would write them in pages of its own. Parts alone are played where the whole would change the
zygote: its name, its descriptors, its standing.
"""

from __future__ import annotations

import _socket as socket  # why: see memory.py
import gc
import os
import sys
import time

from conmon import exitfiles, fds, framing, keeping, libc, lifecycle, process, runtime, zygote
from conmon.framing import Request
from conmon.options import parse
from conmon.say import Fail
from conmon.settings import Settings, check
from conmon.sync import Sync
from conmon.wards import Ward

ROUNDS = 9
"""Calls after which the interpreter has specialised a function, and one more."""

_CID = "0" * 64
_PREPARE = (
    b"unshare\nslave\t/\nprivate\t/sys/fs/cgroup\ndetach\t/sys/fs/cgroup/unified\nchdir\t/\noverlay\t/t\t/u\t/w\t/l\n"
)
_ENVIRONMENT = {"PATH": "/usr/bin", "TZ": "UTC", "_OCI_SYNCPIPE": "3"}
_TARGETS = [1000, 1001]


def rehearse() -> bool:
    """Nothing is left of it but what the interpreter has learnt.

    Only for a process without children and threads. False where it failed: then monitors are a little larger.
    """
    before, environment, spawn = fds.opened(), os.environ, runtime.spawn
    runtime.spawn = _spawn  # type: ignore[assignment]  # why: it looks at less
    try:
        for _ in range(ROUNDS):
            _live()
        for _ in range(ROUNDS):
            _take_a_request()
    except (OSError, ValueError, Fail):
        return False
    finally:
        runtime.spawn = spawn
        os.environ = environment  # noqa: B003  # why: put back as it was
        for name in _ENVIRONMENT:
            os.unsetenv(name)
        process.default_signals()
        time.tzset()
        gc.collect()  # first: what is closed by its owner's end must not be another's by then
        fds.close_all_but((0, 1, 2, *before))
    return True


def _take_a_request() -> None:
    """The zygote's part, and the beginning of a monitor's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    argv = _argv("/log", "/pid", "/prepare")
    body = framing.pack(Request(argv, _ENVIRONMENT, "/", _TARGETS, []))
    framing.read_greeting(framing.greeting("version", len(body)))
    given = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in _TARGETS]
    for packet, some in framing.packets(body, given):
        rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in some)
        ours.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    fds.close_all(given)
    connection = theirs.detach()
    request, given = zygote.receive(connection, len(body))
    (connection,) = zygote.settle([connection], request, given)
    process.set_name(zygote.NAME)
    process.set_oom_score(lifecycle.stand())
    for name in ("_OCI_STARTPIPE", "_OCI_ATTACHPIPE"):
        lifecycle.pipe(name)
    libc.become_subreaper()
    fds.close_all_but((0, 1, 2, *fds.opened()))
    zygote.tell(connection, 0, 1)
    fds.close_all(request.targets)
    ours.close()


def _live() -> None:
    """From the options to the exit files, with a process that only waits in place of a container."""
    opened = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("log", "pid", "prepare")]
    log, pid, prepare = (f"/proc/self/fd/{fd}" for fd in opened)
    os.write(opened[2], _PREPARE)
    heard, told = os.pipe2(os.O_CLOEXEC)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    container = os.fork()
    if container == 0:
        _container(heard, told)
    os.write(opened[1], str(container).encode())
    argv = _argv(log, pid, prepare)
    settings = check(parse(argv))
    line = keeping.Line(theirs.detach(), argv, {}, "/")
    lifecycle.Monitor(settings, Sync(told, "data"), [], None, None, None, line).run()
    exitfiles.Reserve("/tmp")
    ward = Ward(container, ours)
    ward.read()
    ward.close()


def _argv(log: str, pid: str, prepare: str) -> list[str]:
    words = ["--api-version", "-c", _CID, "-u", _CID, "-n", "rehearsal", "-r", "/proc/self/exe", "-b", "/", "-p", pid]
    words += ["-l", f"k8s-file:{log}", "--no-sync-log", "--prepare", prepare]
    return [*words, "--runtime-arg", "--root", "--runtime-arg", "/"]


def _container(heard: int, told: int) -> None:
    """It ends when its pid is told."""
    try:
        os.close(told)
        os.read(heard, 64)
    finally:
        os._exit(0)


def _spawn(settings: Settings, stdio: tuple[int, int, int], *_: object) -> int:
    """A runtime that says something and ends."""
    runtime.arguments(settings)
    pid = os.fork()
    if pid == 0:
        try:
            os.write(stdio[1], b"out\nout")
            os.write(stdio[2], b"err\n")
        finally:
            os._exit(0)
    return pid
