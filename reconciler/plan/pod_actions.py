"""The decision: what to do now for one pod. Pure: no I/O, no clock, no logging.

Level-triggered: planned afresh from what is observed, only steps that can be done now and in any order, even
cut short after any of them; what must come later is left to the next plan. ``PodActions.wake_at`` is the next
moment at which the answer changes by time alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from reconciler.model.actions import (
    CreateSandbox,
    PodActions,
    Reason,
    RemoveSandbox,
    RenewSandbox,
    SetUpNetwork,
    StartContainer,
    UpdateFiles,
    UpdateRecord,
    Why,
)
from reconciler.model.cost import Cost
from reconciler.model.desired import Absent, Desired, Present, RunState, Suspended, Unknown
from reconciler.model.observed import Container, ContainerState, HostFacts, Instant, Observed, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec, RestartPolicy, Role
from reconciler.plan.deadline import is_exceeded, longest_grace, next_look, reason_of
from reconciler.plan.disruption import at_least, pod_changes, tell
from reconciler.plan.group import plan_room
from reconciler.plan.initial import end_sidecars, next_to_end, plan_everyone
from reconciler.plan.members import BY_HAND, combine, do, face, plan_removed, stop, wait
from reconciler.plan.serving import plan_names, withdraw_names
from reconciler.plan.situation import Situation, is_over, matches, newest, same_container, was_started, weigh

_SUSPENDED = Reason(Why.SUSPENDED, "it is suspended")
_DONE = Reason(Why.DONE, "no member runs or will")


def compute_pod_actions(want: Desired, have: Observed, host: HostFacts, now: Instant) -> PodActions:
    """What to do now so that ``have`` comes closer to ``want``; ``host`` tells who holds the host ports it asks for."""
    sandbox = have.sandbox
    match want:
        case Absent():
            return _remove(have, sandbox, want, now)
        case Present():
            return _converge(weigh(want, have, host, now, hold=False))
        case Unknown():
            if sandbox is None or sandbox.applied.keep:  # of what was made by hand the spec alone says too little
                return wait("", Why.UNKNOWN, want.why)
            last_good = Present(spec=sandbox.applied, owner=sandbox.owner)
            plan = _converge(weigh(last_good, have, host, now, hold=True))
            return combine(plan, wait("", Why.UNKNOWN, want.why))
        case Suspended():
            return _leave_alone(have, now)


def _leave_alone(have: Observed, now: Instant) -> PodActions:
    """No more than what was begun: a container that was told to stop is brought to its end."""
    going = (c for c in have.containers if c.state is ContainerState.RUNNING and c.stopping is not None)
    ends = (stop(c, 0.0, _SUSPENDED, now, hold=True) for c in going)
    return combine(*ends, wait("", _SUSPENDED.why, _SUSPENDED.text))


def _remove(have: Observed, sandbox: Sandbox | None, want: Absent, now: Instant) -> PodActions:
    if sandbox is None:
        return PodActions()

    def grace(container: Container) -> float:
        return sandbox.applied.grace_of(container.spec) if want.grace is None else want.grace

    return _tear_down(have, sandbox, grace, Reason(Why.REMOVED, want.why), now, keep_address=False)


def _converge(s: Situation) -> PodActions:
    """What to do now; and the deadline of a pod that has one, to look again then."""
    return combine(_live(s), PodActions(wake_at=next_look(s)))


def _live(s: Situation) -> PodActions:
    """The pod's own life first: begin it, end it, or look after its members."""
    sandbox = s.sandbox
    if sandbox is None or sandbox.ended:
        return _begin(s)
    if sandbox.removing:
        return _end(s, sandbox, Reason(Why.POD_CHANGED, "its removal had begun"))
    if s.want.run is RunState.STOPPED:
        return _stop_all(s, sandbox, BY_HAND)
    if s.recreate and _can_be_renewed(s, sandbox):
        return _renew(s, sandbox, Reason(Why.POD_CHANGED, tell(s.recreate)))
    if s.recreate:
        return _end(s, sandbox, Reason(Why.POD_CHANGED, f"{tell(s.recreate)} (the pod is recreated)"))
    if is_exceeded(s):
        return _expire(s, sandbox)
    if sandbox.stands:
        return _stop_all(s, sandbox, _DONE) if _is_done(s) else _look_after(s, sandbox)
    died = sandbox.infra is not None and sandbox.infra.state is ContainerState.EXITED
    if died and s.target.keep:
        why = _why_renewed(sandbox)
        return _renew(s, sandbox, why) if _needs_infra(s) else _stop_all(s, sandbox, why)
    if _is_over(s):
        return combine(face(s.told), _record(s, sandbox), *_ends_without_members(s))
    if died:
        return _end(s, sandbox, Reason(Why.INFRA_DIED, "its infra container died"))
    return _end(s, sandbox, Reason(Why.INCOMPLETE, "its creation was cut short"))


