"""How a request travels to the zygote: shared by the zygote and its clients, which may be of different versions.

A connection is a SOCK_SEQPACKET socket. The client sends, without waiting: a greeting, then the request in
packets, the descriptors with the first of them (MOST_FDS with each, where there are more). The zygote's answers, each
one packet:

    STALE          wrong version; it listens no more, nothing was done
    TAKEN          a process for this request exists; without this packet nothing was done
    BUSY           to one that wants it to end: it has monitors, and stays
    ``=STATUS PID``  what the command line would have exited with, and the pid of the monitor (or 0)
"""

from __future__ import annotations

import marshal
import os
import sys
import time

PROTOCOL = 2
PACKET = 32768
TAKEN = b"+"
STALE = b"stale"
BUSY = b"busy"
PING = 0
"""The length in the greeting of a client that only asks whether a zygote of its version is there."""
END = -1
"""The length in the greeting of a client that wants a zygote without monitors to end."""
MOST_FDS = 250
"""A little below SCM_MAX_FD."""
FRESH = 1.0
"""Seconds for which our own version is not looked at again."""

_own = -FRESH, ""


class Request:
    """What a command line has: arguments, environment, working directory, limits, descriptors by number.

    ``targets[i]`` is the number under which the i-th descriptor that is sent along shall appear.
    ``rlimits`` are (resource, soft, hard) as setrlimit(2) takes them; never above the inherited hard limit.
    """

    def __init__(
        self,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        targets: list[int],
        rlimits: list[tuple[int, int, int]],
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.targets = targets
        self.rlimits = rlimits


def version(package: str = "") -> str:
    """Names the code as it lies on the disk now: changes when any source file of the package is replaced. Our own ("")
    is looked at once a second: who makes many monitors would look at thirty files for each."""
    global _own
    if package:
        return _look(package)
    now = time.monotonic()
    if now - _own[0] > FRESH:
        _own = now, _look(os.path.dirname(os.path.abspath(__file__)))
    return _own[1]


def _look(package: str) -> str:
    newest = size = count = 0
    for directory in (package, os.path.join(package, "logs")):
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    stat = entry.stat()
                    newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
                    size += stat.st_size
                    count += 1
    return f"{PROTOCOL}-{count}-{size}-{newest}"


def greeting(code: str, length: int) -> bytes:
    """The first packet: the client's version and the bytes of the request that follows."""
    return f"conmon {code} {length}".encode()


def read_greeting(packet: bytes) -> tuple[str, int]:
    """(version, length). Raises ValueError."""
    word, code, length = packet.decode("ascii").split(" ")
    if word != "conmon":
        raise ValueError(f"not a greeting: {packet!r}")
    return code, int(length)


def pack(request: Request) -> bytes:
    """The request as bytes (marshal: one call of C, which touches little memory in the monitor that reads it)."""
    return marshal.dumps((request.argv, request.env, request.cwd, request.targets, request.rlimits))


def unpack(body: bytes) -> Request:
    """The reverse of pack. Raises ValueError for anything else; the sender is trusted (the socket is root's)."""
    try:
        argv, env, cwd, targets, rlimits = marshal.loads(body)
    except (EOFError, TypeError, ValueError) as error:
        raise ValueError(f"not a request: {error}") from None
    kinds = ((argv, list), (env, dict), (cwd, str), (targets, list), (rlimits, list))
    for value, kind in kinds:
        if type(value) is not kind:
            raise ValueError(f"not a request: {type(value).__name__} instead of {kind.__name__}")
    return Request(argv, env, cwd, targets, rlimits)


def packets(body: bytes, fds: list[int]) -> list[tuple[bytes, list[int]]]:
    """The body in packets, each with the descriptors that travel with it; at least one."""
    count = max(1, -(-len(body) // PACKET), -(-len(fds) // MOST_FDS))
    size = -(-len(body) // count)
    return [(body[n * size : (n + 1) * size], fds[n * MOST_FDS : (n + 1) * MOST_FDS]) for n in range(count)]


def via_directory(path: str) -> tuple[str, int]:
    """A name for a socket that is short enough for sun_path, and the descriptor it depends on (close it after use)."""
    directory, name = os.path.split(path)
    fd = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{name}", fd


def interpreter() -> list[str]:
    """Python without site-packages, and this package: the words before conmon's own."""
    python = getattr(sys, "_base_executable", "") or sys.executable
    return [python, "-I", "-S", os.path.dirname(os.path.abspath(__file__))]
