"""ConfigMaps and Secrets with ``immutable: true``: an edit of them is not taken, as an API server does not take it.

A source remembers what an immutable object said, by a digest, also over a restart (``sources.memory``). As long as some
file defines the object it has to say that; what says something else is told, and counts for nothing: who uses it
keeps what there was. An object that is gone, for certain, may come again with anything in it. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.kube import LoadedObject, Problem
from reconciler.model.objects import CONFIG_MAP, SECRET, Object, ObjectId
from reconciler.sources.resolve import problem
from reconciler.sources.snapshot import Snapshot

Seals = dict[ObjectId, str]
"""What immutable objects said, as digests."""


def as_sealed(snapshot: Snapshot, before: Snapshot | None, seals: Mapping[ObjectId, str]) -> Snapshot:
    """The snapshot with the objects that may not be edited as they were, where that is known, or without them."""
    edited = {name: one for name, one in snapshot.objects.items() if name in seals and seals[name] != seal(one.value)}
    if not edited:
        return snapshot
    old = before.objects if before is not None else {}
    kept = {name: old[name] for name in edited if name in old and seal(old[name].value) == seals[name]}
    objects = {name: one for name, one in {**snapshot.objects, **kept}.items() if name not in edited or name in kept}
    told = (*snapshot.problems, *_told(snapshot, edited))
    return replace(snapshot, objects=objects, problems=told)


def remembered(snapshot: Snapshot, seals: Mapping[ObjectId, str]) -> Seals:
    """What there is to remember after a look: what it found is kept as it was first."""
    named = {one.value.id for file in snapshot.files.values() for one in file.loaded.objects}
    known = {name: said for name, said in seals.items() if name in named or not _is_certain(snapshot)}
    found = {name: seal(one.value) for name, one in snapshot.objects.items()}
    return {**{name: said for name, said in found.items() if said}, **known}


def seal(value: Object) -> str:
    """What an immutable object says, as a digest; "" of one that is not."""
    if not value.immutable or value.kind not in (CONFIG_MAP, SECRET):
        return ""
    parts = [part for key, data in (*value.data, ("", b""), *value.binary) for part in (key.encode(), data)]
    return hashlib.sha256(b"".join(b"%d:" % len(part) + part for part in parts)).hexdigest()[:32]


def _is_certain(snapshot: Snapshot) -> bool:
    """Whether what no file defines is gone."""
    whole = all(file.loaded.complete and file.loaded.objects_whole for file in snapshot.files.values())
    return snapshot.settled and snapshot.readable and not snapshot.unreadable and whole


def _told(snapshot: Snapshot, edited: Mapping[ObjectId, LoadedObject]) -> Iterator[Problem]:
    for file in snapshot.files.values():
        for one in file.loaded.objects:
            if edited.get(one.value.id) is one:
                what = "its data cannot be changed" if one.value.immutable else "it cannot be made mutable"
                message = f"{one.value} is immutable: {what}; remove it first, or give the new one another name"
                yield problem(file.path, "Immutable", message, line=one.line)
