"""One way to name a container or a pod, for every command: id or unique id prefix, container name, POD/CONTAINER, or a
pod with a single member. Anything else is an error that lists the candidates.

Pure functions over what is here by name (``Engine.names``), so that only what was named need be looked at: ``resolve``.
``find_running`` alone asks the engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.key import Named, NamedPod

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

_ID = re.compile(r"[0-9a-f]{2,64}")


def find_pod(pods: Sequence[NamedPod], name: str, namespace: str | None = None) -> NamedPod:
    """The pod of the id ``name``, called so or NAMESPACE/NAME, or of an id that alone begins so; without a namespace,
    in any, where that is unambiguous.

    Raises NotFound (with what is near) and InvalidInput (with the candidates).
    """
    name = _without_kind(pods, name)
    there = _in(pods, namespace)
    found = _one_pod(name, _pods_called(there, name)) or _one_pod(name, _pods_by_prefix(there, name))
    if found is None:
        raise NotFound(f'cannot find pod "{name}": there is none{_where(namespace)}', hint=_known_pods(pods, namespace))
    return found


def find_container(
    pods: Sequence[NamedPod],
    name: str,
    *,
    namespace: str | None = None,
    member: str | None = None,
    infra: bool = False,
) -> Named:
    """The container that ``name`` means; with ``member`` (-c), that one of the pod ``name``. ``infra``: it may be an
    infra container.

    An id names any attempt there is; every other way names the newest. Raises NotFound or InvalidInput, listing
    the candidates.
    """
    pods = _in(pods, namespace)
    name = _without_kind(pods, name)
    if member is not None:
        return _member(find_pod(pods, name), member)
    if found := _called(pods, name, infra=infra) or _by_prefix(pods, name, infra=infra):
        return found
    if any(name in (p.key.name, str(p.key)) for p in pods):
        return _only_member(find_pod(pods, name))
    raise NotFound(f'cannot find container "{name}": no id, name, POD/CONTAINER or pod is that', hint=_known(pods))


def anything(
    pods: Sequence[NamedPod], name: str, *, containers: bool = True, whole_pods: bool = True
) -> Named | NamedPod | None:
    """What ``name`` means where both are meant, infra containers as well: whole ids and names count before beginnings
    of ids, containers before pods. None where there is neither. Raises InvalidInput, listing the candidates."""
    ways: list[Callable[[], Named | NamedPod | None]] = [
        *([lambda: _called(pods, name, infra=True)] if containers else []),
        *([lambda: _one_pod(name, _pods_called(pods, name))] if whole_pods else []),
        *([lambda: _by_prefix(pods, name, infra=True)] if containers else []),
        *([lambda: _one_pod(name, _pods_by_prefix(pods, name))] if whole_pods else []),
    ]
    return next((found for way in ways if (found := way()) is not None), None)


def find_running(
    engine: Engine, name: str, *, doing: str, namespace: str | None = None, member: str | None = None
) -> Named:
    """As ``find_container``, but it must run: raises InvalidInput ("cannot ``doing`` …") where it does not."""
    found = find_container(engine.names(), name, namespace=namespace, member=member)
    if not engine.runs(found.id) and (state := _state(engine, found)) != "running":
        raise InvalidInput(
            f"cannot {doing} {found}: the container is {state}, not running", hint=f"see: reconciler logs {found}"
        )
    return found


def _state(engine: Engine, found: Named) -> str:
    containers = engine.look(found.key).containers
    return next((c.state.value for c in containers if c.id == found.id), "gone")


def newest(pod: NamedPod) -> list[Named]:
    """The latest attempt at each member."""
    latest: dict[str, Named] = {}
    for one in pod.members:
        known = latest.get(one.name)
        if known is None or one.attempt > known.attempt:
            latest[one.name] = one
    return list(latest.values())


def _pods_called(pods: Iterable[NamedPod], name: str) -> list[NamedPod]:
    there = list(pods)
    return [p for p in there if p.id == name] or [p for p in there if name in (p.key.name, str(p.key))]


def _pods_by_prefix(pods: Iterable[NamedPod], name: str) -> list[NamedPod]:
    return [p for p in pods if p.id.startswith(name)] if _ID.fullmatch(name) else []


def _one_pod(name: str, candidates: Sequence[NamedPod]) -> NamedPod | None:
    if len(candidates) > 1:
        told = _listed(f"{p.key} ({p.id[:12]})" if p.id else str(p.key) for p in candidates)
        hint = "say -n NAMESPACE" if len({p.key.namespace for p in candidates}) == len(candidates) else ""
        raise InvalidInput(f'cannot tell which pod "{name}" is meant: {told}', hint=hint)
    return candidates[0] if candidates else None


def _without_kind(pods: Iterable[NamedPod], name: str) -> str:
    """kubectl's ``pod/NAME`` as NAME, unless a pod is called like the kind."""
    kind, slash, rest = name.partition("/")
    if slash and kind in ("pod", "pods", "po") and not any(p.key.name == kind for p in pods):
        return rest
    return name


