"""What is there of a key, put together from the records and the kernel; nothing is believed that can be looked up.

An exit is written down when a holder of the key's lock first sees it, with its instant on the clock that does
not jump; backoff counts from there. Readers without the lock compute the same without writing.

Commands that only look begin here, so little is imported; what a plan needs beyond it is in ``outlook``.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar, cast

from reconciler.engine import files, oom, processes, recorded, records, watched
from reconciler.engine.context import Context
from reconciler.engine.records import Begun, ContainerFacts, ContainerRecord, PodRecord, PodState
from reconciler.engine.store import events
from reconciler.engine.store import pods as index
from reconciler.model.errors import HostUnfit, TryLater
from reconciler.model.events import EventType
from reconciler.model.hook import HookState
from reconciler.model.key import ContainerId, Key
from reconciler.model.observed import (
    Container,
    ContainerState,
    Exit,
    Instant,
    Observed,
    PidRef,
    Sandbox,
    Stopping,
)
from reconciler.model.probe import Handler, Verdict
from reconciler.model.spec import ContainerSpec, PodSpec

T = TypeVar("T")

UNKNOWN_EXIT = -1

IsStale = Callable[[PodRecord, PodState], bool]
"""Whether something else should stand in a pod's files of /etc than what was last written there."""


def look(
    ctx: Context,
    key: Key,
    want: PodSpec | None = None,
    *,
    held: bool = False,
    is_stale: IsStale = lambda _record, _state: False,
) -> Observed:
    """Read what stands and runs of a key. ``want`` is what its applied spec is to be compared with; ``held``: the
    caller holds the key's lock, so exits may be written down."""
    found: tuple[Sandbox | None, tuple[Container, ...]] = (None, ())
    for pod, containers in index.with_containers_of(ctx.store, key).items():
        record = recorded.record_of_pod(ctx, pod)
        if record is None:
            continue
        state = recorded.state_of_pod(ctx, pod)
        if found[0] is None or not state.ended:
            found = _read_pod(ctx, record, containers, state, want, held, is_stale)
        if not state.ended:
            break  # two lives at once only in the middle of a repair: the older one ends first
    return Observed(key, *found)


def _read_pod(
    ctx: Context,
    record: PodRecord,
    containers: Iterable[ContainerId],
    state: PodState,
    want: PodSpec | None,
    held: bool,
    is_stale: IsStale,
) -> tuple[Sandbox, tuple[Container, ...]]:
    infra, members = None, []
    for container in containers:
        facts = recorded.facts_of(ctx, container)
        container_record = recorded.record_for(ctx, container, facts)
        if container_record is None:
            members.append(_unrecorded(ctx, container))
            continue
        seen = _container(ctx, container_record, facts, record, held=held, want=want)
        if container_record.infra:
            infra = seen
        else:
            members.append(seen)
    begun = record.begun or Begun(record.created_wall)
    runs = infra is not None and infra.state is ContainerState.RUNNING and not (state.removing or state.ended)
    applied = records.applied(record, want)
    sandbox = Sandbox(
        id=record.id,
        uid=record.uid,
        applied=_one_of_alike(ctx, record.id, applied, want),
        owner=record.owner,
        infra=infra,
        networked=infra is not None and state.networked == infra.id,
        ip=record.ip,
        ip6=record.ip6,
        created_wall=record.created_wall,
        begun=_begun(ctx, begun),
        begun_wall=begun.wall,
        removing=state.removing,
        ended=state.ended,
        files_stale=runs and is_stale(record, state),
        resources=state.resources,
        qos=state.qos,
        evicted=state.evicted,
        services=state.services,
    )
    return sandbox, tuple(sorted(members, key=lambda c: (c.name, c.attempt)))


def _one_of_alike(ctx: Context, whose: str, have: T, want: T | None) -> T:
    """``want`` itself where what is had is equal to it: whoever compares the two from now on, and all that is in them,
    need not look into them. A look at a pod that is as it is wanted is mostly such comparing."""
    if want is None:
        return have
    known = ctx.cache.alike.get(whose)
    if known is None or known[0] is not have or known[1] is not want:
        known = ctx.cache.alike[whose] = have, want, want if have == want else have
    return cast(T, known[2])


