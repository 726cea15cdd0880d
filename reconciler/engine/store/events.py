"""The event log: what happened to which object. Bounded; equal events in a row are counted."""

from __future__ import annotations

from reconciler.engine.store.tx import Store
from reconciler.model.clock import Clock
from reconciler.model.events import Event, EventType

KEPT = 10_000
"""Events kept at most; older ones are dropped in batches."""

RECENT = 10
"""Events of one object among which a complaint is looked for."""

REPEATED = frozenset({"Pulling"})

_COLUMNS = "about, type, reason, message, first_wall, last_wall, count, seq"


def emit(store: Store, clock: Clock, about: str, type: EventType, reason: str, message: str) -> None:  # noqa: A002
    """Append an event, or count it when the object's newest event says the same; a complaint, and what is tried again
    and again, also when another of its latest does (a pull that fails for days is two lines, not thousands).

    A counted event gets a new ``seq``, so followers see it again.
    """
    wall = clock.wall()
    with store.transaction() as tx:
        latest = tx.execute(
            f"SELECT {_COLUMNS} FROM events WHERE about = ? ORDER BY seq DESC LIMIT ?",
            (about, RECENT if type is EventType.WARNING or reason in REPEATED else 1),
        ).fetchall()
        first, count = wall, 1
        for same in [event for event in latest if (event[2], event[3]) == (reason, message)][:1]:
            first, count = same[4], same[6] + 1
            tx.execute("DELETE FROM events WHERE seq = ?", (same[7],))
        cursor = tx.execute(
            "INSERT INTO events (about, type, reason, message, first_wall, last_wall, count)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (about, type.value, reason, message, first, wall, count),
        )
        if cursor.lastrowid and cursor.lastrowid % 500 == 0:
            tx.execute("DELETE FROM events WHERE seq <= ?", (cursor.lastrowid - KEPT,))


def read(store: Store, *, about: str | None = None, after: int = 0, limit: int = KEPT) -> tuple[Event, ...]:
    """The last ``limit`` events with ``seq`` above ``after``, oldest first; of one object, or of all."""
    where, arguments = "seq > ?", [after]
    rows = store.read(
        f"SELECT {_COLUMNS} FROM (SELECT * FROM events WHERE {where}"
        f"{' AND about = ?' if about is not None else ''} ORDER BY seq DESC LIMIT ?) ORDER BY seq",
        (*arguments, *((about,) if about is not None else ()), limit),
    )
    return tuple(
        Event(
            about=str(row[0]),
            type=EventType(str(row[1])),
            reason=str(row[2]),
            message=str(row[3]),
            first_wall=float(str(row[4])),
            last_wall=float(str(row[5])),
            count=int(str(row[6])),
            seq=int(str(row[7])),
        )
        for row in rows
    )
