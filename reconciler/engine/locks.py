"""Locks across processes: flock on a file, released by the kernel when its holder dies.

``hold`` is for one key. The file is unlinked by a holder that finds the pod gone, so a waiter that gets the lock
checks that the file is still the one at that path, and tries again if not.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.key import Key


@dataclass(frozen=True, slots=True)
class HeldKey:
    """Proof of holding; ``perform`` asks for it."""

    key: Key


@contextmanager
def hold(path: Path, key: Key, gone: Callable[[], bool]) -> Iterator[HeldKey]:
    """Hold the lock file at ``path``, waiting for other holders. ``gone`` says at the end that it is not needed."""
    fd = _locked(path)
    try:
        yield HeldKey(key)
        if gone():
            path.unlink(missing_ok=True)
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


def _locked(path: Path) -> int:
    while True:
        fd = _open(path)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if _is_at(fd, path):
            return fd
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_at(fd: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
