"""What to do now about one member of a pod whose infra container runs. Pure.

The replacement of a member is created beside the running one, which is told to stop only when the
replacement stands ready, so that the gap is one start. At most one attempt at a member runs at a time.
"""

from __future__ import annotations

from reconciler.model.actions import (
    Action,
    CreateContainer,
    KillContainer,
    PauseContainer,
    PodActions,
    Reason,
    RemoveContainer,
    RenewContainer,
    ResumeContainer,
    RunHook,
    StartContainer,
    StopContainer,
    TermContainer,
    UpdateResources,
    Waiting,
    Why,
)
from reconciler.model.cost import Cost
from reconciler.model.desired import RunState, Wish
from reconciler.model.hook import Hook, HookState
from reconciler.model.observed import Container, ContainerState, Exit, Instant, Stopping
from reconciler.model.qos import pod_qos
from reconciler.model.spec import ContainerSpec, RestartPolicy
from reconciler.plan.backoff import next_crashes, restart_delay
from reconciler.plan.disruption import at_least, container_changes, resource_changes, tell
from reconciler.plan.obstacles import Obstacle
from reconciler.plan.situation import Situation, matches, newest, restarts_after, was_started

UNKNOWN_EXIT = Exit(code=-1, finished=0.0, finished_wall=0.0)
BY_HAND = Reason(Why.BY_HAND, "a command asked for it")
READY = Reason(Why.READY_TO_START, "it is created and the pod is ready")


def combine(*parts: PodActions) -> PodActions:
    """One plan out of several: their steps (each image pulled once), what waits, the earliest wake."""
    steps = tuple(dict.fromkeys(s for p in parts for s in p.steps))
    waiting = tuple(dict.fromkeys(w for p in parts for w in p.waiting))
    wakes = [p.wake_at for p in parts if p.wake_at is not None]
    return PodActions(steps, waiting, min(wakes, default=None))


def do(*steps: Action) -> PodActions:
    """A plan that is just these steps."""
    return PodActions(steps=steps)


def wait(container: str, why: Why, text: str, until: Instant | None = None) -> PodActions:
    """A plan that is to wait for something."""
    return PodActions(waiting=(Waiting(container, Reason(why, text), until),), wake_at=until)


def face(obstacles: tuple[Obstacle, ...]) -> PodActions:
    """Wait for each obstacle, doing what can be done about it."""
    waits = (wait(o.container, o.why, o.message, o.until) for o in obstacles)
    pulls = (do(o.pull) for o in obstacles if o.pull is not None)
    return combine(*waits, *pulls)


def stop(container: Container, grace: float, reason: Reason, now: Instant, *, hold: bool = False) -> PodActions:
    """Bring a running container to its end: TERM, and KILL when its grace is over. ``hold`` begins no new stop."""
    if container.stopping is None:
        if hold:
            return wait(container.name, Why.UNKNOWN, "it is left alone while what is wanted is not known")
        if grace <= 0:
            return do(KillContainer(container.id, container.name, reason))
        step = StopContainer(container.id, container.name, grace, reason, container.pre_stop)
        return PodActions(steps=(step,), wake_at=now + grace)
    if container.stopping.hook is not None:
        return before_signal(container, container.stopping, now)
    if now >= container.stopping.deadline:
        over = "it was killed and runs still" if container.stopping.killed else "its grace period is over"
        return do(KillContainer(container.id, container.name, Reason(Why.GRACE_OVER, over)))
    told = "it was killed and has not ended yet" if container.stopping.killed else "it was told to stop"
    return wait(container.name, Why.TERMINATING, told, container.stopping.deadline)


def before_signal(container: Container, stopping: Stopping, now: Instant) -> PodActions:
    """TERM follows the preStop hook, or the end of the grace period that the hook is a part of."""
    name, hook = container.name, stopping.hook
    if hook is not None and (hook.is_over or now >= stopping.deadline):
        text = "its preStop hook is over" if hook.is_over else "its preStop hook took all of its grace period"
        return do(TermContainer(container.id, name, Reason(Why.HOOK, text)))
    waits = wait(name, Why.TERMINATING, "its preStop hook runs", stopping.deadline)
    return combine(_run_if_due(container, hook, Hook.PRE_STOP), waits)


