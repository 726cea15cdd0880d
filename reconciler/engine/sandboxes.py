"""The pod itself: its record, infra container, address, network and published ports, from creation to removal.

The order in each function is what makes a kill harmless: what can fail without a trace comes first (ports are
bound), then the intent (row, record), then effects that are found again by the pod's id. A pod whose infra
container never ran is not repaired but removed and made anew.
"""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from reconciler.engine import (
    apart,
    cgroups,
    containers,
    files,
    infra,
    kept,
    locks,
    named,
    nameserver,
    networks,
    podfiles,
    podgroups,
    portfacts,
    processes,
    projected,
    records,
    users,
)
from reconciler.engine.beside import Beside
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.recorded import facts_of, note_pod, record_of, record_of_pod, require_pod, state_of_pod
from reconciler.engine.records import RECORD, STATE, Begun, ContainerRecord, PodRecord, PodState
from reconciler.engine.store import addresses, events
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease
from reconciler.model.cost import Cost, differs
from reconciler.model.errors import ReconcilerError, TryLater
from reconciler.model.events import EventType
from reconciler.model.key import CONTAINER, ContainerId, Key, PodId, SourceId
from reconciler.model.observed import PidRef
from reconciler.model.qos import Qos, pod_qos, resources_of
from reconciler.model.spec import SPEC_VERSION, ContainerSpec, Mount, PodSpec, Resources

VOLUMES = "volumes"
"""The pod's emptyDirs, below its directory (``volumes.prepare`` makes them)."""

REMOVALS = 4
"""Containers of one pod that are removed at the same time: each waits for the runtime and the disk."""


def new_id() -> str:
    """64 hex digits, as Podman's ids are."""
    return os.urandom(32).hex()


def create(ctx: Context, spec: PodSpec, owner: SourceId, *, start: bool = True) -> PodId:
    """Record the pod and bring up its infra container, which holds the pod's host ports from now on, be it that it
    waits for its ``start``.

    Raises PortTaken before anything is written; RuntimeFailed.
    """
    cgroups.expect_moves()
    nameserver.make_room(ctx, spec)
    _end_unrecorded(ctx, spec.key)
    held = portfacts.hold(ctx, spec.sandbox.ports)
    try:
        with users.choosing(ctx, spec) as ids:
            record = _record(ctx, spec, owner, ids)
            _write_pod(ctx, record)
            _take_over(ctx, record)
            cgroup = podgroups.making(ctx, record, resources_of(spec))
            with nameserver.registering(ctx, record) as begin, cgroup as made, infra.image_of(ctx, spec) as image:
                _bring_up_infra(ctx, record, held, image, Beside(begin, made), start=start)
        return record.id
    finally:
        for sock in held:
            sock.close()  # the monitor holds its own copies


def _end_unrecorded(ctx: Context, key: Key) -> None:
    """A pod whose record is lost or damaged cannot be looked after, and what runs of it has the ports of the one that
    takes its place; which drops the rest (``_take_over``)."""
    for pod in index.pods_of(ctx.store, key):
        if record_of_pod(ctx, pod) is None and index.containers_of(ctx.store, pod):
            path = ctx.layout.pod(pod) / RECORD
            text = f"he record of pod {key} is {'damaged' if path.exists() else 'lost'} ({path}): it is made anew"
            containers.tell_of_loss(ctx, key, f"T{text}")
            ctx.say(f"t{text}")
            _remove_containers(ctx, pod, keep_volumes=True)


def set_up_network(ctx: Context, pod: PodId) -> None:
    """Give a pod whose infra container runs its link and address, and publish its ports.

    Raises TryLater when the infra container is gone or the kernel refuses.
    """
    record = require_pod(ctx, pod)
    infra_id, ref = living_infra(ctx, pod)
    if record.ip:
        networks.attach(ctx, record, ref)
    nameserver.register(ctx, record)
    note_pod(ctx, pod, networked=infra_id)


