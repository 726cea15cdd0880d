"""Logs as they grow: of several containers at once, over rotations and restarts.

Whoever rotates, packs and writes is not waited for, only told of by the kernel (inotify). A container's end is told by
its exit file; its log is complete by then.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.cli.crilog import Line, Reader
from reconciler.linux.inotify import Inotify, Mask

_CHANGED = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.CLOSE_WRITE
_PATIENCE = 5.0
"""Seconds after which we look though nothing was told: a pod that was removed with its directories tells nothing."""


@dataclass(frozen=True, slots=True)
class State:
    """Of the attempt whose log is read: whether it ended, the log of the next one, whether there can be one."""

    ended: bool
    successor: Path | None = None
    final: bool = False


class Stream:
    """One container's log. ``look`` says how things stand with the attempt whose log it is given."""

    def __init__(self, label: str, path: Path, look: Callable[[Path], State]) -> None:
        self.label = label
        self.directory = path.parent
        self.over = False
        self._path = path
        self._look = look
        self._reader: Reader | None = None

    def begin(self, tail: int | None, since: float | None, wanted: Callable[[Line], bool]) -> Iterator[Line]:
        """What is there, as far as it is asked for."""
        self._reader = Reader(self._path, tail, since)
        yield from deque(filter(wanted, self._reader.new()), maxlen=tail)

    def more(self, *, look: bool) -> Iterator[Line]:
        """What has come since. ``look``: the container may have ended."""
        assert self._reader is not None
        state = self._look(self._path) if look else State(False)
        yield from self._reader.new()
        while state.ended:
            if state.successor is None and not state.final:
                return
            yield from self._reader.rest()
            self.close()
            if state.successor is None:
                self.over = True
                return
            self._path, self._reader = state.successor, Reader(state.successor)
            state = self._look(self._path)
            yield from self._reader.new()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def follow(
    streams: list[Stream],
    exits: Path,
    tail: int | None = None,
    since: float | None = None,
    until: float | None = None,
    wanted: Callable[[Line], bool] = lambda _: True,
) -> Iterator[tuple[str, Line]]:
    """(label, line) of each stream, from its last ``tail`` lines on, until all are over, or it is ``until``.

    ``exits`` is the directory in which an exit file appears when a container ended.
    """
    watch = Inotify()
    try:
        for directory in {exits, *(stream.directory for stream in streams)}:
            with suppress(OSError):
                watch.add(str(directory), _CHANGED)
        for stream in streams:
            yield from ((stream.label, line) for line in stream.begin(tail, since, wanted))
        look, late = True, False
        while not late and (left := [stream for stream in streams if not stream.over]):
            late = until is not None and time.time() >= until
            for stream in left:
                yield from ((stream.label, line) for line in filter(wanted, stream.more(look=look)))
            if not late and any(not stream.over for stream in left):
                look = _wait(watch, _PATIENCE if until is None else min(_PATIENCE, max(0.0, until - time.time())))
    finally:
        watch.close()
        for stream in streams:
            stream.close()


def _wait(watch: Inotify, seconds: float) -> bool:
    """Until something changed; whether it may be more than what was written to a log."""
    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    if not poll.poll(seconds * 1000):
        return True
    return any(change.mask != Mask.MODIFY for change in watch.read())
