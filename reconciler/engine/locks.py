"""Locks across processes: flock on a file, released by the kernel when its holder dies.

``hold`` is for one key. The file is unlinked by a holder that finds the pod gone, so a waiter that gets the lock
checks that the file is still the one at that path, and tries again if not.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.boundary import hint
from reconciler.engine.effects import effect
from reconciler.model.errors import Busy, TryLater
from reconciler.model.key import Key

PATIENCE, _AGAIN = 15.0, 0.005
"""Seconds that another instance is waited for, and between two looks."""


@dataclass(frozen=True, slots=True)
class HeldKey:
    """Proof of holding; ``perform`` asks for it."""

    key: Key


@contextmanager
def hold(
    path: Path, key: Key, gone: Callable[[], bool], before_waiting: Callable[[], None] = lambda: None
) -> Iterator[HeldKey]:
    """Hold the lock file at ``path``, waiting for other holders, and calling ``before_waiting`` then. ``gone`` says at
    the end that it is not needed."""
    fd = _locked(path, before_waiting)
    try:
        yield HeldKey(key)
    finally:
        try:
            if gone():
                _unlink(path)
        finally:
            os.close(fd)


def sweep(directory: Path, needed: Collection[str]) -> None:
    """Remove the lock files that are not ``needed`` (by name) and that nobody holds: their holders were killed."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.name not in needed:
            fd = _open(path)
            try:
                if _takes(fd) and _is_at(fd, path):
                    _unlink(path)
            finally:
                os.close(fd)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file that is never removed."""
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold such a file together with any number of others, while nobody has it for itself."""
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


@contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Have such a file for ourselves if nobody holds it at this moment; whether that is so."""
    fd = _open(path)
    try:
        yield _takes(fd)
    finally:
        os.close(fd)


@contextmanager
def among_instances(path: Path, doing: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a lock that is another instance's as well, so that its troubles do not become ours: raises
    Busy("cannot ``doing``…") when it is held for more than ``patience`` seconds. ``path`` is a directory that is there:
    a file would be nobody's to remove."""
    fd, end = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), time.monotonic() + patience
    try:
        while not _takes(fd):
            if time.monotonic() > end:
                raise Busy(f"cannot {doing}: another instance of reconciler does just that ({path} is locked)")
            time.sleep(_AGAIN)
        yield
    finally:
        os.close(fd)


def _takes(fd: int) -> bool:
    """Lock it unless somebody else has; whether that is so."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked(path: Path, before_waiting: Callable[[], None]) -> int:
    while True:
        fd = _open(path)
        if not _takes(fd):
            before_waiting()
            fcntl.flock(fd, fcntl.LOCK_EX)
        if _is_at(fd, path):
            return fd
        os.close(fd)


@effect("lock.open")
def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise TryLater(f"cannot lock {path}: {e.strerror}", hint=hint(e)) from e


@effect("lock.remove")
def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _is_at(fd: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
