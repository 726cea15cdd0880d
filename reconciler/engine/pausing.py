"""Containers paused and resumed. What was asked for is in the facts, so that one look at those says of most containers
that there is nothing to look at; whether it is so is the kernel's to say. For holders of the pod's lock."""

from __future__ import annotations

from reconciler.engine import cgroups, podgroups, recorded, watched
from reconciler.engine.context import Context
from reconciler.engine.records import ContainerFacts, ContainerRecord
from reconciler.model.errors import TryLater
from reconciler.model.key import ContainerId


def pause(ctx: Context, container: ContainerId) -> None:
    """Freeze every process of a running container.

    Raises NotFound, TryLater where it does not run, RuntimeFailed where it cannot be.
    """
    record = recorded.require(ctx, container)
    if not watched.lives(ctx, container):
        raise TryLater(f"cannot pause {record.name}: it does not run")
    recorded.note(ctx, container, paused=True)
    for path in podgroups.container_places(ctx, record.pod, container):
        cgroups.freeze(path)


def resume(ctx: Context, container: ContainerId) -> None:
    """Let a paused container go on; one that is not paused does. Raises NotFound, RuntimeFailed."""
    record = recorded.require(ctx, container)
    let_go_on(ctx, record)
    recorded.note(ctx, container, paused=False)


def let_go_on(ctx: Context, record: ContainerRecord) -> None:
    """The same, without writing it down. Raises RuntimeFailed."""
    for path in podgroups.container_places(ctx, record.pod, record.id):
        cgroups.thaw(path)


def is_paused(ctx: Context, record: ContainerRecord, facts: ContainerFacts) -> bool:
    return facts.paused and any(map(cgroups.is_frozen, podgroups.container_places(ctx, record.pod, record.id)))
