"""What a name means to those who look at anything: a container (an infra container, too) or a pod. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from reconciler.cli.resolve import Found, current, infra_name, shown_infra
from reconciler.model.errors import InvalidInput
from reconciler.model.observed import Observed

_ID = re.compile(r"[0-9a-f]{2,64}")


def container(pods: Sequence[Observed], name: str) -> Found | None:
    """The container of this id or name (that of its pod before it, or not); None where there is none.

    Raises InvalidInput where there are several.
    """
    return _one(name, [found for pod in pods for found in _all(pod) if found.container.id == name]) or _one(
        name, [found for pod in pods for found in _newest(pod) if name in _names(found)]
    )


def container_by_prefix(pods: Sequence[Observed], name: str) -> Found | None:
    """The same by the beginning of an id."""
    if not _ID.fullmatch(name):
        return None
    return _one(name, [found for pod in pods for found in _all(pod) if found.container.id.startswith(name)])


def pod(pods: Sequence[Observed], name: str) -> Observed | None:
    """The pod of this id or name, with its namespace before it or not."""
    return _one_pod(name, [p for p in pods if name in (p.key.name, str(p.key), p.sandbox.id if p.sandbox else "")])


def pod_by_prefix(pods: Sequence[Observed], name: str) -> Observed | None:
    """The same by the beginning of an id."""
    if not _ID.fullmatch(name):
        return None
    return _one_pod(name, [p for p in pods if p.sandbox and p.sandbox.id.startswith(name)])


def anything(
    pods: Sequence[Observed], name: str, *, containers: bool = True, whole_pods: bool = True
) -> Found | Observed | None:
    """What ``name`` means: whole ids and names count before beginnings of ids, containers before pods."""
    ways: list[Callable[[Sequence[Observed], str], Found | Observed | None]] = [
        *([container] if containers else []),
        *([pod] if whole_pods else []),
        *([container_by_prefix] if containers else []),
        *([pod_by_prefix] if whole_pods else []),
    ]
    return next((found for way in ways if (found := way(pods, name)) is not None), None)


def _all(pod: Observed) -> list[Found]:
    return [*(Found(pod, c) for c in pod.containers), *_infra(pod)]


def _newest(pod: Observed) -> list[Found]:
    return [*(Found(pod, c) for c in current(pod)), *_infra(pod)]


def _infra(pod: Observed) -> list[Found]:
    infra = shown_infra(pod)
    return [Found(pod, infra)] if infra else []


def _names(found: Found) -> tuple[str, ...]:
    infra = found.pod.sandbox.infra if found.pod.sandbox else None
    if infra is not None and infra.id == found.container.id:
        return (infra_name(found.pod),)
    return (found.container.name, found.name, f"{found.pod.key.namespace}/{found.name}")


def _one(name: str, candidates: Sequence[Found]) -> Found | None:
    if len(candidates) > 1:
        listed = ", ".join(f"{f.pod.key.namespace}/{f.name} ({f.container.id[:12]})" for f in candidates)
        raise InvalidInput(f'cannot tell which container "{name}" is meant: {listed}')
    return candidates[0] if candidates else None


def _one_pod(name: str, candidates: Sequence[Observed]) -> Observed | None:
    if len(candidates) > 1:
        listed = ", ".join(f"{p.key} ({p.sandbox.id[:12] if p.sandbox else ''})" for p in candidates)
        raise InvalidInput(f'cannot tell which pod "{name}" is meant: {listed}')
    return candidates[0] if candidates else None
