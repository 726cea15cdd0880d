"""Pods made by hand: a command writes down what it wants, and works on it itself until it is so. No daemon is needed.

The work is ``sync_pod``, as everybody's; what is special is how a command waits: for the ends of the pod's processes,
for pulls, for the time that a plan names. What follows the end of a container (--rm, its name) is seen to by whoever
syncs the pod then: a command, the monitor's exit command (``ended``), or a controller (``after_sync``).
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.controller.exits import MONITOR_TIME
from reconciler.controller.lock import holder
from reconciler.controller.narrate import Narrator
from reconciler.controller.sync import OnStep, Resolver, Result, sync_pod
from reconciler.controller.wanted import Wanted
from reconciler.engine import processes
from reconciler.engine.layout import Layout
from reconciler.model.actions import Why
from reconciler.model.clock import Clock, SystemClock
from reconciler.model.desired import RunState
from reconciler.model.errors import NotFound, Permanent
from reconciler.model.interfaces import PodEngine
from reconciler.model.key import HAND, ContainerId, Key
from reconciler.model.observed import Container, ContainerState, Instant, Observed
from reconciler.plan.situation import is_finished, newest
from reconciler.sources.hand import HandMember, HandPod, HandSource
from reconciler.sources.suspended import Suspensions

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

STEPS_AT_ONCE = 4
TRIES = 3
"""Failures in a row after which a command gives up."""

UNDER_WAY = frozenset({Why.TERMINATING, Why.PULLING, Why.CREATING, Why.INITIALIZING})
"""Waiting that ends by itself soon."""

Change = Callable[[HandPod | None], HandPod]
"""Takes what was wanted (None: nothing), gives what is wanted now; raises what is to be told where that cannot be."""


@dataclass
class Bench:
    """What a command works with. ``on_step`` is called after each step that was done, ``on_wait`` with what is waited
    for, in a line."""

    engine: PodEngine
    layout: Layout
    clock: Clock = field(default_factory=SystemClock)
    on_step: OnStep | None = None
    on_wait: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.source = HandSource(self.layout.hand)


def edit(bench: Bench, key: Key, change: Change) -> HandPod:
    """Write down what is wanted of a pod, under its lock, as ``change`` of what was.

    Raises what ``change`` raises, and TryLater.
    """
    with bench.engine.lock(key):
        wanted = change(bench.source.read(key))
        bench.source.write(wanted)
        bench.layout.halted.unlink(missing_ok=True)
    return wanted


def alter(bench: Bench, key: Key, change: Callable[[HandPod, Observed], HandPod]) -> HandPod:
    """As ``edit``, of a pod that is wanted already; ``change`` is also given what is there of it.

    Raises NotFound where there is no word about the pod.
    """

    def changed(before: HandPod | None) -> HandPod:
        if before is None:
            raise NotFound(f"cannot change what is wanted of pod {key}: there is no word about it any more")
        return change(before, bench.engine.observe(key, None))

    return edit(bench, key, changed)


def carry_out(bench: Bench, key: Key, change: Callable[[HandPod, Observed], HandPod]) -> Result:
    """``alter``, and ``settle``."""
    alter(bench, key, change)
    return settle(bench, key)


def settle(
    bench: Bench,
    key: Key,
    *,
    wanted: Resolver | None = None,
    timeout: float | None = None,
    enough: Callable[[Result], bool] | None = None,
) -> Result:
    """Work on a pod until it is as it is wanted, or nothing more can be done about that now; how it stands then.

    ``wanted``: whose word counts, if not what was made by hand. ``timeout``: seconds after which it is left as it
    stands. ``enough``: go on, whatever ends of it meanwhile, until this is true of how it stands. Raises
    ReconcilerError where steps fail for good.
    """
    end = None if timeout is None else bench.clock.now() + timeout
    enough = enough or _is_at_rest
    bench.engine.use_objects(bench.source.objects_for)
    wanted = wanted or _by_hand(bench, key)
    tries = 0
    with _Pool() as pool, _Bell(bench.engine, key) as bell:
        while True:
            result = sync_pod(
                key,
                wanted,
                bench.engine,
                bench.clock,
                narrator=Narrator(bench.engine),
                pool=pool,
                on_step=bench.on_step,
            )
            wanted.learn(key, result.owner)
            tries = tries + 1 if result.error else 0
            if result.error and (isinstance(result.error, Permanent) or tries >= TRIES):
                raise result.error
            if after_sync(bench, key) or result.more:
                continue
            until = _until(result, end)
            if enough(result) or (end is not None and bench.clock.now() >= end):
                return result
            for waiting in result.waiting:
                if waiting.reason.why is Why.PULLING:
                    bench.on_wait(waiting.reason.text)
            bell.wait(result, until, bench.clock)


def after_sync(bench: Bench, key: Key) -> bool:
    """See to what follows the ends of containers; whether something else is wanted of the pod now.

    One that was made to be removed when it has ended goes; the name of one that is gone is free; a pod that is gone is
    forgotten.
    """
    pod = bench.source.read(key)
    if pod is None or not (pod.going or any(_is_passing(pod, m) for m in pod.members)):
        return False
    with bench.engine.lock(key):
        pod, have = bench.source.read(key), bench.engine.observe(key, None)
        if pod is None:
            return False
        if pod.going:
            if have.sandbox is None:
                bench.source.forget(key)
            return False
        left = _without_gone(bench.source, pod, have)
        left = _without_ended(bench.source, left, have)
        if left == pod:
            return False
        bench.source.write(left)
        return left.going or left.spec != pod.spec


def ended(engine: PodEngine, layout: Layout, container: ContainerId, clock: Clock | None = None) -> float | None:
    """What a monitor calls when its container has ended: restarts, removal, the end of the pod. A live controller has
    heard of it, too, and does all that; and where everything was stopped, nothing is brought back.

    Returns the seconds after which this is to be called again, as a back-off is over then; None: it is done, or the
    container lives again, and what follows its next end is the next monitor's business.
    """
    key = engine.key_of(container)
    if key is None or holder(layout.controller_lock) is not None or layout.halted.exists():
        return None
    bench = Bench(engine, layout, clock or SystemClock())
    started = _started(engine, key, container)
    result = settle(bench, key, enough=_is_handed_on)
    if result.owner != HAND or result.requeue_at is None or _started(engine, key, container) != started:
        return None
    backs_off = any(w.reason.why is Why.BACKOFF for w in result.waiting)
    return max(0.0, result.requeue_at - bench.clock.now()) if backs_off else None


def _started(engine: PodEngine, key: Key, container: ContainerId) -> Instant | None:
    """When the container's latest life began; None: it is gone."""
    return next((c.started for c in engine.observe(key, None).containers if c.id == container), None)


