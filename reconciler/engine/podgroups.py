"""The cgroup of each pod: where it lies, what it and its level get, and how its processes are scored.

A pod stays where it was made, whatever becomes of its quality of service: a living cgroup cannot be moved. So the place
is in the pod's record; one that is lost is made up for by looking in each place that a pod may have.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from reconciler.engine import beside, cgroups, locks, records
from reconciler.engine.cgroups import Driver, names
from reconciler.engine.context import Context
from reconciler.engine.oci.linux import to_shares
from reconciler.engine.records import RECORD, PodRecord
from reconciler.engine.store import pods as index
from reconciler.model.errors import InvalidInput
from reconciler.model.key import ContainerId, PodId
from reconciler.model.qos import Qos, pod_qos
from reconciler.model.spec import PodSpec, Resources

CGROUPFS_MAKES = "only systemd makes slices, and it does not make the cgroups here"


def choose(ctx: Context, pod: PodId, spec: PodSpec) -> str:
    """Where a pod that is to be made goes: below what it names; one that is made by hand, whose containers weigh
    something without asking for it, not among those that get what is left. Raises InvalidInput."""
    if spec.sandbox.cgroup_parent:
        if wrong := wrong_parent(ctx, spec):
            raise InvalidInput(wrong)
        return cgroups.pod_below(ctx.layout.tag, pod, spec.sandbox.cgroup_parent)
    qos = Qos.GUARANTEED if spec.keep else pod_qos(spec)
    return cgroups.pod_path(ctx.layout.tag, pod, qos, ctx.driver[0])


def moved(ctx: Context, old: PodRecord, spec: PodSpec) -> str:
    """Where a pod goes in which nothing lives: where it was, unless that is to be below something else now. Then it is
    removed there. Raises Busy, InvalidInput."""
    if old.spec.sandbox.cgroup_parent == spec.sandbox.cgroup_parent:
        return old.cgroup
    cgroup = choose(ctx, old.id, spec)
    remove(ctx, old.id)
    return cgroup


def wrong_parent(ctx: Context, spec: PodSpec) -> str:
    """Why a pod's cgroup cannot be made below what it names; "" where it can, as far as that can be told."""
    parent, driver = spec.sandbox.cgroup_parent, ctx.driver[0]
    if not parent:
        return ""
    doing = f"cannot make the pod's cgroup below {parent}"
    if parent.endswith(".slice") != (driver is cgroups.Driver.SYSTEMD):
        made = "systemd makes cgroups here, which has slices" if driver is cgroups.Driver.SYSTEMD else CGROUPFS_MAKES
        return f"{doing}: {made}"
    return f"{doing}: it is one of ours" if cgroups.is_ours(parent) else ""


def of_record(ctx: Context, record: PodRecord) -> str:
    """The path of the pod's cgroup. Records of an older version do not say: it knew one place."""
    return record.cgroup or ctx.layout.cgroup_parent(record.id)


def places(ctx: Context, pod: PodId) -> tuple[str, ...]:
    """The path of the pod's cgroup; without a record all that there is by its name."""
    known = ctx.cache.cgroups.get(pod)
    if known is None:
        record = records.read(ctx.layout.pod(pod), RECORD, PodRecord)
        if record is None:
            return cgroups.find(ctx.layout.tag, pod)
        known = ctx.cache.cgroups[pod] = of_record(ctx, record)
    return (known,)


def container_places(ctx: Context, pod: PodId, container: ContainerId) -> tuple[str, ...]:
    """The same of a container."""
    return tuple(cgroups.container_path(place, container) for place in places(ctx, pod))


def make(ctx: Context, record: PodRecord, resources: Resources) -> None:
    """Make the pod's cgroup, with its values and those of the levels above it."""
    path, machine = of_record(ctx, record), to_shares(1000 * (os.cpu_count() or 1))  # kubelet: what a node can allocate
    cgroups.make_pod(path, _with_pids(ctx, resources), machine)
    _share(ctx, record.id, path, resources.cpu_request or 0)


@contextmanager
def making(ctx: Context, record: PodRecord, resources: Resources) -> Iterator[Callable[[], None]]:
    """``make``, beside other work: what is yielded waits for its end, and raises what it does.

    The kernel makes no cgroup while somebody waits until a process may be moved (see ``cgroups.moves``), and the
    runtime, which is called meanwhile, needs none at first. It makes on its way what is not there yet. Where systemd
    makes cgroups all is done before: a slice that it has begun by itself, for a scope, would not get its values.
    """
    if names.driver_of(of_record(ctx, record)) is Driver.SYSTEMD:
        make(ctx, record, resources)
        yield beside.nothing
        return
    with locks.exclusive(ctx.layout.shares_lock):
        pass  # whoever takes away what lies above has done so, or sees that this pod is on record
    end = beside.begun(lambda: _make_here(ctx, record, resources), "cgroup")
    try:
        yield end
    finally:
        end()


def _make_here(ctx: Context, record: PodRecord, resources: Resources) -> None:
    """In a thread of its own."""
    try:
        make(ctx, record, resources)
    finally:
        ctx.store.close()


def apply(ctx: Context, record: PodRecord, resources: Resources) -> None:
    """Set the values of the pod's cgroup, and its level's. Raises LimitBelowUsage, RuntimeFailed."""
    path = of_record(ctx, record)
    cgroups.update_pod(path, _with_pids(ctx, resources))
    _share(ctx, record.id, path, resources.cpu_request or 0)


def _with_pids(ctx: Context, resources: Resources) -> Resources:
    return replace(resources, pids_limit=ctx.config.resources.pids_limit)


def remove(ctx: Context, pod: PodId) -> None:
    """Remove the pod's cgroup, wherever it is; the level then has its share no more. What lies above stays.

    Raises Busy while a process is in it.
    """
    for path in places(ctx, pod):
        cgroups.remove_pod(path, above=False)
        _share(ctx, pod, path, 0)
    ctx.cache.cgroups.pop(pod, None)


def end_if_last(ctx: Context) -> None:
    """Take away what lies above pods' cgroups when no pod is on record. Not a part of any removal (see ``making``)."""
    if index.is_empty(ctx.store):
        with locks.exclusive(ctx.layout.shares_lock):
            if index.is_empty(ctx.store):
                cgroups.tidy(ctx.layout.tag)


def requested(ctx: Context, record: PodRecord, resources: Resources | None) -> int:
    """What a pod counts for in its level, as the index has it."""
    burstable = _is_burstable(of_record(ctx, record))
    return (resources.cpu_request or 0) if burstable and resources else 0


def _is_burstable(path: str) -> bool:
    """Whether a pod lies below that level, which is that of its first day."""
    level = names.level(names.tag_of(path), Qos.BURSTABLE, names.driver_of(path))
    return path.startswith(f"{level}/")


def _share(ctx: Context, pod: PodId, path: str, thousandths: int) -> None:
    """The Burstable pods together get what they request together (kubelet: qos_container_manager, setCPUCgroupConfig).

    With a lock around both, so that of two who do this at once the later one writes the greater truth. Not within the
    transaction: it would keep everybody from writing anything while systemd takes its time.
    """
    if _is_burstable(path):
        with locks.exclusive(ctx.layout.shares_lock):
            together = index.request(ctx.store, pod, thousandths)
            cgroups.set_level(path.rpartition("/")[0], to_shares(together))
