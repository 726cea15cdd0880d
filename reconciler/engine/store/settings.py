"""Small facts of the instance that must stay the same over restarts (the chosen subnet…)."""

from __future__ import annotations

from reconciler.engine.store.tx import Store

RECORDS_FILED = "records.filed"
"""Whether the database is whole: every record that there was has been filed in it."""


def get(store: Store, name: str) -> str | None:
    """The value written as ``name``, or None."""
    rows = store.read("SELECT value FROM settings WHERE name = ?", (name,))
    return str(rows[0][0]) if rows else None


def put(store: Store, name: str, value: str) -> None:
    """Write a value, replacing an older one."""
    with store.transaction() as tx:
        tx.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))
