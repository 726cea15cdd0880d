"""What the instance takes of the disk, and what of that nobody uses. Only looks; what changes meanwhile may be
missed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reconciler.engine import named, recorded
from reconciler.engine.context import Context
from reconciler.engine.eviction import BLOCK, usage
from reconciler.engine.oci.places import data_of
from reconciler.engine.pulse import runs
from reconciler.engine.store import pods as index


@dataclass(frozen=True, slots=True)
class Use:
    """All things of one kind: how many there are, how many of them are used, and their bytes on the disk;
    ``reclaimable``: of those that are not used."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int


def of_instance(ctx: Context) -> tuple[Use, ...]:
    """Images (used by a container, running or not), containers (used where they run; what they wrote counts), named
    volumes (used by a container)."""
    return (_images(ctx), _containers(ctx), _volumes(ctx))


def _images(ctx: Context) -> Use:
    everything = {image.id for image in ctx.images.list()}
    used = {id_ for id_ in everything if ctx.images.users(id_)}
    sizes = {place: _size(place) for place in ctx.images.places(everything)}
    needed = sum(sizes[place] for place in ctx.images.places(used) if place in sizes)
    size = sum(sizes.values())
    return Use("Images", len(everything), len(used), size, size - needed)


def _containers(ctx: Context) -> Use:
    sizes, active, idle = 0, 0, 0
    members = [c for c in index.all_containers(ctx.store) if (r := recorded.record_of(ctx, c)) and not r.infra]
    for container in members:
        size = _size(ctx.layout.container(container) / "upper")
        sizes += size
        if runs(ctx.layout, container):
            active += 1
        else:
            idle += size
    return Use("Containers", len(members), active, sizes, idle)


def _volumes(ctx: Context) -> Use:
    users = named.users(ctx)
    sizes = {record.name: _size(data_of(ctx.layout.volumes, record.name)) for record in named.listed(ctx)}
    unused = sum(size for name, size in sizes.items() if name not in users)
    return Use("Local Volumes", len(sizes), sum(name in users for name in sizes), sum(sizes.values()), unused)


def _size(place: Path) -> int:
    try:
        return usage(place) if place.is_dir() else place.stat().st_blocks * BLOCK
    except FileNotFoundError:
        return 0