def update_resources(ctx: Context, pod: PodId, resources: Resources, qos: Qos) -> None:
    """Give the pod's cgroup other values; under another class its processes get other scores. Then record it.

    Raises LimitBelowUsage, RuntimeFailed, NotFound.
    """
    podgroups.apply(ctx, require_pod(ctx, pod), resources)
    if qos is not state_of_pod(ctx, pod).qos:
        for container in index.containers_of(ctx.store, pod):
            containers.rescore(ctx, container, qos)
    note_pod(ctx, pod, resources=resources, qos=qos)


def update_record(ctx: Context, pod: PodId, spec: PodSpec, owner: SourceId) -> None:
    """Write the spec that the pod runs by from now on."""
    new = replace(require_pod(ctx, pod), spec=spec, owner=owner, version=SPEC_VERSION)
    records.write(ctx.layout.pod(pod), RECORD, new)


def update_files(ctx: Context, pod: PodId, spec: PodSpec, owner: SourceId) -> None:
    """Rewrite the pod's files of /etc and those of its volumes by ``spec``, then write it down as the one the pod runs
    by. Where its infra container has ended there are no such volumes: they are made with the next."""
    record = replace(require_pod(ctx, pod), spec=spec, owner=owner, version=SPEC_VERSION)
    note_pod(ctx, pod, files=podfiles.write(ctx, record))
    apart.rewrite(ctx, record)
    infra = _infra_process(ctx, pod)
    if infra is not None:
        projected.rewrite(ctx, record, infra[1])
    records.write(ctx.layout.pod(pod), RECORD, record)


def update_names(ctx: Context, pod: PodId, services: tuple[str, ...]) -> None:
    """Write down which Services' names lead to the pod, then have the name server know it."""
    record = require_pod(ctx, pod)
    note_pod(ctx, pod, services=services)
    nameserver.register(ctx, record)


def remove(ctx: Context, pod: PodId, *, keep_address: bool) -> None:
    """Remove the pod and all that is left of its containers.

    ``keep_address``: its key comes back, so the record stays, marked as ended, and with it the address and the
    last good spec; ``create`` takes over from it.

    Raises TryLater when something does not die.
    """
    record = record_of_pod(ctx, pod)
    announced = record is None or _announce_removal(ctx, record)
    _remove_containers(ctx, pod, keep_volumes=keep_address)
    podgroups.remove(ctx, pod)
    if record is not None:
        _remove_logs(ctx, record)
    if record is not None and not announced:
        _unpublish_anyway(ctx, record)
    if record is not None and keep_address:
        _end(ctx, pod)
    else:
        _drop(ctx, pod)
        if record is not None:
            named.drop_anonymous(ctx, _mounts(record.spec))
            nameserver.withdraw(ctx, record.key)  # after the record: whoever writes names from records cannot add it
            addresses.release(ctx.store, record.key)


def _announce_removal(ctx: Context, record: PodRecord) -> bool:
    """Mark the pod as being removed and take its ports out of the maps, if that can be written.

    A full disk must not keep a pod from going: what follows frees the space.
    """
    try:
        note_pod(ctx, record.id, removing=True)
        networks.unpublish(ctx, record)
    except ReconcilerError:
        return False
    return True


def _unpublish_anyway(ctx: Context, record: PodRecord) -> None:
    """Once more, now that there is space again. What still keeps it (a kernel that lost nftables) keeps no pod from
    going: without its row in the index the next declaration leaves its ports out."""
    try:
        networks.unpublish(ctx, record)
    except ReconcilerError as e:
        with suppress(ReconcilerError):
            events.emit(ctx.store, ctx.clock, str(record.key), EventType.WARNING, "PortsNotUnpublished", e.message)


def forgotten(ctx: Context) -> tuple[Key, ...]:
    """The keys for which there may be something to ``forget``."""
    rows = index.all_pods(ctx.store)
    known = {row.key for row in rows}
    of_pod = {row.id: row.key for row in rows}
    containers = index.all_containers(ctx.store)
    known |= {Key(of_pod[pod].namespace, c, CONTAINER) for c, pod in containers.items() if pod in of_pod}
    halves = {row.key for row in rows if files.stamp(f"{ctx.layout.pod(row.id)}/{RECORD}") is None}
    return tuple(sorted(halves | (set(addresses.leases(ctx.store)) - known)))


