"""What the engine in memory is made of: pods and their containers, faults, and the two ways in which it protests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from reconciler.model.key import Key
from reconciler.model.observed import Container, ContainerState, Exit, Sandbox
from reconciler.model.spec import Resources

Moment = Literal["before", "middle", "after"]


class Violation(BaseException):
    """A step that no correct plan asks for. Not an Exception: a worker that catches everything lets it through."""


class Killed(Exception):
    """The injected fault: as if the process had been killed at this step."""


@dataclass(frozen=True, slots=True)
class FakeLock:
    """What ``FakeEngine.lock`` gives: the key that is held."""

    key: Key


@contextmanager
def waited_for(lock: threading.Lock, before_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock, calling ``before_waiting`` where somebody else does."""
    if not lock.acquire(blocking=False):
        before_waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass(slots=True)
class Pod:
    sandbox: Sandbox
    containers: list[Container] = field(default_factory=list)

    def put(self, container: Container) -> None:
        self.containers = [container if c.id == container.id else c for c in self.containers]
        if self.sandbox.infra is not None and self.sandbox.infra.id == container.id:
            self.sandbox = replace(self.sandbox, infra=container)

    def expect_room(self, resources: Resources) -> None:
        """v1 refuses a CPU quota above the parent's."""
        mine = self.sandbox.resources
        if mine and resources.cpu_limit and resources.cpu_limit > quota(mine):
            raise Violation(f"{resources} do not fit into the pod's {mine}")


@dataclass(slots=True)
class Fault:
    countdown: int
    moment: Moment
    error: BaseException


def made_again(container: Container) -> Container:
    """Another life of it, down to a process that waits to be started."""
    return replace(
        container,
        state=ContainerState.CREATED,
        exit=None,
        stopping=None,
        started=0.0,
        started_wall=0.0,
        paused=False,
    )


def after_reboot(container: Container, kept: bool, wall: float) -> Container:
    """What is left of it; ``kept``: of a pod that is."""
    if container.state is ContainerState.CREATED and not kept:
        return replace(container, state=ContainerState.CREATING)
    if not container.state.can_signal():
        return container
    return replace(container, state=ContainerState.EXITED, pid=None, exit=Exit(-1, 0.0, wall, container.started_wall))


def quota(resources: Resources) -> float:
    """Processors that may be used, at most."""
    return resources.cpu_limit or float("inf")


def who_may_do_more(containers: Iterable[Container], resources: Resources) -> str:
    """The container that lives and may use more processors than this, or ""; without a limit it has its pod's."""
    living = (c for c in containers if c.state.can_signal())
    return next((c.name for c in living if (c.spec.resources.cpu_limit or 0) > quota(resources)), "")
