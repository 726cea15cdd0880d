"""The pipes ``ctl`` and ``winsz`` in the bundle, through which others resize the terminal and renew the logs.

Anybody who may write into the bundle writes to them at any time; a bad line costs the writer the rest of
what it wrote at once, and a warning. Both are always read, terminal or not: they never fill.
"""

from __future__ import annotations

import os

from conmon import say
from conmon.loop import Loop
from conmon.say import Fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 199
"""Bytes of a line that is still being waited for."""
_LARGEST = 1000
_RESIZE, _REOPEN = 1, 2


class Control:
    """The open pipes. They stay behind in the bundle at the end."""

    def __init__(
        self,
        loop: Loop,
        bundle: str,
        resize: Callable[[int, int], None],
        reopen: Callable[[], None],
        *,
        again: bool = False,
    ) -> None:
        """``resize(rows, columns)``, ``reopen()`` of the logs. ``again``: another monitor made the pipes.

        Raises Fail if one cannot be made.
        """
        self._resize = resize
        self._reopen = reopen
        Lines(loop, _fifo(f"{bundle}/ctl", again), self._command)
        Lines(loop, _fifo(f"{bundle}/winsz", again), self._size)

    def _command(self, line: bytes) -> bool:
        """``TYPE HEIGHT WIDTH``: 1 resizes, 2 renews the logs (the numbers must be there, but do not matter)."""
        found = numbers(line, 3)
        if len(found) < 3:
            return _bad("Invalid control message format")
        if found[0] not in (_RESIZE, _REOPEN):
            return _bad(f"Invalid control message type: {found[0]}")
        if not _is_size(*found[1:]):
            return False
        if found[0] == _RESIZE:
            self._resize(found[1], found[2])
        else:
            self._reopen()
        return True

    def _size(self, line: bytes) -> bool:
        """``HEIGHT WIDTH``."""
        found = numbers(line, 2)
        if len(found) < 2:
            return _bad("Failed to parse window size")
        if not _is_size(*found):
            return False
        self._resize(*found)
        return True


class Lines:
    """Cuts what comes from a pipe into lines. ``take(line)`` is False for one after which the read is dropped."""

    def __init__(self, loop: Loop, fd: int, take: Callable[[bytes], bool]) -> None:
        self._fd = fd
        self._take = take
        self._rest = b""
        loop.watch(fd, self._ready)

    def _ready(self) -> None:
        try:
            *lines, self._rest = (self._rest + os.read(self._fd, MOST - len(self._rest))).split(b"\n")
        except BlockingIOError:
            return
        for line in lines:
            if not self._take(line):
                self._rest = b""
                return
        if len(self._rest) >= MOST:
            _bad("Could not find newline in entire buffer")
            self._rest = b""


def numbers(line: bytes, most: int) -> list[int]:
    """The decimal numbers at the front of a line, as scanf's ``%d %d`` finds them."""
    found: list[int] = []
    rest = line.lstrip()
    while len(found) < most:
        unsigned = rest[1:] if rest[:1] in (b"+", b"-") else rest
        digits = unsigned[: len(unsigned) - len(unsigned.lstrip(b"0123456789"))]
        if not digits:
            break
        value = -int(digits) if rest[:1] == b"-" else int(digits)
        found.append(value)
        rest = unsigned[len(digits) :].lstrip()
    return found


def _is_size(height: int, width: int) -> bool:
    if 0 <= height <= _LARGEST and 0 <= width <= _LARGEST:
        return True
    return _bad(f"Invalid window size: {height}x{width} (must be between 0 and {_LARGEST})")


def _bad(text: str) -> bool:
    say.warn(text)
    return False


def _fifo(path: str, again: bool) -> int:
    """A new pipe (``again``: or the one that is there), open at both ends by one descriptor: there is never a hang-up.
    Raises Fail."""
    try:
        try:
            os.mkfifo(path, 0o660)
        except FileExistsError:
            if not again:
                os.unlink(path)
                os.mkfifo(path, 0o660)
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Fail(f"Failed to mkfifo at {path}: {error.strerror}") from None
