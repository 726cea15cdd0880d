"""The one path by which a pod comes to match what is wanted of it: watch, apply and commands all end here.

A sync never waits for time or network: it does what can be done now and says when to look again. Several keys
are synced at the same time by different workers; one key by one worker (the queue), on this host by one process
(the engine's lock).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reconciler.controller.narrate import Narrator
from reconciler.model.actions import (
    Action,
    CreateContainer,
    CreateSandbox,
    PodActions,
    SetUpNetwork,
    StartContainer,
    UpdateFiles,
    UpdateNames,
    UpdatePodResources,
    UpdateRecord,
    Waiting,
    Why,
)
from reconciler.model.clock import Clock
from reconciler.model.desired import Desired, Present, Suspended
from reconciler.model.errors import ReconcilerError, TryLater
from reconciler.model.interfaces import KeyLock, PodEngine
from reconciler.model.key import ContainerId, Key, SourceId
from reconciler.model.observed import ContainerState, HostFacts, Instant, Observed, PidRef
from reconciler.model.spec import PodSpec, PortBinding
from reconciler.model.status import PodStatus
from reconciler.plan.members import READY
from reconciler.plan.patients import Patient, patients
from reconciler.plan.pod_actions import compute_pod_actions
from reconciler.plan.pod_status import Troubles, pod_status, with_troubles
from reconciler.sources.resolution import Resolution

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")

ROUNDS = 30
"""Plans in one sync; a new pod needs about six. More means that two sides disagree, and others get their turn."""

PULL_RECHECK = 2.0
"""Seconds until a pull is looked at again: its end is an event, unless another process pulls."""


ANY_TIME = nullcontext()
"""For who looks alone."""


class Resolver(Protocol):
    """What is wanted (see ``wanted.Wanted``)."""

    def resolve(self, key: Key) -> Resolution: ...

    def releases(self, key: Key, binding: PortBinding) -> bool: ...

    def learn(self, key: Key, owner: SourceId | None) -> bool: ...


class Pool(Protocol):
    """As far as an Executor of concurrent.futures is one."""

    def submit(self, work: Callable[..., T], /, *arguments: Any) -> Future[T]: ...


@dataclass(frozen=True, slots=True)
class Result:
    """How one sync ended. ``owner`` None: no pod is recorded. ``running``: what to watch for its exit.
    ``blocked_by``: pods of ours that hold a wanted host port. ``settling``: the source is not quiet yet, so its
    answer will change by itself. ``more``: there were steps left to do. ``patients``: whom to probe. ``rest``: what was
    seen, where nothing is to be done about it at any time."""

    key: Key
    desired: Desired
    status: PodStatus
    steps: tuple[Action, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    requeue_at: Instant | None = None
    error: ReconcilerError | None = None
    owner: SourceId | None = None
    running: tuple[tuple[ContainerId, PidRef], ...] = ()
    blocked_by: frozenset[Key] = frozenset()
    settling: bool = False
    more: bool = False
    patients: tuple[Patient, ...] = ()
    rest: Rest | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """What was seen when nothing was to be done or waited for, and the status of that, and whom to watch. Plan and
    status are functions of what is seen and of the time; where the plan named no time, they are the same as long as
    nothing else is seen. So most looks at most pods, which find them as they were, cost no more than the looking."""

    desired: Desired
    have: Observed
    host: HostFacts
    status: PodStatus
    running: tuple[tuple[ContainerId, PidRef], ...]
    patients: tuple[Patient, ...]

    def holds(self, desired: Desired, have: Observed, host: HostFacts) -> bool:
        return self.have == have and self.host == host and self.desired == desired


@dataclass(slots=True)
class _Look:
    """What one round saw, and planned from it. ``rest``: just this was seen before, and nothing is to be done."""

    resolution: Resolution
    have: Observed
    host: HostFacts
    plan: PodActions
    rest: Rest | None = None


@dataclass(slots=True)
class _Tally:
    steps: list[Action] = field(default_factory=list)
    errors: list[ReconcilerError] = field(default_factory=list)
    failed: list[tuple[Action, ReconcilerError]] = field(default_factory=list)


OnStep = Callable[[Key, Action], None]


def sync_pod(
    key: Key,
    wanted: Resolver,
    engine: PodEngine,
    clock: Clock,
    *,
    narrator: Narrator,
    pool: Pool | None = None,
    on_step: OnStep | None = None,
    rest: Rest | None = None,
    turn: AbstractContextManager[Any] = ANY_TIME,
    before_waiting: Callable[[], None] = lambda: None,
) -> Result:
    """Make the pod of ``key`` match what is wanted of it, as far as that is possible now.

    1. Take the key's lock.
    2. Read what is wanted, what is there, and who holds the ports; plan.
    3. Carry out all steps of the plan, at the same time (``pool``; None: one after the other).
    4. Again from 2 until a plan has no steps, a step failed, or it is the others' turn.
    5. Tell what is waited for; say when to look again.

    ``on_step`` is called after each step that succeeded, from this thread. ``rest``: of the last sync. ``turn`` is
    held while it looks. ``before_waiting`` is called, once or more often, before anything that may take its time: the
    lock while others hold it, steps. Raises ReconcilerError where the lock or the observation fails; failures of steps
    are in the result.
    """
    tally = _Tally()
    with engine.lock(key, before_waiting) as lock:
        for _ in range(ROUNDS):
            with turn:
                seen = _look(key, wanted, engine, clock, rest)
            narrator.images(key, seen.have.images)
            if not seen.plan.steps:
                break
            before_waiting()
            _carry_out(lock, engine, seen.plan.steps, pool, tally, narrator, on_step)
            if tally.errors:
                with turn:
                    seen = _look(key, wanted, engine, clock)
                break
    settling, runs = _is_settling(seen.resolution), seen.have.sandbox is not None
    if not seen.resolution.foreign:
        narrator.state(key, seen.resolution.desired, seen.plan.waiting, settling=settling, runs=runs)
    return _result(key, seen, tally, clock)


def look(
    key: Key, wanted: Resolver, engine: PodEngine, clock: Clock
) -> tuple[PodActions, Resolution, Observed, PodStatus]:
    """What a sync would do first, without doing it or taking the lock."""
    seen = _look(key, wanted, engine, clock)
    return seen.plan, seen.resolution, seen.have, _status(seen, clock)


def _look(key: Key, wanted: Resolver, engine: PodEngine, clock: Clock, rest: Rest | None = None) -> _Look:
    resolution = wanted.resolve(key)
    have = engine.observe(key, _spec(resolution.desired))
    if wanted.learn(key, have.sandbox.owner if have.sandbox else None):  # it was made, taken over or removed
        before, resolution = resolution, wanted.resolve(key)
        if resolution != before:  # not so where we made it just now
            have = engine.observe(key, _spec(resolution.desired))
    host = _with_releases(key, engine.host_facts(key, _spec(resolution.desired)), wanted)
    if rest is not None and not resolution.foreign and rest.holds(resolution.desired, have, host):
        return _Look(resolution, have, host, PodActions(), rest)
    return _Look(resolution, have, host, compute_pod_actions(resolution.desired, have, host, clock.now()))


def _spec(desired: Desired) -> PodSpec | None:
    return desired.spec if isinstance(desired, Present) else None


def _with_releases(key: Key, host: HostFacts, wanted: Resolver) -> HostFacts:
    """Only the controller knows which of our own pods are about to give a port up."""
    holders = tuple(
        replace(holder, yields=wanted.releases(holder.key, holder.binding))
        if holder.key is not None and holder.key != key
        else holder
        for holder in host.port_holders
    )
    return HostFacts(holders)


def _carry_out(
    lock: KeyLock,
    engine: PodEngine,
    steps: Sequence[Action],
    pool: Pool | None,
    tally: _Tally,
    narrator: Narrator,
    on_step: OnStep | None,
) -> None:
    for action, error in _perform_all(lock, engine, steps, pool):
        if error is None:
            tally.steps.append(action)
            narrator.step(lock.key, action)
            if on_step:
                on_step(lock.key, action)
        else:
            tally.errors.append(error)
            tally.failed.append((action, error))
            narrator.failure(lock.key, action, error)


_Done = tuple[Action, ReconcilerError | None]
"""A step that was tried, and why it could not be done."""


FOR_THE_POD = (SetUpNetwork, UpdateFiles, UpdateNames, UpdatePodResources, UpdateRecord)
"""Steps after which the pod is as a member may expect it when it starts."""


@dataclass(slots=True)
class _Pod:
    """For members that wait for their start: ``over`` when all steps for the whole pod were tried; ``stands`` if each
    could be done."""

    over: threading.Event = field(default_factory=threading.Event)
    stands: bool = False


def _perform_all(lock: KeyLock, engine: PodEngine, steps: Sequence[Action], pool: Pool | None) -> list[_Done]:
    """Every step is carried out, or tried; what is not one of our errors is raised when all have ended. What was
    created is started as soon as its pod stands (``CreateContainer.start``).

    The steps for the whole pod are the caller's own: nobody may wait for them who keeps them from a place in the pool.
    """
    mine = [step for step in steps if isinstance(step, FOR_THE_POD)]
    others = [step for step in steps if not isinstance(step, FOR_THE_POD)]
    pod = _Pod()
    if pool is None:
        done = _for_the_pod(lock, engine, mine, pod)
        return [*done, *(one for step in others for one in _try(lock, engine, step, pod))]
    from concurrent.futures import wait

    futures: list[Future[list[_Done]]] = []
    try:
        futures += (pool.submit(_try, lock, engine, step, pod) for step in (others if mine else others[1:]))
        done = _for_the_pod(lock, engine, mine, pod)
        if not mine:
            done = _try(lock, engine, others[0], pod)
    finally:
        pod.over.set()
        wait(futures)
    return [*done, *(one for future in futures for one in future.result())]


def _for_the_pod(lock: KeyLock, engine: PodEngine, steps: Sequence[Action], pod: _Pod) -> list[_Done]:
    """The steps for the whole pod, one after the other."""
    done = [(step, _perform(lock, engine, step)[1]) for step in steps]
    pod.stands = not any(error for _, error in done)
    pod.over.set()
    return done


def _try(lock: KeyLock, engine: PodEngine, step: Action, pod: _Pod) -> list[_Done]:
    made, error = _perform(lock, engine, step)
    if made is None or not isinstance(step, CreateContainer) or not step.start:
        return [(step, error)]
    pod.over.wait()
    start = StartContainer(made, step.name, READY)
    return [(step, None), *([(start, _perform(lock, engine, start)[1])] if pod.stands else [])]


def _perform(lock: KeyLock, engine: PodEngine, action: Action) -> tuple[ContainerId | None, ReconcilerError | None]:
    """The member that it created, and why it could not be done."""
    try:
        return engine.perform(lock, action), None
    except ReconcilerError as error:
        return None, error


def _result(key: Key, seen: _Look, tally: _Tally, clock: Clock) -> Result:
    sandbox = seen.have.sandbox
    rest = seen.rest if not tally.failed else None
    if rest is None:
        status = with_troubles(_status(seen, clock), _troubles(seen, tally))
        rest = Rest(seen.resolution.desired, seen.have, seen.host, status, _running(seen.have), _patients(seen))
    plan = seen.plan
    rests = not (plan.steps or plan.waiting or tally.errors or seen.resolution.foreign) and plan.wake_at is None
    return Result(
        key=key,
        desired=seen.resolution.desired,
        status=rest.status,
        steps=tuple(tally.steps),
        waiting=seen.plan.waiting,
        requeue_at=_when(seen, clock),
        error=_worst(tally.errors),
        owner=sandbox.owner if sandbox else None,
        running=rest.running,
        blocked_by=frozenset(h.key for h in seen.host.port_holders if h.key is not None and h.key != key),
        settling=_is_settling(seen.resolution),
        more=bool(seen.plan.steps),
        patients=rest.patients,
        rest=rest if rests else None,
    )


def _patients(seen: _Look) -> tuple[Patient, ...]:
    """Whoever looks after a pod asks its containers how they are; one that is suspended is not disturbed."""
    if seen.resolution.foreign:
        return ()
    return patients(seen.have, left_alone=isinstance(seen.resolution.desired, Suspended))


def _is_settling(resolution: Resolution) -> bool:
    return resolution.again_at is not None and (resolution.losing or not isinstance(resolution.desired, Present))


def _status(seen: _Look, clock: Clock) -> PodStatus:
    return pod_status(seen.resolution.desired, seen.have, seen.host, clock.now())


def _when(seen: _Look, clock: Clock) -> Instant | None:
    """The earliest of: the plan's own time, the source's, and a look at a pull that another process may do."""
    times = [seen.plan.wake_at]
    held = any(w.reason.why is Why.NOT_SETTLED for w in seen.plan.waiting)
    if held or seen.resolution.losing or not isinstance(seen.resolution.desired, Present):
        times.append(seen.resolution.again_at)
    if any(w.reason.why is Why.PULLING for w in seen.plan.waiting):
        times.append(clock.now() + PULL_RECHECK)
    return min((at for at in times if at is not None), default=None)


def _troubles(seen: _Look, tally: _Tally) -> Troubles:
    """The steps that failed, as what kept members waiting (the kubelet's words: kuberuntime/kuberuntime_container.go);
    what concerns the pod keeps all of them."""
    names = {c.id: c.name for c in seen.have.containers}
    troubles: dict[str, tuple[str, str]] = {}
    for action, error in tally.failed:
        match action:
            case CreateContainer(name=name):
                troubles[name] = (error.reason or "CreateContainerError", error.message)
            case StartContainer(container=container):
                troubles[names.get(container, "")] = ("RunContainerError", error.message)
            case CreateSandbox() | SetUpNetwork():
                spec = _spec(seen.resolution.desired)
                members = spec.everyone if spec else ()
                troubles |= {
                    c.name: ("CreatePodSandboxError", error.message) for c in members if c.name not in troubles
                }
    return troubles


def _worst(errors: Sequence[ReconcilerError]) -> ReconcilerError | None:
    """One that time may heal comes first: it decides whether to come back soon."""
    return next((e for e in errors if isinstance(e, TryLater)), errors[0] if errors else None)


def _running(have: Observed) -> tuple[tuple[ContainerId, PidRef], ...]:
    infra = have.sandbox.infra if have.sandbox else None
    containers = (*have.containers, *((infra,) if infra else ()))
    return tuple((c.id, c.pid) for c in containers if c.state is ContainerState.RUNNING and c.pid is not None)
