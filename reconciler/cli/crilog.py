"""Read a CRI log: ``TIMESTAMP stdout|stderr P|F TEXT``, where P is a piece of a line that goes on (kubelet: logs.go).

A log is the file of its name and the full ones that were kept before it (``conmon/logs/dated.py``). Reading only: it
may be written, rotated and packed at the same time.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conmon.logs import dated

_BLOCK = 1 << 16
_GZIP = 31
"""zlib's wbits for a file with gzip's header."""
_MARK = (b"stdout", b"stderr")


@dataclass(frozen=True, slots=True)
class Line:
    """``whole`` False: the text has no newline (yet)."""

    stamp: str
    text: bytes
    whole: bool = True


def parse(raw: bytes) -> tuple[str, str, bool, bytes] | None:
    """(timestamp, stream, whole, text) of one record without its newline; None for what is not a record."""
    parts = raw.split(b" ", 3)
    if len(parts) != 4 or parts[1] not in _MARK:
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
    """Reads from the oldest kept file on, then goes on where it left off, however often the log was rotated meanwhile.

    ``near``: begin somewhere before the last so many lines. ``since``: pass over files last written before that time
    (seconds since 1970).
    """

    def __init__(self, path: Path, near: int | None = None, since: float | None = None) -> None:
        self._path = path
        self._near = near
        self._since = since
        self._fd = -1
        self._last: dated.Age | None = None
        self._half = b""
        self._joiner = Joiner()

    def new(self) -> Iterator[Line]:
        """The lines since the last call. A file that is not there (yet) has none."""
        if self._fd >= 0:
            yield from self._drain()
            if not self._replaced():
                return
            yield from self._drain()
        yield from self._file_after_file()
        if self._fd >= 0:
            yield from self._drain()

    def rest(self) -> Iterator[Line]:
        """What a writer that died left without an end."""
        yield from self._end_of_file()
        yield from self._joiner.rest()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _file_after_file(self) -> Iterator[Line]:
        """Open the log as it is now; the lines of what was kept since it was opened last."""
        ours = os.fstat(self._fd) if self._fd >= 0 else None
        begun = self._last is not None or ours is not None
        if ours is not None:
            yield from self._end_of_file()
            self.close()
        fresh = [path for path in self._open() if not begun or _after(self._age(path), self._last)]
        if fresh:
            self._last = self._age(fresh[-1])
        if ours is not None and fresh and _is(fresh[0], ours):
            fresh = fresh[1:]
        if not begun:
            fresh = self._chosen(fresh)
        for path in fresh:
            yield from self._whole_file(path)

    def _chosen(self, kept: list[str]) -> list[str]:
        """Where to begin."""
        if self._since is not None:
            kept = [path for path in kept if _written(path) >= self._since]
        if self._near is None:
            return kept
        start, found = _lines_back(self._fd, self._near) if self._fd >= 0 else (0, 0)
        if self._fd >= 0:
            os.lseek(self._fd, start, os.SEEK_SET)
        chosen: list[str] = []
        for path in reversed(kept):
            if found > self._near:
                break
            chosen.insert(0, path)
            found += sum(_ends_line(raw) for raw in _content(path).split(b"\n"))
        return chosen

    def _open(self) -> list[str]:
        """Open what is at the path, if anything is; the kept files from before that."""
        while True:
            with suppress(FileNotFoundError):
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            kept: list[str] = []
            with suppress(FileNotFoundError):
                kept = dated.kept(str(self._path))
            if self._fd < 0 or not self._replaced():
                return kept
            self.close()

    def _age(self, path: str) -> dated.Age | None:
        return dated.age(str(self._path), path)

    def _replaced(self) -> bool:
        try:
            there = os.stat(self._path)  # noqa: PTH116 (the raw call is what the race needs)
        except FileNotFoundError:
            return False
        mine = os.fstat(self._fd)
        return not os.path.samestat(there, mine) or there.st_size < os.lseek(self._fd, 0, os.SEEK_CUR)

    def _drain(self) -> Iterator[Line]:
        while data := os.read(self._fd, _BLOCK):
            yield from self._lines(data)

    def _whole_file(self, path: str) -> Iterator[Line]:
        yield from self._lines(_content(path))
        yield from self._end_of_file()

    def _lines(self, data: bytes) -> Iterator[Line]:
        *records, self._half = (self._half + data).split(b"\n")
        for raw in records:
            if line := self._joiner.add(raw):
                yield line

    def _end_of_file(self) -> Iterator[Line]:
        """A record that has no end there never gets one."""
        half, self._half = self._half, b""
        if half and (line := self._joiner.add(half)):
            yield line


def read(path: Path, tail: int | None, since: float | None = None) -> Iterator[Line]:
    """All lines of a log, or its last ``tail``; those of files that were not written ``since`` may be missing."""
    reader = Reader(path, tail, since)
    try:
        lines: Iterator[Line] = _all(reader)
        yield from lines if tail is None else deque(lines, maxlen=tail)
    finally:
        reader.close()


def _all(reader: Reader) -> Iterator[Line]:
    yield from reader.new()
    yield from reader.rest()


def _after(age: dated.Age | None, last: dated.Age | None) -> bool:
    return age is not None and (last is None or age > last)


def _is(path: str, ours: os.stat_result) -> bool:
    """Whether a kept file is the one we had open; a packed one has its time."""
    try:
        there = os.stat(path)  # noqa: PTH116 (a name as the log's own module gives it)
    except FileNotFoundError:
        return os.path.exists(f"{path}.gz") and _is(f"{path}.gz", ours)  # noqa: PTH110 (as above)
    return os.path.samestat(there, ours) or (path.endswith(".gz") and there.st_mtime_ns == ours.st_mtime_ns)


def _written(path: str) -> float:
    """When a kept file was written last; now, if it is being packed."""
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 (as above)
    except FileNotFoundError:
        return float("inf")


def _content(path: str) -> bytes:
    """Of a kept file, which may be packed, or removed, at this moment."""
    for name in (path, f"{path}.gz"):
        with suppress(FileNotFoundError):
            data = Path(name).read_bytes()
            return zlib.decompressobj(_GZIP).decompress(data) if name.endswith(".gz") else data
    return b""


def _lines_back(fd: int, lines: int) -> tuple[int, int]:
    """A record's beginning with more than ``lines`` ends of lines behind it, or the file's; how many there are."""
    end, found, rest = os.fstat(fd).st_size, 0, b""
    while end > 0 and found <= lines:
        begin = max(0, end - _BLOCK)
        data = os.pread(fd, end - begin, begin) + rest
        first = (data.find(b"\n") + 1 or len(data)) if begin else 0
        rest = data[:first]
        found += sum(_ends_line(raw) for raw in data[first:].split(b"\n"))
        end = begin
    return end + len(rest), found


def _ends_line(raw: bytes) -> bool:
    parts = raw.split(b" ", 3)
    return len(parts) == 4 and parts[2][:1] == b"F"
