"""A pod's volumes in memory and what stands in them, by its record: when a member is made, and when content changes."""

from __future__ import annotations

import os
from functools import partial

from reconciler.engine import contents, kept, volumes
from reconciler.engine.contents import Files
from reconciler.engine.context import Context
from reconciler.engine.memory import Keeper
from reconciler.engine.records import PodRecord
from reconciler.model.downward import PodFacts
from reconciler.model.observed import PidRef
from reconciler.model.qos import resources_of
from reconciler.model.spec import ContainerSpec, Volume, VolumeKind


def prepare(ctx: Context, record: PodRecord, spec: ContainerSpec, infra: PidRef) -> None:
    """Make what a member mounts of the pod's own. ``record`` says by which spec the pod runs from now on.

    Raises TryLater.
    """
    volumes.prepare(spec, ctx.layout.pod(record.id), keeper_of(record, infra), partial(_files, ctx, record))


def rewrite(ctx: Context, record: PodRecord, infra: PidRef) -> None:
    """Have in the pod's projected volumes what should be there now. Raises TryLater."""
    if any(m.volume.kind is VolumeKind.PROJECTED for c in record.spec.everyone for m in c.mounts):
        volumes.rewrite(record.spec, keeper_of(record, infra), partial(_files, ctx, record))


def keeper_of(record: PodRecord, infra: PidRef) -> Keeper:
    """Who holds what the pod has in memory."""
    return Keeper(infra, record.ids, resources_of(record.spec).memory_limit)


def _files(ctx: Context, record: PodRecord, volume: Volume) -> Files:
    """What is to stand in a volume's files; the objects it comes from are kept before. Raises TryLater."""
    facts = PodFacts(record.spec, record.uid, cpus=1000 * (os.cpu_count() or 1), memory=ctx.facts.memory)
    return contents.files_of(volume, kept.for_volume(ctx, record, volume), facts)