def _after_start(container: Container) -> PodActions:
    """It counts as being created until its postStart hook is over."""
    hook = container.post_start
    if hook is None or hook.is_over:
        return PodActions()
    waits = wait(container.name, Why.CREATING, "its postStart hook runs")
    return combine(_run_if_due(container, hook, Hook.POST_START), waits)


def _run_if_due(container: Container, state: HookState | None, hook: Hook) -> PodActions:
    if state is not HookState.DUE:
        return PodActions()
    return do(RunHook(container.id, container.name, hook, Reason(Why.HOOK, "nobody is at it")))


def plan_member(s: Situation, spec: ContainerSpec) -> PodActions:
    """What to do about a member that is wanted."""
    wish = s.want.wish(spec.name)
    attempts = tuple(c for c in s.have.containers if c.name == spec.name)
    running = tuple(c for c in attempts if c.state is ContainerState.RUNNING)
    if wish.run is RunState.STOPPED:
        return _stopped(s, attempts, running)
    keeper = _keeper(spec, running, wish)
    ready = None if keeper is not None else _ready(spec, attempts)
    parts = [tidy(attempts, running, ready)]
    if ill := _ill(s, spec, running):
        return combine(*parts, *(_end_ill(s, spec, c) for c in ill))  # what comes after it is its restart
    if keeper is not None:
        parts.append(_after_start(keeper))
        parts += [_resources(s, keeper, spec), *(_replace_running(s, spec, c) for c in running if c is not keeper)]
        parts.append(_pausing(keeper, wish))
        return combine(*parts)
    last = newest(attempts, spec.name)
    if last is not None and last in running and _goes_on(s, spec, last):
        parts.append(_replace_running(s, spec, last))  # nothing can be made beside what is to go on itself
    elif ready is None:
        parts += [
            _make(s, spec, attempts, replacing=bool(running)),
            *(_finish(s, c) for c in running if c.stopping is not None),
        ]
    elif running:
        parts += [_resources(s, ready, spec), *_make_way(s, spec, running)]
    else:
        parts.append(_start(s, spec, ready))
    return combine(*parts)


def plan_removed(s: Situation, name: str) -> PodActions:
    """What to do about a member that is not wanted any more."""
    attempts = (c for c in s.have.containers if c.name == name)
    reason = Reason(Why.REMOVED, "it is not in the manifest any more")
    parts = []
    for c in attempts:
        if c.state is ContainerState.CREATING:
            parts.append(do(RemoveContainer(c.id, name, Reason(Why.INCOMPLETE, "its creation was cut short"))))
        elif not s.may_remove and c.stopping is None:
            parts.append(wait(name, Why.NOT_SETTLED, "it leaves when its source has been quiet"))
        elif c.state is ContainerState.RUNNING:
            parts.append(stop(c, s.grace_of(c), reason, s.now, hold=s.hold))
        elif s.may_remove:
            parts.append(do(RemoveContainer(c.id, name, reason)))
    return combine(*parts)


def _stopped(s: Situation, attempts: tuple[Container, ...], running: tuple[Container, ...]) -> PodActions:
    """A member that is not to run, but to be kept; one that was never started waits on."""
    reason = Reason(Why.BY_HAND, "it is to be stopped")
    ready = next((c for c in attempts if c.state is ContainerState.CREATED and c is newest(attempts, c.name)), None)
    return combine(tidy(attempts, running, ready), *(stop(c, s.grace_of(c), reason, s.now) for c in running))


def _pausing(container: Container, wish: Wish) -> PodActions:
    if wish.run is RunState.PAUSED and not container.paused:
        return do(PauseContainer(container.id, container.name, BY_HAND))
    if wish.run is not RunState.PAUSED and container.paused:
        return do(ResumeContainer(container.id, container.name, BY_HAND))
    return PodActions()


def _ill(s: Situation, spec: ContainerSpec, running: tuple[Container, ...]) -> tuple[Container, ...]:
    """Those that run as they are wanted, and that a probe says are not well; or whose postStart hook failed."""
    return tuple(c for c in running if c.ill and matches(c, spec) and not s.due_again(c))


