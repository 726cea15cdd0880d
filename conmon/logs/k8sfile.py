"""The CRI log file: one record per line, ``TIME STREAM TAG CONTENT``, as the kubelet and log agents read it."""

from __future__ import annotations

import errno
import os
import time

from conmon import say
from conmon.logs.driver import Driver
from conmon.say import Fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from conmon.logs.dated import Keeper


class Limits:
    """How large a log may become, in bytes (0: no limit), and what happens to a full one.

    ``size`` bounds one file, ``total`` all that is ever written; what comes after it is dropped. ``keep`` full
    files are kept, 0: none, a full log is discarded. ``allowed``: see ``rotation.rotate``.

    ``dated``: full files are named and packed as the kubelet's (``dated.py``). A file then ends with the read that
    fills it: while files are moved about, no line is in nobody's hands but ours.
    """

    def __init__(
        self,
        size: int = 0,
        total: int = 0,
        keep: int = 0,
        allowed: list[str] | None = None,
        *,
        dated: bool = False,
    ) -> None:
        self.size = max(size, 0)
        self.total = max(total, 0)
        self.keep = keep
        self.dated = dated
        self.allowed = allowed or []


class K8sFile(Driver):
    """An open log. A record is never cut in two by another, nor by the end of a file.

    When the disk is full, lines are lost, which is said once, and how many when there is space again, also in the log;
    the container and its exit code go on. When a full log cannot be replaced, it grows, which is said once, too, and
    tried again after as much again.
    """

    def __init__(self, path: str, limits: Limits | None = None, *, sync: bool = True) -> None:
        """Open it. ``sync``: bring a full one to the disk before it is replaced. Raises Fail."""
        self.path = path
        self._clock = Clock()
        self._failing = False
        self._lost = 0
        self._cause = ""
        self._limits = limits or Limits()
        self._keeper: Keeper | None = None
        self._sync = sync
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise Fail(f"Failed to open log file: {error.strerror}: {path}") from None
        self._size = _end_last_record(path, self._fd)
        self._inode = os.fstat(self._fd).st_ino
        self._total = 0
        self._stuck = False

    def write(self, stream: bytes, data: bytes) -> None:
        text = records(data, self._clock.stamp(time.time_ns()), stream)
        if self._limits.total:
            text = self._allowance(text)
        if not self._limits.size:
            self._write(text)
        elif self._limits.dated:
            self._write(text)
            self._size += len(text)
            if self._size >= self._limits.size:
                self.reopen()
        else:
            self._write_sized(text)

    def place(self) -> tuple[int, int]:
        """Where the next record goes: the file's inode, and its size; zeros where it is no file."""
        try:
            return self._inode, os.lseek(self._fd, 0, os.SEEK_END)
        except OSError:
            return 0, 0

    def cut(self, inode: int, size: int) -> bool:
        """Take back what another monitor has written since then; whether it is to be written again. It may have renewed
        the log: a dated one after it had written all, another one while it did."""
        try:
            if inode == self._inode:
                os.ftruncate(self._fd, size)
            elif self._limits.dated:
                return False
            else:
                _cut_before(f"{self.path}.1", inode, size)
                os.ftruncate(self._fd, 0)
        except OSError:
            return True  # then it is there twice
        self._size = os.fstat(self._fd).st_size
        return True

    def reopen(self) -> None:
        """Replace the log now: with --log-rotate it is kept, without it is gone."""
        if self._sync:
            self.sync()
        try:
            fd = self._replace()
        except OSError as error:
            if not self._stuck:
                say.warn(f"cannot replace log {self.path}: {error.strerror}; it goes on growing")
            self._stuck = True
            self._size = 0
            return
        os.close(self._fd)
        self._fd = fd
        stat = os.fstat(fd)
        self._inode, self._size = stat.st_ino, stat.st_size
        self._stuck = False

    def _replace(self) -> int:
        """The new log's descriptor. Raises OSError."""
        from conmon.logs import rotation

        limits = self._limits
        if not limits.keep:
            return rotation.replace(self.path)
        if not limits.dated:
            return rotation.rotate(self.path, self._fd, limits.keep, limits.allowed)
        if self._keeper is None:
            from conmon.logs.dated import Keeper

            self._keeper = Keeper(self.path, limits.keep, limits.allowed)
        return self._keeper.rotate(self._fd)

    def sync(self) -> None:
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
        done = 0
        try:
            if self._failing:
                self._tell_what_is_lost(text)
            while done < len(text):
                done += os.write(self._fd, text[done:] if done else text)
        except OSError as error:
            self._lose(text, done, error)

    def _tell_what_is_lost(self, text: bytes) -> None:
        """A record of it stands where the lost ones would, before ``text``: who reads the log must know. Raises
        OSError, also where there is no room for all of it."""
        stamp = text[: text.index(b" ")]
        lines = "1 line was" if self._lost == 1 else f"{self._lost} lines were"
        note = stamp + f" stderr F [conmon: {lines} lost here: {self._cause}]\n".encode()
        done = os.write(self._fd, note)
        if done < len(note):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        say.warn(f"log {self.path} can be written again; {self._lost} records were lost")
        self._size += done
        self._failing = False
        self._lost = 0

    def _lose(self, text: bytes, done: int, error: OSError) -> None:
        """Only ``done`` bytes of ``text`` were written: half a record at their end is taken back."""
        whole = text.rfind(b"\n", 0, done) + 1
        self._lost += text.count(b"\n", whole)
        if not self._failing:
            say.warn(f"cannot write log {self.path}: {error.strerror}; output is lost")
        self._failing = True
        self._cause = error.strerror or str(error)
        try:
            if done > whole:
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - (done - whole))
        except OSError:
            return  # half a record is left; the next one stands in the same line


def _cut_before(path: str, inode: int, size: int) -> None:
    """Of a log that was kept. Raises OSError, also where it is another."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.fstat(fd).st_ino != inode:
            raise FileNotFoundError(path)
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


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


def _end_last_record(path: str, fd: int) -> int:
    """End a line that a killed monitor left half written, so that no other begins in it. The log's size."""
    size = os.fstat(fd).st_size
    if size:
        try:
            reader = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                torn = os.pread(reader, 1, size - 1) not in (b"\n", b"")
            finally:
                os.close(reader)
            size += os.write(fd, b"\n") if torn else 0
        except OSError:
            pass  # a log that cannot be read, or a full disk: the first record stands in that line
    return size


def _whole(text: bytes, room: int) -> int:
    """The length of the records at the front of ``text`` that fit into ``room`` bytes."""
    if len(text) <= room:
        return len(text)
    return text.rfind(b"\n", 0, room) + 1 if room > 0 else 0
