"""Which objects, that manifests define beside it, a pod refers to."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.claims import claim_of
from reconciler.model.environment import sources_of
from reconciler.model.objects import CLAIM, CONFIG_MAP, SECRET
from reconciler.model.projection import SourceKind
from reconciler.model.spec import PodSpec, Volume

KINDS = {SourceKind.CONFIG_MAP: CONFIG_MAP, SourceKind.SECRET: SECRET}
"""Of the sources of volumes."""


def references(spec: PodSpec) -> frozenset[tuple[str, str]]:
    """Kind and name of every object of its namespace that a pod refers to."""
    return frozenset(_references(spec))


def _references(spec: PodSpec) -> Iterator[tuple[str, str]]:
    for container in spec.everyone:  # most refer to nothing, and each look at a pod asks
        if container.pull_secrets:
            yield from ((SECRET, name) for name in container.pull_secrets)
        if container.program:
            yield from ((source.kind, source.name) for source in sources_of(container.program))
    for volume in spec.volumes:
        yield from volume_references(volume, spec.key.namespace)


def volume_references(volume: Volume, namespace: str) -> Iterator[tuple[str, str]]:
    """Kind and name of every object whose content a volume shows, or whose directory it is."""
    yield from shown_by(volume)
    if volume.claim:
        yield CLAIM, claim_of(namespace, volume.claim)


def shown_by(volume: Volume) -> Iterator[tuple[str, str]]:
    """Kind and name of every object whose content a volume shows."""
    return ((KINDS[source.kind], source.name) for source in volume.sources if source.kind in KINDS)
