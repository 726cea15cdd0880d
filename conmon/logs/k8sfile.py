"""The CRI log file: one record per line, ``TIME STREAM TAG CONTENT``, as the kubelet and log agents read it."""

from __future__ import annotations

import os
import time

from conmon import say
from conmon.say import Fail


class K8sFile:
    """An open log. A record is never cut in two by another: each read of output is written in one go.

    When the disk is full, lines are lost, which is said once; the container and its exit code go on.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._clock = Clock()
        self._failing = False
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise Fail(f"Failed to open log file: {error.strerror}: {path}") from None

    def write(self, stream: bytes, data: bytes) -> None:
        """Append what one read of ``stream`` (stdout or stderr) gave."""
        text = records(data, self._clock.stamp(time.time_ns()), stream)
        try:
            while text:
                text = text[os.write(self._fd, text) :]
            self._failing = False
        except OSError as error:
            if not self._failing:
                say.warn(f"cannot write log {self.path}: {error.strerror}; output is lost")
            self._failing = True

    def sync(self) -> None:
        """Bring it to the disk."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            say.warn(f"cannot sync log {self.path}: {error.strerror}")

    def close(self) -> None:
        os.close(self._fd)


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
