"""Whether the controller's threads do their work: what the watchdog is told comes from here and nowhere else.

A thread that ended without being asked to, or that has been at one piece of work for longer than any takes, is a
reason to begin anew: pods go on without the controller, so a restart costs nothing. Any thread may call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STUCK = 300.0
"""Seconds. A worker never waits for time or network; the longest that a step may take is a runtime's 120."""


class Health:
    """``now``: a clock that stands still while the machine is suspended."""

    def __init__(self, stuck: float = STUCK, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._stuck = stuck
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._at: dict[int, tuple[str, str, float]] = {}

    def must_live(self, thread: threading.Thread) -> None:
        """From now on ``thread``, which has been started, must not end."""
        with self._lock:
            self._threads.append(thread)

    @contextmanager
    def at(self, work: str) -> Iterator[None]:
        """This thread is at ``work`` inside the block."""
        ident = threading.get_ident()
        with self._lock:
            self._at[ident] = (threading.current_thread().name, work, self._now())
        try:
            yield
        finally:
            with self._lock:
                self._at.pop(ident, None)

    def progress(self) -> None:
        """This thread got something done: its time begins anew."""
        ident = threading.get_ident()
        with self._lock:
            if ident in self._at:
                name, work, _ = self._at[ident]
                self._at[ident] = (name, work, self._now())

    def trouble(self) -> str:
        """What is wrong, as a sentence; "" when all is well."""
        now = self._now()
        with self._lock:
            for thread in self._threads:
                if not thread.is_alive():
                    return f"thread {thread.name} has ended"
            for name, work, since in self._at.values():
                if now - since > self._stuck:
                    return f"thread {name} has been at {work} for {now - since:.0f} s"
        return ""
