"""Who of several workers goes ahead: it alone takes work, until what it does may make it wait; then the next one does.

So work that never waits is done by one thread, piece after piece, and no other is woken for it: with one interpreter
for all of them, each piece handed to another thread costs more than a look at a pod that rests.
"""

from __future__ import annotations

import threading


class Lead:
    """What the workers share: each calls it for itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker = 0

    def take(self) -> None:
        """Go ahead, when it is this thread's turn; at once where it does so already."""
        if self._worker != threading.get_ident():
            self._lock.acquire()
            self._worker = threading.get_ident()

    def give_up(self) -> None:
        """Let another one go ahead, before anything that may take its time. Nothing happens where it does already."""
        if self._worker == threading.get_ident():
            self._worker = 0
            self._lock.release()
