"""One way to name a container, for every command: id or unique id prefix, container name, POD/CONTAINER, or a pod
with a single member. Anything else is an error that lists the candidates.

Pure functions over what was observed; ``observed`` alone asks the engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.key import Key
from reconciler.model.observed import Container, ContainerState, Observed

if TYPE_CHECKING:
    from reconciler.model.interfaces import PodEngine

_ID = re.compile(r"[0-9a-f]{2,64}")


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
    named = [c.name for c in pod.applied.containers] if pod.applied else []
    order = {name: place for place, name in enumerate(named)}
    return tuple(sorted(newest.values(), key=lambda c: (order.get(c.name, len(order)), c.name)))


def shown_infra(pod: Observed) -> Container | None:
    """The pod's infra container, unless the pod was made without one: then it only keeps the pod's place."""
    sandbox = pod.sandbox
    return sandbox.infra if sandbox and sandbox.applied.sandbox.infra else None


def infra_name(pod: Observed) -> str:
    """What the pod's infra container is called."""
    sandbox = pod.sandbox
    return (sandbox.applied.sandbox.infra_name or f"{sandbox.id[:12]}-infra") if sandbox else ""


def find_pod(pods: Sequence[Observed], name: str, namespace: str | None = None) -> Observed:
    """The pod called ``name`` or NAMESPACE/NAME, or of that id or unique beginning of one; without a namespace, in any,
    where that is unambiguous.

    Raises NotFound (with what is near) and InvalidInput (with the candidates).
    """
    name = _without_kind(pods, name)
    matches = [p for p in _in(pods, namespace) if name in (p.key.name, str(p.key))]
    matches = matches or [p for p in _in(pods, namespace) if _has_id(p, name)]
    if len(matches) > 1:
        raise InvalidInput(
            f'cannot tell which pod "{name}" is meant: {_listed(str(p.key) for p in matches)}', hint="say -n NAMESPACE"
        )
    if not matches:
        raise NotFound(f'cannot find pod "{name}": there is none{_where(namespace)}', hint=_known_pods(pods, namespace))
    return matches[0]


def find_pod_or_id(pods: Sequence[Observed], name: str) -> Observed:
    """The pod that ``name`` means: an id, the unique beginning of one, or a name as for ``find_pod``."""
    ids = [p for p in pods if p.sandbox is not None and p.sandbox.id == name]
    named = any(name in (p.key.name, str(p.key)) for p in pods)
    if not ids and not named and _ID.fullmatch(name):
        ids = [p for p in pods if p.sandbox is not None and p.sandbox.id.startswith(name)]
    if len(ids) > 1:
        told = _listed(f"{p.key} ({p.sandbox.id[:12]})" for p in ids if p.sandbox)
        raise InvalidInput(f'cannot tell which pod "{name}" is meant: {told}')
    return ids[0] if ids else find_pod(pods, name)


def find_container(
    pods: Sequence[Observed], name: str, *, namespace: str | None = None, member: str | None = None
) -> Found:
    """The container that ``name`` means; with ``member`` (-c), that one of the pod ``name``.

    An id names any attempt there is; every other way names the newest. Raises NotFound or InvalidInput, listing
    the candidates.
    """
    pods = _in(pods, namespace)
    name = _without_kind(pods, name)
    if member is not None:
        return _member(find_pod(pods, name), member)
    for candidates in (_by_id(pods, name), _by_name(pods, name), _by_prefix(pods, name)):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise InvalidInput(
                f'cannot tell which container "{name}" is meant: {_listed(_precise(f) for f in candidates)}'
            )
    owners = [p for p in pods if name in (p.key.name, str(p.key))]
    if owners:
        return _only_member(find_pod(pods, name))
    raise NotFound(f'cannot find container "{name}": no id, name, POD/CONTAINER or pod is that', hint=_known(pods))


def find_running(
    pods: Sequence[Observed], name: str, *, doing: str, namespace: str | None = None, member: str | None = None
) -> Found:
    """As ``find_container``, but it must run: raises InvalidInput ("cannot ``doing`` …") where it does not."""
    found = find_container(pods, name, namespace=namespace, member=member)
    if found.container.state is not ContainerState.RUNNING:
        raise InvalidInput(
            f"cannot {doing} {found.name}: the container is {found.container.state}, not running",
            hint=f"see: reconciler logs {found.name}",
        )
    return found


def _has_id(pod: Observed, name: str) -> bool:
    """Of a pod of which no more than the record is left, nothing is had by its id."""
    sandbox = pod.sandbox
    return sandbox is not None and not sandbox.ended and bool(_ID.fullmatch(name)) and sandbox.id.startswith(name)


def _without_kind(pods: Sequence[Observed], name: str) -> str:
    """kubectl's ``pod/NAME`` as NAME, unless a pod is called like the kind."""
    kind, slash, rest = name.partition("/")
    if slash and kind in ("pod", "pods", "po") and not any(p.key.name == kind for p in pods):
        return rest
    return name


def _in(pods: Sequence[Observed], namespace: str | None) -> list[Observed]:
    return [p for p in pods if namespace in (None, p.key.namespace)]


def _by_id(pods: Iterable[Observed], name: str) -> list[Found]:
    return [Found(p, c) for p in pods for c in p.containers if c.id == name]


def _by_prefix(pods: Iterable[Observed], name: str) -> list[Found]:
    if not _ID.fullmatch(name):
        return []
    return [Found(p, c) for p in pods for c in p.containers if c.id.startswith(name)]


def _by_name(pods: Iterable[Observed], name: str) -> list[Found]:
    found = [Found(p, c) for p in pods for c in current(p)]
    return [f for f in found if name in (f.container.name, f.name, f"{f.pod.key.namespace}/{f.name}")]


def _member(pod: Observed, member: str) -> Found:
    for container in current(pod):
        if container.name == member:
            return Found(pod, container)
    raise NotFound(f'cannot find container "{member}" in pod {pod.key}: it has {_names(pod)}')


def _only_member(pod: Observed) -> Found:
    members = current(pod)
    if len(members) == 1:
        return Found(pod, members[0])
    if not members:
        raise NotFound(f"cannot choose a container of pod {pod.key}: it has none yet")
    first = members[0].name
    raise InvalidInput(
        f"cannot choose a container of pod {pod.key}: it has {_names(pod)}",
        hint=f"say {pod.key.name}/{first}, for example",
    )


def _precise(found: Found) -> str:
    return f"{found.pod.key.namespace}/{found.name} ({found.container.id[:12]})"


def _names(pod: Observed) -> str:
    return _listed(c.name for c in current(pod)) or "none"


def _known(pods: Sequence[Observed]) -> str:
    names = [Found(p, c).name for p in pods for c in current(p)]
    return f"there are: {_listed(names)}" if names else "no container is here"


def _known_pods(pods: Sequence[Observed], namespace: str | None) -> str:
    keys: list[Key] = [p.key for p in pods]
    elsewhere = "" if namespace is None else " (in all namespaces)"
    return f"there are{elsewhere}: {_listed(map(str, keys))}" if keys else "no pod is here"


def _where(namespace: str | None) -> str:
    return f" in namespace {namespace}" if namespace else ""


def _listed(names: Iterable[str], most: int = 10) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
