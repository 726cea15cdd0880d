"""Pods and containers as commands look at them: all that there are, or those that a user named (``naming``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from reconciler.cli import naming
from reconciler.model.errors import NotFound
from reconciler.model.key import Named, NamedPod
from reconciler.model.observed import Container, ContainerState, Observed

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine
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


def find_pod(engine: Engine, name: str, namespace: str | None = None) -> Observed:
    """The pod that ``name`` means, looked at. Raises NotFound, InvalidInput (``naming.find_pod``)."""
    pod = engine.look(naming.find_pod(engine.names(), name, namespace).key)
    if pod.sandbox is None:
        raise NotFound(f'cannot find pod "{name}": it is being made, or removed, just now')
    return pod


def find_container(engine: Engine, name: str, namespace: str | None = None) -> Found:
    """The container that ``name`` means, an infra container, too, and its pod looked at.

    Raises NotFound, InvalidInput (``naming.find_container``).
    """
    try:
        return seen(engine, naming.find_container(engine.names(), name, namespace=namespace, infra=True))
    except NotFound:
        named = [named_pod(pod) for pod in observed(engine, namespace)]  # its record alone knows what it was named
        return seen(engine, naming.find_container(named, name, namespace=namespace, infra=True))


def anything(engine: Engine, name: str, namespace: str | None = None, **kinds: bool) -> Found | Observed | None:
    """As ``naming.anything``, looked at."""
    there = [pod for pod in engine.names() if namespace in (None, pod.key.namespace)]
    found = naming.anything(there, name, **kinds)
    if found is None and kinds.get("containers", True):
        found = naming.anything([named_pod(pod) for pod in observed(engine, namespace)], name, **kinds)
    if isinstance(found, Named):
        return seen(engine, found)
    pod = engine.look(found.key) if found else None
    return pod if pod and pod.sandbox else None


def seen(engine: PodEngine, meant: Named) -> Found:
    """A container that was named, looked at. Raises NotFound."""
    pod = engine.look(meant.key)
    infra = shown_infra(pod)
    for container in (*pod.containers, *((infra,) if infra else ())):
        if container.id == meant.id:
            return Found(pod, container)
    raise NotFound(f"cannot look at {meant}: it is being made, or removed, just now")


def named_pod(pod: Observed) -> NamedPod:
    """By what a pod that was looked at and its containers are called: an infra container by the name it was given."""
    infra = shown_infra(pod)
    named = Named(pod.key, infra_name(pod), 0, infra.id) if infra else None
    return NamedPod(pod.key, _id(pod), tuple(_members(pod)), named, partial(_init_of, pod))


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
