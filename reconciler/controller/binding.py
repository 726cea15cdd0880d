"""What a wanted pod refers to, looked up: digests of it go into the spec, and what is missing is told.

So a change of an object is a change of the spec of those who use it, and of nobody else; and no value is in a spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from reconciler.engine.contents import of_objects
from reconciler.model.claims import claim_of
from reconciler.model.desired import Missing, Present
from reconciler.model.environment import Lack, canonical, evaluate
from reconciler.model.key import HAND
from reconciler.model.objects import CLAIM, FindObject
from reconciler.model.references import KINDS, shown_by
from reconciler.model.spec import ContainerSpec, Pairs, PodSpec, Role, Volume

Digest = Callable[[bytes], str]
"""A name for bytes that tells nothing of them."""


def bind(present: Present, find: FindObject, digest: Digest) -> Present:
    """The same with the digests of what ``find`` has, and with what it has not."""
    spec = present.spec
    if not spec.volumes and not any(member.program for member in spec.everyone):
        return present  # as most, at each look: it refers to nothing
    missing: list[Missing] = []

    def bound(member: ContainerSpec) -> ContainerSpec:
        if not member.program:
            return member
        outcome = evaluate(member.program, find)
        used = ((f"{kind} {name}", digest(canonical(values))) for (kind, name), values in outcome.used.items())
        missing.extend(_missing(spec, member.name, lack) for lack in outcome.lacks)
        return replace(member, env_digest=tuple(sorted(used)))

    with_digests = spec.with_everyone(bound)
    lacking = {volume.name: lacks for volume in spec.volumes if (lacks := tuple(_lacks(volume, find)))}
    missing += [one for name, lacks in lacking.items() for one in _of_members(spec, name, lacks)]
    if present.owner != HAND:  # who plays a manifest by hand is given the volume, as by podman
        unclaimed = {volume.name: _unclaimed(spec, volume, find) for volume in spec.volumes if volume.claim}
        missing += [one for name, lacks in unclaimed.items() for one in _of_members(spec, name, lacks)]
    shown = [volume for volume in spec.volumes if any(shown_by(volume))]
    if not missing and not shown and with_digests == spec:
        return present
    contents = _contents(spec.contents, [v for v in shown if v.name not in lacking], {*lacking}, find, digest)
    return replace(present, spec=replace(with_digests, contents=contents), missing=(*present.missing, *missing))


def _contents(said: Pairs, shown: list[Volume], lacking: set[str], find: FindObject, digest: Digest) -> Pairs:
    """``said`` tells by what of the pod itself stands in files, which counts beside what objects say. Of a volume that
    lacks something nothing can be said."""

    def data_of(kind: str, name: str) -> Mapping[str, bytes] | None:
        found = find(kind, name)
        return found.files if found else None

    told = {name: stamp for name, stamp in said if name not in lacking}
    for volume in shown:
        told[volume.name] = digest(canonical(of_objects(volume, data_of))) + told.get(volume.name, "")
    return tuple(sorted(told.items()))


def _lacks(volume: Volume, find: FindObject) -> Iterator[tuple[str, str, str]]:
    """Kind and name of each object that is not as the volume needs it, and what there is to say."""
    for source in volume.sources:
        if source.kind not in KINDS or source.optional:
            continue
        kind, found = KINDS[source.kind], find(KINDS[source.kind], source.name)
        what = f'{kind.lower()} "{source.name}"'
        if found is None:
            yield kind, source.name, f"{what} not found"
        for file in source.files if found else ():
            if found and file.key not in found.files:
                yield kind, source.name, f'key "{file.key}" not found in {what}'


def _unclaimed(spec: PodSpec, volume: Volume, find: FindObject) -> tuple[tuple[str, str, str], ...]:
    """The same of the claim of a volume that no manifest defines."""
    name = claim_of(spec.key.namespace, volume.claim)
    return () if find(CLAIM, name) is not None else ((CLAIM, name, f'{CLAIM.lower()} "{name}" not found'),)


def _of_members(spec: PodSpec, volume: str, lacks: tuple[tuple[str, str, str], ...]) -> Iterator[Missing]:
    """Who mounts a volume waits for what it lacks."""
    users = [c.name for c in spec.everyone if any(m.volume.name == volume for m in c.mounts)]
    for kind, name, text in lacks:
        for user in users:
            yield Missing(kind, name, f"spec.volumes[{volume}]", container=user, volume=volume, text=text)


def _missing(spec: PodSpec, name: str, lack: Lack) -> Missing:
    members = "containers" if spec.role_of(name) is Role.MEMBER else "initContainers"
    field = f"spec.{members}[{name}].{lack.field}"
    return Missing(lack.source.kind, lack.source.name, field, container=name, text=str(lack))
