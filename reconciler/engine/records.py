"""What we meant, on disk before anything is done about it; the truth that the database only indexes.

``record.json`` of a pod or container is the intent: written before the first effect, hardly ever changed
after. ``state.json`` beside it holds what we found or did since (pid, start, deadline, exit). Both are replaced whole,
and only by a holder of the key's lock; readers without the lock see a consistent, perhaps older file.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from reconciler.engine.files import Stamp, read_or_none, stamp, write_atomic
from reconciler.model.key import ContainerId, Key, PodId, SourceId
from reconciler.model.observed import Eviction, Exit, Instant
from reconciler.model.probe import Handler
from reconciler.model.qos import Qos
from reconciler.model.spec import SPEC_VERSION, ContainerSpec, PodSpec, Resources
from reconciler.model.typed import decoder

T = TypeVar("T")

MOST_KNOWN = 10_000
"""Files that are remembered, then none: those of pods that went are never asked for again."""

SETTLED = 3_000_000_000
"""Nanoseconds after which a file that was not written has another stamp when it is."""

RECORD = "record.json"
STATE = "state.json"


def uid_of(pod: PodId) -> str:
    """A pod's uid: the beginning of its id, in the shape of a UUID. Raises ValueError."""
    return str(uuid.UUID(pod[:32]))


@dataclass(frozen=True, slots=True)
class Begun:
    """When a pod began to be active. ``at`` counts only in the boot ``boot``; in others, the wall clock."""

    wall: float
    at: Instant = 0.0
    boot: str = ""


@dataclass(frozen=True, slots=True)
class PodRecord:
    """``ip`` and ``ip6`` are empty for a pod on the host's network, ``ip6`` also where its network has no IPv6.
    ``cgroup`` is where it was made; empty in records of a version that knew one place only. ``ids`` is the first of the
    host's user and group ids that its user namespace has, 0 for one without. ``begun`` None: of an older version, which
    knew no other start than that of this life."""

    id: PodId
    uid: str
    key: Key
    spec: PodSpec
    owner: SourceId
    ip: str
    created_wall: float
    version: int = SPEC_VERSION
    ip6: str = ""
    cgroup: str = ""
    ids: int = 0
    begun: Begun | None = None

    @property
    def ips(self) -> tuple[str, ...]:
        return tuple(ip for ip in (self.ip, self.ip6) if ip)


def applied(record: PodRecord, want: PodSpec | None) -> PodSpec:
    """The spec that the pod runs by, in today's terms: a new version must see no change where there is none.

    Version 1 knew no ``0.0.0.0`` but as "every address": a wanted one that differs in nothing else is what the pod has.
    """
    spec = record.spec
    if record.version > 1 or want is None:
        return spec
    meant = {replace(port, host_ip=""): port for port in want.sandbox.ports if port.host_ip == "0.0.0.0"}
    ports = tuple(sorted(meant.get(port, port) for port in spec.sandbox.ports))
    return replace(spec, sandbox=replace(spec.sandbox, ports=ports))


@dataclass(frozen=True, slots=True)
class PodState:
    """``networked`` holds only for the boot and the infra container that it was written for. ``resources`` and ``qos``
    are what the pod's cgroup and processes have; None: of an older version, which gave a pod's cgroup no values."""

    networked: ContainerId | None = None
    removing: bool = False
    ended: bool = False
    """Only the record is left, for the pod that comes back under the same key."""
    files: str = ""
    """The stamp of what was last written into the pod's files of /etc (``network.files``)."""
    resources: Resources | None = None
    qos: Qos | None = None
    services: tuple[str, ...] = ()
    """Those whose names lead to the pod, beside its own."""
    evicted: Eviction | None = None
    resting: bool = False
    """Its infra container has ended and it is kept: it has neither host ports nor a name until that is made again."""


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """``infra`` marks the infra container; its spec holds no more than a name, and an image where it has one. ``life``
    is the one that was begun last, of a container that may have several (PodSpec.keep): 1 is the first; 0: it has one
    only. ``ip`` and ``ip6`` where it has a network of its own. ``shown`` are the ids of the images that its volumes
    show."""

    id: ContainerId
    pod: PodId
    key: Key
    name: str
    attempt: int
    spec: ContainerSpec
    infra: bool = False
    image_id: str = ""
    ip: str = ""
    ip6: str = ""
    stop_signal: str = "SIGTERM"
    restarts: int = 0
    crashes: int = 0
    last: Exit | None = None
    log_path: str = ""
    created_wall: float = 0.0
    version: int = SPEC_VERSION
    life: int = 0
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What came before a container's present life. ``end``: how the one before ended, whoever asked for that; ``last``:
    the same, where it was the reason for this one (``Container.last``)."""

    restarts: int = 0
    crashes: int = 0
    last: Exit | None = None
    end: Exit | None = None


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """Facts of one attempt, or of one life of it: ``life`` says of which. Instants count only in the boot ``boot``;
    ``resources`` were applied live, ``refused`` could not be; ``oom_score`` is the oom_score_adj of its processes;
    ``newer`` is the image that its reference means now, where somebody asked for it to be taken up."""

    boot: str = ""
    pid: int = 0
    pid_start: int = 0
    started: Instant = 0.0
    started_wall: float = 0.0
    deadline: Instant | None = None
    killed: bool = False
    told: bool = True
    """Whether the stop signal was sent for ``deadline``."""
    pre_stop: Handler | None = None
    """What is to be done before the stop signal is sent for ``deadline``; None: nothing is, or has been waited for."""
    asked: Instant = 0.0
    """When that stop began."""
    exit: Exit | None = None
    resources: Resources | None = None
    refused: Resources | None = None
    oom_score: int | None = None
    newer: str = ""
    oom_kills: int = 0
    """How many processes the kernel had killed for want of memory when that was told last."""
    unwatched: bool = False
    """Whether it was told that its monitor was killed and none came in its place."""
    turn: int = 0
    """The last of its lives that a command asked for (``desired.Wish.turn``)."""
    life: int = 0
    paused: bool = False
    """Whether somebody paused it; whether it is, the kernel knows."""
    past: Past | None = None
    """None: as the record says."""


def write(directory: Path, name: str, value: object) -> None:
    """Write a record or state into its directory."""
    write_atomic(directory / name, msgspec.json.encode(value))


def read(directory: Path, name: str, kind: type[T]) -> T | None:
    """The record in ``directory``, or None where it is missing or unreadable (cut short by a power failure)."""
    path = f"{directory}/{name}"
    known, there = _known.get((path, kind)), stamp(path)
    if known is not None and there is not None and known.stamp == there:
        return cast(T, known.value)
    data = read_or_none(path)
    if data is None:
        return None
    if known is not None and known.data == data:
        value = cast(T, known.value)
    else:
        try:
            value = decoder(kind).decode(data)
        except msgspec.MsgspecError:
            return None
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[path, kind] = _Known(there if there is not None and _is_settled(there) else None, data, value)
    return value


def _is_settled(stamp: Stamp) -> bool:
    """Whether a file that is written from now on cannot have this stamp, however coarse its file system's clock is."""
    return time.time_ns() - stamp[1] > SETTLED


@dataclass(frozen=True, slots=True)
class _Known:
    """What was decoded last from a file. ``stamp`` was the file's before that; None where a later one may have it."""

    stamp: Stamp | None
    data: bytes
    value: object


_known: dict[tuple[str, type], _Known] = {}
"""Nearly always a file is the same again. And the same object is equal to itself at no cost. Any thread may write;
whoever comes last has read last."""