def forget(ctx: Context, key: Key) -> None:
    """Drop what a killed creation or removal left of the key's pods in the index: rows without a record or any
    container, and an address that no pod has. For holders of the key's lock."""
    for pod in index.pods_of(ctx.store, key):
        if record_of_pod(ctx, pod) is None and not index.containers_of(ctx.store, pod):
            remove_halves(ctx, pod)
    if not index.pods_of(ctx.store, key):
        nameserver.withdraw(ctx, key)
        addresses.release(ctx.store, key)


def remove_halves(ctx: Context, pod: PodId) -> None:
    """Drop what there is of a pod that has no containers: its cgroup, directory and row. Raises TryLater."""
    podgroups.remove(ctx, pod)
    _drop(ctx, pod)


def _end(ctx: Context, pod: PodId) -> None:
    directory = ctx.layout.pod(pod)
    index.release_ports(ctx.store, pod)
    records.write(directory, STATE, PodState(ended=True))
    for path in directory.iterdir():
        if path.name not in (RECORD, STATE, VOLUMES, kept.KEPT):
            files.discard(path, ctx.layout.trash)


def _drop(ctx: Context, pod: PodId) -> None:
    files.discard(ctx.layout.pod(pod), ctx.layout.trash)
    index.remove_pod(ctx.store, pod)
    ctx.cache.etc.pop(pod, None)
    ctx.cache.alike.pop(pod, None)


def _take_over(ctx: Context, record: PodRecord) -> None:
    """The new record is written: the ended one of the same key has done its duty.

    Its volumes go on where the pod is the same one, begun again (kubelet: emptyDir lives as long as the pod's uid). One
    whose record is lost goes as well, with whatever still runs of it: it would be there twice.
    """
    for pod in index.pods_of(ctx.store, record.key):
        old = record_of_pod(ctx, pod)
        if pod != record.id and (old is None or state_of_pod(ctx, pod).ended):
            kept.inherit(ctx, pod, record.id)
            if old is not None and _goes_on(old.spec, record.spec):
                _inherit(ctx.layout.pod(pod) / VOLUMES, ctx.layout.pod(record.id) / VOLUMES)
            _remove_containers(ctx, pod, keep_volumes=True)
            remove_halves(ctx, pod)
            if old is None:
                _remove_logs(ctx, replace(record, uid=records.uid_of(pod)))
            else:
                named.drop_anonymous(ctx, _mounts(old.spec) - _mounts(record.spec))


def _mounts(spec: PodSpec) -> set[Mount]:
    return {mount for container in spec.everyone for mount in container.mounts}


@effect("volumes.inherit")
def _inherit(old: Path, new: Path) -> None:
    try:
        if old.exists() and not new.exists():
            old.rename(new)
    except OSError as e:
        raise TryLater(f"cannot take over {old}: {e.strerror}") from e


def _record(ctx: Context, spec: PodSpec, owner: SourceId, ids: int) -> PodRecord:
    pod = PodId(new_id())
    lease = lease_of(ctx, spec)
    uid, now, begun = records.uid_of(pod), ctx.clock.wall(), _begun(ctx, spec)
    cgroup = podgroups.choose(ctx, pod, spec)
    return PodRecord(pod, uid, spec.key, spec, owner, lease.ip, now, ip6=lease.ip6, cgroup=cgroup, ids=ids, begun=begun)


def _begun(ctx: Context, spec: PodSpec) -> Begun:
    """When the pod began to be active: now, or before where it is only begun again."""
    for pod in index.pods_of(ctx.store, spec.key):
        old = record_of_pod(ctx, pod)
        if old is not None and state_of_pod(ctx, pod).ended and _goes_on(old.spec, spec):
            return old.begun or Begun(old.created_wall)
    return Begun(ctx.clock.wall(), ctx.clock.now(), processes.boot_id())