def _begun(ctx: Context, begun: Begun) -> Instant:
    if begun.boot == processes.boot_id():
        return begun.at
    return ctx.clock.now() - max(0.0, ctx.clock.wall() - begun.wall)


def _container(
    ctx: Context,
    record: ContainerRecord,
    facts: ContainerFacts,
    pod: PodRecord,
    *,
    held: bool,
    want: PodSpec | None = None,
) -> Container:
    state, end = state_of(ctx, record.id, facts, held=held)
    if end is not None and (facts.exit is None or facts.exit.code != end.code):
        end = _with_last_words(ctx, record, pod, end)
    if held:
        with suppress(TryLater, HostUnfit):  # a full disk; it is computed again, then
            _write_down(ctx, record, facts, pod, end)
            if end is not None and record.life:
                _end_cut_short(ctx, record.id, facts)
            if state.can_signal() and not facts.unwatched:
                _tell_if_unwatched(ctx, record, facts)
    told = (record, facts, pod, want, state)
    known = ctx.cache.seen.get(record.id) if end is None else None
    if known is not None and all(map(operator.is_, told, known[0])):
        return known[1]
    seen = _put_together(ctx, record, facts, pod, want, state, end)
    if end is None and _is_told_in_full(record, facts, pod):
        ctx.cache.seen[record.id] = told, seen
    return seen


def _is_told_in_full(record: ContainerRecord, facts: ContainerFacts, pod: PodRecord) -> bool:
    """Whether all that there is to see of a container that lives follows from its record, facts and pod: of most."""
    specs = (record.spec, pod.spec.container(record.name) or record.spec)
    asks_more = any(spec.probes or spec.post_start or spec.pre_stop for spec in specs)
    return not (asks_more or facts.paused or facts.deadline is not None)


def _put_together(
    ctx: Context,
    record: ContainerRecord,
    facts: ContainerFacts,
    pod: PodRecord,
    want: PodSpec | None,
    state: ContainerState,
    end: Exit | None,
) -> Container:
    wanted = want.container(record.name) if want is not None and not record.infra else None
    spec = _one_of_alike(ctx, record.id, _with_resources(record.spec, facts), wanted)
    past, now = facts.past or record, pod.spec.container(record.name) or record.spec
    verdict, post_start = _verdict(ctx, record, facts, now), _post_start(ctx, record, facts)
    return Container(
        id=record.id,
        name=record.name,
        attempt=record.attempt,
        spec=spec,
        state=state,
        pid=PidRef(facts.pid, facts.pid_start) if state.can_signal() else None,
        exit=end,
        stopping=_stopping(ctx, record, state, facts),
        restarts=past.restarts,
        crashes=past.crashes,
        last=past.last,
        image_id=record.image_id,
        created_wall=record.created_wall,
        started_wall=facts.started_wall,
        started=facts.started,
        log_path=record.log_path,
        refused=facts.refused,
        newer=facts.newer,
        turn=facts.turn,
        paused=state is ContainerState.RUNNING and facts.paused and _is_paused(ctx, record, facts),
        started_up=verdict.started_up and post_start in (None, HookState.PASSED),
        is_ready=verdict.is_ready and post_start in (None, HookState.PASSED),
        unhealthy=verdict.unhealthy,
        judged_wall=_judged(ctx, record, state),
        post_start=post_start,
        pre_stop=_pre_stop(record, pod, now),
    )


def _post_start(ctx: Context, record: ContainerRecord, facts: ContainerFacts) -> HookState | None:
    if record.spec.post_start is None:
        return None
    from reconciler.engine import hooks

    return hooks.post_start_state(ctx, record, facts)


