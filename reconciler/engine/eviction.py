"""Pods with more on the disk than their emptyDirs' sizeLimit allows, found by counting now and then.

The kubelet's rule (pkg/kubelet/eviction: localStorageEviction), and about its pace: it looks at figures that are up to
a minute old. Nothing holds back who writes faster. What was found is on record, once: the plan stops the pod for good,
until the limit is another. Counting takes a look at each file, so it is done by controllers and by commands that hold
the pod's lock anyway, at most once a minute.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from reconciler.engine import recorded
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.model.observed import Eviction, Observed, Sandbox
from reconciler.model.spec import Volume
from reconciler.model.words import show_bytes

EACH = 55.0
"""Seconds between two counts of one pod's volumes: less than the plan's minute."""
BLOCK = 512
"""Bytes that stat(2) counts in."""


def notice(ctx: Context, have: Observed) -> Observed:
    """The same, with what was found now. For holders of the key's lock. Raises TryLater where the disk refuses."""
    sandbox = have.sandbox
    if sandbox is None or not sandbox.infra_up or sandbox.removing or _stands(sandbox):
        return have
    for volume in sandbox.applied.bounded:
        found = _over(ctx, sandbox, volume)
        if found is not None:
            _write_down(ctx, sandbox, found)
            return replace(have, sandbox=replace(sandbox, evicted=found))
    return have


def usage(top: Path) -> int:
    """The bytes that a directory takes of the disk with all that is in it; what goes meanwhile is not counted."""
    counted: set[tuple[int, int]] = set()
    size, device = 0, top.stat().st_dev
    for _, names, files, directory in os.fwalk(top):
        for name in (*names, *files):
            try:
                info = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if info.st_dev == device and (info.st_nlink == 1 or (info.st_dev, info.st_ino) not in counted):
                size += info.st_blocks * BLOCK
                counted.add((info.st_dev, info.st_ino))
        names[:] = [name for name in names if _is_on(name, directory, device)]
    return size


def _is_on(name: str, directory: int, device: int) -> bool:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_dev == device
    except FileNotFoundError:
        return False


def _stands(sandbox: Sandbox) -> bool:
    return sandbox.evicted is not None and sandbox.evicted.holds(sandbox.applied)


def _over(ctx: Context, sandbox: Sandbox, volume: Volume) -> Eviction | None:
    last, now = ctx.cache.counted.get((sandbox.id, volume.name)), ctx.clock.now()
    if last is not None and now - last < EACH:
        return None
    ctx.cache.counted[sandbox.id, volume.name] = now
    top, limit = ctx.layout.pod(sandbox.id) / "volumes" / volume.name, volume.size_limit
    if limit is None or not top.is_dir() or usage(top) <= limit:
        return None
    text = f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{show_bytes(limit)}".'
    return Eviction(volume.name, limit, text)


@effect("pod.evict")
def _write_down(ctx: Context, sandbox: Sandbox, found: Eviction) -> None:
    recorded.note_pod(ctx, sandbox.id, evicted=found)
