"""The decision: what to do now for one pod. Pure: no I/O, no clock, no logging.

Level-triggered: planned afresh from what is observed, only steps that can be done now and in any order, even
cut short after any of them; what must come later is left to the next plan. ``PodActions.wake_at`` is the next
moment at which the answer changes by time alone.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.model.actions import (
    CreateSandbox,
    PodActions,
    Reason,
    RemoveSandbox,
    SetUpNetwork,
    UpdateFiles,
    UpdateRecord,
    Why,
)
from reconciler.model.cost import Cost
from reconciler.model.desired import Absent, Desired, Present, RunState, Unknown
from reconciler.model.observed import Container, ContainerState, HostFacts, Instant, Observed, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec, RestartPolicy
from reconciler.plan.disruption import at_least, pod_changes, tell
from reconciler.plan.group import plan_room
from reconciler.plan.members import combine, do, face, plan_member, plan_removed, stop, wait
from reconciler.plan.situation import Situation, is_finished, matches, newest, same_container, weigh


def compute_pod_actions(want: Desired, have: Observed, host: HostFacts, now: Instant) -> PodActions:
    """What to do now so that ``have`` comes closer to ``want``; ``host`` tells who holds the host ports it asks for."""
    sandbox = have.sandbox
    match want:
        case Absent():
            return _remove(have, sandbox, Reason(Why.REMOVED, want.why), now)
        case Present():
            return _converge(weigh(want, have, host, now, hold=False))
        case Unknown():
            if sandbox is None:
                return wait("", Why.UNKNOWN, want.why)
            last_good = Present(spec=sandbox.applied, owner=sandbox.owner)
            plan = _converge(weigh(last_good, have, host, now, hold=True))
            return combine(plan, wait("", Why.UNKNOWN, want.why))


def _remove(have: Observed, sandbox: Sandbox | None, reason: Reason, now: Instant) -> PodActions:
    if sandbox is None:
        return PodActions()
    return _tear_down(have, sandbox, sandbox.applied.grace_period, reason, now, keep_address=False)


def _converge(s: Situation) -> PodActions:
    """The pod's own life first: begin it, end it, or look after its members."""
    sandbox = s.sandbox
    if sandbox is None or sandbox.ended:
        return _begin(s)
    if sandbox.removing:
        return _end(s, sandbox, Reason(Why.POD_CHANGED, "its removal had begun"))
    if s.want.run is RunState.STOPPED:
        return _stop_all(s)
    if s.recreate:
        return _end(s, sandbox, Reason(Why.POD_CHANGED, f"{tell(s.recreate)} (the pod is recreated)"))
    if sandbox.infra_up:
        return _look_after(s, sandbox)
    if _is_over(s):
        return combine(face(s.told), _record(s, sandbox))
    if sandbox.infra is not None and sandbox.infra.state is ContainerState.EXITED:
        return _end(s, sandbox, Reason(Why.INFRA_DIED, "its infra container died"))
    return _end(s, sandbox, Reason(Why.INCOMPLETE, "its creation was cut short"))


def _begin(s: Situation) -> PodActions:
    if s.want.run is RunState.STOPPED:
        return PodActions()
    members = combine(*(face(s.blocked[c.name]) for c in s.target.containers), face(s.told))
    in_the_way = (*s.blocked[""], *s.passing)
    if in_the_way:
        return combine(face(in_the_way), members)
    return combine(do(CreateSandbox(s.target, s.want.owner, _why_begun(s))), members)


def _why_begun(s: Situation) -> Reason:
    if s.recreate:
        return Reason(Why.POD_CHANGED, tell(s.recreate))
    if s.have.applied is not None:
        return Reason(Why.INFRA_DIED, "its life before this one ended")
    return Reason(Why.NEW, "it is not there yet")


def _end(s: Situation, sandbox: Sandbox, reason: Reason) -> PodActions:
    """End this life of the pod; the next plan begins another."""
    grace = s.target.grace_period
    down = _tear_down(s.have, sandbox, grace, reason, s.now, keep_address=True, hold=s.hold)
    return combine(down, face(s.told))


