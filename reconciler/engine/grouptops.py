"""The cgroups above those of pods: an instance's own and its levels, which go with the last pod.

A runtime that makes a container's cgroup makes what it misses above it, and gives up where that goes away meanwhile. So
nobody takes them away while a pod is being made.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from reconciler.engine import cgroups, locks
from reconciler.engine.layout import Layout


def kept(layout: Layout) -> AbstractContextManager[None]:
    """While a pod is being made."""
    return locks.shared(layout.making_lock)


def tidy(layout: Layout, path: str) -> None:
    """Take away what is above ``path``, where a pod's cgroup was, if nothing else is there; unless a pod is being made,
    whose removal will see to it. One at a time, or nobody might be the last one."""
    with locks.exclusive(layout.shares_lock), locks.exclusive_if_free(layout.making_lock) as alone:
        if alone:
            cgroups.tidy(path)
