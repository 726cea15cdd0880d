"""Who was here when: the time stamps by which garbage collection goes. ``used/<image id>`` is touched while an image is
held; the file that makes an image exist is written again with each pull, load and name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.images.disk import Disk, remove_file
from reconciler.engine.images.index import Index, Record


@dataclass(frozen=True, slots=True)
class Entry:
    """``name`` is the id where it has none. The rest is as in ``model.stock.StockedImage``."""

    id: str
    name: str
    size: int
    seen: float
    used: float
    lasting: bool


def entries(disk: Disk, index: Index, held: Collection[str], now: float) -> tuple[Entry, ...]:
    """All images; those that are ``held`` are used ``now``, and what is told of images that are gone is forgotten."""
    records = index.records()
    for id_ in held:
        if id_ in records:
            mark(_used(disk, id_), now)
    with suppress(FileNotFoundError):
        for path in _used(disk, "").iterdir():
            if path.name not in records:
                remove_file(path)
    return tuple(_entries(disk, records.values()))


def seen(disk: Disk, id_: str) -> float:
    """When an image was had or named last; 0.0 where it is not here."""
    return _time(disk.record(id_))


def _entries(disk: Disk, records: Collection[Record]) -> Iterator[Entry]:
    for record in records:
        name = record.names[0].name if record.names else record.id
        lasting = bool(record.names) and not any(one.pulled or one.store for one in record.names)
        yield Entry(record.id, name, record.size, seen(disk, record.id), _time(_used(disk, record.id)), lasting)


@effect("image.mark-used")
def mark(path: Path, now: float) -> None:
    path.parent.mkdir(exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    os.utime(path, (now, now))


def _used(disk: Disk, id_: str) -> Path:
    return disk.root / "used" / id_


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
