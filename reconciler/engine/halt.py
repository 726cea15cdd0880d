"""``system stop``: every container ends, with its grace, and what is recorded stays; for the machine's shutdown.

All are asked at the same time, and waited for together: it takes as long as the slowest. The next start of the
controller, or the next boot, finds pods without processes and makes them run again. The caller sees to it that no
controller runs meanwhile. Killed anywhere, it can simply be said again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from reconciler.engine import containers, endings, processes, recorded
from reconciler.engine.context import Context
from reconciler.engine.locks import hold
from reconciler.engine.store import pods as index
from reconciler.model.errors import TryLater
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.observed import Instant, PidRef

OnStop = Callable[[Key, str], None]
"""Told of each container that was asked to end: its pod and name."""


@dataclass(frozen=True, slots=True)
class _Ending:
    container: ContainerId
    ref: PidRef
    key: Key
    deadline: Instant


def halt(ctx: Context, most: float | None = None, on_stop: OnStop | None = None) -> int:
    """How many containers were ended, infra containers not counted. ``most``: seconds, whatever their grace.

    1. Ask every member. 2. Wait for all; kill those whose time is over. 3. End the infra containers, and their network.
    """
    pods = tuple(index.all_pods(ctx.store))
    asked = [ending for row in pods for ending in _ask(ctx, row.id, row.key, most, on_stop)]
    for ending in sorted(asked, key=lambda one: one.deadline):
        if not processes.wait_gone(ending.ref, max(0.0, ending.deadline - ctx.clock.now())):
            _kill(ctx, ending)
    infra = [
        _Ending(container, ref, row.key, ctx.clock.now())
        for row in pods
        for container, ref, is_infra in _living(ctx, row.id)
        if is_infra
    ]
    for ending in infra:
        _kill(ctx, ending)
    for ending in (*asked, *infra):
        if not processes.wait_gone(ending.ref, endings.KILL_SECONDS):
            raise TryLater(f"cannot stop everything: process {ending.ref.pid} does not die")
    return len(asked)


def _kill(ctx: Context, ending: _Ending) -> None:
    with _locked(ctx, ending.key):
        containers.kill(ctx, ending.container)


def _locked(ctx: Context, key: Key) -> AbstractContextManager[object]:
    return hold(ctx.layout.key_lock(key), key, gone=lambda: False)


def _ask(ctx: Context, pod: PodId, key: Key, most: float | None, on_stop: OnStop | None) -> list[_Ending]:
    record = recorded.record_of_pod(ctx, pod)
    asked = []
    with _locked(ctx, key):
        for container, ref, infra in _living(ctx, pod):
            if infra:
                continue
            made_of = recorded.record_of(ctx, container)
            grace = float(record.spec.grace_of(made_of.spec)) if record and made_of else 0.0
            grace = grace if most is None else min(grace, most)
            containers.stop(ctx, container, grace)
            asked.append(_Ending(container, ref, key, ctx.clock.now() + grace))
            if on_stop:
                on_stop(key, made_of.name if made_of else container[:12])
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
