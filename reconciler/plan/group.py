"""What to do now about a pod's own cgroup, which holds what its containers may use together. Pure.

It has room for what is wanted and for what is there. So it is raised before a container is given more or made, and
lowered when the last container that had more is gone: the kernel refuses a child that may do more than its parent,
and a parent that may do less than its child (v1, CPU quota).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from reconciler.model.actions import CreateContainer, PodActions, Reason, UpdatePodResources, UpdateResources, Why
from reconciler.model.observed import Container, Sandbox
from reconciler.model.qos import holding, pod_qos, resources_of, widest
from reconciler.model.spec import ContainerSpec, PodSpec, Resources
from reconciler.plan.disruption import resource_changes, tell
from reconciler.plan.situation import Situation


@dataclass(frozen=True, slots=True)
class Room:
    """``first``: the pod's own step, if there is one. ``raises``: containers wait for it."""

    first: PodActions = field(default_factory=PodActions)
    raises: bool = False

    def hold(self, plan: PodActions) -> PodActions:
        """A member's plan without what needs the room that is still to be made."""
        if not self.raises:
            return plan
        return replace(plan, steps=tuple(s for s in plan.steps if not isinstance(s, CreateContainer | UpdateResources)))


def plan_room(s: Situation, sandbox: Sandbox) -> Room:
    """What to do about the cgroup of a pod that stands."""
    has = sandbox.resources
    if has is None:
        return Room()  # made by an older version, which gave pods no values
    alive = _alive(s)
    needs = holding(widest(resources_of(s.target), resources_of(alive)), alive.everyone)
    qos = pod_qos(s.target)
    if needs == has and qos is sandbox.qos:
        return Room()
    reason = Reason(Why.RESOURCES_CHANGED, tell(resource_changes(has, needs)))
    if qos is not sandbox.qos:
        place = "its cgroup stays where it was made"
        reason = Reason(Why.QOS_CHANGED, f"{sandbox.qos} -> {qos}; {place} until the pod is recreated")
    step = UpdatePodResources(sandbox.id, needs, qos, reason)
    wider = widest(has, needs)
    return Room(PodActions(steps=(step,)), (wider.cpu_limit, wider.memory_limit) != (has.cpu_limit, has.memory_limit))


def _alive(s: Situation) -> PodSpec:
    """The pod with what may use something now: each container once, with the most that any attempt at it may use. One
    that is wanted and not alive counts as it is wanted, one that lives and is not wanted as it was."""
    living: dict[str, ContainerSpec] = {}
    for c in s.have.containers:
        if _counts(c):
            before = living.get(c.name, c.spec).resources
            living[c.name] = _with(c.spec, widest(before, c.spec.resources))
    now = s.target.with_everyone(lambda c: _with(c, living[c.name].resources) if c.name in living else c)
    going = tuple(c for name, c in living.items() if s.target.container(name) is None)
    return replace(now, containers=(*now.containers, *going)) if going else now


def _with(spec: ContainerSpec, resources: Resources) -> ContainerSpec:
    return spec if spec.resources == resources else replace(spec, resources=resources)


def _counts(c: Container) -> bool:
    return bool(c.name) and c.state.can_signal()
