"""Pods with more on the disk than sizeLimit of an emptyDir or limits.ephemeral-storage of a container allow, found by
counting now and then.

The kubelet's rule (pkg/kubelet/eviction: localStorageEviction), and about its pace: it looks at figures that are up to
a minute old. Nothing holds back who writes faster. What was found is on record, once: the plan stops the pod for good,
until the limit is another. Counting takes a look at each file, so it is done by controllers and by commands that hold
the pod's lock anyway, at most once a minute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler.engine import recorded
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.model.key import PodId
from reconciler.model.observed import Eviction, Observed, Sandbox
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
    found = next(_too_much(ctx, have, sandbox), None)
    if found is None:
        return have
    _write_down(ctx, sandbox, found)
    return replace(have, sandbox=replace(sandbox, evicted=found))


def _too_much(ctx: Context, have: Observed, sandbox: Sandbox) -> Iterator[Eviction]:
    for volume in sandbox.applied.bounded:
        top = ctx.layout.pod(sandbox.id) / "volumes" / volume.name
        if volume.size_limit is not None and _is_over(ctx, (sandbox.id, volume.name), (top,), volume.size_limit):
            text = f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{show_bytes(volume.size_limit)}".'
            yield Eviction(volume.name, volume.size_limit, text)
    for container in have.containers:
        spec = sandbox.applied.container(container.name)
        limit = spec.storage_limit if spec is not None else None
        if limit is None or not container.log_path:
            continue
        own = (ctx.layout.container(container.id) / "upper", Path(container.log_path).parent)
        if _is_over(ctx, (sandbox.id, container.id), own, limit):
            text = f'Container {container.name} exceeded its local ephemeral storage limit "{show_bytes(limit)}".'
            yield Eviction("", limit, text, container.name)


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


def _is_over(ctx: Context, what: tuple[PodId, str], places: Sequence[Path], limit: int) -> bool:
    last, now = ctx.cache.counted.get(what), ctx.clock.now()
    if last is not None and now - last < EACH:
        return False
    ctx.cache.counted[what] = now
    return sum(usage(place) for place in places if place.is_dir()) > limit


@effect("pod.evict")
def _write_down(ctx: Context, sandbox: Sandbox, found: Eviction) -> None:
    recorded.note_pod(ctx, sandbox.id, evicted=found)
