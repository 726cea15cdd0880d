"""Pods as commands look at them all, and ``naming`` for these: whom of them a user means.

Pure functions over what was observed; ``observed`` alone asks the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from reconciler.cli import naming
from reconciler.model.key import Named, NamedPod
from reconciler.model.observed import Container, ContainerState, Observed

if TYPE_CHECKING:
    from reconciler.model.interfaces import PodEngine


@dataclass(frozen=True, slots=True)
class Found:
    """A container and the pod it belongs to."""

    pod: Observed
    container: Container

    @property
    def name(self) -> str:
        """How people name it: POD/CONTAINER."""
        return f"{self.pod.key.name}/{self.container.name}"


def observed(engine: PodEngine, namespace: str | None = None) -> tuple[Observed, ...]:
    """Every pod that is recorded here (of one namespace), in the order of its key."""
    recorded = engine.keys()
    keys = sorted(k for k in recorded if namespace in (None, k.namespace))
    return tuple(o for o in (engine.look(k) for k in keys) if o.sandbox is not None)


def current(pod: Observed) -> tuple[Container, ...]:
    """The newest attempt at each member, in the order of the spec (those it no longer names come last)."""
    newest: dict[str, Container] = {}
    for container in pod.containers:
        known = newest.get(container.name)
        if known is None or container.attempt > known.attempt:
            newest[container.name] = container
    named = [c.name for c in pod.applied.everyone] if pod.applied else []
    order = {name: place for place, name in enumerate(named)}
    return tuple(sorted(newest.values(), key=lambda c: (order.get(c.name, len(order)), c.name)))


def listed(pod: Observed) -> tuple[Container, ...]:
    """What a listing shows of a pod's members: the newest attempt at each, and of the older ones those that have not
    ended. One that has is kept until its successor stands; podman would not have it any more."""
    newest = {container.id for container in current(pod)}
    return tuple(c for c in pod.containers if c.id in newest or c.state is not ContainerState.EXITED)


def shown_infra(pod: Observed) -> Container | None:
    """The pod's infra container, unless the pod was made without one: then it only keeps the pod's place."""
    sandbox = pod.sandbox
    return sandbox.infra if sandbox and sandbox.applied.sandbox.infra else None


def infra_name(pod: Observed) -> str:
    """What the pod's infra container is called."""
    return pod.sandbox.infra_name if pod.sandbox else ""


def find_pod(pods: Sequence[Observed], name: str, namespace: str | None = None) -> Observed:
    """As ``naming.find_pod``."""
    return _observed(pods, naming.find_pod(_named(pods), name, namespace))


def find_pod_or_id(pods: Sequence[Observed], name: str) -> Observed:
    """As ``naming.find_pod_or_id``."""
    return _observed(pods, naming.find_pod_or_id(_named(pods), name))


def find_container(
    pods: Sequence[Observed], name: str, *, namespace: str | None = None, member: str | None = None
) -> Found:
    """As ``naming.find_container``."""
    meant = naming.find_container(_named(pods), name, namespace=namespace, member=member)
    return next(Found(p, c) for p in pods for c in p.containers if p.key == meant.key and c.id == meant.id)


def _observed(pods: Iterable[Observed], meant: NamedPod) -> Observed:
    return next(p for p in pods if p.key == meant.key)


def _named(pods: Iterable[Observed]) -> list[NamedPod]:
    return [NamedPod(pod.key, _id(pod), tuple(_members(pod)), partial(_init_of, pod)) for pod in pods]


def _init_of(pod: Observed) -> tuple[str, ...]:
    return tuple(c.name for c in pod.applied.init) if pod.applied else ()


def _id(pod: Observed) -> str:
    """Of a pod of which no more than the record is left, nothing is had by its id."""
    return pod.sandbox.id if pod.sandbox is not None and not pod.sandbox.ended else ""


def _members(pod: Observed) -> Iterable[Named]:
    """Every attempt, in the order of the spec."""
    for latest in current(pod):
        attempts = (c for c in pod.containers if c.name == latest.name)
        yield from (Named(pod.key, c.name, c.attempt, c.id) for c in attempts)