def _in(pods: Iterable[NamedPod], namespace: str | None) -> list[NamedPod]:
    return [p for p in pods if namespace in (None, p.key.namespace)]


def _called(pods: Sequence[NamedPod], name: str, *, infra: bool) -> Named | None:
    """The container of this id, or else of this name."""
    by_id = [one for p in pods for one in _all(p, infra) if one.id == name]
    if by_id:
        return _one(name, by_id)
    there = (one for p in pods for one in (*newest(p), *_infra(p, infra)))
    return _one(name, [one for one in there if name in (one.name, str(one), f"{one.key.namespace}/{one}")])


def _by_prefix(pods: Sequence[NamedPod], name: str, *, infra: bool) -> Named | None:
    if not _ID.fullmatch(name):
        return None
    return _one(name, [one for p in pods for one in _all(p, infra) if one.id.startswith(name)])


def _all(pod: NamedPod, infra: bool) -> tuple[Named, ...]:
    return (*pod.members, *_infra(pod, infra))


def _infra(pod: NamedPod, infra: bool) -> tuple[Named, ...]:
    return (pod.infra,) if infra and pod.infra else ()


def _one(name: str, candidates: Sequence[Named]) -> Named | None:
    if len(candidates) > 1:
        raise InvalidInput(f'cannot tell which container "{name}" is meant: {_listed(map(_precise, candidates))}')
    return candidates[0] if candidates else None


def _member(pod: NamedPod, member: str) -> Named:
    for one in newest(pod):
        if one.name == member:
            return one
    raise NotFound(f'cannot find container "{member}" in pod {pod.key}: it has {_names(pod)}')


def _only_member(pod: NamedPod) -> Named:
    members = newest(pod)
    if len(members) > 1:
        init = pod.init()
        members = [one for one in members if one.name not in init] or members
    if len(members) == 1:
        return members[0]
    if not members:
        raise NotFound(f"cannot choose a container of pod {pod.key}: it has none yet")
    raise InvalidInput(
        f"cannot choose a container of pod {pod.key}: it has {_names(pod)}", hint=f"say {members[0]}, for example"
    )


def _precise(one: Named) -> str:
    return f"{one.key.namespace}/{one} ({one.id[:12]})"


def _names(pod: NamedPod) -> str:
    return _listed(one.name for one in newest(pod)) or "none"


def _known(pods: Iterable[NamedPod]) -> str:
    there = [str(one) for p in pods for one in newest(p)]
    return f"there are: {_listed(there)}" if there else "no container is here"


def _known_pods(pods: Sequence[NamedPod], namespace: str | None) -> str:
    elsewhere = "" if namespace is None else " (in all namespaces)"
    return f"there are{elsewhere}: {_listed(str(p.key) for p in pods)}" if pods else "no pod is here"


def _where(namespace: str | None) -> str:
    return f" in namespace {namespace}" if namespace else ""


def _listed(names: Iterable[str], most: int = 10) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
