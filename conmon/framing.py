"""How a request travels to the zygote: shared by the zygote and its clients, which may be of different versions.

A connection is a SOCK_SEQPACKET socket. The client sends, without waiting: a greeting, then the request in
packets, the descriptors with the first of them. The zygote's answers, each one packet:

    STALE          wrong version; it listens no more, nothing was done
    TAKEN          a process for this request exists; without this packet nothing was done
    ``=STATUS PID``  what the command line would have exited with, and the pid of the monitor (or 0)
"""

from __future__ import annotations

import os
import sys

PROTOCOL = 1
PACKET = 32768
TAKEN = b"+"
STALE = b"stale"
PING = 0
"""The length in the greeting of a client that only asks whether a zygote of its version is there."""
MOST_FDS = 250
"""A little below SCM_MAX_FD."""


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


def version(package: str = os.path.dirname(os.path.abspath(__file__))) -> str:
    """Names the code as it lies on the disk now: changes when any source file of the package is replaced."""
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
    """Fields end in NUL, which no argument can contain; sections begin with their number of fields."""
    sections = (
        request.argv,
        [f"{name}={value}" for name, value in request.env.items()],
        [request.cwd],
        [str(target) for target in request.targets],
        [" ".join(map(str, limit)) for limit in request.rlimits],
    )
    words = [word for section in sections for word in (str(len(section)), *section)]
    return b"".join(os.fsencode(word) + b"\0" for word in words)


def unpack(body: bytes) -> Request:
    """The reverse of pack. Raises ValueError for anything else."""
    words = [os.fsdecode(word) for word in body.split(b"\0")]
    if words.pop() != "":
        raise ValueError("request is cut short")
    sections = []
    for _ in range(5):
        if not words:
            raise ValueError("request is cut short")
        count = int(words.pop(0))
        if count > len(words):
            raise ValueError("request is cut short")
        sections.append(words[:count])
        words = words[count:]
    argv, env, (cwd,), targets, rlimits = sections
    limits = []
    for limit in rlimits:
        resource, soft, hard = limit.split(" ")
        limits.append((int(resource), int(soft), int(hard)))
    pairs = {name: value for name, _, value in (word.partition("=") for word in env)}
    return Request(argv, pairs, cwd, [int(target) for target in targets], limits)


def chunks(body: bytes) -> list[bytes]:
    """The body in packets; at least one, for the descriptors to travel with."""
    return [body[start : start + PACKET] for start in range(0, len(body), PACKET)] or [b""]


def via_directory(path: str) -> tuple[str, int]:
    """A name for a socket that is short enough for sun_path, and the descriptor it depends on (close it after use)."""
    directory, name = os.path.split(path)
    fd = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{name}", fd


def interpreter() -> list[str]:
    """Python without site-packages, and this package: the words before conmon's own."""
    python = getattr(sys, "_base_executable", "") or sys.executable
    return [python, "-I", "-S", os.path.dirname(os.path.abspath(__file__))]
