"""A pod's quality of service, and what its containers' requests and limits add up to. Pure.

The kubelet's rules: qos.GetPodQOS, cm.ResourceConfigForPod. Requests default to limits where they are compiled, so an
absent request counts as equal to the limit here, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from reconciler.model.spec import ContainerSpec, Resources


class Qos(StrEnum):
    """From it follow the place of a pod's cgroup and the kernel's choice of a victim when memory runs out."""

    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


def qos_of(containers: Iterable[ContainerSpec]) -> Qos:
    """All limits set and equal to requests; none of either; or in between. A limit of pids says nothing here."""
    each = [replace(c.resources, pids_limit=None) for c in containers]
    if all(r == Resources() for r in each):
        return Qos.BEST_EFFORT
    return Qos.GUARANTEED if all(_guaranteed(r) for r in each) else Qos.BURSTABLE


def pod_resources(containers: Iterable[ContainerSpec]) -> Resources:
    """What the pod's own cgroup gets: all requests, and a limit only where every container has one."""
    each = [c.resources for c in containers]
    return Resources(
        cpu_request=_sum(_or(r.cpu_request, r.cpu_limit) or 0 for r in each) or None,
        cpu_limit=_sum(r.cpu_limit for r in each),
        memory_request=_sum(_or(r.memory_request, r.memory_limit) or 0 for r in each) or None,
        memory_limit=_sum(r.memory_limit for r in each),
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
