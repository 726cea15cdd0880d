"""Which user and group ids of this machine are somebody's already: user namespaces that exist now, and podman's
containers that will be started again.

Only looks. What has ended meanwhile is left out; a namespace that no process is in is not seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reconciler.engine.images.stores import podman_directories

Range = tuple[int, int]
"""The first, and how many."""

PROC = Path("/proc")


def in_use() -> frozenset[Range]:
    return frozenset((*of_processes(), *of_podman()))


def of_processes(proc: Path = PROC) -> Iterator[Range]:
    """The ids, as we see them, of every user namespace but ours that a process is in. Ids that it shares with us
    (mapped to themselves) are not its own."""
    seen = {_namespace(proc / "self")}
    for entry in os.scandir(proc):
        if not entry.name.isdecimal():
            continue
        try:
            if (namespace := _namespace(Path(entry.path))) in seen:
                continue
            maps = [Path(entry.path, name).read_text() for name in ("uid_map", "gid_map")]
        except OSError:  # it has ended
            continue
        seen.add(namespace)
        fields = (line.split() for text in maps for line in text.splitlines())
        yield from ((int(outer), int(count)) for inner, outer, count in fields if inner != outer)


def _namespace(process: Path) -> int:
    return (process / "ns/user").stat().st_ino


def of_podman() -> Iterator[Range]:
    """Those of the containers that podman has on record, running or not (containers/storage: Container)."""
    for directory in podman_directories():
        for listing in directory.glob("*-containers/*containers.json"):
            for container in _objects(_read(listing)):
                for name in ("uidmap", "gidmap"):
                    yield from _ranges(container.get(name))


def _ranges(maps: object) -> Iterator[Range]:
    for line in _objects(maps):
        first, count = line.get("host_id"), line.get("size")
        if isinstance(first, int) and isinstance(count, int) and line.get("container_id") != first:
            yield first, count


def _read(listing: Path) -> object:
    try:
        return json.loads(listing.read_bytes())
    except (OSError, ValueError, RecursionError):  # podman replaces it as a whole: it is another program's trouble
        return None


def _objects(value: object) -> Iterable[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()
