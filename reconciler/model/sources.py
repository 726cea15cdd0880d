"""What a pod takes from elsewhere: objects that manifests define beside it."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.objects import SECRET
from reconciler.model.spec import PodSpec


def references(spec: PodSpec) -> frozenset[tuple[str, str]]:
    """Kind and name of every object of its namespace that a pod refers to."""
    return frozenset(_references(spec))


def _references(spec: PodSpec) -> Iterator[tuple[str, str]]:
    for container in spec.containers:
        yield from ((SECRET, name) for name in container.pull_secrets)
