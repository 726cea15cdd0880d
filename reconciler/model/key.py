"""Names of things: what the queue holds, what records are filed under, who owns what."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NewType

SourceId = NewType("SourceId", str)
"""Who owns a pod: ``dir:/abs/path``, ``file:/abs/path`` or ``hand``. A source prunes only what it owns."""

PodId = NewType("PodId", str)
"""64 lower-case hex digits; one for each life of a pod's infra container."""

ContainerId = NewType("ContainerId", str)
"""64 lower-case hex digits; one for each attempt at a container."""

CONTAINER = "Container"
"""The kind of a key that names one container by its id: one that has something for itself, as an address."""

HAND = SourceId("hand")


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Identifies one object, as the work queue and the cross-process lock know it."""

    namespace: str
    name: str
    kind: str = "Pod"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.kind == "Pod" else f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Named:
    """One attempt at a member of a pod, by what it is called."""

    key: Key
    name: str
    attempt: int
    id: ContainerId

    def __str__(self) -> str:
        """How people name it."""
        return f"{self.key.name}/{self.name}"


def infra_name(pod: str) -> str:
    """What the infra container of the pod of this id is called, unless it was given a name (podman)."""
    return f"{pod[:12]}-infra"


@dataclass(frozen=True, slots=True)
class NamedPod:
    """A pod and all attempts at its containers, by what they are called. ``id`` is empty where only its record is left;
    ``infra`` is its infra container, by the name that it has unless it was given one. ``init``: asks for the names of
    its init containers, which the index does not know."""

    key: Key
    id: str
    members: tuple[Named, ...] = ()
    infra: Named | None = None
    init: Callable[[], Collection[str]] = field(default=tuple, compare=False)
