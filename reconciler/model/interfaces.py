"""What the controller asks of an engine; the real one is ``engine.Engine``, tests have a fake."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol

from reconciler.model.actions import Action
from reconciler.model.events import EventType
from reconciler.model.key import ContainerId, Key
from reconciler.model.objects import ObjectsFor
from reconciler.model.observed import HostFacts, Instant, Observed, PidRef
from reconciler.model.probe import Handler, Outcome, Verdict
from reconciler.model.spec import PodSpec
from reconciler.model.stock import Space, Stock, StockedImage


class KeyLock(Protocol):
    """Proof that the caller holds the cross-process lock of a key."""

    @property
    def key(self) -> Key: ...


class PodEngine(Protocol):
    """Effects on this host, one key at a time. Every method may be called from several threads."""

    listeners: list[Callable[[Key], None]]
    """Called, from any thread, with a key about which something changed that no exit tells (a pull ended)."""

    def use_objects(self, objects_for: ObjectsFor) -> None:
        """Have the objects that specs refer to looked up by it, whenever they are needed."""

    def stay(self) -> None:
        """Be ready to be asked for the same pods again and again, for as long as this process lives."""

    def expect_containers(self) -> None:
        """Containers may be about to be created: begin what that would wait for. Returns at once."""

    def digest(self, data: bytes) -> str:
        """A name for these bytes, another one for any other, that tells nothing of them. Raises TryLater."""

    def lock(self, key: Key, before_waiting: Callable[[], None] = ...) -> AbstractContextManager[KeyLock]:
        """Hold the key against every other process. Never held through a grace period or a pull. ``before_waiting`` is
        called where another one holds it."""

    def keys(self) -> tuple[Key, ...]:
        """Every key that has a pod recorded here."""

    def key_of(self, container: ContainerId) -> Key | None:
        """The pod that a container belongs to, or None where it is not recorded."""

    def look(self, key: Key) -> Observed:
        """What stands and runs, for who only looks: as ``observe``, but nothing is said of images, of problems and of
        files that are stale."""

    def observe(self, key: Key, want: PodSpec | None) -> Observed:
        """Read the kernel and the records; with ``want``, also what stands in its way (images, mounts, command)."""

    def host_facts(self, key: Key, want: PodSpec | None) -> HostFacts:
        """Who holds the host ports that ``want`` asks for (empty when it asks for none)."""

    def perform(self, lock: KeyLock, action: Action) -> ContainerId | None:
        """Carry out one step: idempotent, never waits for time or network. Returns the member that it created.

        Raises TryLater or Permanent.
        """

    def probe(self, container: ContainerId, handler: Handler, timeout: float) -> Outcome:
        """Run a handler once against a container; blocks for at most ``timeout`` seconds. Raises NotFound where it does
        not run any more, InvalidInput where it is paused."""

    def note_verdict(self, container: ContainerId, since: Instant, verdict: Verdict) -> None:
        """Have ``observe`` see what probes found of that life of a container which began at ``since``.

        Raises TryLater.
        """

    def signal(self, container: ContainerId, number: int) -> None:
        """Send a signal to the first process of a container. Raises NotFound, InvalidInput where it does not run."""

    def renew_images(self, key: Key, spec: PodSpec, tell: Callable[[str], None]) -> tuple[str, ...]:
        """Ask the registries about every image of a pod, and have its containers replaced whose image is another one
        now; waits for the pulls. Returns what could not be had, in sentences."""

    def stock(self, wanted: Callable[[], Collection[str]]) -> Stock:
        """The images as garbage collection sees them. ``wanted``: the references that somebody needs beside what is on
        record. Raises ReconcilerError."""

    def drop_image(self, image: StockedImage, wanted: Callable[[], Collection[str]]) -> bool:
        """Remove an image unless somebody has come to need it since it was looked at; whether it is gone. Raises
        ReconcilerError."""

    def sweep_images(self) -> Space | None:
        """Delete what belongs to no image; what is free then. None where that cannot be now. Raises ReconcilerError."""

    def tidy(self, *, names: bool = True) -> None:
        """Collect what killed predecessors left where no plan looks, the name server's among it unless somebody else
        sees to that (``names``). Raises ReconcilerError."""

    def mend_network(self, by: str = "") -> tuple[str, ...]:
        """Put right what others did to the pods' network on this host; what it was, in sentences.

        Raises TryLater or Permanent.
        """

    def review_firewalls(self) -> tuple[str, ...]:
        """Read what others' firewalls do with pods' traffic, and open the way where their owners have a place for it;
        what changed since this was last told, in sentences.

        Raises TryLater or Permanent.
        """

    def tend_names(self) -> PidRef | None:
        """See that the name server runs where pods need it; its process. Raises ReconcilerError."""

    def emit(self, about: str, type: EventType, reason: str, message: str) -> None:  # noqa: A002 (the field's name)
        """Append to the event log; an equal event right before is counted instead."""
