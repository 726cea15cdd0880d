"""Pods that may not run any more: they were active for longer than activeDeadlineSeconds, from their start on, or have
more in an emptyDir than its sizeLimit. Pure.

The kubelet's rules (pkg/kubelet/active_deadline.go, pkg/kubelet/eviction). Unlike there nothing is final: a pod whose
deadline or limit is moved on goes on, as any pod whose manifest is changed.
"""

from __future__ import annotations

from math import inf

from reconciler.model.actions import Reason, Why
from reconciler.model.observed import ContainerState, Eviction, Instant
from reconciler.model.spec import PodSpec
from reconciler.plan.situation import Situation, is_over, newest

EXCEEDED, EVICTED = "DeadlineExceeded", "Evicted"
MESSAGE = "Pod was active on the node longer than the specified deadline"
"""The kubelet's words for the pod's status."""

EVICTION_GRACE = 1.0
"""Seconds (kubelet: immediateEvictionGracePeriodSeconds)."""

LOOK = 60.0
"""Seconds until emptyDirs with a limit are looked at again (kubelet: VolumeStatsAggPeriod)."""


def words_of(s: Situation) -> tuple[str, str]:
    """Reason and message of a pod that has failed so, in the kubelet's words."""
    found = _eviction(s)
    return (EXCEEDED, MESSAGE) if found is None else (EVICTED, found.text)


def longest_grace(s: Situation) -> float:
    """Seconds that a container of such a pod has at most, whatever its own grace."""
    return inf if _eviction(s) is None else EVICTION_GRACE


def reason_of(s: Situation) -> Reason:
    found = _eviction(s)
    if found is not None:
        return Reason(Why.EVICTED, found.text)
    seconds = s.target.deadline
    return Reason(Why.DEADLINE, f"it was active for longer than its activeDeadlineSeconds ({seconds} s)")


def deadline_of(s: Situation) -> Instant | None:
    """When the pod has been active for long enough; None for a pod that may be for ever, has run its course, or is to
    be another one (its time begins anew)."""
    if s.sandbox is None or s.target.deadline is None or s.recreate or _is_through(s):
        return None
    return s.sandbox.begun + s.target.deadline


def is_exceeded(s: Situation) -> bool:
    """Whether nothing of the pod may run any more."""
    at = deadline_of(s)
    return (at is not None and s.now >= at) or _eviction(s) is not None


def next_look(s: Situation) -> Instant | None:
    """When to see again what the pod has on the disk, or whether it has been active for long enough."""
    at = deadline_of(s)
    looks = [at] if at is not None and s.now < at else []
    if s.sandbox is not None and s.sandbox.infra_up and _is_counted(s.target) and not is_exceeded(s):
        looks.append(s.now + LOOK)
    return min(looks, default=None)


def _is_counted(pod: PodSpec) -> bool:
    return bool(pod.bounded) or any(c.storage_limit is not None for c in pod.everyone)


def has_failed(s: Situation) -> bool:
    """Whether that has been seen to: what still runs of it was told to stop."""
    runs = any(c.state is ContainerState.RUNNING and c.stopping is None for c in s.have.containers)
    return not runs and is_exceeded(s)


def _eviction(s: Situation) -> Eviction | None:
    found = s.sandbox.evicted if s.sandbox is not None and not s.recreate else None
    return found if found is not None and found.holds(s.target) else None


def _is_through(s: Situation) -> bool:
    """Whether every member ended by itself, for good, or none will be made."""
    if s.target.init and is_over(s.want, s.target, s.have):
        return True
    last = [newest(s.have.containers, c.name) for c in s.target.containers]
    return bool(last) and all(c is not None and s.finished(c) for c in last)
