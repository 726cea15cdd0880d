"""The one door to the database: every transaction of every module passes through here.

SQLite in WAL mode, shared by all processes of an instance. The store is an index over the record files
(names, leases, published ports) and the event log; losing it loses history, never a pod: ``Engine`` files
the records again. Rules learnt by experiment: no implicit transactions (Python's default mode loses
updates), ``BEGIN IMMEDIATE`` always (a deferred read-then-write fails under load), a connection for each
thread, none across a fork, and no transaction is open while a runtime is called.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.engine.boundary import hint
from reconciler.engine.effects import effect
from reconciler.engine.store.migrations import migrate
from reconciler.model.errors import HostUnfit, ReconcilerError, TryLater

BUSY_SECONDS = 60.0


class Store:
    """A handle on the database at ``path``; made on first use. May be shared between threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._pid = os.getpid()
        self._foreign: list[threading.local] = []

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, committed at the end and rolled back on any exception.

        Raises TryLater when the database cannot be written (disk full, read-only, locked for a minute).
        """
        connection = self._connection()
        try:
            _begin(connection)
        except sqlite3.Error as e:
            raise _unwritable(self.path, e) from e
        try:
            yield connection
            _commit(connection)
        except sqlite3.Error as e:
            _rollback(connection)
            raise _unwritable(self.path, e) from e
        except BaseException:
            _rollback(connection)
            raise

    def read(self, sql: str, arguments: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """The rows of one SELECT, seen in one snapshot.

        Raises TryLater when the database cannot be read.
        """
        try:
            return self._connection().execute(sql, arguments).fetchall()
        except sqlite3.Error as e:
            raise TryLater(f"cannot read {self.path}: {e}") from e

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _connection(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            self._foreign.append(self._local)  # a fork's copies must not be used, nor closed: they are kept
            self._local, self._pid = threading.local(), os.getpid()
        local = self._local
        if getattr(local, "connection", None) is None:
            local.connection = _open(self.path)
        connection: sqlite3.Connection = local.connection
        return connection


@effect("store.open")
def _open(path: Path) -> sqlite3.Connection:
    connection = None
    try:
        _make_private(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # record.json carries the facts; see the module's text
        migrate(connection)
    except OSError as e:
        raise TryLater(f"cannot open {path}: {e.strerror}", hint=hint(e)) from e
    except (sqlite3.Error, ReconcilerError) as e:
        if connection is not None:
            connection.close()
        if isinstance(e, ReconcilerError):
            raise
        raise _unopened(path, e) from e
    return connection


def _make_private(path: Path) -> None:
    """For root alone from the first moment; the -wal and -shm beside it get the same mode.

    Only where it is not there: the close of a second descriptor would drop the locks that SQLite has on the first.
    """
    with contextlib.suppress(FileExistsError):
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _unopened(path: Path, error: sqlite3.Error) -> ReconcilerError:
    if isinstance(error, sqlite3.OperationalError):
        return TryLater(f"cannot open {path}: {error}", hint="is the disk full or mounted read-only?")
    return HostUnfit(
        f"cannot open {path}: {error}", hint="move it away: it is made again from the records, but for the events"
    )


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")


@effect("store.commit")
def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")


def _rollback(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _unwritable(path: Path, error: sqlite3.Error) -> TryLater:
    return TryLater(f"cannot write {path}: {error}", hint="is the disk full or mounted read-only?")
