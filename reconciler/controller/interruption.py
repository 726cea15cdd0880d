"""Waiting for SIGINT and SIGTERM so that neither is ever missed.

Python calls a signal's handler in the main thread, between two of its steps. One that waits for a lock takes none: a
signal that comes in the moment before that, or that the kernel gives to another thread, goes unheard until the next
one. So it waits for a pipe, into which the C part of the handler writes, whichever thread it runs in.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Interruption(threading.Event):
    """An event that a signal handler may set, and whose ``wait`` is ended by any signal that has a handler.

    No lock is taken: a handler may come in the middle of anything here. One thread waits.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False
        self._heard, self.wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        with suppress(OSError):  # full: it is read anyway; closed: nobody waits
            os.write(self.wakeup, b"\0")

    def wait(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        while not self._is_set:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            if poll.poll(None if left is None else left * 1000):
                with suppress(BlockingIOError):
                    os.read(self._heard, 4096)
        return True

    def clear(self) -> None:
        """The next ``wait`` is for another ``set``. Whatever that one tells is to be looked for after this."""
        self._is_set = False

    def close(self) -> None:
        """Nobody waits any more."""
        ends, self._heard, self.wakeup = (self._heard, self.wakeup), -1, -1
        for end in ends:
            os.close(end)


@contextmanager
def interruptible(event: Interruption) -> Iterator[None]:
    """Any signal ends a wait for ``event``, and its handler is called then: Ctrl-C raises KeyboardInterrupt from it.
    Without effect in other threads than the main one, which have no handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    woken = signal.set_wakeup_fd(event.wakeup, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)


@contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second one ends the process as if nobody had listened. For the main
    thread."""
    stop = Interruption()

    def heard(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    woken = signal.set_wakeup_fd(stop.wakeup, warn_on_full_buffer=False)
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()
