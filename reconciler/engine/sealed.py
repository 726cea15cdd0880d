"""The runtime's program as a copy in memory that nobody can write to.

A container can write to the program of a process that joins it, by /proc/PID/exe (CVE-2019-5736). So crun executes
itself a second time, from a read-only mount of itself that it makes and takes away in each call, unless it finds itself
in a sealed copy already (its cloned_binary.c asks for exactly these seals). One copy for all calls of a process of ours
takes a quarter off a ``create`` and half off a call that does little. runc's init asks elsewhere, and gains nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_SELINUX_ON = Path("/sys/fs/selinux/enforce")
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_EXECUTABLE = 0x10
"""MFD_EXEC, which Linux wants to hear from 6.3 on and refuses before."""
_MOST = 16 << 20
"""Bytes of a program that are worth their memory."""
_PROGRAMS = ("crun",)

_Version = tuple[int, int, int, int]
_lock = threading.Lock()
_copies: dict[Path, tuple[_Version, int]] = {}


@contextlib.contextmanager
def copy_of(program: Path) -> Iterator[int | None]:
    """A descriptor of a copy to be executed, valid inside the ``with``; None where there is nothing to be gained, or it
    cannot be had. A program that was replaced is copied again."""
    copy = _copy_of(program) if program.name in _PROGRAMS else None
    try:
        yield copy
    finally:
        if copy is not None:
            os.close(copy)


def _copy_of(program: Path) -> int | None:
    try:
        with _lock:
            return os.dup(_kept(program))
    except OSError:
        return None


def _kept(program: Path) -> int:
    """The copy of the file as it is now. Raises OSError."""
    version, copy = _copies.get(program, (None, -1))
    if version == _version(program.stat()):
        return copy
    if copy >= 0:
        del _copies[program]
        os.close(copy)
    if _SELINUX_ON.exists():
        raise OSError(errno.EACCES, "a domain is entered by the label of the program, which a copy has not")
    _copies[program] = _made(program)
    return _copies[program][1]


def _made(program: Path) -> tuple[_Version, int]:
    with open(program, "rb", buffering=0) as source:
        status = os.fstat(source.fileno())
        if status.st_size > _MOST or source.read(4) != b"\x7fELF":
            raise OSError(errno.ENOEXEC, "no program, or a very large one")
        copy = _memory(program.name)
        try:
            done = 0
            while done < status.st_size and (more := os.sendfile(copy, source.fileno(), done, status.st_size - done)):
                done += more
            if done != status.st_size or _version(os.fstat(source.fileno())) != _version(status):
                raise OSError(errno.EAGAIN, "it is being written")
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
        except OSError:
            os.close(copy)
            raise
    return _version(status), copy


def _memory(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _EXECUTABLE)
    except OSError as e:
        if e.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)


def _version(status: os.stat_result) -> _Version:
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns
