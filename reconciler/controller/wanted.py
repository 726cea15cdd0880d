"""What is wanted of a key, over all the sources of this controller.

Each source speaks for what it defines and prunes only what it owns. Where two speak of one key, the recorded owner
counts; a pod whose source is not among ours is left as it is (its last good version is kept running). Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reconciler.controller.binding import Digest, bind
from reconciler.model.desired import Absent, Present, Suspended, Unknown
from reconciler.model.errors import TryLater
from reconciler.model.key import HAND, Key, SourceId
from reconciler.model.objects import FindObject, Object, ObjectId
from reconciler.model.references import references
from reconciler.model.service import Service, ServiceName
from reconciler.model.spec import PortBinding
from reconciler.sources.resolution import Resolution
from reconciler.sources.suspended import Suspensions

if TYPE_CHECKING:
    from reconciler.controller.turns import Turns


class Source(Protocol):
    """Where desired state comes from: ``DirectorySource``, ``HandSource``. ``path``: where it lies."""

    @property
    def id(self) -> SourceId: ...

    @property
    def path(self) -> str: ...

    @property
    def owned(self) -> Set[Key]:
        """The keys with a pod that is recorded as this source's."""

    def keys(self) -> Set[Key]:
        """Every key that this source defines, may define, or has a pod of."""

    def path_of(self, key: Key) -> str: ...

    def find(self, user: Key, kind: str, name: str) -> Object | None:
        """An object of the namespace of ``user`` that it defines, for that pod to refer to."""

    def services_for(self, user: Key) -> Sequence[Service]:
        """The Services that it defines for a pod, those that do not select it among them."""

    def is_lost(self, user: Key, kind: str, name: str) -> bool:
        """Whether an object that ``find`` has is gone, and only not believed to be yet."""

    def images(self) -> Set[str]:
        """The references of all images of the pods that it defines; what of it counts is not asked."""

    def users_of(self, objects: Collection[ObjectId]) -> Set[Key]:
        """The keys whose pods refer to one of these objects, as it defines them."""

    def adopt(self, keys: Collection[Key]) -> None: ...

    def own(self, key: Key) -> None: ...

    def disown(self, key: Key) -> None: ...

    def resolve(self, key: Key) -> Resolution: ...


class Wanted:
    """See the module. ``digest``: how values of objects are told apart; given by who has an engine. ``turns``: what
    this command said it is about (None: what others say does not concern it).
    ``suspensions``: which pods are left alone (None: none)."""

    def __init__(
        self, sources: Sequence[Source], turns: Turns | None = None, suspensions: Suspensions | None = None
    ) -> None:
        self.sources = tuple(sources)
        self.suspensions = suspensions
        self._turns = turns
        self.digest: Digest = _no_digest
        self._owners: dict[Key, SourceId] = {}
        self._lock = threading.Lock()

    def adopt(self, owners: Mapping[Key, SourceId]) -> None:
        """Say once, at the start, which pods are recorded, and whose they are."""
        with self._lock:
            self._owners = dict(owners)
        for source in self.sources:
            source.adopt([key for key, owner in owners.items() if owner == source.id])

    def recorded(self, key: Key, owner: SourceId | None) -> None:
        """``key`` has a pod recorded as ``owner``'s now (None: it has none)."""
        with self._lock:
            if owner is None:
                self._owners.pop(key, None)
            else:
                self._owners[key] = owner
        for source in self.sources:
            if source.id == owner:
                source.own(key)
            else:
                source.disown(key)

    def learn(self, key: Key, owner: SourceId | None) -> bool:
        """A pod of ``key`` is recorded as ``owner``'s (None: there is none); whether that changes what is wanted of it.

        Other processes make pods and remove them as well, and we hear of the ends of their containers: what no source
        of ours defines may be theirs. What a source of ours loses it does not lose before the end of the sync.
        """
        known = self.owner(key)
        if owner == known or (owner is None and known is not None and self.looks_after(known)):
            return False
        self.recorded(key, owner)
        return True

    def keys(self) -> set[Key]:
        """Every key that one of the sources has something to say about."""
        return {key for source in self.sources for key in source.keys()}  # noqa: SIM118 (no dict)

    def owned(self) -> set[Key]:
        """Every key with a pod recorded as one of the sources'."""
        return {key for source in self.sources for key in source.owned}

    def looks_after(self, owner: SourceId) -> bool:
        """Whether what ``owner`` has is one of ours to say."""
        return any(source.id == owner for source in self.sources)

    def owner(self, key: Key) -> SourceId | None:
        with self._lock:
            return self._owners.get(key)

    def resolve(self, key: Key) -> Resolution:
        """What is wanted of ``key``, as of now.

        Raises Overtaken where it is no longer ours to say, TryLater where it cannot be told whether it is suspended.
        """
        self.check_turn()
        return self._unless_suspended(key, self._served(self._bound(key, self._said_of(key))))

    def _served(self, answer: Resolution) -> Resolution:
        """With the Services that select the pod, of those that its own source defines."""
        desired = answer.desired
        if not isinstance(desired, Present):
            return answer
        source = next((source for source in self.sources if source.id == desired.owner), None)
        if source is None:
            return answer
        key, labels = desired.spec.key, desired.spec.labels
        selecting = (one for one in source.services_for(key) if one.selects(key, labels))
        services = tuple(sorted({ServiceName(one.key.name, one.unready_too) for one in selecting}))
        if services == desired.services:
            return answer
        return replace(answer, desired=replace(desired, services=services))

    def _bound(self, key: Key, answer: Resolution) -> Resolution:
        """With what the pod refers to looked up."""
        if not isinstance(answer.desired, Present):
            return answer
        desired = answer.desired
        refers_to = references(desired.spec)
        losing = any(source.is_lost(key, *name) for name in refers_to for source in self.sources)
        bound = bind(desired, self.objects_for(key, desired.owner), self.digest)
        if bound is desired and losing == answer.losing:
            return answer
        return replace(answer, desired=bound, losing=losing)

    def _unless_suspended(self, key: Key, answer: Resolution) -> Resolution:
        """Pods made by hand are as commands want them; where there is no pod and none is wanted, there is nothing to
        leave alone."""
        desired, owner = answer.desired, self.owner(key)
        by_hand = HAND in (owner, desired.owner if isinstance(desired, Present) else None)
        if by_hand or (owner is None and isinstance(desired, Absent)) or isinstance(desired, Suspended):
            return answer
        since = self.suspensions.since(key) if self.suspensions else None
        return answer if since is None else Resolution(Suspended(desired, since), foreign=answer.foreign)

    def _said_of(self, key: Key) -> Resolution:
        owner = self.owner(key)
        mine = next((source for source in self.sources if source.id == owner), None)
        if mine is not None:
            answer = mine.resolve(key)
            heir = self._heir(key, mine) if answer.gone else None
            return self._with_rivals(key, mine, heir or answer)
        claim = self._first(key, self.sources)
        if owner is None:
            return claim or self._unclaimed(key)
        if claim is None:
            return Resolution(Unknown(f"it belongs to {spoken(owner)}, which is not looked after here"), foreign=True)
        return self._take_over(key, owner, claim)

    def forget(self, key: Key) -> None:
        """There is no pod of ``key``, and none is wanted: there is nothing to leave alone."""
        if self.suspensions:
            with suppress(TryLater):  # it is in nobody's way, and tried again when the key comes back
                self.suspensions.resume(key)

    def check_turn(self) -> None:
        """Raise Overtaken where a later command wants the contrary for one of the sources."""
        if self._turns is not None:
            self._turns.check()

    def objects_for(self, user: Key, owner: SourceId | None) -> FindObject:
        """Looks up objects for a pod: what ``owner``, its source, defines counts before what others do."""
        sources = sorted(self.sources, key=lambda source: source.id != owner)

        def find(kind: str, name: str) -> Object | None:
            return next((found for source in sources if (found := source.find(user, kind, name)) is not None), None)

        return find

    def images(self) -> frozenset[str]:
        """The references of all images of the pods that any source defines, those left alone among them."""
        return frozenset().union(*(source.images() for source in self.sources))

    def users_of(self, objects: Collection[ObjectId]) -> set[Key]:
        """Every key whose pod refers to one of these objects, whichever source defines the pod."""
        return {key for source in self.sources for key in source.users_of(objects)} if objects else set()

    def releases(self, key: Key, binding: PortBinding) -> bool:
        """Whether the pod of ``key`` is on its way to give up a host port."""
        desired = self.resolve(key).desired
        if isinstance(desired, Present):
            return binding not in desired.spec.sandbox.ports
        return isinstance(desired, Absent)

    def _unclaimed(self, key: Key) -> Resolution:
        answers = [source.resolve(key) for source in self.sources]
        doubtful = next((answer for answer in answers if isinstance(answer.desired, Unknown)), None)
        return doubtful or Resolution(Absent("no manifest defines it"))

    def _first(self, key: Key, sources: Iterable[Source]) -> Resolution | None:
        for source in sources:
            answer = source.resolve(key)
            if isinstance(answer.desired, Present):
                return answer
        return None

    def _heir(self, key: Key, mine: Source) -> Resolution | None:
        """The same object under another source's path is a rename: nothing happens to it but a new owner."""
        return self._first(key, [source for source in self.sources if source is not mine])

    def _with_rivals(self, key: Key, mine: Source, answer: Resolution) -> Resolution:
        desired = answer.desired
        if not isinstance(desired, Present) or desired.problem or desired.owner != mine.id:
            return answer
        for source in self.sources:
            if source is not mine and isinstance(source.resolve(key).desired, Present):
                said = f"DuplicatePod: also defined in {source.path_of(key) or source.path}; {mine.path} counts"
                return replace(answer, desired=replace(desired, problem=said))
        return answer

    def _take_over(self, key: Key, owner: SourceId, claim: Resolution) -> Resolution:
        """A pod of a source that is not among ours, claimed by one of ours.

        A file of the owner's directory speaks for that directory; a directory that is gone gives its pods to
        whoever defines them now; otherwise it stays whose it is.
        """
        desired = claim.desired
        assert isinstance(desired, Present)
        kind, _, place = owner.partition(":")
        claimant = desired.owner.partition(":")[2]
        if kind == "dir" and claimant.startswith(f"{place}/"):
            return replace(claim, desired=replace(desired, owner=owner))
        if owner != HAND and (kind == "file" or not Path(place).is_dir()):
            return claim
        return Resolution(Unknown(f"NotOwned: pod {key} belongs to {spoken(owner)}; `{_release(owner, key)}` frees it"))


def _no_digest(_data: bytes) -> str:
    raise RuntimeError("whoever resolves pods that refer to objects says how their values are told apart")


def spoken(owner: SourceId) -> str:
    """A source in words."""
    kind, _, place = owner.partition(":")
    return place if kind in ("dir", "file") else "the pods made by hand"


def _release(owner: SourceId, key: Key) -> str:
    kind, _, place = owner.partition(":")
    return f"reconciler down {place}" if kind in ("dir", "file") else f"reconciler pod rm {key.name}"
