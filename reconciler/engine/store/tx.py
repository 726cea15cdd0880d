"""The one door to the database: every transaction of every module passes through here.

SQLite in WAL mode, shared by all processes of an instance. The store is an index over the record files
(names, leases, published ports) and the event log; losing it loses history, never a pod: ``Engine`` files
the records again. Rules learnt by experiment: no implicit transactions (Python's default mode loses
updates), ``BEGIN IMMEDIATE`` always (a deferred read-then-write fails under load), a connection for each
thread, none across a fork, and no transaction is open while a runtime is called.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.engine.boundary import hint
from reconciler.engine.effects import effect
from reconciler.engine.store import opening
from reconciler.model.errors import ReconcilerError, TryLater


class Store:
    """A handle on the database at ``path``; made on first use. May be shared between threads.

    ``fill`` is called with each new connection, in its thread, before anything else is asked of it: there the index is
    made whole. Where the file was deleted, cut short or replaced, the next use has a new connection. ``until``: the
    instant (``time.monotonic``) after which nobody waits any more for another process that has it locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fill: Callable[[], None] = lambda: None
        self.until = math.inf
        self._local = threading.local()
        self._pid = os.getpid()
        self._foreign: list[threading.local] = []

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, committed at the end and rolled back on any exception.

        Raises TryLater when the database cannot be written (disk full, read-only, locked for long).
        """
        connection = self._connection()
        try:
            _begin(connection, opening.patience(self.until))
        except sqlite3.Error as e:
            raise self._failed("write", e) from e
        try:
            yield connection
            _commit(connection)
        except sqlite3.Error as e:
            _rollback(connection)
            raise self._failed("write", e) from e
        except BaseException:
            _rollback(connection)
            raise
        finally:
            self._let_go_of_read_only()

    def read(self, sql: str, arguments: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """The rows of one SELECT, seen in one snapshot.

        Raises TryLater when the database cannot be read.
        """
        try:
            return self._connection().execute(sql, arguments).fetchall()
        except sqlite3.Error as e:
            raise self._failed("read", e) from e
        finally:
            self._let_go_of_read_only()

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            self._foreign.append(self._local)  # a fork's copies must not be used, nor closed: they are kept
            self._local, self._pid = threading.local(), os.getpid()
        local = self._local
        connection: sqlite3.Connection | None = getattr(local, "connection", None)
        if connection is not None and not connection.in_transaction and opening.identity(self.path) != local.identity:
            self.close()
            connection = None
        return connection or self._opened(local)

    def _opened(self, local: threading.local) -> sqlite3.Connection:
        local.read_only = False
        while True:
            before = opening.identity(self.path)
            local.connection = opening.connect(self.path, self.until)
            local.identity = opening.identity(self.path)
            if before in (None, local.identity):
                break
            self.close()  # it was exchanged meanwhile: which of the two is open, nobody knows
        try:
            self.fill()
        except BaseException:
            self.close()  # nobody may see an index that is not whole
            raise
        connection: sqlite3.Connection = local.connection
        # What it cannot write, SQLite opens for reading, and stays with that in all of a process for as long as any of
        # its threads has it open: what was read-only for a moment would be for ever. So no thread keeps it.
        local.read_only = opening.is_for_reading(connection)
        return connection

    def _let_go_of_read_only(self) -> None:
        if getattr(self._local, "read_only", False):
            self.close()

    def _failed(self, doing: str, error: sqlite3.Error) -> ReconcilerError:
        if opening.is_read_only(error):
            self.close()
        if not opening.is_damage(error):
            return opening.refused(doing, self.path, error)
        self.close()
        try:
            opening.mend(self.path).close()
        except OSError as e:
            return TryLater(f"cannot {doing} {self.path}: {error}", hint=hint(e))
        except sqlite3.Error as e:
            return opening.refused(doing, self.path, e)
        except ReconcilerError as e:
            return e
        kept = opening.damaged(self.path).name
        return TryLater(
            f"cannot {doing} {self.path}: {error}",
            hint=f"it is set aside as {kept} and made again from the records: try again",
        )


def _begin(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
    connection.execute("BEGIN IMMEDIATE")


@effect("store.commit")
def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")


def _rollback(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
