"""The event loop: epoll over pipes and a descriptor that signals wake. Nothing polls."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # why: see process.py
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """Calls whoever watches a descriptor when it can be read (or has hung up)."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watchers: dict[int, Callable[[], None]] = {}
        self._changed = False
        self._due: tuple[float, Callable[[], None]] | None = None
        self.events = 0
        """What the descriptor whose watcher is running is ready for."""

    def watch(self, fd: int, ready: Callable[[], None], events: int = select.EPOLLIN) -> None:
        self._epoll.register(fd, events)
        self._watchers[fd] = ready

    def change(self, fd: int, events: int) -> None:
        """What a watched descriptor is watched for; errors and hang-ups always are."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Before the descriptor is closed. Unknown ones are fine."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            self._changed = True

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, then; one call waits at a time, and a new one takes its place."""
        self._due = (time.monotonic() + seconds, call)

    def run(self, done: Callable[[], bool], deadline: float | None = None) -> bool:
        """Until ``done()`` (True), or until ``deadline`` on the monotonic clock (False)."""
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            self._changed = False
            for fd, events in self._epoll.poll(self._until_due(left)):
                watcher = self._watchers.get(fd)
                self.events = events
                if watcher is not None:
                    watcher()
                if self._changed:
                    break  # the number may be somebody else's by now; what is still ready is told again
            if self._due is not None and self._due[0] <= time.monotonic():
                _, call = self._due
                self._due = None
                call()
        return True

    def _until_due(self, left: float | None) -> float | None:
        if self._due is None:
            return left
        soon = max(0.0, self._due[0] - time.monotonic())
        return soon if left is None else min(left, soon)


def signals(loop: Loop, numbers: tuple[int, ...], arrived: Callable[[int], None]) -> None:
    """From now on these signals are events of the loop: ``arrived(number)`` is called outside of handlers."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def ready() -> None:
        for number in set(os.read(reader, 4096)):
            arrived(number)

    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _noted)
    loop.watch(reader, ready)


def _noted(_number: int, _frame: object) -> None:
    """The wakeup descriptor has it already."""
