"""What the engine in memory is made of: pods and their containers, faults, and the two ways in which it protests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from reconciler.model.key import Key
from reconciler.model.observed import Container, Sandbox

Moment = Literal["before", "middle", "after"]


class Violation(BaseException):
    """A step that no correct plan asks for. Not an Exception: a worker that catches everything lets it through."""


class Killed(Exception):
    """The injected fault: as if the process had been killed at this step."""


@dataclass(frozen=True, slots=True)
class FakeLock:
    """What ``FakeEngine.lock`` gives: the key that is held."""

    key: Key


@dataclass(slots=True)
class Pod:
    sandbox: Sandbox
    containers: list[Container] = field(default_factory=list)

    def put(self, container: Container) -> None:
        self.containers = [container if c.id == container.id else c for c in self.containers]
        if self.sandbox.infra is not None and self.sandbox.infra.id == container.id:
            self.sandbox = replace(self.sandbox, infra=container)


@dataclass(slots=True)
class Fault:
    countdown: int
    moment: Moment
    error: BaseException
