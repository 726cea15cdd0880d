"""What a source remembers over a restart: which directory it was, and which file each pod came from.

A small JSON file per source, replaced atomically. Losing it makes us more careful or less exact, never wrong:
without a recorded path any broken file holds a removal back, and the first of two claimants wins by name.
Used by one thread at a time (the source's lock).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.model.key import Key, SourceId
from reconciler.model.objects import ObjectId
from reconciler.model.strictness import Strictness
from reconciler.sources.atomic import replace_file
from reconciler.sources.tree import Identity


@dataclass(slots=True)
class Memory:
    """``paths``: the relative path each key was last taken from. ``devices``: the file system of each directory
    that a key came from. ``network``: the one for pods that name none ("": the instance's own). ``strictness``: how its
    manifests are read (None: nobody has said). ``seals``: what immutable objects said, as digests."""

    identity: Identity | None = None
    paths: dict[Key, str] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    network: str = ""
    strictness: Strictness | None = None
    seals: dict[ObjectId, str] = field(default_factory=dict)


def place_of(directory: Path, source: SourceId) -> Path:
    return directory / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.json"


def recall(file: Path) -> Memory:
    """Read a memory; one that is missing or damaged is an empty one."""
    try:
        return _from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Memory()


def keep(file: Path, source: SourceId, memory: Memory) -> None:
    """Write a memory, all of it or nothing.

    Raises OSError.
    """
    replace_file(file, json.dumps(_to_json(source, memory)).encode())


def _to_json(source: SourceId, memory: Memory) -> dict[str, Any]:
    return {
        "source": source,
        "identity": memory.identity,
        "paths": [[key.kind, key.namespace, key.name, path] for key, path in sorted(memory.paths.items())],
        "devices": memory.devices,
        "network": memory.network,
        "strictness": memory.strictness,
        "seals": [[*name, said] for name, said in sorted(memory.seals.items())],
    }


def _from_json(data: dict[str, Any]) -> Memory:
    identity = data["identity"]
    return Memory(
        identity=(int(identity[0]), int(identity[1])) if identity else None,
        paths={Key(str(ns), str(name), str(kind)): str(path) for kind, ns, name, path in data["paths"]},
        devices={str(directory): int(device) for directory, device in data["devices"].items()},
        network=str(data.get("network", "")),
        strictness=Strictness(data["strictness"]) if data.get("strictness") else None,
        seals={(str(kind), str(ns), str(name)): str(said) for kind, ns, name, said in data.get("seals", ())},
    )
