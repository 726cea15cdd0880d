"""What a user is told of a pod, in Kubernetes' words. Pure; weighs the same situation as the plan.

What the states of containers make of the whole pod is in ``phase``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.model.cost import Cost
from reconciler.model.desired import Absent, Desired, Present, RunState, Suspended, Unknown, Wish
from reconciler.model.hook import HookState
from reconciler.model.observed import Container, ContainerState, Exit, HostFacts, Instant, Observed
from reconciler.model.probe import ProbeKind
from reconciler.model.spec import ContainerSpec, PodSpec, RestartPolicy, Role
from reconciler.model.status import INITIALIZING, Condition, ContainerStatus, Phase, PodStatus
from reconciler.plan.backoff import next_crashes, restart_delay
from reconciler.plan.deadline import has_failed, is_exceeded, words_of
from reconciler.plan.disruption import at_least, pod_changes
from reconciler.plan.obstacles import Obstacle
from reconciler.plan.phase import conditions_of, phase_of
from reconciler.plan.printed import word
from reconciler.plan.situation import Situation, has_begun, is_finished, is_over, matches, newest, weigh

CREATING = "ContainerCreating"
BEGINNING = frozenset({CREATING, INITIALIZING})
"""Words of containers of which nothing more is known than that they are not there yet."""
HOOK_ERROR, HOOK_FAILED = "PostStartHookError", "its postStart hook failed"
SUSPENDED = "it is suspended"

Troubles = Mapping[str, tuple[str, str]]
"""By the name of a member: the word for its state (CreateContainerError…), and the message."""


def pod_status(want: Desired, have: Observed, host: HostFacts, now: Instant) -> PodStatus:
    """The status of one pod. Of an unknown or unwanted one: of the version that was applied last."""
    sandbox = have.sandbox
    match want:
        case Present():
            return _status(weigh(want, have, host, now, hold=False), want.spec, ending=False, message=want.problem)
        case Absent() | Unknown():
            if sandbox is None:
                none = "Terminated" if isinstance(want, Absent) else "Unknown"
                return PodStatus(have.key, Phase.PENDING, none, message=want.why, behind=isinstance(want, Unknown))
            last = Present(spec=sandbox.applied, owner=sandbox.owner)
            s = weigh(last, have, host, now, hold=True)
            return _status(s, sandbox.applied, ending=isinstance(want, Absent), message=want.why, behind=True)
        case Suspended():
            return _suspended(want, have, host, now)


def _suspended(want: Suspended, have: Observed, host: HostFacts, now: Instant) -> PodStatus:
    """As it is, and that it stays so: what has ended is not started, what is not wanted any more does not go."""
    meant, sandbox = want.meant, have.sandbox
    behind = not isinstance(meant, Present)
    if not isinstance(meant, Present):
        if sandbox is None:
            return replace(pod_status(Unknown(meant.why), have, host, now), summary="Suspended", message=SUSPENDED)
        meant = Present(sandbox.applied, sandbox.owner, problem=meant.why)
    last = [newest(have.containers, c.name) for c in meant.spec.everyone]
    ended = [c for c in last if c is not None and c.state is ContainerState.EXITED]
    behind = behind or any(not is_finished(c, meant.spec, meant.spec.container(c.name) or c.spec) for c in ended)
    rests = tuple((c.name, Wish(RunState.STOPPED)) for c in ended)
    inner = pod_status(replace(meant, wishes=rests), have, host, now)
    return replace(
        inner,
        summary="Suspended" if sandbox is None else f"{inner.summary},Suspended",
        conditions=(*inner.conditions, Condition("Suspended", True, "ByHand", SUSPENDED)),
        message="; ".join(text for text in (SUSPENDED, inner.message) if text),
        behind=inner.behind or behind,
    )


def with_troubles(status: PodStatus, troubles: Troubles) -> PodStatus:
    """The status with what was run into while carrying out steps, where it says no more than that a member waits."""
    init, members = (tuple(_troubled(c, troubles) for c in some) for some in (status.init, status.containers))
    if (*init, *members) == status.everyone:
        return status
    told = dict.fromkeys(f"container {c.name}: {c.message}" for c in (*init, *members) if c not in status.everyone)
    silent = status.summary in BEGINNING or (status.summary.startswith("Init:") and not status.message)
    now = replace(status, init=init, containers=members)
    if silent:
        return replace(now, summary=word(now), message="; ".join(told))
    return replace(now, message=_put_right(status, (*init, *members)))


def _put_right(status: PodStatus, members: Iterable[ContainerStatus]) -> str:
    """The pod's message with what it says of its containers as it is now."""
    message = status.message
    for before, after in zip(status.everyone, members, strict=True):
        old, new = (f"container {c.name}: {c.reason}: {c.message}" for c in (before, after))
        message = message.replace(old, new)
    return message


