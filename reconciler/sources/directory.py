"""A directory (or a single file) of manifests as a source of desired state.

``scan`` looks, ``resolve`` answers for one key. Any thread may call either: one lock covers the last snapshot,
the memory and the list of what is owned, and is held while files are read (a few milliseconds), so that two
workers that both want a fresh look share the order of events.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from reconciler.kube import Problem
from reconciler.model.clock import Clock, SystemClock
from reconciler.model.desired import Absent
from reconciler.model.key import Key, SourceId
from reconciler.model.objects import SERVICE, Object, ObjectId
from reconciler.model.observed import Instant
from reconciler.model.references import references
from reconciler.model.service import Service
from reconciler.model.strictness import Strictness
from reconciler.sources import memory as memories
from reconciler.sources import reading
from reconciler.sources.immutable import as_sealed, remembered
from reconciler.sources.resolution import Resolution
from reconciler.sources.resolve import Holdings, chosen, duplicates, problem, resolve
from reconciler.sources.snapshot import (
    FileState,
    Snapshot,
    changed_keys,
    changed_objects,
    claims_of,
    objects_of,
    with_lost_objects,
    with_old_objects,
)
from reconciler.sources.tree import Identity, Tree, look, look_at_file

SETTLE = 2.0
"""Seconds of quiet before a removal is believed."""


class DirectorySource:
    """See the module. ``memory_dir``: where the source remembers over restarts (None: it does not).

    ``prune``: the user said yes to removing many pods at once, or to another directory in the old one's place.
    ``network``: the one for pods that name none; ``strictness``: how the files are read (None: as it was last time).
    """

    kind = "dir"

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock | None = None,
        settle: float = SETTLE,
        memory_dir: Path | None = None,
        prune: bool = False,
        network: str | None = None,
        strictness: Strictness | None = None,
    ) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100 (Path.absolute keeps "..")
        self.id = SourceId(f"{self.kind}:{self.path}")
        self.prune = prune
        self._clock = clock or SystemClock()
        self._settle = settle
        self._file = memories.place_of(memory_dir, self.id) if memory_dir else None
        self._memory = memories.recall(self._file) if self._file else memories.Memory()
        self._kept = self._remembered()
        if network is not None:
            self._memory.network = network
        if strictness is not None:
            self._memory.strictness = strictness
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._owned: set[Key] = set()
        self._going: set[Key] = set()
        self._unreported: set[Key] = set()
        self._other_objects: frozenset[ObjectId] = frozenset()
        self._adopted = False
        self._last_event: Instant = float("-inf")
        self._newest_seen: tuple[float, Instant] = (0.0, float("-inf"))

    # --- looking -----------------------------------------------------------------------------------------------

    def scan(self, writing: Collection[Identity] = ()) -> tuple[Snapshot, set[Key]]:
        """Look again; the new snapshot, and the keys about which it says something else than the last.

        ``writing``: the files that some process is writing at this moment: their last content counts.
        """
        with self._lock:
            old = self._snapshot
            new = self._take(old, frozenset(writing))
            self._snapshot = new
            self._remember(new)
            objects = changed_objects(old, new) | (new.lost - (old.lost if old else frozenset()))
            self._other_objects |= objects
            changed = self._unreported | changed_keys(old, new) | users_of(objects, new)
            self._unreported = set()
            return new, changed | self._unclaimed(new)

    def take_other_objects(self) -> frozenset[ObjectId]:
        """The objects that say something else than when this was last asked: pods of other sources may use them."""
        with self._lock:
            taken, self._other_objects = self._other_objects, frozenset()
            return taken

    def touched(self) -> None:
        """Something happened in the directory: it is not quiet before the settle time has passed."""
        with self._lock:
            self._last_event = self._clock.now()

    @property
    def snapshot(self) -> Snapshot:
        """The last look, or a first one."""
        with self._lock:
            return self._snapshot or self.scan()[0]

    def keys(self) -> set[Key]:
        """Every key that this source defines, may define, or has a pod of."""
        with self._lock:
            snapshot = self.snapshot
            errors = {key for file in snapshot.files.values() for key in file.loaded.keys_in_error}
            return {*snapshot.claims, *errors, *self._owned}

    def problems(self) -> tuple[Problem, ...]:
        """All that is wrong with the files, losing claimants included."""
        with self._lock:
            return (*self.snapshot.all_problems(), *duplicates(self.snapshot, self._memory))

    def path_of(self, key: Key) -> str:
        """The file that ``key`` is, or was last, taken from; "" where that is not known."""
        with self._lock:
            relative = self._memory.paths.get(key)
            return "" if relative is None else self._absolute(relative)

    def find(self, user: Key, kind: str, name: str) -> Object | None:
        """An object of the namespace of ``user`` that a file defines, for that pod to refer to."""
        found = self.snapshot.objects.get((kind, user.namespace, name))
        return found.value if found else None

    def services_for(self, user: Key) -> tuple[Service, ...]:
        """The Services that files define in the namespace of a pod."""
        found = (one.value for one in self.snapshot.objects.values())
        return tuple(one.service for one in found if one.service and one.namespace == user.namespace)

    def is_lost(self, user: Key, kind: str, name: str) -> bool:
        """Whether an object that ``find`` has is gone, and only not believed to be yet."""
        return (kind, user.namespace, name) in self.snapshot.lost

    def images(self) -> set[str]:
        """The references of all images of the pods that the files define."""
        claims = (claim for claims in self.snapshot.claims.values() for claim in claims)
        return {reference for claim in claims for reference in claim.pod.spec.images}

    def users_of(self, objects: Collection[ObjectId]) -> set[Key]:
        """The pods that a file defines and that refer to one of these objects, or that a Service among them may
        select."""
        return users_of(objects, self.snapshot)

    @property
    def is_known(self) -> bool:
        """Whether it was a source before: it has a memory."""
        return self._memory.identity is not None or bool(self._memory.paths)

    def read_as(self, strictness: Strictness) -> None:
        """How its files are read where nobody has ever said it. Before the first look."""
        self._memory.strictness = self._memory.strictness or strictness

    def only_look(self) -> None:
        """Write nothing down from now on: this is for commands that change nothing."""
        with self._lock:
            self._file = None

    # --- what runs on our account ------------------------------------------------------------------------------

    def adopt(self, keys: Collection[Key]) -> None:
        """Say once, at the start, of which keys pods are recorded as this source's."""
        with self._lock:
            self._owned.update(keys)
            self._adopted = True
            if self._snapshot is not None:
                self._remember(self._snapshot)

    def own(self, key: Key) -> None:
        """A pod of ``key`` is recorded as this source's."""
        with self._lock:
            self._owned.add(key)

    def disown(self, key: Key) -> None:
        """No pod of ``key`` is recorded as this source's any more."""
        with self._lock:
            self._going.discard(key)
            if key in self._owned:
                self._owned.discard(key)
                if self._snapshot is not None:
                    self._remember(self._snapshot)

    @property
    def owned(self) -> frozenset[Key]:
        with self._lock:
            return frozenset(self._owned)

    # --- deciding ----------------------------------------------------------------------------------------------

    def resolve(self, key: Key) -> Resolution:
        """What is wanted of ``key``. Looks again where the last look was too early for a removal that is due."""
        with self._lock:
            snapshot = self.snapshot
            answer = self._resolve(key, snapshot)
            if answer.again_at is not None and answer.again_at <= self._clock.now():
                snapshot, changed = self.scan()
                self._unreported |= changed - {key}
                answer = self._resolve(key, snapshot)
            if isinstance(answer.desired, Absent) and key in self._owned:
                self._going.add(key)
            return answer

    def _resolve(self, key: Key, snapshot: Snapshot) -> Resolution:
        holdings = Holdings(self._owned, self._going, self.prune)  # as they are: our caller has the lock
        return resolve(key, snapshot, self._memory, holdings)

    # --- helpers -----------------------------------------------------------------------------------------------

    def _look(self) -> Tree:
        return look(self.path)

    def _take(self, old: Snapshot | None, writing: frozenset[Identity]) -> Snapshot:
        tree = self._look()
        taken = self._clock.now()
        files = self._read(tree, old.files if old else {}, writing)
        snapshot = Snapshot(
            source=self.id,
            path=self.path,
            taken=taken,
            quiet_from=taken,
            readable=tree.identity is not None,
            identity=tree.identity,
            files=files,
            problems=self._tree_problems(tree),
            unreadable=tree.unreadable,
            devices=tree.devices,
            watch=tree.watch,
            git_lock=tree.git_lock,
            claims=claims_of(files),
            objects=objects_of(files),
        )
        if old is not None and _differ(old, snapshot):
            self._last_event = taken
        found = with_lost_objects(replace(snapshot, quiet_from=self._quiet_from(tree, taken)), old)
        return as_sealed(found, old, self._memory.seals)

    def _read(self, tree: Tree, known: Mapping[str, FileState], writing: frozenset[Identity]) -> dict[str, FileState]:
        files: dict[str, FileState] = {}
        for relative, stamp in tree.files.items():
            before = known.get(relative)
            if (stamp.device, stamp.inode) in writing:
                if before is not None:
                    files[relative] = before
            elif before is not None and before.stamp == stamp and not before.again:
                files[relative] = before
            else:
                files[relative] = with_old_objects(self._read_file(relative, before), before)
        return files

    def _read_file(self, relative: str, before: FileState | None) -> FileState:
        return reading.read(self._absolute(relative), relative, self._memory.strictness or Strictness.STRICT, before)

    def _quiet_from(self, tree: Tree, now: Instant) -> Instant:
        """When the tree has been quiet for the settle time. Change times are wall clock: one that lies in the
        future (the clock was set back) counts from when it was first seen."""
        if self._newest_seen[0] != tree.newest:
            self._newest_seen = (tree.newest, now)
        age = self._clock.wall() - tree.newest
        changed = now - age if age >= 0 else self._newest_seen[1]
        return max(changed, self._last_event) + self._settle

    def _tree_problems(self, tree: Tree) -> tuple[Problem, ...]:
        if tree.problem:
            return (problem(self.path, "Unreadable", tree.problem),)
        return tuple(
            problem(self._absolute(relative), "Unreadable", f"cannot read {self._absolute(relative)}: {cause}")
            for relative, cause in sorted(tree.unreadable.items())
        )

    def _unclaimed(self, snapshot: Snapshot) -> set[Key]:
        return {key for key in self._owned if key not in snapshot.claims}

    def _absolute(self, relative: str) -> str:
        return f"{self.path}/{relative}" if relative else self.path

    def _remember(self, snapshot: Snapshot) -> None:
        """Note where each key comes from now; forget what neither runs nor is defined; accept a new identity of
        the directory only where nothing is held back because of it."""
        if not snapshot.readable:
            return
        memory = self._memory
        memory.seals = remembered(snapshot, memory.seals)
        for key in snapshot.claims:
            claim = chosen(key, snapshot, memory)
            if claim is not None:
                memory.paths[key] = claim.file.relative
                self._going.discard(key)
        for key in [key for key in memory.paths if key not in snapshot.claims and key not in self._owned]:
            if self._adopted:
                del memory.paths[key]
        if self._adopted and (self.prune or not self._unclaimed(snapshot)):
            memory.identity = snapshot.identity
            directories = {path.rpartition("/")[0] for path in memory.paths.values()}
            memory.devices = {d: snapshot.devices[d] for d in directories if d in snapshot.devices}
        elif memory.identity is None:
            memory.identity = snapshot.identity
        self._keep()

    def _remembered(self) -> tuple[object, ...]:
        memory = self._memory
        told = (memory.network, memory.strictness, dict(memory.seals))
        return (memory.identity, dict(memory.paths), dict(memory.devices), *told)

    def _keep(self) -> None:
        now = self._remembered()
        if self._file is None or now == self._kept:
            return
        with contextlib.suppress(OSError):  # a full disk must not stop the pods; it is tried again at the next look
            memories.keep(self._file, self.id, self._memory)
            self._kept = now


class FileSource(DirectorySource):
    """A single file, named on the command line."""

    kind = "file"

    def _look(self) -> Tree:
        return look_at_file(self.path)


def _differ(old: Snapshot, new: Snapshot) -> bool:
    """Whether anything but a file's content as parsed is different."""
    old_stamps = {relative: file.stamp for relative, file in old.files.items()}
    new_stamps = {relative: file.stamp for relative, file in new.files.items()}
    return (old.identity, old.unreadable, old_stamps) != (new.identity, new.unreadable, new_stamps)


def users_of(objects: Collection[ObjectId], snapshot: Snapshot) -> set[Key]:
    """The pods of a snapshot that refer to one of these objects, or that a Service among them may select."""
    if not objects:
        return set()
    served = {namespace for kind, namespace, _ in objects if kind == SERVICE}
    return {
        key
        for key, claims in snapshot.claims.items()
        if key.namespace in served
        or any((kind, key.namespace, n) in objects for claim in claims for kind, n in references(claim.pod.spec))
    }
