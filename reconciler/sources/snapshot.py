"""What one scan of a source found: the value that ``resolve`` decides on.

Values only; a snapshot never changes once it is made, so any thread may read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.kube import Loaded, LoadedObject, LoadedPod, Problem
from reconciler.model.key import Key, SourceId
from reconciler.model.objects import ObjectId
from reconciler.model.observed import Instant
from reconciler.sources.tree import Identity, Interest, Stamp

_GIT_RECHECK = 2.0


@dataclass(frozen=True, slots=True)
class FileState:
    """One file as last read. ``path`` is absolute, ``relative`` is below the source's directory. ``again``: it was
    changing while it was read, so its stamp proves nothing; ``content`` is what was read, then."""

    path: str
    relative: str
    stamp: Stamp | None
    loaded: Loaded
    again: bool = False
    content: bytes = field(default=b"", compare=False, repr=False)

    def may_define(self, key: Key) -> bool:
        """Whether the part of this file that is in error could be about ``key``."""
        return key in self.loaded.keys_in_error or not self.loaded.complete


@dataclass(frozen=True, slots=True)
class Claim:
    """One place where a key is defined."""

    file: FileState
    pod: LoadedPod

    def __str__(self) -> str:
        return f"{self.file.path}:{self.pod.line}"


Objects = Mapping[ObjectId, LoadedObject]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``files`` in sorted order by relative path. ``unreadable`` as in ``Tree``.

    ``readable`` False: the source as a whole could not be read, ``problems`` say why. ``quiet_from`` is the instant
    at which the tree has been quiet long enough for removals, if nothing else happens; ``taken`` is when it was
    looked at. ``git_lock`` names a git operation under way. ``lost`` are those of ``objects`` that no file defines any
    more, which is not believed yet.
    """

    source: SourceId
    path: str
    taken: Instant
    quiet_from: Instant
    readable: bool = True
    identity: Identity | None = None
    files: Mapping[str, FileState] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)
    watch: Mapping[str, Interest] = field(default_factory=dict)
    git_lock: str = ""
    claims: Mapping[Key, tuple[Claim, ...]] = field(default_factory=dict)
    objects: Objects = field(default_factory=dict)
    lost: frozenset[ObjectId] = frozenset()

    @property
    def settled(self) -> bool:
        """Whether this very look was taken in quiet: only then may anything be removed on its account."""
        return self.taken >= self.quiet_from and not self.git_lock

    @property
    def look_again(self) -> Instant:
        """When a new look may find the tree settled. The end of a git operation is an event; this is the net below."""
        return max(self.quiet_from, self.taken + _GIT_RECHECK) if self.git_lock else self.quiet_from

    def all_problems(self) -> Iterator[Problem]:
        yield from self.problems
        for file in self.files.values():
            yield from file.loaded.problems

    def broken(self) -> Iterator[FileState]:
        """Files that may define more than what could be read of them."""
        return (file for file in self.files.values() if not file.loaded.complete)


def claims_of(files: Mapping[str, FileState]) -> dict[Key, tuple[Claim, ...]]:
    """Who defines what, in the order of the paths."""
    found: dict[Key, list[Claim]] = {}
    for file in files.values():
        for pod in file.loaded.pods:
            found.setdefault(pod.spec.key, []).append(Claim(file, pod))
    return {key: tuple(claims) for key, claims in found.items()}


def with_old_objects(file: FileState, before: FileState | None) -> FileState:
    """A file that is broken now, or an object in it, keeps the objects that it had: whoever uses them needs them."""
    if before is None or file.loaded.objects_whole:
        return file
    kept = (*file.loaded.objects, *before.loaded.objects)
    return replace(file, loaded=replace(file.loaded, objects=tuple(_objects(kept).values())))


def with_lost_objects(snapshot: Snapshot, before: Snapshot | None) -> Snapshot:
    """An object that is gone is there until the tree is quiet and can be read: git unlinks before it creates, and where
    it is optional its users would be replaced twice."""
    if before is None or (snapshot.settled and snapshot.readable and not snapshot.unreadable):
        return snapshot
    lost = {name: found for name, found in before.objects.items() if name not in snapshot.objects}
    return replace(snapshot, objects={**snapshot.objects, **lost}, lost=frozenset(lost)) if lost else snapshot


def objects_of(files: Mapping[str, FileState]) -> Objects:
    """The objects of all files, the first of a name by path."""
    return _objects(found for file in files.values() for found in file.loaded.objects)


def _objects(objects: Iterable[LoadedObject]) -> dict[ObjectId, LoadedObject]:
    found: dict[ObjectId, LoadedObject] = {}
    for one in objects:
        found.setdefault(one.value.id, one)
    return found


def changed_keys(old: Snapshot | None, new: Snapshot) -> set[Key]:
    """The keys about which ``new`` says something else than ``old``."""
    before: Mapping[Key, tuple[Claim, ...]] = old.claims if old else {}
    keys = {key for key in {*before, *new.claims} if _said(before.get(key, ())) != _said(new.claims.get(key, ()))}
    errors = {key for file in new.files.values() for key in file.loaded.keys_in_error}
    old_errors = {key for file in old.files.values() for key in file.loaded.keys_in_error} if old else set()
    return keys | (errors ^ old_errors)


def changed_objects(old: Snapshot | None, new: Snapshot) -> frozenset[ObjectId]:
    """The objects about which ``new`` says something else than ``old``."""
    before: Objects = old.objects if old else {}
    names = {*before, *new.objects}
    return frozenset(name for name in names if _value(before, name) != _value(new.objects, name))


def _value(objects: Objects, name: ObjectId) -> object:
    return objects[name].value if name in objects else None


def _said(claims: tuple[Claim, ...]) -> list[tuple[str, object]]:
    return [(claim.file.relative, claim.pod.spec) for claim in claims]
