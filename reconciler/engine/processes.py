"""Processes that cannot be confused: a pid together with its start time, signalled through a pidfd."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.files import read_small
from reconciler.model.process import PidRef

_NO_PROCESS = (errno.ESRCH, errno.EINVAL, errno.ENOENT)
"""What pidfd_open says of a number that is nobody's, or that of a thread by now, or lives on as that of a session only
(EINVAL until Linux 6.14)."""
_DEAD = (b"Z", b"X")


@cache
def boot_id() -> str:
    """The kernel's id of this boot: pids, instants and /run facts of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pid_ref(pid: int) -> PidRef | None:
    """A reference to a living process, or None."""
    fields = _stat(pid)
    return PidRef(pid, int(fields[19])) if fields else None


def alive(ref: PidRef) -> bool:
    """Whether it still runs; a zombie does not."""
    fields = _stat(ref.pid)
    return fields is not None and int(fields[19]) == ref.start and fields[0] not in _DEAD


@effect("process.signal")
def send_signal(ref: PidRef, number: int) -> None:
    """Signal that very process; nothing happens when it is gone."""
    fd = opened(ref)
    if fd is None:
        return
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


@effect("process.score")
def set_oom_score(pid: int, old: int, new: int) -> None:
    """Score a process for the kernel's choice of a victim, if its score is ``old``; nothing happens when it is gone,
    or when we may not."""
    file = Path(f"/proc/{pid}/oom_score_adj")
    with contextlib.suppress(OSError):
        if int(file.read_text()) == old:
            file.write_text(str(new))


def wait_gone(ref: PidRef, seconds: float) -> bool:
    """Wait for its end, at most ``seconds``; whether it ended."""
    fd = opened(ref)
    if fd is None:
        return True
    try:
        return ended(fd, seconds)
    finally:
        os.close(fd)


def ended(pidfd: int, seconds: float) -> bool:
    """As ``wait_gone``, by a descriptor, whatever its number (select(2) takes none above 1023)."""
    return any_ended((pidfd,), seconds)


def any_ended(pidfds: Iterable[int], seconds: float) -> bool:
    """The same of the first of several."""
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def below(pid: int) -> tuple[PidRef, ...]:
    """Every living process that descends from it, children before theirs, without it itself."""
    children: dict[int, list[PidRef]] = {}
    for pid_there in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        fields = _stat(pid_there)
        if fields is not None and fields[0] not in _DEAD:
            children.setdefault(int(fields[1]), []).append(PidRef(pid_there, int(fields[19])))
    found, parents = [], [pid]
    while parents:
        generation = [ref for parent in parents for ref in children.get(parent, ())]
        found += generation
        parents = [ref.pid for ref in generation]
    return tuple(found)


def held_below(pid: int) -> tuple[PidRef, ...]:
    """The same, and all of them are stopped, so that none can start another: who has a signal waiting cannot fork."""
    held: dict[PidRef, None] = {}
    while new := [ref for ref in below(pid) if ref not in held]:
        for ref in new:
            send_signal(ref, signal.SIGSTOP)
            held[ref] = None
    return tuple(held)


def opened(ref: PidRef) -> int | None:
    """A descriptor (pidfd) of that very process, readable when it has ended; None where it has. Raises OSError."""
    if ref.pid <= 0:
        return None
    try:
        fd = os.pidfd_open(ref.pid)
    except OSError as e:
        if e.errno in _NO_PROCESS:
            return None
        raise
    lives = False
    try:
        lives = alive(ref)  # looked at after the open: the number cannot be given away any more
    finally:
        if not lives:
            os.close(fd)
    return fd if lives else None


def _stat(pid: int) -> list[bytes] | None:
    try:
        text = read_small(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(b")")[2].split()