def _tear_down(
    have: Observed,
    sandbox: Sandbox,
    grace: float,
    reason: Reason,
    now: Instant,
    *,
    keep_address: bool,
    hold: bool = False,
) -> PodActions:
    """Stop every member at the same time; when none runs, remove all that is the pod's."""
    running = [c for c in have.containers if c.state is ContainerState.RUNNING]
    if running:
        return combine(*(stop(c, grace, reason, now, hold=hold) for c in running))
    return do(RemoveSandbox(sandbox.id, reason, keep_address=keep_address))


def _stop_all(s: Situation) -> PodActions:
    reason = Reason(Why.REMOVED, "the pod is to be stopped")
    running = (c for c in s.have.containers if c.state is ContainerState.RUNNING)
    return combine(*(stop(c, s.target.grace_period, reason, s.now, hold=s.hold) for c in running))


def _is_over(s: Situation) -> bool:
    """Whether a pod whose infra container is dead has run its course, so that nothing of it may run again.

    All members ended for good; or one of a restartPolicy Never pod was started once (kubelet: podSandboxChanged
    without a restart), and what still runs of it runs to its end. An edit of a member makes it a new pod.
    """
    last = {c.name: newest(s.have.containers, c.name) for c in s.target.containers}
    attempts = [c for c in last.values() if c is not None]
    if any(_is_edited(s, spec, last[spec.name]) for spec in s.target.containers):
        return False
    if s.target.restart_policy is RestartPolicy.NEVER:
        return any(c.state is not ContainerState.CREATED for c in attempts)
    return len(attempts) == len(last) and all(is_finished(c, s.target.restart_policy) for c in attempts)


def _is_edited(s: Situation, spec: ContainerSpec, last: Container | None) -> bool:
    """Whether a member is another one than that of the life which ended."""
    before = s.have.applied.container(spec.name) if s.have.applied else None
    return before is None or (last is not None and not matches(last, spec))


def _look_after(s: Situation, sandbox: Sandbox) -> PodActions:
    """The pod stands: its network, its record, each member, each member that is not wanted any more."""
    parts = []
    if not sandbox.networked:
        parts.append(do(SetUpNetwork(sandbox.id, Reason(Why.NEW, "its infra container runs"))))
    parts.append(_record(s, sandbox))
    room = plan_room(s, sandbox)
    members = [plan_member(s, c) for c in s.target.containers]
    parts += [room.first, *(room.hold(plan) for plan in members)]
    wanted = {c.name for c in s.target.containers}
    parts += [plan_removed(s, name) for name in dict.fromkeys(c.name for c in s.have.containers) if name not in wanted]
    return combine(*parts, face(s.told))


def _record(s: Situation, sandbox: Sandbox) -> PodActions:
    """Write down the version that the pod runs by now, if it is another than before; into its files first."""
    applied = sandbox.applied
    accepted = replace(s.target, containers=tuple(_accepted(s, applied, spec) for spec in s.target.containers))
    changes = at_least(Cost.RECORD, pod_changes(applied, accepted))
    if sandbox.files_stale or any(c.cost is Cost.LIVE and not c.container for c in changes):
        text = tell(changes) or "what the host says of names changed"
        return do(UpdateFiles(sandbox.id, accepted, s.want.owner, Reason(Why.FILES_CHANGED, text)))
    if not changes and sandbox.owner == s.want.owner:
        return PodActions()
    text = tell(changes) or f"owner changed: {sandbox.owner} -> {s.want.owner}"
    return do(UpdateRecord(sandbox.id, accepted, s.want.owner, Reason(Why.RECORD_CHANGED, text)))


def _accepted(s: Situation, applied: PodSpec, spec: ContainerSpec) -> ContainerSpec:
    """The version of a member to write down: a new one counts from the moment a container of it was made.

    One that cannot be created must not be what a reboot brings back in place of one that could.
    """
    before = applied.container(spec.name)
    if before is None or same_container(before, spec):
        return spec
    made = (c for c in s.have.containers if c.name == spec.name and c.state is not ContainerState.CREATING)
    return spec if any(matches(c, spec) for c in made) else before
