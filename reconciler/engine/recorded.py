"""What is on record of a pod or a container, by its id: what we meant, and what we found or did since.

Reading, and writing down: small enough for whoever only looks. What is done about it is in ``sandboxes`` and
``containers``.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from reconciler.engine import records
from reconciler.engine.context import Context
from reconciler.engine.records import RECORD, STATE, ContainerFacts, ContainerRecord, PodRecord, PodState
from reconciler.model.errors import NotFound
from reconciler.model.key import HAND, ContainerId, PodId

_noting = threading.Lock()


def record_of_pod(ctx: Context, pod: PodId) -> PodRecord | None:
    return records.read(ctx.layout.pod(pod), RECORD, PodRecord)


def state_of_pod(ctx: Context, pod: PodId) -> PodState:
    """What became of the pod; empty for one whose creation was cut short."""
    return records.read(ctx.layout.pod(pod), STATE, PodState) or PodState()


def require_pod(ctx: Context, pod: PodId) -> PodRecord:
    """The pod's record.

    Raises NotFound.
    """
    record = record_of_pod(ctx, pod)
    if record is None:
        raise NotFound(f"cannot find pod {pod[:12]}: it has no record here")
    return record


def is_by_hand(ctx: Context, record: ContainerRecord) -> bool:
    """Whether it is a member of a pod that commands made: one can attach to it, and its end has an exit command."""
    pod = record_of_pod(ctx, record.pod)
    return pod is not None and pod.owner == HAND and not record.infra


def note_pod(ctx: Context, pod: PodId, **changes: Any) -> None:
    """Write something down beside what is known of the pod. Steps of one plan may do this at the same time."""
    with _noting:
        records.write(ctx.layout.pod(pod), STATE, replace(state_of_pod(ctx, pod), **changes))


def record_of(ctx: Context, container: ContainerId) -> ContainerRecord | None:
    """The container's record; read once, as it hardly ever changes (see ``record_for``)."""
    return ctx.cache.containers.get(container) or read_again(ctx, container)


def read_again(ctx: Context, container: ContainerId) -> ContainerRecord | None:
    """The container's record as it is now: another process may have made the container again."""
    record = records.read(ctx.layout.container(container), RECORD, ContainerRecord)
    if record is not None:
        ctx.cache.containers[container] = record
    return record


def record_for(ctx: Context, container: ContainerId, facts: ContainerFacts) -> ContainerRecord | None:
    """The record that goes with these facts, which are of a later life where the container was made again."""
    record = record_of(ctx, container)
    return record if record is None or record.life >= facts.life else read_again(ctx, container)


def facts_of(ctx: Context, container: ContainerId) -> ContainerFacts:
    """What is known of its process; empty for one whose creation was cut short."""
    return records.read(ctx.layout.container(container), STATE, ContainerFacts) or ContainerFacts()


def require(ctx: Context, container: ContainerId) -> ContainerRecord:
    """The container's record.

    Raises NotFound.
    """
    record = record_of(ctx, container)
    if record is None:
        raise NotFound(f"cannot find container {container[:12]}: it has no record here")
    return record


def begin(ctx: Context, container: ContainerId, facts: ContainerFacts) -> None:
    """Write the facts of a new life, in place of all that was known of the one before. Only for holders of the pod's
    lock."""
    with _noting:
        records.write(ctx.layout.container(container), STATE, facts)


def note(ctx: Context, container: ContainerId, **changes: Any) -> ContainerFacts:
    """Write changed facts. Only for holders of the pod's lock, whose steps may do this at the same time."""
    with _noting:
        facts = replace(facts_of(ctx, container), **changes)
        records.write(ctx.layout.container(container), STATE, facts)
    return facts
