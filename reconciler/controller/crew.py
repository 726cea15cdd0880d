"""Threads for work that waits for others: as many as there is work at the same time, so that what is slow keeps nobody
waiting, and none where there is none for a while.

They are daemons: work under way ends with the program, so nothing that must be finished may be given to them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

IDLE = 30.0
"""Seconds that a thread waits for more work."""

Work = Callable[[], None]


class Crew:
    """At most ``most`` threads; what is more waits its turn. Any thread may call ``do``."""

    def __init__(self, name: str, most: int, idle: float = IDLE) -> None:
        self._name = name
        self._most = most
        self._idle = idle
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0
        """Threads at work, and work that none has taken yet."""

    def do(self, work: Work) -> None:
        """Have it done by a thread; returns at once."""
        with self._lock:
            self._busy += 1
            begin = self._busy > self._threads and self._threads < self._most
            self._threads += begin
            self._work.put(work)
        if begin:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            finally:
                with self._lock:
                    self._busy -= 1

    def _next(self) -> Work | None:
        """None where this thread is not needed any more: it has been counted out then."""
        try:
            return self._work.get(timeout=self._idle)
        except queue.Empty:
            pass
        with self._lock:
            if self._busy >= self._threads:  # work was given meanwhile, with this thread in mind
                return self._work.get()
            self._threads -= 1
            return None
