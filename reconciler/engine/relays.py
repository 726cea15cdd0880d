"""Our own streams, as a command in a container may have them.

crun gives the streams of a process to its user: a file that stdin or stdout was redirected to, the machine's /dev/null
or the caller's terminal would then belong to whoever runs in the container, who could also put words into that
terminal. So only pipes and sockets are passed as they are; from and to anything else a thread copies.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select

from reconciler.model.errors import TryLater

PIECE = 65536
STDIN, STDOUT, STDERR = range(3)
Streams = tuple[int | None, int | None, int | None]
"""What a child gets as stdin, stdout and stderr; None for our own."""


@contextmanager
def shielded(stdin: bool) -> Iterator[Streams]:
    """Descriptors to give to a child as stdin, stdout and stderr; None for our own. Without ``stdin`` it gets an empty
    one, and ours is left to whoever reads it next. At the end, what the child itself wrote has arrived; what it left
    running is not waited for. Raises TryLater where it did not arrive (a full disk)."""
    theirs: dict[int, int] = {}
    drains: list[_Drain] = []
    try:
        if not stdin:
            theirs[STDIN] = empty()
        elif _precious(STDIN):
            theirs[STDIN] = _fed(STDIN)
        if _precious(STDOUT):
            drains.append(_Drain(STDOUT))
            theirs[STDOUT] = drains[-1].theirs
        if STDOUT in theirs and _same(STDOUT, STDERR):
            theirs[STDERR] = os.dup(theirs[STDOUT])  # one pipe, so that both keep their order
        elif _precious(STDERR):
            drains.append(_Drain(STDERR))
            theirs[STDERR] = drains[-1].theirs
        yield theirs.get(STDIN), theirs.get(STDOUT), theirs.get(STDERR)
    finally:
        for fd in theirs.values():
            os.close(fd)
        for drain in drains:
            drain.end()
    for drain in drains:
        if drain.trouble is not None:
            raise drain.trouble


def _same(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False  # one of them is closed


def _precious(fd: int) -> bool:
    """Whether it is open, and no pipe or socket without a name, which has no owner to lose."""
    try:
        return not str(Path(f"/proc/self/fd/{fd}").readlink()).startswith(("pipe:[", "socket:["))
    except OSError:
        return False


def empty() -> int:
    """Something to read in which there is nothing; the caller closes it."""
    ours, end = os.pipe2(os.O_CLOEXEC)
    os.close(end)
    return ours


def _fed(source: int) -> int:
    """A pipe that all of ``source`` comes out of."""
    ours, end = os.pipe2(os.O_CLOEXEC)

    def feed() -> None:
        with suppress(OSError):  # nobody reads any more
            while piece := os.read(source, PIECE):
                _write(end, piece)
        os.close(end)

    threading.Thread(target=feed, name="feed stdin", daemon=True).start()
    return ours


class _Drain:
    """A pipe whose content goes to ``target``; ``end`` is called once the child has ended."""

    def __init__(self, target: int) -> None:
        self._source, self.theirs = os.pipe2(os.O_CLOEXEC)
        self._target = target
        self.trouble: TryLater | None = None
        """Why something of it did not arrive; None where all did."""
        self._thread = threading.Thread(target=self._copy, name=f"drain {target}", daemon=True)
        self._over, self._told = os.pipe2(os.O_CLOEXEC)
        self._thread.start()

    def end(self) -> None:
        os.close(self._told)
        self._thread.join()
        os.close(self._over)

    def _copy(self) -> None:
        try:
            while True:
                ready, _, _ = select([self._source, self._over], [], [])
                if self._source not in ready:
                    return  # the child has ended, and the pipe is empty: what it left running may keep it open
                piece = os.read(self._source, PIECE)
                if not piece:
                    return
                _write(self._target, piece)
        except OSError as e:  # a full disk: a child that goes on writing is told by a broken pipe
            self.trouble = TryLater(f"cannot write the command's output: {e.strerror}")
        finally:
            os.close(self._source)


def _write(fd: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(fd, piece) :]
