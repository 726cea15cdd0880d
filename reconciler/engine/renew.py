"""Containers that have ended, made again: the same id, bundle, log and writable layer, and another process.

The facts go on telling of the life that has ended until the process of the next one is there and is written down with
them, in one step. So whoever is killed in between leaves a container that has ended, as before; what was begun of it is
ended by the next one who renews or removes it. The number of the life that is begun is in the record before anything is
done, so each has a directory of its own for its monitor (see ``endings``), and it is known that there may be more.

For holders of the pod's lock, and of containers whose pod is kept (PodSpec.keep).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.engine import (
    apart,
    cgroups,
    containers,
    endings,
    infra,
    members,
    nameserver,
    networks,
    observe,
    podfiles,
    podgroups,
    portfacts,
    processes,
    projected,
    recorded,
    records,
    sandboxes,
)
from reconciler.engine.beside import NOTHING, Beside
from reconciler.engine.context import Context
from reconciler.engine.records import RECORD, STATE, ContainerRecord, Past, PodRecord
from reconciler.engine.store import pods as index
from reconciler.model.actions import RenewContainer, RenewSandbox
from reconciler.model.errors import ImageProblem, NotFound, ReconcilerError, TryLater
from reconciler.model.key import ContainerId
from reconciler.model.observed import Exit
from reconciler.model.qos import pod_qos, resources_of
from reconciler.model.spec import SPEC_VERSION


def member(ctx: Context, action: RenewContainer) -> None:
    """Create a member that has ended again; its process waits to be started. One that lives is left alone.

    Raises ImageProblem when its image went away, TryLater when the pod's infra container did, RuntimeFailed.
    """
    cgroups.expect_moves()
    pod = recorded.require_pod(ctx, action.pod)
    _, infra_process = sandboxes.living_infra(ctx, action.pod)
    before = _record(ctx, action.container)
    end = _write_down_end(ctx, before)
    if end is None:
        return
    spec, image = members.spec_of(action.spec, action.name), ctx.images.get(before.image_id)
    if image is None:
        raise ImageProblem(f"cannot create container {spec.name} again: its image {before.image_id[:12]} is not here")
    projected.prepare(ctx, replace(pod, spec=action.spec), spec, infra_process)
    members.prepare_log(Path(before.log_path), before.attempt)
    record = replace(before, life=before.life + 1, spec=spec, stop_signal=members.stop_signal(spec, image))
    record = apart.settled(ctx, pod, record)
    config, prepare = members.bundle(ctx, pod, record, image, infra_process, action.spec)
    past = Past(action.restarts, action.crashes, action.last, end)
    _begin(ctx, record, config, prepare, past, turn=action.turn)


def sandbox(ctx: Context, action: RenewSandbox) -> None:
    """Create the infra container of a pod again, by a spec that may be another than before; its members must have
    ended. It holds the pod's host ports from now on; its network is to be set up anew.

    Raises PortTaken before anything is changed; TryLater, RuntimeFailed.
    """
    cgroups.expect_moves()
    old = recorded.require_pod(ctx, action.pod)
    before = _infra_of(ctx, old)
    spec = action.spec
    nameserver.make_room(ctx, spec)
    if before is None or (end := _write_down_end(ctx, before)) is None:
        return
    end_cut_short(ctx, before.id)  # it may hold the ports
    held = portfacts.hold(ctx, spec.sandbox.ports, before.id)
    try:
        lease = sandboxes.lease_of(ctx, spec)
        _end_processes(ctx, old)
        cgroup = podgroups.moved(ctx, old, spec)
        pod = replace(old, spec=spec, version=SPEC_VERSION, ip=lease.ip, ip6=lease.ip6, cgroup=cgroup)
        _write_pod(ctx, pod)
        with nameserver.registering(ctx, pod) as begin, infra.image_of(ctx, spec) as image:
            named = replace(before.spec, image=spec.sandbox.infra_image)
            record = replace(before, life=before.life + 1, image_id=image, spec=named)
            podgroups.make(ctx, pod, resources_of(spec))
            config, prepare = infra.bundle(ctx, pod, record)
            keep_fds = tuple(sock.fileno() for sock in held)
            _begin(ctx, record, config, prepare, Past(end=end), keep_fds=keep_fds, beside=Beside(begin))
        index.set_ports(ctx.store, pod.id, spec.sandbox.ports)
    finally:
        for sock in held:
            sock.close()  # the monitor holds its own copies
    if action.start:
        containers.start(ctx, record.id)
    if not pod.ip:
        recorded.note_pod(ctx, pod.id, networked=record.id)


def rest(ctx: Context, pod: PodRecord) -> None:
    """The infra container of a pod that is kept has ended: nothing leads to the pod until it is made again, and its
    host ports are anybody's.

    Raises TryLater, HostUnfit.
    """
    recorded.note_pod(ctx, pod.id, resting=True, networked=None)
    networks.unpublish(ctx, pod)
    index.release_ports(ctx.store, pod.id)
    nameserver.withdraw(ctx, pod.key)


def end_cut_short(ctx: Context, container: ContainerId) -> None:
    """End what there is of a life that was begun by somebody who was killed. The container has ended, as before."""
    record, facts = recorded.read_again(ctx, container), recorded.facts_of(ctx, container)
    if record is not None and record.life != facts.life:
        _end_lives(ctx, container)
        recorded.note(ctx, container, life=record.life)


def _begin(
    ctx: Context,
    record: ContainerRecord,
    config: dict[str, Any],
    prepare: str,
    past: Past,
    *,
    turn: int = 0,
    keep_fds: tuple[int, ...] = (),
    beside: Beside = NOTHING,
) -> None:
    """End what there is of earlier lives, and create the container as its record says."""
    _end_lives(ctx, record.id)
    containers.write_bundle(ctx, record, config, prepare)
    try:
        facts = containers.bring_up(ctx, record, config, keep_fds, beside)
    except ReconcilerError:
        with suppress(TryLater):  # the first trouble is the one to tell; whoever is next does it, too
            _end_lives(ctx, record.id)
        raise
    recorded.begin(ctx, record.id, replace(facts, turn=turn, past=past))


def _end_lives(ctx: Context, container: ContainerId) -> None:
    """What is left of a container's lives but its bundle: their monitors first, who could begin something.

    Not by the runtime's ``delete``: a program that was started by one who was killed would go on, and delete the next.
    """
    facts = recorded.facts_of(ctx, container)
    cut_short = containers.is_cut_short(ctx, container, facts)
    endings.end_monitors(ctx, container, facts.life, cut_short=cut_short)
    endings.end_group(ctx, container)
    endings.forget(ctx, container)
    endings.clear(ctx, container)


def _write_down_end(ctx: Context, record: ContainerRecord) -> Exit | None:
    """How the container ended, on record whatever becomes of the files that tell it; None where it lives."""
    facts = recorded.facts_of(ctx, record.id)
    state, end = observe.state_of(ctx, record.id, facts, held=True)
    if end is not None and (facts.exit is None or facts.exit.code != end.code):
        recorded.note(ctx, record.id, exit=end)
    return end if not state.can_signal() else None


def _record(ctx: Context, container: ContainerId) -> ContainerRecord:
    record = recorded.read_again(ctx, container)
    if record is None:
        raise NotFound(f"cannot find container {container[:12]}: it has no record here")
    return record


def _infra_of(ctx: Context, pod: PodRecord) -> ContainerRecord | None:
    found = (recorded.read_again(ctx, container) for container in index.containers_of(ctx.store, pod.id))
    return next((record for record in found if record is not None and record.infra), None)


def _end_processes(ctx: Context, pod: PodRecord) -> None:
    """Of a member that was being made again, a process may wait in the namespaces that have gone."""
    path = podgroups.of_record(ctx, pod)
    inside = [ref for pid in sorted(cgroups.pids(path)) if (ref := processes.pid_ref(pid))]
    if inside:
        cgroups.kill_all(path)
    for ref in inside:
        if not processes.wait_gone(ref, endings.KILL_SECONDS):
            raise TryLater(f"cannot create pod {pod.key} again: process {ref.pid} does not die")


def _write_pod(ctx: Context, pod: PodRecord) -> None:
    directory, spec = ctx.layout.pod(pod.id), pod.spec
    records.write(directory, RECORD, pod)
    state = replace(recorded.state_of_pod(ctx, pod.id), networked=None, resting=False, files=podfiles.write(ctx, pod))
    state = replace(state, resources=resources_of(spec), qos=pod_qos(spec))
    records.write(directory, STATE, state)
