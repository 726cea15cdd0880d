"""What pods and their containers are called, as the index knows it: enough to tell which one a user means."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from reconciler.engine.store.tx import Store
from reconciler.model.key import ContainerId, Key, Named, NamedPod, PodId, infra_name

InitOf = Callable[[PodId], Collection[str]]


def keys(store: Store) -> tuple[Key, ...]:
    """Every key that a pod is filed under, the oldest first."""
    rows = store.read("SELECT kind, namespace, name FROM pods ORDER BY rowid")
    return tuple(dict.fromkeys(Key(str(namespace), str(name), str(kind)) for kind, namespace, name in rows))


def names(store: Store, init_of: InitOf = lambda _pod: ()) -> tuple[NamedPod, ...]:
    """Every pod, in the order of its key. Of two with one key (in the middle of a repair) the older one counts that has
    any container. ``init_of``: the init containers of a pod, by name."""
    lives: dict[Key, dict[str, list[Named]]] = {}
    for kind, namespace, name, pod, container, member, attempt in store.read(
        "SELECT p.kind, p.namespace, p.name, p.id, c.id, c.name, c.attempt FROM pods p"
        " LEFT JOIN containers c ON c.pod = p.id ORDER BY p.rowid, c.name, c.attempt"
    ):
        key = Key(str(namespace), str(name), str(kind))
        containers = lives.setdefault(key, {}).setdefault(str(pod), [])
        if container is not None:
            containers.append(Named(key, str(member), int(str(attempt)), ContainerId(str(container))))
    return tuple(_pod(key, lives[key], init_of) for key in sorted(lives))


def _pod(key: Key, lives: dict[str, list[Named]], init_of: InitOf) -> NamedPod:
    """A container without a name is the infra container, or one of which nothing is known."""
    for pod, containers in lives.items():
        if containers:
            nameless = next((one for one in containers if not one.name), None)
            infra = replace(nameless, name=infra_name(pod)) if nameless else None
            named = tuple(one for one in containers if one.name)
            return NamedPod(key, pod, named, infra, partial(init_of, PodId(pod)))
    return NamedPod(key, "")
