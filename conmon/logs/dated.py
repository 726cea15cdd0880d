"""Full logs kept as the kubelet keeps them: ``NAME.YYYYMMDD-HHMMSS``, all but the newest gzipped (``.gz``).

After the kubelet's container_log_manager.go, but for two things. What fills a log in less than a second is kept, too,
under a name with a number behind it (``.YYYYMMDD-HHMMSS.1``); and a clock that was set back puts nothing before what
is older: the names' order is that of the lines.

Every step is one rename or one unlink. Whoever is killed in between leaves each line under exactly one name, and the
next rotation goes on from there: leftovers are ``NAME.new`` (empty) and ``*.tmp`` (half a compressed copy).
Compressing is a child's work, at the lowest priority, so that output need not wait for it.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # why: see process.py
import os
import select
import time
import zlib

from conmon import fds, process
from conmon.logs import rotation

_PIECE = 1 << 16
_GZIP = 31
"""zlib's wbits for a gzip header around the largest window."""

Age = tuple[str, int]


class Keeper:
    """Rotates one log. ``keep``: how many full logs are kept, the newest of them as it is."""

    def __init__(self, path: str, keep: int, allowed: list[str]) -> None:
        self._path = path
        self._keep = keep
        self._allowed = allowed
        self._packer: int | None = None

    def rotate(self, current: int) -> int:
        """Put a new file in the place of the log whose descriptor is ``current``; its descriptor. Raises OSError."""
        fd = rotation.fresh(self._path, current, self._allowed)
        if fd is None:
            return rotation.reopened(self._path)
        try:
            os.rename(self._path, name(self._path, time.localtime(), kept(self._path)))
            os.rename(f"{self._path}.new", self._path)
        except OSError:
            os.close(fd)
            raise
        self._tidy()
        return fd

    def _tidy(self) -> None:
        """Remove what is too much, and have the rest packed. What cannot be done now is done at the next rotation."""
        try:
            if self._is_packing():
                _remove(kept(self._path)[: -self._keep])
                return
            _remove(halves(self._path))
            _remove(kept(self._path)[: -self._keep])
            if _to_pack(self._path):
                self._packer = _start(self._path)
        except OSError:
            return

    def _is_packing(self) -> bool:
        if self._packer is None:
            return False
        poll = select.poll()
        poll.register(self._packer, select.POLLIN)
        if not poll.poll(0):
            return True
        os.close(self._packer)
        self._packer = None
        return False


def kept(path: str) -> list[str]:
    """The full logs that are there, the oldest first; each once, as the packed one if that is complete."""
    found: dict[Age, str] = {}
    for entry in sorted(_beside(path)):
        of = age(path, entry)
        if of is not None:
            found[of] = entry  # .gz sorts behind the file that it was made of
    return [found[of] for of in sorted(found)]


def halves(path: str) -> list[str]:
    """What a killed packer left: half copies, and files whose packed copy is complete."""
    entries = _beside(path)
    return [e for e in entries if e.endswith(".tmp") or (f"{e}.gz" in entries and age(path, e))]


def name(path: str, now: time.struct_time, older: list[str]) -> str:
    """A name for the log that is full now: later than all of ``older``."""
    stamp = time.strftime("%Y%m%d-%H%M%S", now)
    last = age(path, older[-1]) if older else None
    if last is None or last[0] < stamp:
        return f"{path}.{stamp}"
    return f"{path}.{last[0]}.{last[1] + 1}"


def age(path: str, entry: str) -> Age | None:
    """By what ``<path>.YYYYMMDD-HHMMSS[.N][.gz]`` is sorted among the kept logs of ``path``; None for anything else."""
    stamp, _, number = entry[len(path) + 1 :].removesuffix(".gz").partition(".")
    digits = stamp.replace("-", "", 1)
    if len(stamp) != 15 or stamp[8] != "-" or not (digits + (number or "0")).isdecimal():
        return None
    return stamp, int(number or 0)


def _beside(path: str) -> set[str]:
    directory, base = os.path.split(path)
    return {os.path.join(directory, entry) for entry in os.listdir(directory or ".") if entry.startswith(f"{base}.")}


def _remove(paths: list[str]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue


def _start(path: str) -> int:
    """A child that packs; a descriptor of it (pidfd). Raises OSError."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # none must meet our handlers in the child
    try:
        pid = os.fork()
        if pid == 0:
            try:
                _become_packer()
                pack_all(path)
            finally:
                os._exit(0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return os.pidfd_open(pid)


def _become_packer() -> None:
    """Hold nothing of the container's, least of all its ports; be the first to go when memory runs out."""
    process.default_signals()
    fds.close_all_but((0, 1, 2))
    process.set_oom_score("1000")
    process.set_title("conmon gzip")
    os.nice(19)


def pack_all(path: str) -> None:
    """Pack what is kept of a log but for the newest, also what comes to be there meanwhile. Raises OSError."""
    while plain := _to_pack(path):
        pack(plain[0])


def _to_pack(path: str) -> list[str]:
    return [name for name in kept(path)[:-1] if not name.endswith(".gz")]


def pack(path: str) -> None:
    """Put a gzipped copy in a file's place. Raises OSError; then the file is as it was."""
    temporary = f"{path}.{os.getpid()}.tmp"
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, rotation.MODE)
        try:
            _squeeze(source, target)
            os.utime(target, ns=(os.fstat(source).st_atime_ns, os.fstat(source).st_mtime_ns))
            os.fsync(target)
            if os.fstat(source).st_nlink:  # it may have become too old meanwhile
                os.rename(temporary, f"{path}.gz")
        finally:
            os.close(target)
            _remove([temporary])
    finally:
        os.close(source)
    _remove([path])


def _squeeze(source: int, target: int) -> None:
    """As long as the source has a name: one that became too old takes no more room."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    while os.fstat(source).st_nlink and (piece := os.read(source, _PIECE)):
        _write(target, packer.compress(piece))
    _write(target, packer.flush())


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