def _pre_stop(record: ContainerRecord, pod: PodRecord, now: ContainerSpec) -> Handler | None:
    if record.infra or (record.spec.pre_stop is None and now.pre_stop is None):
        return None
    from reconciler.engine import hooks

    return hooks.pre_stop_of(pod.spec, record)


def _with_last_words(ctx: Context, record: ContainerRecord, pod: PodRecord, end: Exit) -> Exit:
    from reconciler.engine import messages

    return replace(end, message=messages.of(ctx, record, pod.spec, end))


def _verdict(ctx: Context, record: ContainerRecord, facts: ContainerFacts, now: ContainerSpec) -> Verdict:
    """By the probes that the pod has by now, which may be others than when the container was made."""
    if record.infra or not now.probes:
        return Verdict()
    from reconciler.engine import verdicts

    return verdicts.of(ctx, record.id, facts, now)


def _judged(ctx: Context, record: ContainerRecord, state: ContainerState) -> float:
    if state is not ContainerState.RUNNING or record.infra or not record.spec.probes:
        return 0.0
    from reconciler.engine import verdicts

    return verdicts.changed_wall(ctx, record.id)


def _is_paused(ctx: Context, record: ContainerRecord, facts: ContainerFacts) -> bool:
    from reconciler.engine import pausing

    return pausing.is_paused(ctx, record, facts)


def _write_down(ctx: Context, record: ContainerRecord, facts: ContainerFacts, pod: PodRecord, end: Exit | None) -> None:
    """What is seen for the first time: an exit, or its status, kills for want of memory. And what follows from it for
    others, before that: where it fails, it is done again."""
    if record.infra and pod.spec.keep and end is not None and facts.exit is None:
        from reconciler.engine import renew

        renew.rest(ctx, pod)
    told = oom.tell(ctx, record, facts, pod.spec, end)
    known = facts.exit if facts.exit is not None and end is not None and facts.exit.code == end.code else end
    if told != facts.oom_kills or known != facts.exit:
        recorded.note(ctx, record.id, exit=known, oom_kills=told)


def _end_cut_short(ctx: Context, container: ContainerId, facts: ContainerFacts) -> None:
    """Another life may have been begun of it by somebody who was killed: it would hold ports and wait for ever."""
    record = recorded.read_again(ctx, container)
    if record is not None and record.life != facts.life:
        from reconciler.engine import renew

        renew.end_cut_short(ctx, container)


def _tell_if_unwatched(ctx: Context, record: ContainerRecord, facts: ContainerFacts) -> None:
    """Once: it has no monitor any more. It goes on: an end that nobody asked for would be worse."""
    if watched.await_successor(ctx, record.id, facts.life) or not watched.lives(ctx, record.id):
        return
    recorded.note(ctx, record.id, unwatched=True)
    who = "The infra container" if record.infra else f"Container {record.name}"
    said = f"{who} has lost its monitor and goes on without: what it writes is lost, and nobody will know how it ends"
    events.emit(ctx.store, ctx.clock, str(record.key), EventType.WARNING, "MonitorLost", said)


def state_of(
    ctx: Context, container: ContainerId, facts: ContainerFacts, *, held: bool = False
) -> tuple[ContainerState, Exit | None]:
    """What a container is at, by its facts and the kernel; and how it ended."""
    if facts.exit is not None:
        return ContainerState.EXITED, _in_this_boot(facts, _told_late(ctx, container, facts) or facts.exit)
    if not facts.boot:
        return ContainerState.CREATING, None
    code, wall = _exit_code(ctx, container)
    if code is not None:
        return ContainerState.EXITED, _told(ctx, container, facts, code, wall)
    if facts.boot != processes.boot_id():
        return ContainerState.EXITED, Exit(UNKNOWN_EXIT, 0.0, facts.started_wall, facts.started_wall)
    monitored = watched.await_successor if held else watched.monitored  # what is held is written down
    if not ctx.lives(PidRef(facts.pid, facts.pid_start)) and not monitored(ctx, container, facts.life):
        code, wall = _exit_code(ctx, container)  # again: its last act may have been the exit file
        return ContainerState.EXITED, _exit(ctx, facts, UNKNOWN_EXIT if code is None else code, wall)
    return (ContainerState.RUNNING if facts.started_wall else ContainerState.CREATED), None


