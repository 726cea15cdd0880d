"""Hooks of containers in memory: nothing is run, a test says how each ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.model.cost import Cost, differs
from reconciler.model.hook import Hook, HookState
from reconciler.model.observed import Container, ContainerState, Instant
from reconciler.model.spec import LEAST_GRACE, PodSpec

if TYPE_CHECKING:
    from reconciler.model.key import Key
    from tests.fakes.engine import FakeEngine


def end(engine: FakeEngine, key: Key, name: str, *, passed: bool = True) -> None:
    """The hook ends that the running attempt at a member is at."""
    pod = engine._pods[key]
    pod.containers = [ended(c, passed) if c.name == name else c for c in pod.containers]
    engine._tell(key)


def lose(engine: FakeEngine) -> None:
    """The process is killed that ran all hooks; another goes on."""
    for pod in engine._pods.values():
        pod.containers = [lost(c) for c in pod.containers]


def recorded(container: Container, pod: PodSpec) -> Container:
    """What is to be done before its stop is what its pod says by now."""
    spec = pod.container(container.name)
    another = spec is None or differs(spec, container.spec, Cost.CONTAINER)
    return container if spec is None or another else replace(container, pre_stop=spec.pre_stop)


def started(container: Container) -> Container:
    """With its postStart hook, which keeps it from being up, if it has one."""
    if container.spec.post_start is None:
        return container
    return replace(container, post_start=HookState.RUNNING, started_up=False, is_ready=False)


def begun_again(container: Container, hook: Hook) -> Container:
    before = container.stopping.hook if hook is Hook.PRE_STOP and container.stopping else container.post_start
    assert before is HookState.DUE, f"running the {hook} hook of {container.name} twice"
    return _with(container, hook, HookState.RUNNING)


def told(container: Container, now: Instant) -> Container:
    """It was sent TERM, after its hook."""
    stopping = container.stopping
    assert stopping is not None and stopping.hook is not None, f"telling {container.name} twice to stop"
    return replace(container, stopping=replace(stopping, hook=None, deadline=max(stopping.deadline, now + LEAST_GRACE)))


def ended(container: Container, passed: bool) -> Container:
    """The hook that it is at is over."""
    if container.state is not ContainerState.RUNNING:
        return container
    hook = Hook.PRE_STOP if container.stopping and container.stopping.hook else Hook.POST_START
    return _with(container, hook, HookState.PASSED if passed else HookState.FAILED)


def lost(container: Container) -> Container:
    if container.stopping and container.stopping.hook is HookState.RUNNING:
        container = _with(container, Hook.PRE_STOP, HookState.DUE)
    if container.post_start is HookState.RUNNING:
        container = _with(container, Hook.POST_START, HookState.DUE)
    return container


def _with(container: Container, hook: Hook, state: HookState) -> Container:
    if hook is Hook.POST_START:
        up = state is HookState.PASSED and container.spec.startup is None
        return replace(container, post_start=state, started_up=up, is_ready=up and container.spec.readiness is None)
    assert container.stopping is not None
    return replace(container, stopping=replace(container.stopping, hook=state))
