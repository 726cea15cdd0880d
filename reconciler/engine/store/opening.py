"""The database file: made, opened, and made anew where it is damaged.

It is an index over the records, so a file that is no database, or is not whole, is set aside (``state.db.damaged``, one
is kept) and begun again; ``Store`` has it filled. Whoever makes or replaces the file has the directory's lock: a file
of no bytes that nobody is making was cut short. A new file is another inode, with no -wal and -shm: those who have the
old one open notice, and what they do with that at their end does not reach the new one (SQLite leaves the -wal alone of
a file that has been moved). A newer program's database is whole: it is refused, not set aside.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.engine.boundary import hint
from reconciler.engine.effects import effect
from reconciler.engine.store.migrations import migrate, refuse_newer
from reconciler.model.errors import ReconcilerError, TryLater

BUSY_SECONDS = 60.0
MOMENT = 0.25
"""Seconds that are waited for others even when the time is over: others' transactions take milliseconds."""
_AGAIN = 0.005
"""Seconds after which is tried again what SQLite does not wait for."""

Identity = tuple[int, int]
"""Device and inode."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BESIDE = ("-wal", "-shm")


def identity(path: Path) -> Identity | None:
    """Which file lies at ``path``; None for none, or an empty one."""
    try:
        there = os.stat(path)  # noqa: PTH116 (asked before every statement)
    except OSError:
        return None
    return (there.st_dev, there.st_ino) if there.st_size else None


def patience(until: float) -> float:
    """Seconds to wait for another process's lock; ``until``: an instant (``time.monotonic``), for no longer."""
    return min(BUSY_SECONDS, max(MOMENT, until - time.monotonic()))


def connect(path: Path, until: float = math.inf) -> sqlite3.Connection:
    """A connection with a whole, migrated database, made where it is missing and made anew where it is damaged.
    ``until``: as ``patience`` has it.

    Raises TryLater, and HostUnfit for a database that a newer program wrote.
    """
    try:
        if identity(path) is None:
            with _alone(path):
                if identity(path) is None:
                    _begin_anew(path)
                return _opened(path, until)  # migrated while we are alone: an empty file is nobody's work in progress
        try:
            return _opened(path, until)
        except sqlite3.DatabaseError as e:
            if not is_damage(e):
                raise
        return mend(path)
    except OSError as e:
        raise TryLater(f"cannot open {path}: {e.strerror}", hint=hint(e)) from e
    except sqlite3.Error as e:
        raise refused("open", path, e) from e


def mend(path: Path) -> sqlite3.Connection:
    """Set the file aside if it is damaged (somebody else may have been first), and open what is there then.

    Raises OSError and sqlite3.Error.
    """
    with _alone(path):
        if _is_damaged(path):
            _set_aside(path)
            _begin_anew(path)
        return _opened(path)


def damaged(path: Path) -> Path:
    """Where a damaged database is kept."""
    return path.with_name(f"{path.name}.damaged")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is at fault, and not the disk, a lock, or the statement."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether the file could be opened for reading alone."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_READONLY


def is_for_reading(connection: sqlite3.Connection) -> bool:
    """Whether nothing can be written by ``connection``, or by any of its process until all are closed.

    The file itself may be writable again: what SQLite has opened does not become so, and is what threads share (the
    -shm; os_unix.c: unixOpenSharedMemory). It says so of a write before it looks whether another process writes; not of
    BEGIN IMMEDIATE, which then only reads.
    """
    usual = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("DELETE FROM events WHERE 0")
    except sqlite3.Error as e:
        return is_read_only(e)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {usual}")
    return False


def refused(doing: str, path: Path, error: sqlite3.Error) -> TryLater:
    """What SQLite refuses, and what to do about it, in one sentence each."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return TryLater(
                f"cannot {doing} {path}: another process has locked it for long", hint=f"fuser {path} shows which"
            )
        case sqlite3.SQLITE_READONLY:
            return TryLater(f"cannot {doing} {path}: {error}", hint="the file, or its file system, is read-only")
        case _:
            return TryLater(f"cannot {doing} {path}: {error}", hint="is the disk full or mounted read-only?")


@effect("store.open")
def _opened(path: Path, until: float = math.inf) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=patience(until), isolation_level=None, check_same_thread=False)
    try:
        refuse_newer(connection, path)  # before anything is written
        _write_ahead(connection, until)
        connection.execute("PRAGMA synchronous = NORMAL")  # record.json carries the facts; see tx's text
        migrate(connection, path)
    except (sqlite3.Error, ReconcilerError):
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, until: float) -> None:
    """Have it in WAL mode, which stays with the file. Where another is just doing the same (the file has got its first
    bytes) SQLite does not wait, as it does everywhere else, but says at once that the database is locked.

    Raises sqlite3.Error.
    """
    deadline = time.monotonic() + patience(until)
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_AGAIN)


def _is_damaged(path: Path) -> bool:
    if identity(path) is None:
        return True
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        except sqlite3.DatabaseError as e:
            if is_damage(e):
                return True
            raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else makes or replaces the file meanwhile."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@effect("store.set-aside")
def _set_aside(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.replace(damaged(path))


@effect("store.make")
def _begin_anew(path: Path) -> None:
    """An empty file, for root alone from the first moment; the -wal and -shm beside it get the same mode.

    The place of an empty one is taken by a new one: others may hold locks on the old inode.
    """
    for old in (path, *(path.with_name(path.name + suffix) for suffix in _BESIDE)):
        old.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