def removed(pod: HandPod | None, key: Key, grace: float | None = None) -> HandPod:
    """The change by which a pod goes. Raises NotFound."""
    if pod is None:
        raise NotFound(f'cannot remove pod "{key.name}": it was not made by hand')
    return replace(pod, going=True, grace=grace)


def await_ends(containers: Sequence[Container], seconds: float) -> list[Container]:
    """Wait until their processes have ended, ``seconds`` long at most; those that have not."""
    left = {fd: c for c in containers if c.pid and (fd := processes.opened(c.pid)) is not None}
    poll, end = select.poll(), time.monotonic() + seconds
    for fd in left:
        poll.register(fd, select.POLLIN)
    try:
        while left and (ended := poll.poll(max(0.0, end - time.monotonic()) * 1000)):
            for fd, _ in ended:
                poll.unregister(fd)
                os.close(fd)
                del left[fd]
        return list(left.values())
    finally:
        for fd in left:
            os.close(fd)


def _by_hand(bench: Bench, key: Key) -> Wanted:
    wanted = Wanted([bench.source], suspensions=Suspensions(bench.layout.suspended))
    wanted.digest = bench.engine.digest
    sandbox = bench.engine.observe(key, None).sandbox
    wanted.adopt({key: sandbox.owner} if sandbox else {})
    return wanted


