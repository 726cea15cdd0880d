"""A pod's quality of service, and what its containers' requests and limits add up to. Pure.

The kubelet's rules: qos.GetPodQOS, cm.ResourceConfigForPod. Requests default to limits where they are compiled, so an
absent request counts as equal to the limit here, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from reconciler.model.spec import ContainerSpec, PodSpec, Resources, RestartPolicy, Role


class Qos(StrEnum):
    """From it follow the place of a pod's cgroup and the kernel's choice of a victim when memory runs out."""

    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


def qos_of(containers: Iterable[ContainerSpec]) -> Qos:
    """All limits set and equal to requests; none of either; or in between. A limit of pids says nothing here. Of a pod
    all containers count, those that only begin it, too (``PodSpec.everyone``)."""
    each = [replace(c.resources, pids_limit=None) for c in containers]
    if all(r == Resources() for r in each):
        return Qos.BEST_EFFORT
    return Qos.GUARANTEED if all(_guaranteed(r) for r in each) else Qos.BURSTABLE


def pod_qos(pod: PodSpec) -> Qos:
    """The class of a pod: by what it says itself, if a manifest does (KEP 2837: ComputePodQOS), else by its
    containers."""
    said = replace(pod.limits, pids_limit=None)
    if pod.keep or said == Resources():
        return qos_of(pod.everyone)
    return Qos.GUARANTEED if _guaranteed(said) else Qos.BURSTABLE


def pod_resources(containers: Iterable[ContainerSpec], init: Iterable[ContainerSpec] = ()) -> Resources:
    """What the pod's own cgroup gets: a limit only where every container has one.

    Members run together, with the sidecars; a plain init container runs with those sidecars only that begin before it.
    So a pod gets the most of what any of its times asks for (component-helpers: resource.PodRequests, PodLimits).
    """
    begin, members = tuple(init), tuple(containers)
    beside = [c for c in begin if c.restart is RestartPolicy.ALWAYS]
    each = _together((*beside, *members))
    for place, plain in enumerate(begin):
        if plain not in beside:
            before = (c for c in begin[:place] if c in beside)
            each = _widest_of_times(each, _together((*before, plain)))
    every = [c.resources.own for c in (*begin, *members)]
    return replace(
        each,
        cpu_limit=each.cpu_limit if all(r.cpu_limit for r in every) else None,
        memory_limit=each.memory_limit if all(r.memory_limit for r in every) else None,
    )


def _together(containers: Iterable[ContainerSpec]) -> Resources:
    each = [c.resources.own for c in containers]
    return Resources(
        cpu_request=_sum(_or(r.cpu_request, r.cpu_limit) or 0 for r in each) or None,
        cpu_limit=_sum(r.cpu_limit for r in each),
        memory_request=_sum(_or(r.memory_request, r.memory_limit) or 0 for r in each) or None,
        memory_limit=_sum(r.memory_limit for r in each),
    )


def _widest_of_times(a: Resources, b: Resources) -> Resources:
    return Resources(
        cpu_request=max(a.cpu_request or 0, b.cpu_request or 0) or None,
        cpu_limit=max(a.cpu_limit or 0, b.cpu_limit or 0) or None,
        memory_request=max(a.memory_request or 0, b.memory_request or 0) or None,
        memory_limit=max(a.memory_limit or 0, b.memory_limit or 0) or None,
    )


def scored_as(pod: PodSpec, container: ContainerSpec) -> Resources:
    """The resources by which a container is scored for the kernel's choice of a victim: its own; a sidecar's with no
    less memory than the least of the members, so that it does not go before them. What the pod requests and no
    container does is shared out (kubelet: qos/policy.go)."""
    own, share = container.resources.own, _share(pod)
    memory = _memory(own)
    if pod.containers and pod.role_of(container.name) is Role.SIDECAR:
        memory = max(memory, min(_memory(c.resources.own) for c in pod.containers))
    return own if memory + share == _memory(own) else replace(own, memory_request=memory + share)


def _share(pod: PodSpec) -> int:
    """What there is for each container of the memory that a pod requests beyond what they do."""
    if pod.keep or not pod.limits.memory_request:
        return 0
    requested = pod_resources(pod.containers, pod.init).memory_request or 0
    return max(pod.limits.memory_request - requested, 0) // max(len(pod.everyone), 1)


def _memory(resources: Resources) -> int:
    return _or(resources.memory_request, resources.memory_limit) or 0


BY_HAND_CPU = 1000
"""Thousandths of a core that a container made by hand weighs unless it says something else (podman: 1024 shares)."""


def as_run(resources: Resources, *, keep: bool) -> Resources:
    """A container's resources with what it has by default. ``keep``: of a pod that is (PodSpec)."""
    if not keep or resources.cpu_request is not None:
        return resources
    return replace(resources, cpu_request=BY_HAND_CPU)


def resources_of(pod: PodSpec) -> Resources:
    """What the pod's own cgroup gets: what its containers have together, and its own limits where it has any."""
    run = pod.with_everyone(lambda c: replace(c, resources=as_run(c.resources, keep=True))) if pod.keep else pod
    together = pod_resources(run.containers, run.init)
    own = pod.limits if run.everyone else as_run(pod.limits, keep=pod.keep)
    return Resources(
        cpu_request=_or(own.cpu_request, together.cpu_request),
        cpu_limit=own.cpu_limit or together.cpu_limit,
        memory_request=_or(own.memory_request, together.memory_request),
        memory_limit=own.memory_limit or together.memory_limit,
    )


def holding(pod: Resources, containers: Iterable[ContainerSpec]) -> Resources:
    """What a pod's cgroup gets, and no less than any of its containers has: the kernel refuses a child that may do
    more (v1: cpu.cfs_quota_us)."""
    each = [c.resources for c in containers]
    return replace(
        pod,
        cpu_limit=pod.cpu_limit and max([pod.cpu_limit, *(r.cpu_limit or 0 for r in each)]),
        memory_limit=pod.memory_limit and max([pod.memory_limit, *(r.memory_limit or 0 for r in each)]),
    )


def widest(a: Resources, b: Resources) -> Resources:
    """What has room for both: the greater of each; no limit is the greatest of limits."""
    return Resources(
        cpu_request=max(a.cpu_request or 0, b.cpu_request or 0) or None,
        cpu_limit=_wider(a.cpu_limit, b.cpu_limit),
        memory_request=max(a.memory_request or 0, b.memory_request or 0) or None,
        memory_limit=_wider(a.memory_limit, b.memory_limit),
        pids_limit=_wider(a.pids_limit, b.pids_limit),
    )


def _guaranteed(r: Resources) -> bool:
    if not r.cpu_limit or not r.memory_limit:
        return False
    return r.cpu_request in (None, r.cpu_limit) and r.memory_request in (None, r.memory_limit)


def _sum(amounts: Iterable[int | None]) -> int | None:
    each = list(amounts)
    return sum(a for a in each if a) if each and all(a is not None for a in each) else None


def _or(request: int | None, limit: int | None) -> int | None:
    return limit if request is None else request


def _wider(a: int | None, b: int | None) -> int | None:
    return max(a, b) if a and b else None