def _troubled(member: ContainerStatus, troubles: Troubles) -> ContainerStatus:
    if member.state != "waiting" or member.reason not in BEGINNING or member.name not in troubles:
        return member
    word, message = troubles[member.name]
    return replace(member, reason=word, message=message)


def _status(s: Situation, spec: PodSpec, *, ending: bool, message: str, behind: bool = False) -> PodStatus:
    sandbox = s.sandbox
    init, members = (tuple(_one(s, c, ending=ending) for c in some) for some in (spec.init, spec.containers))
    failed, begun = has_failed(s), has_begun(spec, s.have)
    reason, why = words_of(s) if failed else ("", "")
    phase = Phase.FAILED if failed else phase_of(init, members, begun=begun)
    conditions = conditions_of(sandbox, init, members, phase)
    going = ending or (sandbox is not None and sandbox.removing and not sandbox.ended)
    obstacles = dict.fromkeys(_tell(o) for o in _all_obstacles(s))
    status = PodStatus(
        key=s.have.key,
        phase=phase,
        reason=reason,
        summary="",
        containers=members,
        conditions=conditions,
        ips=tuple(ip for ip in (sandbox.ip, sandbox.ip6) if ip) if sandbox else (),
        uid=sandbox.uid if sandbox else "",
        created_wall=sandbox.created_wall if sandbox else 0.0,
        begun_wall=sandbox.begun_wall if sandbox else 0.0,
        message="; ".join(m for m in (why, message, *obstacles) if m),
        behind=behind or _is_behind(s, spec),
        init=init,
    )
    return replace(status, summary=word(status, ending=going))


def _one(s: Situation, spec: ContainerSpec, *, ending: bool) -> ContainerStatus:
    """One container: its running attempt, or else its latest."""
    role = s.target.role_of(spec.name)
    found = _member(s, spec, ending=ending)
    found = replace(found, again=_begins_again(s.target, spec, found))
    if role is Role.SIDECAR:
        return replace(found, sidecar=True)
    if role is not Role.INIT:
        return found
    if not found.container_id and has_begun(s.target, s.have):  # kubelet: convertToAPIContainerStatuses
        text = "its record was lost; the pod has begun, so it ended well"
        found = replace(found, state="terminated", reason="Completed", message=text, exit=Exit(0, 0.0, 0.0))
    return replace(found, ready=found.ended_well)


def _begins_again(pod: PodSpec, spec: ContainerSpec, found: ContainerStatus) -> bool:
    """Of one that has ended, or waits for its next life. What was made by hand counts by its pod's policy alone."""
    ended = found.exit or found.last
    if ended is not None and pod.rules_restart(spec, ended.code):
        return True
    policy = pod.restart_policy if pod.keep else pod.policy_of(spec)
    return policy is RestartPolicy.ALWAYS or (policy is RestartPolicy.ON_FAILURE and not found.ended_well)


def _member(s: Situation, spec: ContainerSpec, *, ending: bool) -> ContainerStatus:
    shown = _shown(s, spec.name)
    if shown is None:
        return _waiting(s, spec, None)
    if shown.state is ContainerState.RUNNING:
        if shown.post_start not in (None, HookState.PASSED):
            usual = INITIALIZING if s.target.init else CREATING
            return _of(shown, "waiting", reason=HOOK_ERROR if shown.post_start is HookState.FAILED else usual)
        ready = s.sandbox is not None and s.sandbox.ready and shown.stopping is None and shown.is_ready
        return _of(shown, "running", ready=ready, message=_why_unready(s, shown))
    if shown.state is ContainerState.EXITED and (ending or _stays_ended(s, shown)):
        reason, message = _how_it_ended(shown)
        return _of(shown, "terminated", reason=reason, message=message)
    return _waiting(s, spec, shown)


def _why_unready(s: Situation, container: Container) -> str:
    """For whoever waits for it."""
    spec = s.target.container(container.name)
    if container.is_ready or spec is None:
        return ""
    kind = ProbeKind.READINESS if container.started_up else ProbeKind.STARTUP
    return f"its {kind} probe has not passed"


def _shown(s: Situation, name: str) -> Container | None:
    running = [c for c in s.have.containers if c.name == name and c.state is ContainerState.RUNNING]
    return max(running, key=lambda c: c.attempt) if running else newest(s.have.containers, name)


def _stays_ended(s: Situation, container: Container) -> bool:
    spec = s.target.container(container.name)
    if is_exceeded(s):
        return True
    if spec is None or s.want.wish(container.name).run in (RunState.STOPPED, RunState.CREATED):
        return True
    if s.target.role_of(container.name) is Role.SIDECAR and is_over(s.want, s.target, s.have):
        return True
    return matches(container, spec) and s.finished(container)


