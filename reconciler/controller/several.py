"""The same work on several things, a few at a time, each by a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CTRL_C = 0.5
"""Seconds after which Ctrl-C is heard that came in the moment before a wait began: nothing interrupts that one."""


def each(things: Sequence[T], act: Callable[[T], R], at_once: int) -> Iterator[tuple[T, R]]:
    """Each thing with what ``act`` made of it, in order, as soon as it is known. A single one takes no thread.

    What ``act`` raises is raised here, and what was not begun by then is not. Ctrl-C ends the command whatever the
    threads are waiting for.
    """
    if len(things) == 1:
        yield things[0], act(things[0])
        return
    results: dict[int, R] = {}
    failures: list[BaseException] = []
    known = [threading.Event() for _ in things]
    left, lock = iter(range(len(things))), threading.Lock()

    def work() -> None:
        while not failures:
            with lock:
                number = next(left, None)
            if number is None:
                return
            try:
                results[number] = act(things[number])
            except BaseException as failure:
                failures.append(failure)
                for event in known:
                    event.set()
            known[number].set()

    for _ in range(min(at_once, len(things))):
        threading.Thread(target=work, name="pod", daemon=True).start()
    for number, thing in enumerate(things):
        while not known[number].wait(CTRL_C):
            pass
        if number not in results:
            raise failures[0]
        yield thing, results[number]