def _end_ill(s: Situation, spec: ContainerSpec, container: Container) -> PodActions:
    """Also of a pod of which only the last good version is known: that had its probes (kubelet: computePodActions)."""
    if not container.unhealthy:
        return stop(container, s.grace_of(container), Reason(Why.HOOK_FAILED, f"its {container.ill} failed"), s.now)
    again = "" if s.target.policy_of(spec) is RestartPolicy.NEVER else ", will be restarted"
    reason = Reason(Why.UNHEALTHY, f"it failed {container.unhealthy} probe{again}")
    probe = next((probe for kind, probe in spec.probes.items() if kind == container.unhealthy), None)
    own = probe.grace if probe is not None else None
    return stop(container, s.grace_of(container) if own is None else own, reason, s.now)


def _goes_on(s: Situation, spec: ContainerSpec, last: Container) -> bool:
    """Whether a member's next life is one of the same container, not of a new one."""
    return s.target.keep and matches(last, spec)


def _keeper(spec: ContainerSpec, running: tuple[Container, ...], wish: Wish) -> Container | None:
    """The running attempt that stays as it is, if any."""
    staying = [c for c in running if c.stopping is None and matches(c, spec) and c.turn >= wish.turn and not c.ill]
    return max(staying, key=lambda c: c.attempt, default=None)


def _ready(spec: ContainerSpec, attempts: tuple[Container, ...]) -> Container | None:
    """The created attempt that can take over, if any: the newest that was made, and of the wanted version."""
    last = max((c for c in attempts if c.state is not ContainerState.CREATING), key=lambda c: c.attempt, default=None)
    if last is None or not last.state.can_start() or last.stopping is not None or not matches(last, spec):
        return None
    return last


def tidy(attempts: tuple[Container, ...], running: tuple[Container, ...], ready: Container | None) -> PodActions:
    """Remove the attempts that nothing needs any more. The last one that ended stays until its successor is made."""
    latest = newest(attempts, attempts[0].name) if attempts else None
    steps = []
    for c in attempts:
        if c.state is ContainerState.CREATING:
            reason = Reason(Why.INCOMPLETE, "its creation was cut short")
        elif c.state is ContainerState.EXITED and (running or c is not latest):
            reason = Reason(Why.EXITED, "it ended and has a successor")
        elif c.state is ContainerState.CREATED and c is not ready:
            reason = Reason(Why.SUPERSEDED, "it was created for a version that is not wanted any more")
        else:
            continue
        steps.append(RemoveContainer(c.id, c.name, reason))
    return do(*steps)


def _resources(s: Situation, container: Container, spec: ContainerSpec) -> PodActions:
    live = at_least(Cost.LIVE, container_changes(container.spec, spec))
    if not live or container.spec.resources == spec.resources or not matches(container, spec):
        return PodActions()
    reason = Reason(Why.RESOURCES_CHANGED, tell(live))
    return do(UpdateResources(container.id, container.name, spec.resources, pod_qos(s.target), reason))


def _replace_running(s: Situation, spec: ContainerSpec, old: Container) -> PodActions:
    replaced = _why_replaced(old, spec)
    reason = Reason(Why.SPEC_CHANGED, replaced or "another attempt runs")
    if not replaced and s.due_again(old):
        reason = BY_HAND
    return stop(old, s.grace_of(old), reason, s.now, hold=s.hold)


def _why_replaced(old: Container, spec: ContainerSpec) -> str:
    """What differs so that the container cannot go on; "" for nothing."""
    changes = at_least(Cost.CONTAINER, container_changes(old.spec, spec))
    if not changes and old.refused == spec.resources:
        return f"{tell(resource_changes(old.spec.resources, spec.resources))} (more is in use: it cannot be done live)"
    reference, _, newer = old.newer.rpartition(" ")
    if not changes and reference:
        return f"{reference}, which a volume shows, is another image now: {newer[:12]}"
    if not changes and newer:
        return f"{spec.image} is another image now: {old.image_id[:12]} -> {old.newer[:12]}"
    return tell(changes)


def _finish(s: Situation, container: Container) -> PodActions:
    return stop(container, s.grace_of(container), Reason(Why.SPEC_CHANGED, "it is replaced"), s.now, hold=s.hold)


def _make_way(s: Situation, spec: ContainerSpec, running: tuple[Container, ...]) -> tuple[PodActions, ...]:
    """The replacement stands ready: the running one may go, unless the replacement could not start then."""
    if s.sandbox is None or not s.sandbox.ready or not _runs(s, spec):
        return tuple(_finish(s, c) for c in running if c.stopping is not None)
    return tuple(_replace_running(s, spec, c) for c in running)