def _of(
    container: Container, state: str, *, ready: bool = False, reason: str = "", message: str = ""
) -> ContainerStatus:
    return ContainerStatus(
        name=container.name,
        image=container.spec.image,
        state=state,
        ready=ready,
        restarts=container.restarts,
        container_id=container.id,
        image_id=container.image_id,
        reason=reason,
        message=message,
        exit=container.exit if state == "terminated" else None,
        last=container.exit if state == "waiting" and container.exit else container.last,
        started_wall=container.started_wall,
        started=state == "running" and container.started_up,
        hook_failed=container.post_start is HookState.FAILED,
        changed_wall=_changed(container),
    )


def _changed(container: Container) -> float:
    """When it became ready or ceased to be: at its end, at a probe's word, at its start."""
    if container.state is ContainerState.RUNNING:
        return max(container.started_wall, container.judged_wall)
    ended = container.exit or container.last
    return ended.finished_wall if ended else 0.0


def _waiting(s: Situation, spec: ContainerSpec, last: Container | None) -> ContainerStatus:
    reason, message = _why_waiting(s, spec, last)
    if last is None:
        return ContainerStatus(spec.name, spec.image, "waiting", False, 0, reason=reason, message=message)
    return _of(last, "waiting", reason=reason, message=message)


def _why_waiting(s: Situation, spec: ContainerSpec, last: Container | None) -> tuple[str, str]:
    backoff = _backoff(s, last) if last is not None else 0.0
    if last is not None and backoff:
        uid = s.sandbox.uid if s.sandbox else ""
        pod = f"{s.have.key.name}_{s.have.key.namespace}({uid})"
        return "CrashLoopBackOff", f"back-off {backoff:g}s restarting failed container={spec.name} pod={pod}"
    usual = INITIALIZING if s.target.init else CREATING
    if last is not None and last.state is ContainerState.CREATED:
        return usual, ""
    for obstacle in _all_obstacles(s):
        if obstacle.container in ("", spec.name):
            return usual if obstacle.word == CREATING else obstacle.word, obstacle.message
    if last is not None and last.post_start is HookState.FAILED:
        return HOOK_ERROR, HOOK_FAILED
    if last is not None and last.exit is not None and last.by_itself:
        return "CrashLoopBackOff", "its restart is due"  # and nobody has done it yet
    return usual, ""


def _backoff(s: Situation, last: Container) -> float:
    """Seconds of the delay that the member waits out now, 0 for none."""
    spec = s.target.container(last.name)
    crashed = last.state is ContainerState.EXITED and last.by_itself and last.exit is not None
    if not crashed or last.exit is None or spec is None or not matches(last, spec):
        return 0.0
    delay = restart_delay(next_crashes(last.crashes, last.exit.ran_for) - 1)
    return delay if s.now < min(last.exit.finished, s.now) + delay else 0.0


def _how_it_ended(container: Container) -> tuple[str, str]:
    """A word, and its last words (kubelet: they follow on what it says itself)."""
    code = container.exit.code if container.exit else -1
    words = container.exit.message if container.exit else ""
    if code < 0:
        lost = "its exit code was lost (the machine or its monitor went down)"
        return "ContainerStatusUnknown", f"{lost}: {words}" if words else lost
    if container.exit is not None and container.exit.oom:
        return "OOMKilled", words
    if container.post_start is HookState.FAILED:
        return "Error", f"{HOOK_FAILED}: {words}" if words else HOOK_FAILED
    return ("Completed" if code == 0 else "Error"), words


def _all_obstacles(s: Situation) -> tuple[Obstacle, ...]:
    """Those in the pod's way first."""
    begun = s.sandbox is not None and not s.sandbox.ended
    of_pod = () if begun else (*s.blocked[""], *s.passing)
    return (*of_pod, *s.told, *(o for name, found in s.blocked.items() if name for o in found))


def _tell(obstacle: Obstacle) -> str:
    where = f"container {obstacle.container}: " if obstacle.container else ""
    return f"{where}{obstacle.word}: {obstacle.message}"


def _is_behind(s: Situation, spec: PodSpec) -> bool:
    """Whether anything of what is wanted is not what is there."""
    if s.told or s.sandbox is None or s.sandbox.removing or at_least(Cost.RECORD, pod_changes(s.sandbox.applied, spec)):
        return True
    if any(spec.container(c.name) is None for c in s.have.containers):
        return True
    shown = ((c, _shown(s, c.name)) for c in spec.everyone if not _is_past(s, c))
    return any(last is None or not matches(last, c) for c, last in shown)


def _is_past(s: Situation, spec: ContainerSpec) -> bool:
    """Whether the time of an init container is over in this life of the pod."""
    match s.target.role_of(spec.name):
        case Role.INIT:
            return has_begun(s.target, s.have)
        case Role.SIDECAR:
            return is_over(s.want, s.target, s.have)
        case _:
            return False
