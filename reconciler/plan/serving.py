"""Which Services' names lead to a pod now: of those that select it, while it is ready. Pure.

The rule is the endpoints controller's (pkg/controller/endpoint: shouldPodBeInEndpoints): a pod that is ready and is not
about to end, or any that runs where the Service asks for those that are not ready, too.
"""

from __future__ import annotations

from reconciler.model.actions import PodActions, Reason, UpdateNames, Why
from reconciler.model.observed import Container, ContainerState, Sandbox
from reconciler.plan.members import do
from reconciler.plan.situation import Situation


def plan_names(s: Situation, sandbox: Sandbox) -> PodActions:
    """Have the names changed that are to lead to the pod, where others do. Not where nothing is known of Services."""
    if s.want.services is None or not sandbox.ready:
        return PodActions()
    ready = _is_ready(s, sandbox)
    wanted = tuple(sorted(one.name for one in s.want.services if ready or one.unready_too))
    if wanted == sandbox.services:
        return PodActions()
    return do(UpdateNames(sandbox.id, wanted, Reason(Why.NAMES_CHANGED, _why(wanted, sandbox.services, ready=ready))))


def withdraw_names(sandbox: Sandbox, reason: Reason) -> PodActions:
    """Nobody new is to be led to a pod that is about to end."""
    return do(UpdateNames(sandbox.id, (), reason)) if sandbox.services else PodActions()


def _is_ready(s: Situation, sandbox: Sandbox) -> bool:
    """A member that was added to a pod to which names lead counts when there is one: what it waits for takes nothing
    from those that are there."""
    there = {c.name for c in s.have.containers}
    members = [c for c in s.target.lasting if c.name in there or not sandbox.services]
    return all(any(_serves(c, spec.name) for c in s.have.containers) for spec in members)


def _why(wanted: tuple[str, ...], before: tuple[str, ...], *, ready: bool) -> str:
    if not ready:
        return "it is not ready"
    fresh = [name for name in wanted if name not in before]
    return f"it is ready, and selected by {', '.join(fresh)}" if fresh else "it is not selected any more"


def _serves(container: Container, name: str) -> bool:
    running = container.state is ContainerState.RUNNING and container.stopping is None
    return container.name == name and running and container.is_ready
