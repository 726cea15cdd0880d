"""How a pod begins and how it ends: init containers before members, sidecars around them. Pure.

The kubelet's rules (pkg/kubelet/kuberuntime: computeInitContainerActions, kuberuntime_termination_order.go): init
containers have their turn one after the other; a plain one must end well before the next, a sidecar must have started.
Once a member was made the pod has begun: sidecars are kept running, plain ones never run again in this life of the pod.
When nothing of it is to run any more, or the pod ends, the sidecars end last, in reverse order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from reconciler.model.actions import PodActions, Reason, RemoveContainer, Why
from reconciler.model.desired import RunState
from reconciler.model.hook import HookState
from reconciler.model.observed import Container, ContainerState, Instant, Observed
from reconciler.model.spec import LEAST_GRACE, ContainerSpec, PodSpec, Role
from reconciler.plan.members import do, plan_member, stop, tidy, wait
from reconciler.plan.situation import Situation, has_begun, has_failed, is_over, newest

_OVER = Reason(Why.DONE, "no member runs or will")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pod has begun. ``turn``: the containers that may be made and started now. ``pending``: the init
    container that the others wait for, "" for none. ``over``: nothing of the pod is to run any more."""

    turn: frozenset[str]
    pending: str = ""
    over: bool = False


def progress(s: Situation) -> Progress:
    """How far the pod has begun, by what became of each init container."""
    pod = s.target
    if is_over(s.want, pod, s.have):
        ended = (c.name for c in pod.everyone if newest(s.have.containers, c.name) is not None)
        return Progress(frozenset(name for name in ended if pod.role_of(name) is not Role.SIDECAR), over=True)
    if has_begun(pod, s.have):
        return _begun(s)
    turn: set[str] = set()
    pending = ""
    for spec in pod.init:
        if not pending or newest(s.have.containers, spec.name) is not None:
            turn.add(spec.name)
        if not pending and not is_through(s, spec):
            pending = spec.name
    if not pending:
        turn |= {c.name for c in pod.containers}
    return Progress(frozenset(turn), pending)


def _begun(s: Situation) -> Progress:
    """Everybody has his turn; but where no member lives they wait for a sidecar that is on its way: the pod was over,
    and begins once more."""
    members = {c.name for c in s.target.containers}
    if not any(c.name in members and c.state.can_signal() for c in s.have.containers):
        pending = next((c.name for c in s.target.sidecars if _is_coming(s, c)), "")
        if pending:
            return Progress(frozenset(c.name for c in s.target.sidecars), pending)
    return Progress(frozenset(c.name for c in s.target.lasting))


def _is_coming(s: Situation, spec: ContainerSpec) -> bool:
    """Whether a sidecar was ended by us and is wanted, or is being started. One that crashes keeps nobody waiting."""
    last = newest(s.have.containers, spec.name)
    if last is None or s.want.wish(spec.name).run is RunState.STOPPED:
        return False
    return not last.by_itself if last.state is ContainerState.EXITED else not has_started(last)


def is_through(s: Situation, spec: ContainerSpec) -> bool:
    """Whether what comes after this init container may have its turn."""
    if s.target.role_of(spec.name) is Role.SIDECAR:
        return any(c.name == spec.name and has_started(c) for c in s.have.containers)
    last = newest(s.have.containers, spec.name)
    return last is not None and s.finished(last) and not has_failed(last)


def has_started(container: Container) -> bool:
    """Whether a sidecar is up: it runs, its postStart hook is over, and it has passed its startup probe."""
    hooked = container.post_start in (None, HookState.PASSED)
    return container.state is ContainerState.RUNNING and hooked and container.started_up


def plan_everyone(s: Situation) -> list[PodActions]:
    """What to do about each container that is wanted, in a pod that stands."""
    if not s.target.init:
        return [plan_member(s, spec) for spec in s.target.containers]
    at = progress(s)
    plans = [plan_member(s, spec) if spec.name in at.turn else _rest(s, spec) for spec in s.target.everyone]
    if at.over:
        return [*plans, *end_sidecars(s)]
    return [*plans, _waits(s, at)]


def _rest(s: Situation, spec: ContainerSpec) -> PodActions:
    """One that has no turn: what nobody needs of its earlier attempts goes."""
    attempts = tuple(c for c in s.have.containers if c.name == spec.name)
    return tidy(attempts, tuple(c for c in attempts if c.state is ContainerState.RUNNING), None)


def _waits(s: Situation, at: Progress) -> PodActions:
    """That the rest waits for a container that runs; why one does not run is told of itself."""
    if not any(c.name == at.pending and c.state is ContainerState.RUNNING for c in s.have.containers):
        return PodActions()
    done = sum(is_through(s, spec) for spec in s.target.init)
    what = "start" if s.target.role_of(at.pending) is Role.SIDECAR else "end"
    text = f"init container {at.pending} is to {what} first ({done} of {len(s.target.init)} are through)"
    return wait("", Why.INITIALIZING, text)


def end_sidecars(s: Situation) -> list[PodActions]:
    """Of a pod in which no member runs or will."""
    names = {c.name for c in s.target.sidecars}
    living = [c for c in s.have.containers if c.name in names and c.state is ContainerState.RUNNING]
    waiting = [c for c in s.have.containers if c.name in names and c.state is ContainerState.CREATED]
    ends = (
        stop(c, grace, _OVER, s.now, hold=s.hold)
        for c, grace in next_to_end(s.target, living, s.have, s.grace_of, s.now)
    )
    return [*ends, *(do(RemoveContainer(c.id, c.name, _OVER)) for c in waiting)]


def next_to_end(
    pod: PodSpec, living: Sequence[Container], have: Observed, grace: Callable[[Container], float], now: Instant
) -> list[tuple[Container, float]]:
    """Of containers that are all to end those whose turn it is, with the seconds that they have to stop. They share one
    grace: a sidecar has what is left of it."""
    turn = pod.ending_now(c.name for c in living)
    told = [c.stopping.deadline - now for c in have.containers if c.stopping is not None]
    left = round(max(LEAST_GRACE, *told), 1) if told else inf

    def seconds(c: Container) -> float:
        return min(grace(c), left) if pod.role_of(c.name) is Role.SIDECAR else grace(c)

    return [(c, seconds(c)) for c in living if c.name in turn]
