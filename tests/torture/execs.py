"""Hearing from the kernel, at the moment of exec, who runs a program (fanotify(7)): an OCI runtime lives for
milliseconds, and nobody else tells of it.

The mark is the file's, so all of this machine are heard of; of those in other process namespaces there is no pid.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NONBLOCK, _CLOEXEC = 0x2, 0x1
_MARK_ADD, _OPEN_EXEC = 0x1, 0x1000
"""Bits of <sys/fanotify.h>."""
_AT_FDCWD = -100
_EVENT = struct.Struct("IBBHQii")
"""Length, version, reserved, length of this head, mask, the file opened, pid."""


@contextmanager
def execs(*programs: Path) -> Iterator[int]:
    """A descriptor that can be read as soon as somebody runs one of ``programs``. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = _checked(libc.fanotify_init(_CLOEXEC | _NONBLOCK, os.O_RDONLY | os.O_CLOEXEC))
    try:
        for program in programs:
            _checked(libc.fanotify_mark(fd, _MARK_ADD, ctypes.c_uint64(_OPEN_EXEC), _AT_FDCWD, os.fsencode(program)))
        yield fd
    finally:
        os.close(fd)


def loader() -> Path:
    """What the kernel opens with every program that has libraries, also with one that is in memory alone."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return next(Path(line.split()[-1]) for line in maps if "/ld-" in line)


def pids(fd: int) -> list[int]:
    """Who was about to run it, of this process namespace, since the last call. What they were before may still be seen
    of them for a moment."""
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        return []
    found = []
    for *_, file, pid in _EVENT.iter_unpack(data):
        if file >= 0:
            os.close(file)
        if pid > 0:
            found.append(pid)
    return found


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "fanotify")
    return int(result)