def _start(s: Situation, spec: ContainerSpec, container: Container) -> PodActions:
    update = _resources(s, container, spec)
    if update.steps:
        return update
    if not _runs(s, spec):
        return PodActions()
    if s.sandbox is None or not s.sandbox.ready:
        return wait(spec.name, Why.CREATING, "it is created and waits for the pod's network")
    return do(StartContainer(container.id, spec.name, READY))


def _runs(s: Situation, spec: ContainerSpec) -> bool:
    """Whether the member is to be started."""
    return s.want.wish(spec.name).run in (RunState.RUNNING, RunState.PAUSED)


def _make(s: Situation, spec: ContainerSpec, attempts: tuple[Container, ...], *, replacing: bool) -> PodActions:
    """Create the next attempt, if one is due and nothing stands in the way. ``replacing``: another one still runs."""
    last = newest(attempts, spec.name)
    number = max((c.attempt for c in attempts), default=-1) + 1
    crashed = last is not None and last.state is ContainerState.EXITED and last.by_itself
    if last is None or replacing or not matches(last, spec) or s.due_again(last):
        return _create(s, spec, number, _why_anew(s, spec, last), before=last, beside=replacing)
    if not _runs(s, spec) and was_started(last):
        return PodActions()  # it is to wait for its start, and has had one
    if not crashed or (s.target.keep and not was_started(last)):
        return _create(s, spec, number, _why_anew(s, spec, last), before=last)
    if not restarts_after(s.target, spec, last):
        return PodActions()
    return _restart(s, spec, number, last)


def _why_anew(s: Situation, spec: ContainerSpec, last: Container | None) -> Reason:
    if last is None:
        added = s.have.applied is not None and s.have.applied.container(spec.name) is None
        return Reason(Why.ADDED, "it was added to the manifest") if added else Reason(Why.NEW, "it is not there yet")
    replaced = _why_replaced(last, spec)
    if replaced:
        return Reason(Why.SPEC_CHANGED, replaced)
    return BY_HAND if s.due_again(last) else Reason(Why.EXITED, "it was stopped and is wanted")


def _restart(s: Situation, spec: ContainerSpec, number: int, last: Container) -> PodActions:
    end = last.exit or UNKNOWN_EXIT
    crashes = next_crashes(last.crashes, end.ran_for)
    delay = restart_delay(crashes - 1)
    due = min(end.finished, s.now) + delay
    if s.now < due:
        text = f"back-off {delay:g}s restarting failed container {spec.name}"
        return wait(spec.name, Why.BACKOFF, text, due)
    code = "an unknown code" if end.code < 0 else f"code {end.code}"
    code += ": it was out of memory (OOMKilled)" if end.oom else ""
    code += f": it had failed its {last.ill}" if last.ill else ""
    reason = Reason(Why.EXITED, f"it exited with {code}")
    return _create(s, spec, number, reason, before=last, crashed=last, crashes=crashes)


def _create(
    s: Situation,
    spec: ContainerSpec,
    number: int,
    reason: Reason,
    *,
    before: Container | None,
    crashed: Container | None = None,
    crashes: int = 0,
    beside: bool = False,
) -> PodActions:
    """``before``: the attempt that there was; ``crashed``: the same, where it is restarted for its end; ``beside``: it
    runs, and is to end first."""
    assert s.sandbox is not None
    obstacles = s.blocked.get(spec.name, ())
    if obstacles:
        return face(obstacles)
    pod, turn = s.sandbox.id, s.want.wish(spec.name).turn
    restarts = crashed.restarts + 1 if crashed else 0
    last = (crashed.exit or UNKNOWN_EXIT) if crashed else None
    if before is not None and before.state is ContainerState.EXITED and _goes_on(s, spec, before):
        return do(RenewContainer(before.id, pod, spec.name, s.target, reason, restarts, crashes, last, turn))
    start = not beside and s.sandbox.infra_up and _runs(s, spec)  # where the network lacks, it is set up now
    return do(CreateContainer(pod, spec.name, number, s.target, reason, restarts, crashes, last, turn, start))
