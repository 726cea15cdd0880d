"""The CRI log file: one record per line, ``TIME STREAM TAG CONTENT``, as the kubelet and log agents read it."""

from __future__ import annotations

import os
import time

from conmon import say
from conmon.say import Fail


class Limits:
    """How large a log may become, in bytes (0: no limit), and what happens to a full one.

    ``size`` bounds one file, ``total`` all that is ever written; what comes after it is dropped. ``keep`` full
    files are kept, 0: none, a full log is discarded. ``allowed``: see ``rotation.rotate``.
    """

    def __init__(self, size: int = 0, total: int = 0, keep: int = 0, allowed: list[str] | None = None) -> None:
        self.size = max(size, 0)
        self.total = max(total, 0)
        self.keep = keep
        self.allowed = allowed or []


class K8sFile:
    """An open log. A record is never cut in two by another, nor by the end of a file.

    When the disk is full, lines are lost, which is said once; the container and its exit code go on. When a
    full log cannot be replaced, it grows, which is said once, too, and tried again after as much again.
    """

    def __init__(self, path: str, limits: Limits | None = None, *, sync: bool = True) -> None:
        """Open it. ``sync``: bring a full one to the disk before it is replaced. Raises Fail."""
        self.path = path
        self._clock = Clock()
        self._failing = False
        self._limits = limits or Limits()
        self._sync = sync
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise Fail(f"Failed to open log file: {error.strerror}: {path}") from None
        self._size = os.fstat(self._fd).st_size if self._limits.size else 0
        self._total = 0
        self._stuck = False

    def write(self, stream: bytes, data: bytes) -> None:
        """Append what one read of ``stream`` (stdout or stderr) gave."""
        text = records(data, self._clock.stamp(time.time_ns()), stream)
        if self._limits.total:
            text = self._allowance(text)
        if self._limits.size:
            self._write_sized(text)
        else:
            self._write(text)

    def reopen(self) -> None:
        """Replace the log now: with --log-rotate it is kept as ``.1``, without it is gone."""
        from conmon.logs import rotation

        if self._sync:
            self.sync()
        try:
            if self._limits.keep:
                fd = rotation.rotate(self.path, self._fd, self._limits.keep, self._limits.allowed)
            else:
                fd = rotation.replace(self.path)
        except OSError as error:
            if not self._stuck:
                say.warn(f"cannot replace log {self.path}: {error.strerror}; it goes on growing")
            self._stuck = True
            self._size = 0
            return
        os.close(self._fd)
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self._stuck = False

    def sync(self) -> None:
        """Bring it to the disk."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            say.warn(f"cannot sync log {self.path}: {error.strerror}")

    def close(self) -> None:
        os.close(self._fd)

    def _write_sized(self, text: bytes) -> None:
        """Fill the file with whole records, replace it, go on. One record may be larger than a file."""
        while text:
            end = _whole(text, self._limits.size - self._size)
            if end == 0 and self._size > 0:
                self.reopen()
                end = _whole(text, self._limits.size - self._size)
            end = end or text.index(b"\n") + 1
            self._write(text[:end])
            self._size += end
            text = text[end:]

    def _allowance(self, text: bytes) -> bytes:
        """The records that --log-global-size-max still admits: all that begin before it is reached."""
        room = max(self._limits.total - self._total, 0)
        end = text.find(b"\n", room - 1) + 1 if 0 < room <= len(text) else len(text) if room else 0
        self._total += end
        return text[:end]

    def _write(self, text: bytes) -> None:
        try:
            while text:
                text = text[os.write(self._fd, text) :]
            self._failing = False
        except OSError as error:
            if not self._failing:
                say.warn(f"cannot write log {self.path}: {error.strerror}; output is lost")
            self._failing = True


class Clock:
    """Renders times; the part that changes once a second is kept (a second is also as often as a time zone shifts)."""

    def __init__(self) -> None:
        self._second = -1
        self._head = ""
        self._offset = ""

    def stamp(self, nanoseconds: int) -> bytes:
        """``YYYY-MM-DDTHH:MM:SS.nnnnnnnnn+HH:MM``, local time, the offset always numeric."""
        second, rest = divmod(nanoseconds, 1_000_000_000)
        if second != self._second:
            local = time.localtime(second)
            minutes = abs(local.tm_gmtoff) // 60
            self._second = second
            self._head = time.strftime("%Y-%m-%dT%H:%M:%S.", local)
            self._offset = f"{'-' if local.tm_gmtoff < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
        return f"{self._head}{rest:09d}{self._offset}".encode()


def records(data: bytes, stamp: bytes, stream: bytes) -> bytes:
    """The records of one read: F for each line that ends in it, P for a rest without a newline."""
    full = stamp + b" " + stream + b" F "
    end = data.rfind(b"\n") + 1
    text = full + data[: end - 1].replace(b"\n", b"\n" + full) + b"\n" if end else b""
    if end < len(data):
        text += stamp + b" " + stream + b" P " + data[end:] + b"\n"
    return text


def _whole(text: bytes, room: int) -> int:
    """The length of the records at the front of ``text`` that fit into ``room`` bytes."""
    if len(text) <= room:
        return len(text)
    return text.rfind(b"\n", 0, room) + 1 if room > 0 else 0
