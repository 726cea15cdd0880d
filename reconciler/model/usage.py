"""What a container uses of its machine: numbers since its start, read at one instant."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.observed import Instant


@dataclass(frozen=True, slots=True)
class Reading:
    """What its cgroup counts. ``cpu`` in seconds, everything else but ``pids`` in bytes; None is what nobody counts
    here. ``memory`` is without the page cache that could be had back at once, as docker and podman tell it."""

    cpu: float | None = None
    memory: int | None = None
    limit: int | None = None
    read: int | None = None
    written: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """``own.limit`` is what it, its pod and the machine allow. ``received`` and ``sent`` are bytes of its pod's
    network; None on the machine's."""

    at: Instant
    own: Reading
    received: int | None = None
    sent: int | None = None
