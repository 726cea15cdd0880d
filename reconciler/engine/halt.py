"""``system stop``: every container ends, with its grace, and what is recorded stays; for the machine's shutdown.

All are asked at the same time, and waited for together: it takes as long as the slowest; sidecars are asked when what
else their pod has is gone. The next start of the controller, or the next boot, finds pods without processes and makes
them run again. The caller sees to it that no controller runs meanwhile. Killed anywhere, it can simply be said again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from math import inf

from reconciler.engine import containers, endings, hooks, processes, recorded
from reconciler.engine.context import Context
from reconciler.engine.locks import hold
from reconciler.engine.store import pods as index
from reconciler.model.errors import TryLater
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.observed import Instant, PidRef
from reconciler.model.spec import LEAST_GRACE

OnStop = Callable[[Key, str], None]
"""Told of each container that was asked to end: its pod and name."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """A container that was told to end. ``deadline``: when it is killed; ``killed``: when that has had its time."""

    pod: PodId
    container: ContainerId
    ref: PidRef
    key: Key
    deadline: Instant
    killed: bool = False


def halt(ctx: Context, most: float | None = None, on_stop: OnStop | None = None) -> int:
    """How many containers were ended, infra containers not counted. ``most``: seconds, whatever their grace.

    1. Ask every member. 2. As they end, ask the sidecars of those pods that have nothing else, one after the other;
    kill those whose time is over. 3. End the infra containers, and their network.
    """
    pods = {row.id: row.key for row in index.all_pods(ctx.store)}
    with _bell(ctx) as bell:
        living = [ending for pod, key in pods.items() for ending in _ask(ctx, pod, key, most, on_stop)]
        asked, ends = len(living), {pod: max((e.deadline for e in living if e.pod == pod), default=0.0) for pod in pods}
        while living:
            living, gone = _wait(ctx, living, bell)
            for pod in gone - {ending.pod for ending in living}:
                more = _ask(ctx, pod, pods[pod], most, on_stop, end=ends[pod])
                living, asked = [*living, *more], asked + len(more)
    infra = [
        _Ending(pod, container, ref, key, ctx.clock.now())
        for pod, key in pods.items()
        for container, ref, is_infra in _living(ctx, pod)
        if is_infra
    ]
    for ending in infra:
        _kill(ctx, ending)
    for ending in infra:
        if not processes.wait_gone(ending.ref, endings.KILL_SECONDS):
            raise _undying(ending)
    return asked


@contextmanager
def _bell(ctx: Context) -> Iterator[int]:
    """A descriptor that can be read when a hook is over."""
    bell, tell, lock, there = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), ctx.tell, threading.Lock(), [True]

    def ring(_key: Key) -> None:
        with lock:
            if there:
                os.eventfd_write(bell, 1)

    ctx.tell = ring
    try:
        yield bell
    finally:
        ctx.tell = tell
        with lock:
            there.clear()
            os.close(bell)


def _wait(ctx: Context, living: list[_Ending], bell: int) -> tuple[list[_Ending], set[PodId]]:
    """Wait until one of them or its hook has ended, or its time is over. Those that are left, and the pods of the
    others."""
    first = min(ending.deadline for ending in living)
    opened = {ending.container: processes.opened(ending.ref) for ending in living}
    try:
        fds = [fd for fd in opened.values() if fd is not None]
        if len(fds) == len(living):
            processes.any_ended([*fds, bell], max(0.0, first - ctx.clock.now()))
            with suppress(BlockingIOError):
                os.eventfd_read(bell)
        left = [e for e in living if (fd := opened[e.container]) is not None and not processes.ended(fd, 0.0)]
    finally:
        for fd in opened.values():
            if fd is not None:
                os.close(fd)
    gone = {ending.pod for ending in living if ending not in left}
    return [_pressed(ctx, ending) for ending in left], gone


def _pressed(ctx: Context, ending: _Ending) -> _Ending:
    """Kill it where its time is over; where its preStop hook comes first, send its stop signal when that is over."""
    in_time, facts = ctx.clock.now() < ending.deadline, recorded.facts_of(ctx, ending.container)
    if facts.pre_stop is not None and not facts.killed:
        if in_time and not hooks.pre_stop_state(ctx, ending.container, facts).is_over:
            return ending
        with _locked(ctx, ending.key):
            containers.term(ctx, ending.container)
        return replace(ending, deadline=recorded.facts_of(ctx, ending.container).deadline or ending.deadline)
    if in_time:
        return ending
    if ending.killed:
        raise _undying(ending)
    _kill(ctx, ending)
    return replace(ending, deadline=ctx.clock.now() + endings.KILL_SECONDS, killed=True)


def _undying(ending: _Ending) -> TryLater:
    return TryLater(f"cannot stop everything: process {ending.ref.pid} does not die")


def _kill(ctx: Context, ending: _Ending) -> None:
    with _locked(ctx, ending.key):
        containers.kill(ctx, ending.container)


def _locked(ctx: Context, key: Key) -> AbstractContextManager[object]:
    return hold(ctx.layout.key_lock(key), key, gone=lambda: False)


def _ask(
    ctx: Context, pod: PodId, key: Key, most: float | None, on_stop: OnStop | None, *, end: Instant | None = None
) -> list[_Ending]:
    """Tell those containers of a pod to end whose turn it is. ``end``: when the time of those before them was over;
    what is left of it is theirs."""
    record = recorded.record_of_pod(ctx, pod)
    asked = []
    with _locked(ctx, key):
        living = [(container, ref) for container, ref, infra in _living(ctx, pod) if not infra]
        made = {c: known for c, _ in living if (known := recorded.record_of(ctx, c)) is not None}
        specs = {c: known.spec for c, known in made.items()}
        turn = record.spec.ending_now(spec.name for spec in specs.values()) if record else frozenset()
        for container, ref in living:
            spec = specs.get(container)
            if record and spec and spec.name not in turn:
                continue
            grace = float(record.spec.grace_of(spec)) if record and spec else 0.0
            left = inf if end is None else max(LEAST_GRACE, end - ctx.clock.now())
            grace = min(grace, left, inf if most is None else most)
            hook = hooks.pre_stop_of(record.spec, made[container]) if record and spec and grace > 0 else None
            containers.stop(ctx, container, grace, hook)
            asked.append(_Ending(pod, container, ref, key, ctx.clock.now() + grace))
            if on_stop:
                on_stop(key, spec.name if spec else container[:12])
    return asked


def _living(ctx: Context, pod: PodId) -> list[tuple[ContainerId, PidRef, bool]]:
    """The pod's containers that have a process: (id, process, whether it is the infra container)."""
    found = []
    for container in index.containers_of(ctx.store, pod):
        record, facts = recorded.record_of(ctx, container), recorded.facts_of(ctx, container)
        ref = PidRef(facts.pid, facts.pid_start)
        if record is not None and facts.boot == processes.boot_id() and processes.alive(ref):
            found.append((container, ref, record.infra))
    return found
