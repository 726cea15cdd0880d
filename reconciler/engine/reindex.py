"""The database made again from the records, when it is lost: they are the truth, it is the index."""

from __future__ import annotations

from pathlib import Path

from reconciler.engine import files, podgroups, records
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.records import RECORD, STATE, ContainerRecord, PodRecord, PodState
from reconciler.engine.store import addresses, events, settings
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease
from reconciler.engine.store.opening import damaged
from reconciler.model.events import EventType
from reconciler.model.key import CONTAINER, ContainerId, Key, PodId
from reconciler.model.spec import DEFAULT_NETWORK as DEFAULT

ABOUT = "state"
REBUILT = "IndexRebuilt"

JUST_NOW = 60.0
"""Seconds within which a damaged database that was set aside is the one whose place is taken."""


def make_again(ctx: Context) -> None:
    """File every record, in a new database or one whose filing was cut short; tell what that means where pods were
    not known any more; then say in it that it is whole."""
    lost = sum(_is_record(directory) for directory in files.entries(ctx.layout.pods)) - len(index.all_pods(ctx.store))
    file_all(ctx)
    if lost > 0:
        text = _told(ctx, lost)
        events.emit(ctx.store, ctx.clock, ABOUT, EventType.WARNING, REBUILT, f"The {text}")
        ctx.say(f"the {text}")
    settings.put(ctx.store, settings.RECORDS_FILED, "yes")


def _is_record(directory: Path) -> bool:
    return records.read(directory, RECORD, PodRecord) is not None


def _told(ctx: Context, lost: int) -> str:
    kept = damaged(ctx.layout.database)
    fresh = kept.exists() and ctx.clock.wall() - kept.stat().st_ctime < JUST_NOW
    became = f"was damaged (it is kept as {kept.name})" if fresh else "was lost"
    pods = "1 pod" if lost == 1 else f"{lost} pods"
    return (
        f"index {ctx.layout.database} {became} and is made again from the records of {pods}:"
        " nothing is touched, but earlier events are gone"
    )


@effect("store.reindex")
def file_all(ctx: Context) -> None:
    """File every pod, lease and container that has a record; what is filed already stays as it is."""
    for directory in files.entries(ctx.layout.pods):
        record = records.read(directory, RECORD, PodRecord)
        if record is not None:
            _file_pod(ctx, record, records.read(directory, STATE, PodState) or PodState())
    pods = {row.id for row in index.all_pods(ctx.store)}
    for directory in files.entries(ctx.layout.containers):
        container = records.read(directory, RECORD, ContainerRecord)
        if container is not None and container.pod in pods:
            name = "" if container.infra else container.name
            index.add_container(ctx.store, ContainerId(directory.name), container.pod, name, container.attempt)
            _file_lease(ctx, container)


def _file_pod(ctx: Context, record: PodRecord, state: PodState) -> None:
    ports = () if state.ended or state.resting else record.spec.sandbox.ports
    index.add_pod(ctx.store, PodId(record.id), record.key, ports)
    if state.networked is not None and ports:
        index.set_published(ctx.store, record.id, True)
    addresses.file(ctx.store, record.key, Lease(record.ip, record.ip6, record.spec.sandbox.network or DEFAULT))
    index.request(ctx.store, record.id, podgroups.requested(ctx, record, state.resources))


def _file_lease(ctx: Context, container: ContainerRecord) -> None:
    """Of one that has a network of its own."""
    pod = records.read(ctx.layout.pod(container.pod), RECORD, PodRecord)
    if container.ip and pod is not None:
        key = Key(container.key.namespace, container.id, CONTAINER)
        addresses.file(ctx.store, key, Lease(container.ip, container.ip6, pod.spec.sandbox.network or DEFAULT))
