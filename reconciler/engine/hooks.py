"""postStart and preStop of containers, run beside everything else: no worker waits for one.

A hook runs in a thread of the process that began it, which holds a lock file of the container's bundle as long; its
end is written beside that, and told to the engine's listeners. So a process that is killed leaves a hook without an
end and a lock that is free, and the next one runs it again. Where another process is at it, the thread waits, and
finds its end or takes it over. What a hook is run for is on record before: a start, or a stop whose signal was not
sent yet. The rules are the kubelet's (pkg/kubelet/lifecycle/handlers.go, kuberuntime/kuberuntime_container.go).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from reconciler.engine import locks, processes, recorded, records, watched
from reconciler.engine.context import Context
from reconciler.engine.records import ContainerFacts, ContainerRecord
from reconciler.model.cost import Cost, differs
from reconciler.model.errors import ReconcilerError
from reconciler.model.events import EventType
from reconciler.model.hook import Hook, HookState
from reconciler.model.key import ContainerId
from reconciler.model.observed import Instant
from reconciler.model.probe import Handler
from reconciler.model.spec import PodSpec

NO_LIMIT = 7 * 24 * 3600.0
"""Seconds that a postStart hook may take: Kubernetes sets it no limit."""

_FAILED = {
    Hook.POST_START: ("FailedPostStartHook", "PostStartHook failed"),
    Hook.PRE_STOP: ("FailedPreStopHook", "PreStopHook failed"),
}
"""The kubelet's events. What the hook said is left out, as there: it may be secret."""

_What = tuple[ContainerId, Hook]


@dataclass(frozen=True, slots=True)
class End:
    """How a hook ended. ``since``: the instant of the start that it followed, or of the stop that began with it, in the
    boot ``boot``: it says nothing of any other."""

    since: Instant
    boot: str
    passed: bool


class Hooks:
    """What this process is at; and ends that could not be written down (a full disk)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[_What] = set()
        self.unwritten: dict[_What, End] = {}

    def begin(self, what: _What, work: Callable[[], None]) -> None:
        """Do it in a thread of its own, unless there is one for it."""
        with self._lock:
            if what in self._running:
                return
            self._running.add(what)
        threading.Thread(target=work, name=f"{what[1]}-{what[0][:12]}", daemon=True).start()

    def over(self, what: _What) -> None:
        with self._lock:
            self._running.discard(what)

    def runs(self, what: _What) -> bool:
        with self._lock:
            return what in self._running


def pre_stop_of(pod: PodSpec, record: ContainerRecord) -> Handler | None:
    """What a container is to do before it is told to stop: as its pod says by now, unless that speaks of another
    version of it."""
    spec = pod.container(record.name)
    if record.infra or spec is None:
        return record.spec.pre_stop
    return record.spec.pre_stop if differs(spec, record.spec, Cost.CONTAINER) else spec.pre_stop


def post_start_state(ctx: Context, record: ContainerRecord, facts: ContainerFacts) -> HookState | None:
    """None where there is no such hook, or its time has not come."""
    if record.spec.post_start is None or not facts.started_wall:
        return None
    return _state(ctx, record.id, Hook.POST_START, facts.started, facts.boot)


def pre_stop_state(ctx: Context, container: ContainerId, facts: ContainerFacts) -> HookState:
    """Of a stop whose signal waits for the hook."""
    return _state(ctx, container, Hook.PRE_STOP, facts.asked, facts.boot)


def _state(ctx: Context, container: ContainerId, hook: Hook, since: Instant, boot: str) -> HookState:
    end = ctx.hooks.unwritten.get((container, hook)) or records.read(ctx.layout.container(container), hook, End)
    if end is not None and (end.since, end.boot) == (since, boot):
        return HookState.PASSED if end.passed else HookState.FAILED
    return HookState.RUNNING if ctx.hooks.runs((container, hook)) else HookState.DUE


def begin(ctx: Context, container: ContainerId, hook: Hook) -> None:
    """Have a hook run that is due, and return; its end is told to the listeners."""
    ctx.hooks.begin((container, hook), lambda: _work(ctx, container, hook))


def _work(ctx: Context, container: ContainerId, hook: Hook) -> None:
    key = None
    try:
        record = recorded.require(ctx, container)
        key = record.key
        with locks.exclusive(ctx.layout.container(container) / f"{hook}.lock"):
            _run(ctx, record, hook)
    except (ReconcilerError, OSError):
        pass  # the container is gone, or its directory cannot be written: whoever looks next sees what is due
    finally:
        ctx.hooks.over((container, hook))
        with suppress(ReconcilerError):
            ctx.store.close()
        if key is not None:
            ctx.tell(key)


def _run(ctx: Context, record: ContainerRecord, hook: Hook) -> None:
    """With its lock. Whoever held that before may have been through with it."""
    facts = recorded.facts_of(ctx, record.id)
    due = _post_start_due(record, facts) if hook is Hook.POST_START else _pre_stop_due(ctx, facts)
    if due is None:
        return
    handler, since, seconds = due
    if _state(ctx, record.id, hook, since, facts.boot).is_over:
        return
    passed = _passes(ctx, record.id, handler, seconds)
    if not passed and not processes.alive(watched.process_of(facts)):
        return  # it has ended by itself, which is no fault of the hook's
    _write_down(ctx, record.id, hook, End(since, facts.boot, passed))
    if not passed:
        _tell(ctx, record, hook)


def _post_start_due(record: ContainerRecord, facts: ContainerFacts) -> tuple[Handler, Instant, float] | None:
    if record.spec.post_start is None or not facts.started_wall or facts.exit is not None:
        return None
    return record.spec.post_start, facts.started, NO_LIMIT


def _pre_stop_due(ctx: Context, facts: ContainerFacts) -> tuple[Handler, Instant, float] | None:
    if facts.pre_stop is None or facts.deadline is None or facts.told or facts.killed or facts.exit is not None:
        return None
    left = facts.deadline - ctx.clock.now()
    return (facts.pre_stop, facts.asked, left) if left > 0 else None


def _passes(ctx: Context, container: ContainerId, handler: Handler, seconds: float) -> bool:
    from reconciler.engine import handlers
    from reconciler.model.probe import Asked

    try:
        address = handlers.address_of(ctx, container)
        outcome = handlers.run(ctx, container, handler, seconds, address, Asked.LIFECYCLE)
    except Exception:  # whatever it was: the hook was not done, and the container is not to wait for it for ever
        return False
    return outcome.passed or outcome.answered


def _write_down(ctx: Context, container: ContainerId, hook: Hook, end: End) -> None:
    try:
        records.write(ctx.layout.container(container), hook, end)
    except ReconcilerError:
        ctx.hooks.unwritten[container, hook] = end


def _tell(ctx: Context, record: ContainerRecord, hook: Hook) -> None:
    from reconciler.engine.store import events

    reason, text = _FAILED[hook]
    with suppress(ReconcilerError):  # a full disk
        events.emit(
            ctx.store, ctx.clock, str(record.key), EventType.WARNING, reason, f"Container {record.name}: {text}"
        )
