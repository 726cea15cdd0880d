"""The database's shape, as numbered steps that only ever go forward (``PRAGMA user_version``).

A step is never changed once it is out; the databases of each version are in tests/unit/engine/databases.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from reconciler.model.errors import HostUnfit

STEPS = (
    """
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE pods (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        ports TEXT NOT NULL DEFAULT '[]', published INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX pods_by_key ON pods (kind, namespace, name);
    CREATE TABLE containers (id TEXT PRIMARY KEY, pod TEXT NOT NULL);
    CREATE INDEX containers_by_pod ON containers (pod);
    CREATE TABLE addresses (
        address TEXT PRIMARY KEY, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        UNIQUE (kind, namespace, name));
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, about TEXT NOT NULL, type TEXT NOT NULL, reason TEXT NOT NULL,
        message TEXT NOT NULL, first_wall REAL NOT NULL, last_wall REAL NOT NULL, count INTEGER NOT NULL);
    CREATE INDEX events_by_about ON events (about, seq);
    """,
    # addresses of both families, in one of several networks
    """
    CREATE TABLE leases (
        address TEXT PRIMARY KEY, family INTEGER NOT NULL, network TEXT NOT NULL,
        kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        UNIQUE (kind, namespace, name, family));
    INSERT INTO leases SELECT address, 4, 'default', kind, namespace, name FROM addresses;
    DROP TABLE addresses;
    """,
    "ALTER TABLE pods ADD COLUMN requested INTEGER NOT NULL DEFAULT 0",
    # what containers are called; the records are filed again, for those that are there
    """
    ALTER TABLE containers ADD COLUMN name TEXT NOT NULL DEFAULT '';
    ALTER TABLE containers ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
    DELETE FROM settings WHERE name = 'records.filed';
    """,
)


def refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    """Raise HostUnfit for a database that a newer program wrote: what this one does not know it would spoil."""
    version = _version(connection)
    if version > len(STEPS):
        raise HostUnfit(
            f"cannot use {path}: a newer reconciler made it (version {version}, this one knows up to {len(STEPS)})",
            hint="install that one again; nothing was changed, and what runs goes on",
        )


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an older (or empty) database up to date.

    Raises HostUnfit for a database that a newer program wrote.
    """
    if _version(connection) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        refuse_newer(connection, path)  # again: another process may have been first
        for step in STEPS[_version(connection) :]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
