"""Which processes live, for a program that stays and asks again and again: each is opened once, and one call of the
kernel tells of all that ended since. /proc would be read for each of them, at every look at a pod: six small files.

Any thread may ask.
"""

from __future__ import annotations

import os
import select
import threading

from reconciler.engine import processes
from reconciler.engine.descriptors import out_of_the_way
from reconciler.model.process import PidRef

_AT_ONCE = 64
"""Ends that are heard in one call; what is more, in the next."""


class Living:
    """The processes that were asked for so far and live."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends = select.epoll()
        self._held: dict[PidRef, int] = {}
        self._refs: dict[int, PidRef] = {}

    def has(self, ref: PidRef) -> bool:
        """Whether that very process lives; a zombie does not."""
        with self._lock:
            while self._let_go():
                pass
            return ref in self._held or self._hold(ref)

    def close(self) -> None:
        """Let go of all of them."""
        with self._lock:
            for fd in self._refs:
                os.close(fd)
            self._ends.close()

    def _hold(self, ref: PidRef) -> bool:
        try:
            fd = processes.opened(ref)
        except OSError:  # too many files are open
            return processes.alive(ref)
        if fd is None:
            return False
        fd = out_of_the_way(fd)
        self._ends.register(fd, select.EPOLLIN)
        self._held[ref] = fd
        self._refs[fd] = ref
        return True

    def _let_go(self) -> bool:
        """Forget those that ended; whether there may be more of them."""
        ended = self._ends.poll(0, _AT_ONCE)
        for fd, _ in ended:
            self._ends.unregister(fd)
            del self._held[self._refs.pop(fd)]
            os.close(fd)
        return len(ended) == _AT_ONCE
