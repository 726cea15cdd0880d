"""What a pod takes from elsewhere: objects that manifests define beside it."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.claims import claim_of
from reconciler.model.objects import CLAIM, CONFIG_MAP, SECRET
from reconciler.model.projection import SourceKind
from reconciler.model.spec import PodSpec, Volume


def references(spec: PodSpec) -> frozenset[tuple[str, str]]:
    """Kind and name of every object of its namespace that a pod refers to."""
    return frozenset(_references(spec))


def _references(spec: PodSpec) -> Iterator[tuple[str, str]]:
    for container in spec.everyone:
        yield from ((SECRET, name) for name in container.pull_secrets)
    for volume in spec.volumes:
        yield from volume_references(volume, spec.key.namespace)


def volume_references(volume: Volume, namespace: str) -> Iterator[tuple[str, str]]:
    """Kind and name of every object whose content a volume shows, or whose directory it is."""
    kinds = {SourceKind.CONFIG_MAP: CONFIG_MAP, SourceKind.SECRET: SECRET}
    yield from ((kinds[source.kind], source.name) for source in volume.sources if source.kind in kinds)
    if volume.claim:
        yield CLAIM, claim_of(namespace, volume.claim)
