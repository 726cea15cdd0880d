"""The database made again from the records, when it is lost: they are the truth, it is the index."""

from __future__ import annotations

from pathlib import Path

from reconciler.engine import podgroups, records
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.records import RECORD, STATE, ContainerRecord, PodRecord, PodState
from reconciler.engine.store import addresses, settings
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease
from reconciler.model.key import CONTAINER, ContainerId, Key, PodId
from reconciler.model.spec import DEFAULT_NETWORK as DEFAULT


def make_again(ctx: Context) -> None:
    """File every record, in a new database or one whose filing was cut short; then say in it that it is whole."""
    file_all(ctx)
    settings.put(ctx.store, settings.RECORDS_FILED, "yes")


@effect("store.reindex")
def file_all(ctx: Context) -> None:
    """File every pod, lease and container that has a record; what is filed already stays as it is."""
    for directory in _directories(ctx.layout.pods):
        record = records.read(directory, RECORD, PodRecord)
        if record is not None:
            _file_pod(ctx, record, records.read(directory, STATE, PodState) or PodState())
    pods = {row.id for row in index.all_pods(ctx.store)}
    for directory in _directories(ctx.layout.containers):
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


def _directories(parent: Path) -> list[Path]:
    return sorted(parent.iterdir()) if parent.is_dir() else []
