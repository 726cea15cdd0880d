"""Whose word on a source counts: that of the command that was started last.

`apply` and `down` of one folder at the same time would otherwise undo each other's work without end. Each says at its
start what it is about; one that finds a later, contrary word gives up. Commands that want the same help each other.
A word outlives the command that gave it, killed or not, and means nothing to those that start later.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.errors import Overtaken
from reconciler.model.key import SourceId
from reconciler.sources import memory

UP, DOWN = "apply", "down"


@dataclass(frozen=True, slots=True)
class Turn:
    """The word of a command on one source: its place in the row, what it wants (UP or DOWN), and the command's pid."""

    number: int
    wish: str
    pid: int


class Turns:
    """One command's words on all its sources, in files below ``directory``, which need not survive the machine."""

    def __init__(self, directory: Path, sources: Iterable[SourceId], wish: str) -> None:
        """Give the word. Where it cannot be written (a full disk), we do without: `down` must work there, too."""
        self._mine: list[tuple[SourceId, Path, Turn]] = []
        with suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            for source in sources:
                file = memory.place_of(directory, source)
                self._mine.append((source, file, _take(file, wish)))

    def check(self) -> None:
        """Raise Overtaken where a later command wants the contrary."""
        for source, file, mine in self._mine:
            last = _read(file)
            if last.number > mine.number and last.wish != mine.wish:
                place = source.partition(":")[2]
                raise Overtaken(f"cannot go on with {mine.wish}: `{last.wish}` of {place} (pid {last.pid}) came later")


def _take(file: Path, wish: str) -> Turn:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        turn = Turn(_parse(os.pread(descriptor, 4096, 0)).number + 1, wish, os.getpid())
        text = json.dumps({"number": turn.number, "wish": turn.wish, "pid": turn.pid}).encode()
        os.pwrite(descriptor, text.ljust(_SIZE), 0)
        return turn
    finally:
        os.close(descriptor)


_SIZE = 80
"""Bytes that every word takes: one that is shorter than the last leaves nothing of it behind."""


def _read(file: Path) -> Turn:
    try:
        return _parse(file.read_bytes())
    except OSError:
        return _parse(b"")


def _parse(data: bytes) -> Turn:
    """Nothing, or what a full disk left of a word, is a word before all others."""
    try:
        fields = json.loads(data)
        return Turn(int(fields["number"]), str(fields["wish"]), int(fields["pid"]))
    except (ValueError, KeyError, TypeError):
        return Turn(0, "", 0)
