"""File descriptors: which are ours, which were given to us to hold, which a child may see."""

from __future__ import annotations

import _socket as socket  # why: see memory.py
import errno
import os
from fcntl import F_DUPFD_CLOEXEC, fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FIRST = 3
"""The first descriptor that is not stdin, stdout or stderr."""


def opened() -> list[int]:
    """All open descriptors from FIRST on."""
    return [fd for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")) if fd >= FIRST and is_open(fd)]


def is_open(fd: int) -> bool:
    """False for the descriptor that listed the others, among others."""
    try:
        os.get_inheritable(fd)
    except OSError:
        return False
    return True


def from_environment(name: str) -> int | None:
    """The descriptor that a variable names, made close-on-exec; None without one. Raises ValueError, OSError."""
    text = os.environ.get(name)
    if not text:
        return None
    fd = int(text)
    os.set_inheritable(fd, False)
    return fd


def accept(listener: socket.socket) -> socket.socket:
    """The next connection, close-on-exec. Raises OSError."""
    return socket.socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]  # why: what socket.socket does


def close_all(numbers: Iterable[int]) -> None:
    """Close them; what is closed already is fine."""
    for fd in numbers:
        try:
            os.close(fd)
        except OSError:
            continue


def close_all_but(keep: Sequence[int]) -> None:
    """Close every descriptor that is not in ``keep``. They are not listed: a zygote has many, and lists take room."""
    last = -1
    for fd in (*sorted(keep), max([os.sysconf("SC_OPEN_MAX"), *keep]) + 1):
        if fd > last + 1:  # Python 3.11 makes of an empty range close_range(N, -1): everything
            os.closerange(last + 1, fd)
        last = fd


def to_null(numbers: Iterable[int]) -> None:
    """Point descriptors at /dev/null."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in numbers:
        os.dup2(null, fd)
    if null >= FIRST:
        os.close(null)


def nothing() -> int:
    """A stdin that ends at once.

    Not the machine's /dev/null: crun (before 1.24) gives stdin to the process' user, who could then lock everybody out
    of it; in a container that is being created it takes the container's own, which is the machine's where the container
    has a user namespace.
    """
    empty = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        return os.open(f"/proc/self/fd/{empty}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(empty)


class Spare:
    """A descriptor in reserve, so that a connection can be taken when there is no other left, and be closed: one that
    waits would wake its listener's loop again and again."""

    def __init__(self) -> None:
        self._fd = -1
        self._open()

    def accept(self, listener: socket.socket) -> socket.socket | None:
        """The next connection. None: it has gone again, or there was no descriptor for it; then it is closed."""
        try:
            return accept(listener)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._refuse(listener)
            return None

    def close(self) -> None:
        close_all((self._fd,))
        self._fd = -1

    def _refuse(self, listener: socket.socket) -> None:
        self.close()
        try:
            accept(listener).close()
        except OSError:
            pass  # another process was faster: it is told again
        self._open()

    def _open(self) -> None:
        try:
            self._fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # the next one that is refused leaves room for it


def shield_null(fd: int) -> None:
    """Put an empty file in the place of a descriptor that is the machine's /dev/null (see ``nothing``)."""
    if os.path.samestat(os.fstat(fd), os.stat("/dev/null")):
        empty = nothing()
        os.dup2(empty, fd)
        os.close(empty)


def place(given: list[int], targets: list[int]) -> None:
    """Move each descriptor of ``given`` to the number beside it in ``targets``, where children inherit it.

    Neither list may overlap with descriptors that are to stay, the two may overlap with each other.
    """
    beyond = max([*given, *targets, FIRST]) + 1
    moved = [fcntl(fd, F_DUPFD_CLOEXEC, beyond) for fd in given]
    close_all(given)
    for fd, target in zip(moved, targets, strict=True):
        os.dup2(fd, target)
        os.close(fd)