def _begin(s: Situation) -> PodActions:
    if s.want.run is RunState.STOPPED:
        return PodActions()
    if is_exceeded(s):
        return _is_expired(s)
    members = combine(*(face(s.blocked[c.name]) for c in s.target.everyone), face(s.told))
    in_the_way = (*s.blocked[""], *s.passing)
    if in_the_way:
        return combine(face(in_the_way), members)
    start = s.want.run is RunState.RUNNING
    return combine(do(CreateSandbox(s.target, s.want.owner, _why_begun(s), start)), members)


def _why_begun(s: Situation) -> Reason:
    if s.recreate:
        return Reason(Why.POD_CHANGED, tell(s.recreate))
    if s.have.applied is not None:
        return Reason(Why.INFRA_DIED, "its life before this one ended")
    return Reason(Why.NEW, "it is not there yet")


def _end(s: Situation, sandbox: Sandbox, reason: Reason) -> PodActions:
    """End this life of the pod; the next plan begins another."""
    down = _tear_down(s.have, sandbox, s.grace_of, reason, s.now, keep_address=True, hold=s.hold)
    return combine(down, face(s.told))


def _tear_down(
    have: Observed,
    sandbox: Sandbox,
    grace: Callable[[Container], float],
    reason: Reason,
    now: Instant,
    *,
    keep_address: bool,
    hold: bool = False,
) -> PodActions:
    """Stop every member at the same time, then the sidecars; when none runs, remove all that is the pod's."""
    running = [c for c in have.containers if c.state is ContainerState.RUNNING]
    if running:
        leave = PodActions() if hold else withdraw_names(sandbox, reason)
        turn = next_to_end(sandbox.applied, running, have, grace, now)
        return combine(leave, *(stop(c, left, reason, now, hold=hold) for c, left in turn))
    return do(RemoveSandbox(sandbox.id, reason, keep_address=keep_address))


def _stop_all(s: Situation, sandbox: Sandbox, reason: Reason) -> PodActions:
    """Stop the members, then the sidecars, and then the infra container; all of it is kept, to be started again."""
    living = [c for c in s.have.containers if c.state.can_signal()]
    if living:
        wanted = [c for c in living if s.target.container(c.name) is not None]  # the others go
        turn = next_to_end(s.target, wanted, s.have, partial(_grace_to_end, s), s.now)
        return combine(*(stop(c, left, reason, s.now, hold=s.hold) for c, left in turn), _rest(s, sandbox))
    infra = sandbox.infra
    if infra is not None and infra.state.can_signal():
        return combine(_end_life(s, infra, reason), _rest(s, sandbox))
    return _rest(s, sandbox)


def _expire(s: Situation, sandbox: Sandbox) -> PodActions:
    """Stop the members for good; what there is of the pod stays, as with one that has run its course."""
    living = [c for c in s.have.containers if c.state.can_signal() and s.target.container(c.name) is not None]
    turn = next_to_end(s.target, living, s.have, partial(_grace_to_end, s), s.now)
    most = longest_grace(s)
    ends = (stop(c, min(left, most), reason_of(s), s.now, hold=s.hold) for c, left in turn)
    return combine(*ends, _rest(s, sandbox), _is_expired(s))


def _is_expired(s: Situation) -> PodActions:
    why = reason_of(s)
    return wait("", why.why, why.text)


def _end_life(s: Situation, container: Container, reason: Reason) -> PodActions:
    return stop(container, _grace_to_end(s, container), reason, s.now, hold=s.hold)


def _grace_to_end(s: Situation, container: Container) -> float:
    """One that waits for its start is not told first, and the infra container has nothing to finish."""
    member = s.target.container(container.name) is not None
    return s.grace_of(container) if member and container.state is ContainerState.RUNNING else 0.0


def _can_be_renewed(s: Situation, sandbox: Sandbox) -> bool:
    """Whether the members may go on with their layers in a new infra container: files belong to ids of the pod's user
    namespace."""
    return s.target.keep and s.target.sandbox.host_users == sandbox.applied.sandbox.host_users


def _renew(s: Situation, sandbox: Sandbox, reason: Reason) -> PodActions:
    """Make the infra container again, when nothing lives any more of what is in the namespaces of the old one."""
    infra = sandbox.infra
    living = [c for c in s.have.containers if c.state.can_signal()]
    if not living and infra is not None and infra.state.can_signal():
        living = [infra]
    if living:
        return combine(*(_end_life(s, c, reason) for c in living), face(s.told))
    in_the_way = (*s.blocked[""], *s.passing)
    if in_the_way:
        return combine(face(in_the_way), face(s.told))
    start = s.want.run is RunState.RUNNING
    return combine(do(RenewSandbox(sandbox.id, s.target, reason, start)), face(s.told))


