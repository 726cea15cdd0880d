"""System calls that Python 3.11 lacks: prctl, mount, umount2, unshare. Also the name others see us under."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper(on: bool = True) -> None:
    """Orphans below us become our children, not init's."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(on), 0, 0, 0))


def die_with_parent(signal: int) -> None:
    """Have the kernel send ``signal`` to this process when its parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0))


def mount(source: bytes, target: bytes, fstype: bytes, flags: int, data: bytes) -> None:
    """mount(2). Raises OSError."""
    _check(_libc.mount(source, target, fstype, ctypes.c_ulong(flags), data or None))


def umount(target: bytes, flags: int) -> None:
    """umount2(2). Raises OSError."""
    _check(_libc.umount2(target, flags))


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    _check(_libc.unshare(flags))


def set_name(name: str) -> None:
    """The process' name (15 bytes), as in /proc/PID/comm."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0))


def set_title(command: str) -> None:
    """The command line that others see.

    A monitor forked from the zygote would otherwise look like the zygote. The line overwrites the
    interpreter's own arguments in place, and is cut to their length (PR_SET_MM would need a capability).
    """
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: fields 48 and 49 of proc(5), from 1
    room = end - start
    if start == 0 or room < 16:
        return
    text = command.encode(errors="surrogateescape")[: room - 2]
    # A last byte other than NUL tells the kernel that the line ends at the first NUL (fs/proc/base.c).
    ctypes.memmove(start, text.ljust(room - 1, b"\0") + b"\1", room)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
