"""ConfigMaps, Secrets and what else manifests define beside pods, for the pods that refer to them.

Values are kept in memory, and of a pod in files of its own that only root can read (``engine.kept``, ``sources.hand``):
never part of a spec, a record, an event or a log, and not shown by ``repr``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.model.key import Key, SourceId
from reconciler.model.login import Logins
from reconciler.model.service import Service

CONFIG_MAP, SECRET, CLAIM, SERVICE = "ConfigMap", "Secret", "PersistentVolumeClaim", "Service"

KINDS = (CONFIG_MAP, SECRET, CLAIM, SERVICE)

ObjectId = tuple[str, str, str]
"""Kind, namespace and name."""

Contents = tuple[tuple[str, bytes], ...]
"""By key, sorted."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object. ``data`` are a ConfigMap's texts, all that a Secret holds, and what a claim asks for; ``binary`` is a
    ConfigMap's binaryData, which files may hold and variables may not. ``logins``: the passwords of a Secret for
    imagePullSecrets (None: it is none of that type). ``service``: which pods a Service leads to. ``immutable``: it is
    not to be edited."""

    kind: str
    namespace: str
    name: str
    data: Contents = field(default=(), repr=False)
    binary: Contents = field(default=(), repr=False)
    logins: Logins | None = field(default=None, repr=False)
    service: Service | None = None
    immutable: bool = False

    @property
    def id(self) -> ObjectId:
        return (self.kind, self.namespace, self.name)

    @property
    def texts(self) -> dict[str, bytes]:
        """What variables may hold: key to value."""
        return dict(self.data)

    @property
    def files(self) -> dict[str, bytes]:
        """What files may hold: key to content."""
        return dict((*self.data, *self.binary))

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


FindObject = Callable[[str, str], Object | None]
"""The object of a kind and a name, in the namespace of the pod that it is looked up for; None where no manifest defines
it."""

ObjectsFor = Callable[[Key, SourceId | None], FindObject]
"""How objects are looked up for a pod and its owner."""