def _why_renewed(sandbox: Sandbox) -> Reason:
    stopped = sandbox.infra is not None and sandbox.infra.stopping is not None
    return BY_HAND if stopped else Reason(Why.INFRA_DIED, "its infra container died")


def _needs_infra(s: Situation) -> bool:
    """Whether a pod whose infra container is not there has something for it to hold."""
    if not s.target.containers:
        return s.want.run is RunState.RUNNING
    return any(_will_be_made(s, spec) for spec in s.target.containers)


def _will_be_made(s: Situation, spec: ContainerSpec) -> bool:
    run, last = s.want.wish(spec.name).run, newest(s.have.containers, spec.name)
    if run is RunState.STOPPED:
        return False
    if last is None or s.due_again(last):
        return True
    if run is RunState.CREATED:
        return not was_started(last)
    return not s.finished(last)


def _is_done(s: Situation) -> bool:
    """Whether no member runs or will, of a pod that is to end then."""
    members = {c.name: newest(s.have.containers, c.name) for c in s.target.containers}
    if not s.target.stop_when_done or not members:
        return False
    if s.target.init and is_over(s.want, s.target, s.have):
        return True
    ended = all(c is not None and c.state is ContainerState.EXITED for c in members.values())
    return ended and not any(_will_be_made(s, spec) for spec in s.target.containers)


def _rest(s: Situation, sandbox: Sandbox) -> PodActions:
    """The pod is kept as it is: its record, and what does not belong to it any more."""
    wanted = {c.name for c in s.target.everyone}
    gone = dict.fromkeys(c.name for c in s.have.containers if c.name not in wanted)
    return combine(_record(s, sandbox), *(plan_removed(s, name) for name in gone), face(s.told))


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
        started = any(c.state is not ContainerState.CREATED for c in attempts)
        return started or (bool(s.target.init) and is_over(s.want, s.target, s.have))
    return len(attempts) == len(last) and all(s.finished(c) for c in attempts)


def _ends_without_members(s: Situation) -> list[PodActions]:
    """Of a pod that nothing more is made in the sidecars, when nothing else of it lives."""
    others = (c for c in s.have.containers if s.target.role_of(c.name) is not Role.SIDECAR)
    return [] if any(c.state is ContainerState.RUNNING for c in others) else end_sidecars(s)


def _is_edited(s: Situation, spec: ContainerSpec, last: Container | None) -> bool:
    """Whether a member is another one than that of the life which ended."""
    before = s.have.applied.container(spec.name) if s.have.applied else None
    return before is None or (last is not None and not matches(last, spec))


def _look_after(s: Situation, sandbox: Sandbox) -> PodActions:
    """The pod stands: its network, its record, each member, each member that is not wanted any more."""
    parts = []
    infra = sandbox.infra
    if infra is not None and infra.state is ContainerState.CREATED and s.want.run is RunState.RUNNING:
        parts.append(do(StartContainer(infra.id, infra.name, Reason(Why.READY_TO_START, "the pod is to run"))))
    if sandbox.infra_up and not sandbox.networked:
        parts.append(do(SetUpNetwork(sandbox.id, Reason(Why.NEW, "its infra container runs"))))
    parts.append(_record(s, sandbox))
    parts.append(plan_names(s, sandbox))
    room = plan_room(s, sandbox)
    parts += [room.first, *(room.hold(plan) for plan in plan_everyone(s))]
    wanted = {c.name for c in s.target.everyone}
    parts += [plan_removed(s, name) for name in dict.fromkeys(c.name for c in s.have.containers) if name not in wanted]
    return combine(*parts, face(s.told))


def _record(s: Situation, sandbox: Sandbox) -> PodActions:
    """Write down the version that the pod runs by now, if it is another than before; into its files first. What the
    infra container fixes stays as it was made."""
    applied = sandbox.applied
    accepted = replace(s.target, sandbox=applied.sandbox).with_everyone(lambda spec: _accepted(s, applied, spec))
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
    if before is None or same_container(before, spec) or _is_through(s, spec):
        return spec
    made = (c for c in s.have.containers if c.name == spec.name and c.state is not ContainerState.CREATING)
    return spec if any(matches(c, spec) for c in made) else before


def _is_through(s: Situation, spec: ContainerSpec) -> bool:
    """Whether no container will be made of it any more in this life of the pod."""
    return s.target.role_of(spec.name) is Role.SIDECAR and is_over(s.want, s.target, s.have)
