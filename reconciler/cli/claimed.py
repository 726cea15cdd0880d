"""The volumes of claims: which a command means that was told to remove them, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine
    from reconciler.model.objects import ObjectId
    from reconciler.model.spec import PodSpec


def volumes(objects: Iterable[ObjectId], pods: Iterable[PodSpec]) -> tuple[str, ...]:
    """Those of claims among ``objects``, and of what ``pods`` mount."""
    from reconciler.model.claims import volume_of
    from reconciler.model.objects import CLAIM

    defined = [volume_of(namespace, name) for kind, namespace, name in objects if kind == CLAIM]
    mounted = (volume.claim for pod in pods for volume in pod.volumes if volume.claim)
    return tuple(sorted({*defined, *mounted}))


def remove(engine: Engine, names: Iterable[str]) -> int:
    """Remove those of the volumes that are there, with all that is in them; 1 where one is still mounted, else 0."""
    from reconciler.cli.terminal import complain
    from reconciler.engine import named
    from reconciler.model.errors import ReconcilerError

    there, failed = {record.name for record in named.listed(engine.context)}, 0
    for name in names:
        if name not in there:
            continue
        try:
            click.echo(f"volume {named.remove(engine.context, name)} removed")
        except ReconcilerError as error:
            complain(error.message, error.hint)
            failed = 1
    return failed