def _is_passing(pod: HandPod, member: HandMember) -> bool:
    return member.remove or pod.spec.container(member.name) is None


def _without_gone(source: HandSource, pod: HandPod, have: Observed) -> HandPod:
    """Without what is said of members that are not wanted any more, and are gone."""
    there = {c.name for c in have.containers}
    gone = [m for m in pod.members if pod.spec.container(m.name) is None and m.name not in there]
    left = replace(pod, members=tuple(m for m in pod.members if m not in gone)) if gone else pod
    for name in pod.names - left.names:
        source.release(name, pod.key)
    return left


def _without_ended(source: HandSource, pod: HandPod, have: Observed) -> HandPod:
    """Without the members that were to go when they ended; with the last, the pod that was there for it."""
    for member in pod.members:
        last = newest(have.containers, member.name)
        if member.remove and last is not None and _has_ended(pod, member, last):
            source.leave_code(last.id, last.exit.code if last.exit else -1)
            pod = replace(pod, going=True) if pod.solo else pod.without(member.name)
    return pod


def _has_ended(pod: HandPod, member: HandMember, last: Container) -> bool:
    spec = pod.spec.container(member.name)
    if spec is None or last.state is not ContainerState.EXITED or last.turn < member.wish.turn:
        return False
    return member.wish.run is RunState.STOPPED or is_finished(last, pod.spec, spec)


def _is_at_rest(result: Result) -> bool:
    return result.error is None and not any(w.reason.why in UNDER_WAY for w in result.waiting)


def _is_handed_on(result: Result) -> bool:
    """Whether what is left is somebody else's: the monitor's of an init container that the others wait for."""
    return result.error is None and not any(w.reason.why in UNDER_WAY - {Why.INITIALIZING} for w in result.waiting)


def _until(result: Result, end: Instant | None) -> Instant | None:
    return min((at for at in (result.requeue_at, end) if at is not None), default=None)


class _Pool:
    """Threads for steps, once there are several at a time: most commands do one after the other."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads:
            self._threads.shutdown()

    def submit(self, work: Callable[..., T], /, *arguments: Any) -> Future[T]:
        from concurrent.futures import ThreadPoolExecutor

        self._threads = self._threads or ThreadPoolExecutor(STEPS_AT_ONCE, thread_name_prefix="step")
        return self._threads.submit(work, *arguments)


class _Bell:
    """Rings when something happens to a pod: a process of it ends, a pull for it does."""

    def __init__(self, engine: PodEngine, key: Key) -> None:
        self._engine, self._key = engine, key
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __enter__(self) -> _Bell:
        self._engine.listeners.append(self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.listeners.remove(self._ring)
        os.close(self._event)

    def _ring(self, key: Key) -> None:
        if key == self._key:
            os.eventfd_write(self._event, 1)

    def wait(self, result: Result, until: Instant | None, clock: Clock) -> None:
        """Until it rings or the time comes."""
        poll = select.poll()
        poll.register(self._event, select.POLLIN)
        opened = [fd for _, ref in result.running if (fd := processes.opened(ref)) is not None]
        for fd in opened:
            poll.register(fd, select.POLLIN)
        if len(opened) < len(result.running):  # its monitor has not told of that end yet
            soon = clock.now() + MONITOR_TIME
            until = soon if until is None else min(until, soon)
        try:
            poll.poll(None if until is None else max(0.0, until - clock.now()) * 1000)
            with suppress(BlockingIOError):
                os.eventfd_read(self._event)
        finally:
            for fd in opened:
                os.close(fd)
