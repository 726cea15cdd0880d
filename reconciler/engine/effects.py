"""The one gate through which every effect on this host passes; also where faults are injected.

A function that changes the host (a syscall, a subprocess, a write, a store transaction) is marked
``@effect("pod.record")``. With ``RECONCILER_FAULT=pod.record:before`` (or ``:after``, and optionally
``:N`` for the N-th time) in the environment the process kills itself there with SIGKILL: the kill
harness walks through the points and proves that the next run puts things right. ``*`` is any effect. With
``RECONCILER_TRACE=FILE`` the names of the effects are appended to FILE as they are reached.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FAULT = "RECONCILER_FAULT"
TRACE = "RECONCILER_TRACE"
ANY = "*"

_points: list[str] = []
_seen: dict[str, int] = {}
_told: dict[str, str] = {}
"""The two variables, where they are set: nearly never, and then nothing is to be paid for that."""


def read_environment() -> None:
    """See what is asked for; for a process that changes its own environment."""
    _told.clear()
    _told.update({name: os.environ[name] for name in (FAULT, TRACE) if os.environ.get(name)})


read_environment()


def points() -> tuple[str, ...]:
    """The names of all effects in the modules imported so far."""
    return tuple(sorted(_points))


def effect(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as an effect called ``name`` (unique; ``noun.verb``)."""

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        if name in _points:
            raise ValueError(f"two effects are called {name}")
        _points.append(name)

        @functools.wraps(function)
        def gate(*args: P.args, **kwargs: P.kwargs) -> R:
            if not _told:
                return function(*args, **kwargs)
            _trace(name)
            _fault(name, "before")
            result = function(*args, **kwargs)
            _fault(name, "after")
            return result

        return gate

    return mark


def _trace(name: str) -> None:
    file = _told.get(TRACE)
    if file:
        with open(file, "a") as f:
            f.write(f"{name}\n")


def _fault(name: str, moment: str) -> None:
    wanted = _told.get(FAULT)
    if not wanted:
        return
    point, _, rest = wanted.partition(":")
    when, _, nth = rest.partition(":")
    if point not in (name, ANY) or when != moment:
        return
    place = f"{point}:{moment}"
    _seen[place] = _seen.get(place, 0) + 1
    if _seen[place] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