def _told(ctx: Context, container: ContainerId, facts: ContainerFacts, code: int, wall: float) -> Exit:
    return replace(_exit(ctx, facts, code, wall), oom=oom.ended_by(ctx.layout, container, code, facts))


def _told_late(ctx: Context, container: ContainerId, facts: ContainerFacts) -> Exit | None:
    """What the monitor said of an end for whose status nobody could wait so long."""
    if facts.exit is None or facts.exit.code != UNKNOWN_EXIT:
        return None
    record = recorded.read_again(ctx, container)
    if record is not None and record.life != facts.life:
        return None  # it is said of a later life, which was cut short
    code, wall = _exit_code(ctx, container)
    return None if code in (None, UNKNOWN_EXIT) else _told(ctx, container, facts, code, wall)


def _stopping(ctx: Context, record: ContainerRecord, state: ContainerState, facts: ContainerFacts) -> Stopping | None:
    """A stop that was written down but whose signal was perhaps never sent has not begun, unless that waits for the
    preStop hook."""
    if facts.deadline is None:
        return None
    if not state.can_signal() or facts.told or facts.killed:
        return Stopping(facts.deadline, facts.killed)
    if facts.pre_stop is None:
        return None
    from reconciler.engine import hooks

    return Stopping(facts.deadline, hook=hooks.pre_stop_state(ctx, record.id, facts))


def _exit_code(ctx: Context, container: ContainerId) -> tuple[int | None, float]:
    """What the monitor wrote, and when; the bundle's copy outlives a reboot. A damaged file says that it ended."""
    damaged = None
    for path in (f"{ctx.layout.container(container)}/exit", f"{ctx.layout.exits}/{container}"):
        if not os.access(path, os.F_OK):
            continue  # as nearly always: an exception would cost more than all else here
        text, wall = files.read_with_time(path)
        if text.strip().lstrip(b"-").isdigit():
            return int(text), wall
        damaged = wall if text else damaged
    return (None, ctx.clock.wall()) if damaged is None else (UNKNOWN_EXIT, damaged)


def _in_this_boot(facts: ContainerFacts, end: Exit) -> Exit:
    """An instant of another boot is before all of this one's."""
    return end if facts.boot == processes.boot_id() else replace(end, finished=0.0)


def _exit(ctx: Context, facts: ContainerFacts, code: int, wall: float) -> Exit:
    """The instant comes from the file's age, unless the wall clock jumped meanwhile. Nothing ends before its start,
    which is written down a moment after the fact."""
    now = ctx.clock.now()
    if facts.boot != processes.boot_id():
        return Exit(code, 0.0, wall, facts.started_wall)
    age = ctx.clock.wall() - wall
    finished = now - age if 0 <= age <= now - facts.started else now
    ran_for = max(0.0, finished - facts.started) if facts.started else 0.0
    return Exit(code, finished, max(wall, facts.started_wall), facts.started_wall, ran_for)


def _with_resources(spec: ContainerSpec, facts: ContainerFacts) -> ContainerSpec:
    return replace(spec, resources=facts.resources) if facts.resources else spec


def _unrecorded(ctx: Context, container: ContainerId) -> Container:
    """A row whose record was never written, or is lost: something half made, to be removed."""
    name, attempt = index.label_of(ctx.store, container)
    return Container(container, name, attempt, ContainerSpec(name=name, image=""), ContainerState.CREATING)


def users_of(ctx: Context, image_id: str) -> tuple[str, ...]:
    """The containers, running or not, that were made from an image."""
    records = (recorded.record_of(ctx, container) for container in index.all_containers(ctx.store))
    return tuple(f"{r.key}/{r.name}" for r in records if r is not None and image_id in (r.image_id, *r.shown))
