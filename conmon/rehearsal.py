"""A monitor's life played through in the zygote, before the first fork (see ``memory``).

Caches of attributes and counters in code that is not specialised yet (PEP 659) are then filled in memory that all
monitors share; each would write them in pages of its own. What would change the zygote for good is left out.
"""

from __future__ import annotations

import _socket as socket  # why: see memory.py
import ctypes
import gc
import os
import sys
from types import FunctionType

from conmon import exitfiles, fds, framing, loop, memory, process, runtime, zygote
from conmon.framing import Request
from conmon.say import Fail
from conmon.settings import Settings
from conmon.wards import Ward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, FrameType

ROUNDS = 9
"""Calls after which the interpreter has specialised a function, and one more."""

_CID = "0" * 64
_PREPARE = (
    b"unshare\nslave\t/\nmount\ttmpfs\t/sys/fs/cgroup/unified\ttmpfs\t0\tmode=755\nchdir\t/\noverlay\t/t\t/u\t/w\t/l\n"
)
_SYNC = 1000
"""The number of the sync pipe. Nothing else is handed over: what is to be held would be waited for at the end."""
_ENVIRONMENT = {"PATH": "/usr/bin", "_OCI_SYNCPIPE": str(_SYNC)}


def rehearse() -> bool:
    """Nothing is left of it but what the interpreter has learnt, and where the code lies that was called.

    Only for a process without children and threads, whose stdin, stdout and stderr are /dev/null. False where it
    failed: then monitors are a little larger.
    """
    before, environment, score = fds.opened(), os.environ, process.avoid_oom_kill()
    become, close_all_but, title = runtime._become, fds.close_all_but, process.title
    scratch = ctypes.create_string_buffer(256)

    def close_what_is_new(keep: Sequence[int]) -> None:
        close_all_but((*keep, *fds.opened()))

    runtime._become = _become  # type: ignore[assignment]  # why: it looks at less
    fds.close_all_but = close_what_is_new
    process.title = ctypes.addressof(scratch), len(scratch)
    try:
        memory.lay_together([*_called(), *_not_rehearsed()])
        for _ in range(ROUNDS):
            _live()
    except (OSError, ValueError, Fail):
        return False
    finally:
        runtime._become, fds.close_all_but, process.title = become, close_all_but, title
        os.environ = environment  # noqa: B003  # why: put back as it was
        process.default_signals()
        process.set_oom_score(score)
        process.set_name(zygote.NAME)
        gc.collect()  # first: what is closed by its owner's end must not be another's by then
        fds.close_all_but((0, 1, 2, *before))
    return True


def _called() -> list[CodeType]:
    """The code that is run in a life, in that order."""
    found: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            found[frame.f_code] = None

    sys.setprofile(note)
    try:
        _live()
    finally:
        sys.setprofile(None)
    return list(found)


def _not_rehearsed() -> list[CodeType]:
    """What is run beside it: the zygote's own part (a page that it writes to is one that each monitor keeps as it was),
    and what signals call."""
    functions = [*vars(zygote.Zygote).values(), zygote._be, fds.accept, fds.Spare.accept, loop._noted]
    return [one.__code__ for one in functions if type(one) is FunctionType]


def _live() -> None:
    """From the request to the exit files, with a process that only waits in place of a container. Raises Fail."""
    opened = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("log", "pid", "prepare")]
    log, pid, prepare = (f"/proc/self/fd/{fd}" for fd in opened)
    os.write(opened[2], _PREPARE)
    heard, told = os.pipe2(os.O_CLOEXEC)
    container = os.fork()
    if container == 0:
        _container(heard, told)
    os.write(opened[1], str(container).encode())
    request = Request(_argv(log, pid, prepare), _ENVIRONMENT, "/", [_SYNC], [])
    body = framing.pack(request)
    framing.read_greeting(framing.greeting("version", len(body)))
    client, connection = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for packet, some in framing.packets(body, [told]):
        rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in some)
        client.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    os.close(told)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    if zygote.child(connection, len(body), theirs.detach()) != 0:
        raise Fail("a rehearsed monitor has failed")
    exitfiles.Reserve("/tmp")
    ward = Ward(container, ours)
    ward.read()
    ward.close()


def _argv(log: str, pid: str, prepare: str) -> list[str]:
    words = ["--api-version", "-c", _CID, "-u", _CID, "-n", "rehearsal", "-r", "/proc/self/exe", "-b", "/", "-p", pid]
    words += ["-l", f"k8s-file:{log}", "--no-sync-log", "--prepare", prepare]
    words += ["--log-size-max", "10000000", "--log-rotate", "--log-dated", "--log-max-files", "4"]
    return [*words, "--runtime-arg", "--root", "--runtime-arg", "/"]


def _container(heard: int, told: int) -> None:
    """It ends when its pid is told."""
    try:
        os.close(told)
        os.read(heard, 64)
    finally:
        os._exit(0)


def _become(_argv: list[str], _settings: Settings, stdio: tuple[int, int, int], *_: object) -> None:
    """A runtime that says something and ends."""
    os.write(stdio[1], b"out\nout")
    os.write(stdio[2], b"err\n")
    os._exit(0)
