"""The wait of whoever changes cgroups, over before they come.

The kernel moves a process only after an RCU grace period, 5 to 15 ms, unless another was moved within the last one
(kernel/cgroup/cgroup.c: cgroup_attach_lock; kernel/rcu/sync.c). An OCI runtime meets that in the midst of creating a
container. So where one is near, this process moves to where it is already, in a thread of its own.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from reconciler.engine.cgroups import hierarchies
from reconciler.engine.files import read_small

_near = threading.Event()

_PAUSE = 0.004
"""Seconds between two moves: the kernel forgets the last one after 8 to 20 ms."""

_MOVES = 10
"""How many there are at least for one expectation: a runtime moves its container 5 to 40 ms after it was called for."""


def expect_moves() -> None:
    """Processes are about to be moved, or may be: within 40 ms. Returns at once; where nothing can be done
    for it, nothing is."""
    _near.set()
    _mover()


@cache
def _mover() -> threading.Thread:
    thread = threading.Thread(target=_move_each_time, name="cgroup moves", daemon=True)
    thread.start()
    return thread


def _move_each_time() -> None:
    while _near.wait():
        _keep_moving()


def _keep_moving() -> None:
    left = 1
    while left:
        left = _MOVES if _near.is_set() else left - 1
        _near.clear()
        with suppress(OSError, ValueError):
            _stay()
        time.sleep(_PAUSE)


def _stay() -> None:
    """Move to where we are."""
    if (place := _own(read_small("/proc/self/cgroup").decode())) is not None:
        place.write_bytes(b"0")  # whoever writes it


@cache
def _own(cgroups: str) -> Path | None:
    """The cgroup.procs of this process, by the text of /proc/self/cgroup; None where what is mounted here is not what
    that speaks of (a container that sees its host's tree)."""
    lines = (line.split(":", 2) for line in cgroups.splitlines())
    paths = {frozenset(filter(None, controllers.split(","))): path.lstrip("/") for _, controllers, path in lines}
    here = (h.root / paths[h.controllers] for h in hierarchies.current().made() if h.controllers in paths)
    procs = next((place / "cgroup.procs" for place in here), None)
    return procs if procs and procs.exists() and str(os.getpid()) in procs.read_text().split() else None
