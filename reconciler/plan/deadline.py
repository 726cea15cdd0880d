"""activeDeadlineSeconds: how long a pod may be active, from its start on. Pure.

The kubelet's rule (pkg/kubelet/active_deadline.go). Unlike there nothing is final: a pod whose deadline is moved on
goes on, as any pod whose manifest is changed.
"""

from __future__ import annotations

from reconciler.model.actions import Reason, Why
from reconciler.model.observed import ContainerState, Instant
from reconciler.plan.situation import Situation, is_over, newest

EXCEEDED = "DeadlineExceeded"
MESSAGE = "Pod was active on the node longer than the specified deadline"
"""The kubelet's words for the pod's status."""


def reason_of(s: Situation) -> Reason:
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
    return at is not None and s.now >= at


def has_failed(s: Situation) -> bool:
    """Whether that has been seen to: what still runs of it was told to stop."""
    runs = any(c.state is ContainerState.RUNNING and c.stopping is None for c in s.have.containers)
    return not runs and is_exceeded(s)


def _is_through(s: Situation) -> bool:
    """Whether every member ended by itself, for good, or none will be made."""
    if s.target.init and is_over(s.want, s.target, s.have):
        return True
    last = [newest(s.have.containers, c.name) for c in s.target.containers]
    return bool(last) and all(c is not None and s.finished(c) for c in last)
