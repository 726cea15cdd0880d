"""The event log: what happened to which object. Bounded in rows, in their length, and in how often one is written.

The rules are simpler than those of client-go (tools/record/events_cache.go), with its numbers, and need no memory of
any process: they go by what the log says. So commands and a controller count together, and a restart changes nothing.
What says the same again is counted, not repeated; from the 25th time on at most once in five minutes, and not counted
in between. What differs in its text alone is one event after 25 in ten minutes, and shows the latest. (client-go: 10,
but of each container; here all of a pod's are about the pod.) A complaint says the same also where only the id
of what that try made is another; it shows the latest.

Each write costs the same, however much is in the log: it looks at ``PER_OBJECT`` rows at most. What is deleted leaves
pages that are used again, so the file is as large as its fullest moment, 10 MB at most.
"""

from __future__ import annotations

import re
import sqlite3

from reconciler.engine.store.tx import Store
from reconciler.model.clock import Clock
from reconciler.model.events import Event, EventType

KEPT = 10_000
"""Events kept at most; older ones are dropped in batches."""

PER_OBJECT = 200
"""Events kept of one object."""

KEPT_FOR = 7 * 86_400.0
"""Seconds for which an event is kept. An API server keeps it for an hour; here somebody comes back on Monday."""

LENGTH = 1024
"""Characters of a message (as of the API's ``note``); of a longer one the middle is left out."""

BURST = 25
"""How often one event is written without delay, and how many that differ in their text alone are apart."""

AGAIN = 300.0
"""Seconds between two writes of an event that was written so often."""

SIMILAR = 600.0
"""Seconds within which events of one reason are similar."""

COMBINED = "(combined from similar events): "

RECENT = 10
"""Events of one object among which a complaint is looked for."""

REPEATED = frozenset({"BackOff", "Pulling"})

_AT_RANDOM = re.compile(r"(?<![0-9a-f:@])[0-9a-f]{12,}")
"""An id, or a name for the time being; but no digest, which says which image is meant."""

_BATCH = 500
_COLUMNS = "about, type, reason, message, first_wall, last_wall, count, seq"


def emit(store: Store, clock: Clock, about: str, type: EventType, reason: str, message: str) -> None:  # noqa: A002
    """Append an event, or count it when the object's newest event says the same; a complaint, and what is tried again
    and again, also when another of its latest does (a pull that fails for days is two lines, not thousands).

    A counted event gets a new ``seq``, so followers see it again.
    """
    wall, message = clock.wall(), shortened(message)
    with store.transaction() as tx:
        said = (about, type.value, reason)
        same = _same(tx, said, message)
        if same is None and _similar(tx, said, wall - SIMILAR) >= BURST:
            message = shortened(COMBINED + message)
            same = _combined(tx, said)
        first, count = wall, 1
        if same is not None:
            if same.count >= BURST and 0 <= wall - same.last_wall < AGAIN:
                return
            first, count = same.first_wall, same.count + 1
            tx.execute("DELETE FROM events WHERE seq = ?", (same.seq,))
        cursor = tx.execute(
            "INSERT INTO events (about, type, reason, message, first_wall, last_wall, count)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*said, message, first, wall, count),
        )
        if same is None:
            _drop(tx, "about = ?", (about,), PER_OBJECT)
        if cursor.lastrowid and cursor.lastrowid % _BATCH == 0:
            _drop(tx, "seq > ?", (0,), KEPT)
            tx.execute("DELETE FROM events WHERE last_wall < ?", (wall - KEPT_FOR,))


def shortened(message: str) -> str:
    """A message in the length that is kept: its beginning says what, and its end says why."""
    if len(message) <= LENGTH:
        return message
    tail = LENGTH // 3
    return f"{message[: LENGTH - tail - 3]} … {message[-tail:]}"


def _same(tx: sqlite3.Connection, said: tuple[str, str, str], message: str) -> Event | None:
    about, type_, reason = said
    complains = type_ == EventType.WARNING
    limit = RECENT if complains or reason in REPEATED else 1
    rows = tx.execute(f"SELECT {_COLUMNS} FROM events WHERE about = ? ORDER BY seq DESC LIMIT ?", (about, limit))
    meant = _meant(message) if complains else message
    for event in map(_event, rows.fetchall()):
        text = _meant(event.message) if complains else event.message
        if (event.type, event.reason, text) == (type_, reason, meant):
            return event
    return None


def _meant(message: str) -> str:
    return _AT_RANDOM.sub("…", message)


def _similar(tx: sqlite3.Connection, said: tuple[str, str, str], since: float) -> int:
    """How many events there are of this reason since then."""
    query = "SELECT COUNT(*) FROM events WHERE about = ? AND type = ? AND reason = ? AND last_wall >= ?"
    return int(tx.execute(query, (*said, since)).fetchone()[0])


def _combined(tx: sqlite3.Connection, said: tuple[str, str, str]) -> Event | None:
    where = "about = ? AND type = ? AND reason = ? AND substr(message, 1, ?) = ?"
    query = f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY seq DESC LIMIT 1"
    row = tx.execute(query, (*said, len(COMBINED), COMBINED)).fetchone()
    return _event(row) if row else None


def _drop(tx: sqlite3.Connection, where: str, arguments: tuple[object, ...], kept: int) -> None:
    """Leave the newest ``kept`` of these."""
    last = f"SELECT seq FROM events WHERE {where} ORDER BY seq DESC LIMIT 1 OFFSET ?"
    tx.execute(f"DELETE FROM events WHERE {where} AND seq <= ({last})", (*arguments, *arguments, kept))


def read(store: Store, *, about: str | None = None, after: int = 0, limit: int = KEPT) -> tuple[Event, ...]:
    """The last ``limit`` events with ``seq`` above ``after``, oldest first; of one object, or of all."""
    where, arguments = "seq > ?", [after]
    rows = store.read(
        f"SELECT {_COLUMNS} FROM (SELECT * FROM events WHERE {where}"
        f"{' AND about = ?' if about is not None else ''} ORDER BY seq DESC LIMIT ?) ORDER BY seq",
        (*arguments, *((about,) if about is not None else ()), limit),
    )
    return tuple(map(_event, rows))


def _event(row: tuple[object, ...]) -> Event:
    return Event(
        about=str(row[0]),
        type=EventType(str(row[1])),
        reason=str(row[2]),
        message=str(row[3]),
        first_wall=float(str(row[4])),
        last_wall=float(str(row[5])),
        count=int(str(row[6])),
        seq=int(str(row[7])),
    )
