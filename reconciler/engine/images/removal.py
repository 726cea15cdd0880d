"""Removal: which name or image goes, and what is swept up afterwards.

An image goes by its record; what the record kept (blobs, layers) is deleted by the sweep, which runs only
while nobody transfers, because a transfer counts on blobs and layers that no record names yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.images.disk import Disk, remove_file, remove_tree, short
from reconciler.engine.images.index import Index, Record
from reconciler.engine.images.reference import parse
from reconciler.engine.images.shortnames import short_names
from reconciler.model.errors import ImageProblem, NotFound


def remove_image(
    index: Index, reference: str, in_use: Callable[[str], tuple[str, ...]], force: bool
) -> tuple[str, ...]:
    """As ``podman rmi``: a name that is not the last is only untagged. The caller holds the pin and index locks."""
    record = index.find(reference)
    if record is None:
        raise NotFound(f"cannot remove image {reference}: it is not here")
    name = name_meant(record, reference)
    if name and len(record.names) > 1:
        index.drop_name(record, name)
        return (f"Untagged: {name}",)
    names = [n.name for n in record.names]
    if not name and len(names) > 1 and not force:
        raise ImageProblem(
            f"cannot remove image {reference}: it has several names: {', '.join(names)}",
            hint="remove each name, or use --force",
        )
    users = in_use(record.id)
    if users:
        raise ImageProblem(f"cannot remove image {reference}: it is used by {', '.join(users)}")
    index.drop(record)
    return (*(f"Untagged: {n}" for n in names), f"Deleted: {record.id}")


def prune_images(index: Index, stays: Callable[[Record], bool], everything: bool) -> tuple[str, ...]:
    """As ``podman image prune``: the dangling images (no name), or every one; never what a container uses, and
    therefore ``stays``. Returns the ids removed. The caller holds the pin and index locks."""
    gone = [r for r in index.records().values() if (everything or not r.names) and not stays(r)]
    for record in gone:
        index.drop(record)
    return tuple(record.id for record in gone)


def name_meant(record: Record, reference: str) -> str:
    """The name of ``record`` that ``reference`` is; "" when it was meant by id or digest."""
    try:
        candidates = [str(candidate) for candidate in short_names().candidates(parse(reference))]
    except ImageProblem:
        return ""
    return next((n.name for n in record.names if n.name in candidates), "")


def sweep(disk: Disk, index: Index, kept: float = 0.0) -> bool:
    """Delete blobs, layers and work directories that no image needs; False when somebody transfers just now.

    Blobs and layers of the last ``kept`` seconds stay: an interrupted pull goes on from there.
    """
    with disk.try_lock("transfer") as alone:
        if not alone:
            return False
        with disk.lock("index"):
            work, layers, files = _orphans(disk, index, kept)
            for path in work:
                remove_tree(path)
            discard_all(disk, layers)
            for path in files:
                remove_file(path)
    return True


def places(disk: Disk, records: Iterable[Record]) -> frozenset[Path]:
    """The layers and files of images; those that several share are there once."""
    found: set[Path] = set()
    for record in records:
        found |= {disk.layer(layer.key) for layer in record.layers}
        found |= {disk.blobs / "sha256" / name for name in _blobs(record)}
    return frozenset(found)


def leftovers(disk: Disk, index: Index, kept: float) -> tuple[Path, ...]:
    """What ``sweep`` would delete; nothing while somebody transfers. Only looks."""
    if not disk.locks.is_dir():
        return ()
    with disk.try_lock("transfer") as alone:
        return tuple(path for paths in _orphans(disk, index, kept) for path in paths) if alone else ()


def _orphans(disk: Disk, index: Index, kept: float) -> tuple[list[Path], list[Path], list[Path]]:
    """Work directories, layers and files that belong to no image."""
    work = _entries(disk.temp)
    if not index.whole():  # a record that cannot be read may need any of the rest
        return work, [], []
    limit = time.time() - kept
    records = tuple(index.records().values())
    needed = {short(layer.key) for record in records for layer in record.layers}
    blobs = {name for record in records for name in _blobs(record)}
    layers = [path for path in _entries(disk.layers) if path.name not in needed and _older(path, limit)]
    files = [path for path in _entries(disk.blobs / "sha256") if path.name not in blobs and _older(path, limit)]
    return work, layers, [*files, *disk.index.glob(".*")]


def _older(path: Path, limit: float) -> bool:
    try:
        return path.lstat().st_mtime <= limit
    except FileNotFoundError:
        return False


@effect("image.discard-layers")
def discard_all(disk: Disk, layers: Iterable[Path]) -> None:
    """Out of its place first, in one step: a layer that has its name is whole."""
    for path in layers:
        disk.temp.mkdir(exist_ok=True, mode=0o700)
        grave = disk.temp / path.name
        path.rename(grave)
        remove_tree(grave)


def _blobs(record: Record) -> set[str]:
    digests = {record.manifest, *(layer.blob for layer in record.layers)}
    return {record.id, *(digest.removeprefix("sha256:") for digest in digests)}


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []
