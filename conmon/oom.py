"""Whether the kernel killed in the container because memory ran out (the reference, section 9).

What counts is the kernel's count of its kills in the container's own cgroup; a limit of the pod or of the machine may
have been the one that was reached. v2 tells of a change by POLLPRI on ``memory.events``: no inotify, of which a host
may have 128 in all. v1 writes to an eventfd when a limit is reached, just before it kills, and tells every cgroup below
that limit: so the count is looked at a moment later. A container that ended meanwhile has told already: it is looked at
once more before the exit files are written, so that a kill is known by whoever hears of the end.
"""

from __future__ import annotations

import os
import select

from conmon import exitfiles, process, say
from conmon.loop import Loop

ROOT = "/sys/fs/cgroup"
_MOMENTS = (0.1, 0.4, 1.0)
"""Seconds after the kernel's word in which v1's kill should have come, and the container's own end."""


class Watch:
    """Watches the cgroup of ``pid`` and leaves a note in ``files`` at each rise of the count: ``KILLS PEAK``, bytes, in
    ``count_file``; what the C conmon leaves (an empty file) in the others."""

    def __init__(self, loop: Loop, pid: int, files: list[str], count_file: str | None, *, again: bool = False) -> None:
        """``again``: another monitor did before us, and what it noted last was the count until now."""
        self._loop = loop
        self._files = files
        self._count_file = count_file
        self._counter = -1
        self._peak = ""
        self._highest = 0
        self._event = -1
        self._above: _Above | None = None
        self._seen = 0
        self._kills = 0
        self._directory = ""
        try:
            self._open(pid)
        except OSError as error:
            say.warn(
                f"cannot watch for OOM kills of {pid}: {error.strerror}"
            )  # as the C conmon: it is no reason to fail
        if again:
            self._kills = _noted(count_file)
            self.look()

    def look(self, *, killed: bool = False) -> bool:
        """Note a rise of the count; whether there was one. ``killed``: the container has ended by KILL."""
        kills = self._count(killed=killed)
        if kills <= self._kills:
            return False
        self._kills = kills
        for path in self._files:
            _leave(path, "")
        if self._count_file is not None:
            _leave(self._count_file, f"{kills} {self._note_peak()}")
        return True

    def _open(self, pid: int) -> None:
        v2 = os.path.exists(f"{ROOT}/cgroup.controllers")
        path = _group(pid, v2)
        if path is None:
            return
        self._directory = f"{ROOT}{path}" if v2 else f"{ROOT}/memory{path}"
        name, peak = ("memory.events", "memory.peak") if v2 else ("memory.oom_control", "memory.max_usage_in_bytes")
        self._peak = f"{self._directory}/{peak}"
        self._counter = os.open(f"{self._directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        self._above = _Above(self._directory) if v2 else None
        self._kills = self._count()
        if v2:
            self._loop.watch(self._counter, self._changed, select.EPOLLPRI)
        else:
            self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            process.write(f"{self._directory}/cgroup.event_control", f"{self._event} {self._counter}".encode())
            self._loop.watch(self._event, self._reached)

    def _note_peak(self) -> int:
        """The most memory that was in use. Of a cgroup that is gone, what was seen when the limit was reached: systemd
        removes a scope's when the last process has ended."""
        self._highest = max(self._highest, _number(self._peak))
        return self._highest

    def _changed(self) -> None:
        """v2: some count has changed; or the cgroup is gone, which is told for ever."""
        self._note_peak()
        if self._count() > self._kills:
            self._soon(_MOMENTS)
        elif not os.path.exists(self._directory):
            self._loop.forget(self._counter)

    def _reached(self) -> None:
        """v1: a limit was reached; or the cgroup is gone."""
        os.read(self._event, 8)
        if os.path.exists(f"{self._directory}/cgroup.event_control"):
            self._soon(_MOMENTS)

    def _soon(self, moments: tuple[float, ...]) -> None:
        self._loop.later(moments[0], lambda: self._look_soon(moments[1:]))

    def _look_soon(self, moments: tuple[float, ...]) -> None:
        if not self.look() and moments:
            self._soon(moments)

    def _count(self, *, killed: bool = False) -> int:
        """What ``oom_kill`` says. systemd removes a scope's cgroup when the last process has ended: then, what was seen
        before, or that the slice around it has had one more."""
        if self._counter < 0:
            return self._kills
        count = _oom_kills(self._counter)
        if count is not None:
            self._seen = count
            if self._above is not None:
                self._above.note()
        elif killed and self._above is not None and self._above.rose():
            self._seen += 1
        return self._seen


class _Above:
    """The count of the slice in which systemd has the container's scope: it holds the container's, and outlives it."""

    def __init__(self, directory: str) -> None:
        while directory.startswith(f"{ROOT}/") and not directory.endswith(".slice"):
            directory = os.path.dirname(directory)
        self._counter = -1
        self._count = 0
        if directory.endswith(".slice"):
            try:
                self._counter = os.open(f"{directory}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
            self.note()

    def note(self) -> None:
        if self._counter >= 0:
            self._count = _oom_kills(self._counter) or 0

    def rose(self) -> bool:
        """Whether there was a kill since it was noted last. A kill in another container of the pod looks the same."""
        before = self._count
        self.note()
        return self._count > before


def _oom_kills(counter: int) -> int | None:
    """None where the cgroup is gone."""
    try:
        text = os.pread(counter, 4096, 0)
    except OSError:
        return None
    for line in text.split(b"\n"):
        if line.startswith(b"oom_kill "):
            return int(line[9:])
    return 0


def _group(pid: int, v2: bool) -> str | None:
    """The path of the cgroup that counts the memory of a process, as we see it."""
    for line in process.read(f"/proc/{pid}/cgroup").split(b"\n"):
        number, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if (v2 and number == b"0") or (not v2 and b"memory" in controllers.split(b",")):
            return path.decode(errors="surrogateescape")
    return None


def _noted(count_file: str | None) -> int:
    try:
        return int(process.read(count_file).split()[0]) if count_file is not None else 0
    except (OSError, ValueError, IndexError):
        return 0


def _number(path: str) -> int:
    try:
        return int(process.read(path))
    except (OSError, ValueError):
        return 0


def _leave(path: str, text: str) -> None:
    try:
        exitfiles.replace(path, text)
    except OSError as error:
        say.warn(f"Failed to write {path}: {error.strerror}")
