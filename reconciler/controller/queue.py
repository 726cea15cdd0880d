"""The work queue: keys, never events, each handed to one worker at a time.

What happened to a key while it was being worked on is not lost: it is handed out once more. Nothing polls:
a waiting worker sleeps until a key is added or the nearest instant is reached. All methods may be called from
any thread.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from typing import Generic, TypeVar

from reconciler.model.clock import Clock
from reconciler.model.observed import Instant

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """See the module. ``clock`` gives the instants that ``add(key, at)`` speaks of."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: deque[K] = deque()
        self._waiting_turn: set[K] = set()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._due: dict[K, Instant] = {}
        self._heap: list[tuple[Instant, int, K]] = []
        self._number = 0
        self._closed = False

    def add(self, key: K, at: Instant | None = None) -> None:
        """Have ``key`` worked on: now, or at ``at`` unless that happens earlier anyway."""
        with self._changed:
            if self._closed:
                return
            if at is None or at <= self._clock.now():
                self._add_now(key)
            elif at < self._due.get(key, float("inf")):
                self._number += 1
                self._due[key] = at
                heapq.heappush(self._heap, (at, self._number, key))
            self._changed.notify()

    def get(self) -> K | None:
        """The next key, when there is one; None once the queue is closed. Must be followed by ``done``.

        The key's timer is cancelled: whoever works on it says when to look again.
        """
        with self._changed:
            while not self._closed:
                key = self._next()
                if key is not None:
                    self._changed.notify()  # another worker keeps watch over the timers now
                    return key
                self._changed.wait(self._until_next())
            return None

    def poll(self) -> K | None:
        """The next key if there is one at this instant, else None. Must be followed by ``done``."""
        with self._changed:
            return None if self._closed else self._next()

    def done(self, key: K) -> None:
        """The worker is through with ``key``; if it was added meanwhile it is its turn again."""
        with self._changed:
            self._working.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._add_now(key)
                self._changed.notify()

    def close(self) -> None:
        """Hand out nothing more; every ``get`` returns None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def idle(self) -> bool:
        """Nothing is ready, due or being worked on (a timer in the future may be set)."""
        with self._changed:
            self._promote()
            return not self._ready and not self._working

    def is_waited_in(self) -> bool:
        """Something is ready that no worker has taken yet."""
        with self._changed:
            return bool(self._ready)

    def holds(self, key: K) -> bool:
        """``key`` is ready or being worked on."""
        with self._changed:
            self._promote()
            return key in self._waiting_turn or key in self._working

    def next_due(self) -> Instant | None:
        """The nearest timer."""
        with self._changed:
            return min(self._due.values(), default=None)

    def _add_now(self, key: K) -> None:
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting_turn:
            self._waiting_turn.add(key)
            self._ready.append(key)

    def _next(self) -> K | None:
        self._promote()
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._waiting_turn.discard(key)
        self._due.pop(key, None)
        self._working.add(key)
        return key

    def _promote(self) -> None:
        now = self._clock.now()
        while self._heap and (self._heap[0][0] <= now or self._due.get(self._heap[0][2]) != self._heap[0][0]):
            at, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                self._add_now(key)

    def _until_next(self) -> float | None:
        return max(0.0, self._heap[0][0] - self._clock.now()) if self._heap else None
