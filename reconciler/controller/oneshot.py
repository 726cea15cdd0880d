"""What a command does to a container without wanting anything different of its pod: for pods that a folder defines."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.controller.by_hand import Bench, await_ends
from reconciler.model.actions import KillContainer, StopContainer
from reconciler.model.desired import Absent, Present
from reconciler.model.errors import TryLater
from reconciler.model.key import Key, SourceId
from reconciler.model.observed import Container
from reconciler.model.spec import PodSpec, PortBinding
from reconciler.plan.members import BY_HAND
from reconciler.sources.resolution import Resolution

KILL_SECONDS = 10.0


def stop(bench: Bench, key: Key, containers: Sequence[Container], grace: float | None = None) -> None:
    """End what runs of these: TERM, and KILL when ``grace`` seconds are over (None: as the pod says). Returns when they
    have ended. Whoever looks after the pod starts them again.

    Raises TryLater where one does not die.
    """
    have = bench.engine.observe(key, None)
    seconds = {c.id: _grace(have.applied, c, grace) for c in containers}
    with bench.engine.lock(key) as lock:
        for c in containers:
            bench.engine.perform(lock, StopContainer(c.id, c.name, seconds[c.id], BY_HAND))
    left = await_ends(containers, max(seconds.values(), default=0.0))
    if not left:
        return
    with bench.engine.lock(key) as lock:
        for c in left:
            bench.engine.perform(lock, KillContainer(c.id, c.name, BY_HAND))
    if left := await_ends(left, KILL_SECONDS):
        raise TryLater(f"cannot stop {', '.join(c.name for c in left)} of pod {key}: it was killed and runs still")


def _grace(applied: PodSpec | None, container: Container, asked: float | None) -> float:
    if asked is not None:
        return asked
    return applied.grace_of(container.spec) if applied else 30.0


class AsApplied:
    """The word for a pod of another source: what was applied last, for a command that works on it by itself."""

    def __init__(self, bench: Bench) -> None:
        self._engine = bench.engine

    def resolve(self, key: Key) -> Resolution:
        sandbox = self._engine.observe(key, None).sandbox
        if sandbox is None:
            return Resolution(Absent("it is gone"))
        return Resolution(Present(sandbox.applied, sandbox.owner, settled=False))

    def releases(self, key: Key, binding: PortBinding) -> bool:  # noqa: ARG002 (see sync.Resolver)
        return False

    def learn(self, key: Key, owner: SourceId | None) -> bool:  # noqa: ARG002 (see sync.Resolver)
        return False
