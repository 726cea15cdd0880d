"""The same work on several things, a few at a time, each by a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from reconciler.controller.interruption import Interruption, interruptible

T = TypeVar("T")
R = TypeVar("R")


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
    left, lock, news = iter(range(len(things))), threading.Lock(), Interruption()

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
            with lock:  # not while it is closed: its descriptor may be somebody else's then
                news.set()

    for _ in range(min(at_once, len(things))):
        threading.Thread(target=work, name="pod", daemon=True).start()
    try:
        for number, thing in enumerate(things):
            with interruptible(news):
                while number not in results and not failures:
                    news.wait()
                    news.clear()
            if number not in results:
                raise failures[0]
            yield thing, results[number]
    finally:
        with lock:
            news.close()
