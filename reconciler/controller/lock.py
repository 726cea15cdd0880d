"""One controller per root: a lock that says who holds it and what it watches.

The kernel frees the lock when its holder dies, so a stale file means nothing; only a held lock does.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.model.errors import Busy
from reconciler.model.key import SourceId


@dataclass(frozen=True, slots=True)
class Holder:
    """The controller that is live. ``pid`` 0: it holds the lock, but has not said who it is yet."""

    pid: int
    directories: tuple[str, ...] = ()
    sources: tuple[SourceId, ...] = ()


@contextmanager
def claim(path: Path, directories: Sequence[str], sources: Sequence[SourceId]) -> Iterator[None]:
    """Be the controller of this root.

    Raises Busy, naming the other, where there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _locked(descriptor):
            raise Busy(f"cannot watch: {_named(_read(descriptor))} for this root")
        _write(descriptor, Holder(os.getpid(), tuple(directories), tuple(sources)))
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """The controller that is live on this root, if any."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def refuse_while_watched(path: Path, source: SourceId, verb: str) -> None:
    """Raise Busy where a live controller owns ``source``: it would put back at once what is taken down."""
    live = holder(path)
    if live is not None and source in live.sources:
        place = source.partition(":")[2]
        raise Busy(
            f"cannot {verb} {place}: controller (pid {live.pid}) watches it",
            hint=f"stop it first (kill {live.pid}), or remove the manifests",
        )


def _locked(descriptor: int) -> bool:
    """Try for a moment: somebody who merely asks whether the lock is held holds it himself while he asks."""
    for _ in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


def _named(live: Holder) -> str:
    who = f"another controller (pid {live.pid})" if live.pid else "another controller"
    return f"{who} watches {', '.join(live.directories)}" if live.directories else f"{who} is live"


def _read(descriptor: int) -> Holder:
    try:
        data = json.loads(os.pread(descriptor, 1 << 16, 0))
        return Holder(int(data["pid"]), tuple(data["directories"]), tuple(data["sources"]))
    except (ValueError, KeyError, TypeError):
        return Holder(0)


def _write(descriptor: int, live: Holder) -> None:
    text = json.dumps({"pid": live.pid, "directories": live.directories, "sources": live.sources})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
