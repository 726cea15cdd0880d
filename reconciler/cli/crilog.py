"""Read a CRI log: ``TIMESTAMP stdout|stderr P|F TEXT``, where P is a piece of a line that goes on (kubelet: logs.go).

Reading only: a log that is rotated or still written may be read at the same time by anybody.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.linux.inotify import Inotify, Mask


@dataclass(frozen=True, slots=True)
class Line:
    """``whole`` False: the text has no newline (yet)."""

    stamp: str
    text: bytes
    whole: bool = True


def parse(raw: bytes) -> tuple[str, str, bool, bytes] | None:
    """(timestamp, stream, whole, text) of one record without its newline; None for what is not a record."""
    parts = raw.split(b" ", 3)
    if len(parts) != 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    return parts[0].decode(errors="replace"), parts[1].decode(), parts[2].split(b":")[0] == b"F", parts[3]


class Joiner:
    """Puts the pieces of lines together again, each stream by itself."""

    def __init__(self) -> None:
        self._pieces: dict[str, tuple[str, bytes]] = {}

    def add(self, raw: bytes) -> Line | None:
        """The line that this record completes, if it does. What is not a record is passed on as it is."""
        record = parse(raw)
        if record is None:
            return Line("", raw)
        stamp, stream, whole, text = record
        begun, before = self._pieces.pop(stream, (stamp, b""))
        if whole:
            return Line(begun, before + text)
        self._pieces[stream] = (begun, before + text)
        return None

    def rest(self) -> Iterator[Line]:
        """The lines that were never ended."""
        for stamp, text in self._pieces.values():
            yield Line(stamp, text, whole=False)
        self._pieces.clear()


class Reader:
    """Reads on where it left off, also when the file was rotated (replaced, or cut short) in between."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._inode = 0
        self._half = b""
        self._joiner = Joiner()

    def new(self) -> Iterator[Line]:
        """The lines since the last call. A file that is not there (yet) has none."""
        if self._fd >= 0 and self._replaced():
            yield from self._drain()
            self.close()
        if self._fd < 0:
            self._open()
        if self._fd >= 0:
            yield from self._drain()

    def rest(self) -> Iterator[Line]:
        """What a writer that died left without an end."""
        if self._half:
            line = self._joiner.add(self._half)
            self._half = b""
            if line:
                yield line
        yield from self._joiner.rest()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _open(self) -> None:
        with suppress(FileNotFoundError):
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            self._inode = os.fstat(self._fd).st_ino

    def _replaced(self) -> bool:
        try:
            there = os.stat(self._path)  # noqa: PTH116 (the raw call is what the race needs)
        except FileNotFoundError:
            return False
        return there.st_ino != self._inode or there.st_size < os.lseek(self._fd, 0, os.SEEK_CUR)

    def _drain(self) -> Iterator[Line]:
        while data := os.read(self._fd, 1 << 16):
            *records, self._half = (self._half + data).split(b"\n")
            for raw in records:
                if line := self._joiner.add(raw):
                    yield line


def read(path: Path, tail: int | None) -> Iterator[Line]:
    """All lines of a log, or its last ``tail``."""
    reader = Reader(path)
    try:
        lines: Iterator[Line] = _all(reader)
        yield from lines if tail is None else deque(lines, maxlen=tail)
    finally:
        reader.close()


def _all(reader: Reader) -> Iterator[Line]:
    yield from reader.new()
    yield from reader.rest()


def follow(path: Path, tail: int | None, exits: Path, ended: Callable[[], bool]) -> Iterator[Line]:
    """The log's lines (the last ``tail``, then all), as they come, until ``ended()`` and everything was read.

    ``exits`` is the directory in which an exit file appears when a container ended (its log is complete by then):
    a change there, or in the log's directory, is when we look again.
    """
    reader, watch = Reader(path), Inotify()
    try:
        changed = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.CLOSE_WRITE
        for directory in (path.parent, exits):
            with suppress(OSError):
                watch.add(str(directory), changed)
        first = deque(reader.new(), maxlen=tail)
        yield from first
        while True:
            over = ended()
            yield from reader.new()
            if over:
                yield from reader.rest()
                return
            _wait(watch)
    finally:
        watch.close()
        reader.close()


def _wait(watch: Inotify, seconds: float = 5.0) -> None:
    """Until something changed; the time limit catches what no event tells (a pod removed with its directories)."""
    import select

    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    poll.poll(seconds * 1000)
    watch.read()