def _goes_on(old: PodSpec, new: PodSpec) -> bool:
    """Whether a pod is the same one, only begun again: its infra container died, the machine was rebooted. With other
    plain init containers it is another, and begins with empty directories."""
    if old.sandbox != new.sandbox or len(old.plain_init) != len(new.plain_init):
        return False
    return not any(differs(a, b, Cost.CONTAINER) for a, b in zip(old.plain_init, new.plain_init, strict=True))


def lease_of(ctx: Context, spec: PodSpec) -> Lease:
    """The addresses that the pod has or gets; none on the host's network, and without one."""
    return networks.lease(ctx, spec) if spec.sandbox.connected else Lease("")


def _write_pod(ctx: Context, record: PodRecord) -> None:
    with locks.shared(ctx.layout.instance_lock):  # whoever retires the instance sees the pod, or was before it
        index.add_pod(ctx.store, record.id, record.key, record.spec.sandbox.ports)
    directory = ctx.layout.pod(record.id)
    _make_directory(directory)
    records.write(directory, RECORD, record)
    spec, stamp = record.spec, podfiles.write(ctx, record)
    records.write(directory, STATE, PodState(files=stamp, resources=resources_of(spec), qos=pod_qos(spec)))


@effect("pod.make")
def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o711)
    except OSError as e:
        raise TryLater(f"cannot write {directory}: {e.strerror}") from e


def _bring_up_infra(
    ctx: Context, record: PodRecord, held: list[socket.socket], image: str, beside: Beside, *, start: bool
) -> None:
    container = ContainerRecord(
        id=ContainerId(new_id()),
        pod=record.id,
        key=record.key,
        name=f"{record.id[:12]}-infra",
        attempt=0,
        spec=ContainerSpec(name=f"{record.id[:12]}-infra", image=record.spec.sandbox.infra_image),
        image_id=image,
        infra=True,
        created_wall=ctx.clock.wall(),
        life=int(record.spec.keep),
    )
    config, prepare = infra.bundle(ctx, record, container)
    containers.launch(ctx, container, config, prepare, tuple(sock.fileno() for sock in held), beside=beside)
    if start:
        containers.start(ctx, container.id)
    if not record.ip:
        note_pod(ctx, record.id, networked=container.id)


def living_infra(ctx: Context, pod: PodId) -> tuple[ContainerId, PidRef]:
    """The pod's infra container and its process, which may still wait to be started: its namespaces are there.

    Raises TryLater when it is gone.
    """
    found = _infra_process(ctx, pod)
    if found is None:
        raise TryLater(f"cannot work on pod {pod[:12]}: its infra container does not run")
    return found


def _infra_process(ctx: Context, pod: PodId) -> tuple[ContainerId, PidRef] | None:
    for container in index.containers_of(ctx.store, pod):
        record = record_of(ctx, container)
        if record is not None and record.infra:
            facts = facts_of(ctx, container)
            ref = PidRef(facts.pid, facts.pid_start)
            if facts.boot == processes.boot_id() and processes.alive(ref):
                return container, ref
    return None


def _remove_containers(ctx: Context, pod: PodId, *, keep_volumes: bool) -> None:
    """Members first, all at the same time; the infra container holds the ports and namespaces to the end.

    Raises the first error when every removal has been tried.
    """
    ids = index.containers_of(ctx.store, pod)

    def is_infra(container: ContainerId) -> bool:
        record = record_of(ctx, container)
        return record is not None and record.infra

    members = [container for container in ids if not is_infra(container)]
    with ThreadPoolExecutor(REMOVALS, thread_name_prefix="remove") as pool:
        list(pool.map(lambda container: containers.remove(ctx, container, keep_volumes=keep_volumes), members))
    for container in ids:
        if container not in members:
            containers.remove(ctx, container)


def _remove_logs(ctx: Context, record: PodRecord) -> None:
    """In place: logs may lie on another file system than the trash."""
    directory: Path = ctx.layout.log(record.key, record.uid, "-", 0).parent.parent
    if directory.exists():
        files.delete(directory)
