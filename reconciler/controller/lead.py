"""Who of several workers goes ahead: it alone takes work, until what it does may make it wait; then the next one does.

So work that never waits is done by one thread, piece after piece, and no other is woken for it: with one interpreter
for all of them, each piece handed to another thread costs more than a look at a pod that rests.
"""

from __future__ import annotations

import threading


class Lead:
    """One worker's part in it. ``lock`` is that of all of them, and held by who goes ahead; only the worker itself may
    call."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._is_mine = False

    def take(self) -> None:
        """Go ahead, when it is this worker's turn; at once where it does so already."""
        if not self._is_mine:
            self._lock.acquire()
            self._is_mine = True

    def give_up(self) -> None:
        """Let another one go ahead, before anything that may take its time."""
        if self._is_mine:
            self._is_mine = False
            self._lock.release()
