"""What is done beside the making of a pod's first process, in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


def nothing() -> None:
    """For who has nothing to do then."""


@dataclass(frozen=True, slots=True)
class Beside:
    """``begin`` starts it, as soon as the process has been asked for: until then each moment of the interpreter is
    needed to ask. ``end`` waits for what a container is not to count without, and raises what went wrong with it.

    Either may be called again.
    """

    begin: Callable[[], None] = nothing
    end: Callable[[], None] = nothing


NOTHING = Beside()


def begun(work: Callable[[], None], name: str) -> Callable[[], None]:
    """Do this in a thread of its own. What is returned waits for its end, and raises what it raised."""
    raised: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as e:
            raised.append(e)

    def end() -> None:
        thread.join()
        if raised:
            raise raised[0]

    thread = threading.Thread(target=body, name=name)
    thread.start()
    return end
