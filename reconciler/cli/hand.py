"""What the commands on pods and containers made by hand share: what they work with, whom they mean, how they fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.app import FAILED_AS_PODMAN
from reconciler.cli.resolve import Found, find_container, observed
from reconciler.cli.selection import Which
from reconciler.cli.terminal import Progress, complain
from reconciler.model.errors import NotFound, ReconcilerError, RuntimeFailed
from reconciler.model.key import HAND, Key
from reconciler.model.observed import ContainerState, Observed

if TYPE_CHECKING:
    from reconciler.controller.by_hand import Bench
    from reconciler.controller.sync import Result
    from reconciler.engine.engine import Engine

AT_ONCE = 16
"""Pods that one command works on at the same time."""


def bench_of(engine: Engine, progress: Progress | None = None) -> Bench:
    """What a command works with; ``progress`` shows what takes long."""
    from reconciler.controller.by_hand import Bench

    return Bench(engine, engine.layout, on_wait=progress.say if progress else lambda _: None)


def new_name(bench: Bench) -> str:
    """A name that was made up, for a pod or a container that was given none."""
    from reconciler.controller.making import first_free
    from reconciler.flags.names import random_names

    return first_free(bench, random_names(random.Random()))


@dataclass(frozen=True, slots=True)
class Target:
    """A pod, and those of its containers that were named."""

    pod: Observed
    names: tuple[str, ...]
    said: tuple[str, ...]
    """As the user named them."""

    @property
    def key(self) -> Key:
        return self.pod.key

    @property
    def by_hand(self) -> bool:
        return self.pod.sandbox is None or self.pod.sandbox.owner == HAND

    @property
    def owner(self) -> str:
        """Whose pod it is, in words."""
        from reconciler.controller.wanted import spoken

        return spoken(self.pod.sandbox.owner) if self.pod.sandbox else ""


def targets(engine: Engine, which: Which) -> list[Target]:
    """The containers that were meant, by their pods.

    Raises NotFound, InvalidInput.
    """
    names, pods = which.said(engine, "containers"), observed(engine)
    made_of = {p.key for p in pods}
    found: dict[Key, list[tuple[Found, str]]] = {}
    lost = _unmade(engine, made_of) if which.everything else []
    for name in names:
        try:
            one = find_container(pods, name)
        except NotFound:
            known = [target for target in _unmade(engine, made_of) if name in target.names]
            if not known and not which.ignore:
                raise
            lost += known
        else:
            found.setdefault(one.pod.key, []).append((one, name))
    made = [
        Target(some[0][0].pod, tuple(dict.fromkeys(f.container.name for f, _ in some)), tuple(n for _, n in some))
        for some in found.values()
    ]
    return [*made, *lost]


def _unmade(engine: Engine, made: Set[Key]) -> list[Target]:
    """Pods that a command asked for, and was killed before it made anything of them."""
    found = []
    for pod in bench_of(engine).source.all():
        if pod.key not in made:
            names = tuple(c.name for c in pod.spec.everyone)
            found.append(Target(engine.observe(pod.key, None), names, names))
    return found


def each(things: Iterable[Any], act: Callable[[Any], None], say: Callable[[Any], Sequence[str]]) -> int:
    """Do something to several pods at the same time; print what was done, complain of what was not; the exit code."""
    code = 0
    listed = list(things)
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(listed))), thread_name_prefix="pod") as pool:
        for thing, future in [(thing, pool.submit(act, thing)) for thing in listed]:
            try:
                future.result()
            except ReconcilerError as error:
                complain(error.message, error.hint)
                code = FAILED_AS_PODMAN
            else:
                click.echo("\n".join(say(thing)))
    return code


def expect_alive(bench: Bench, key: Key, names: Iterable[str], result: Result) -> None:
    """Raise RuntimeFailed, with what stands in the way, where a member was not started (a short life counts)."""
    have = bench.engine.observe(key, None)
    wanted = bench.source.read(key)
    for name in names:
        last = max((c for c in have.containers if c.name == name), key=lambda c: c.attempt, default=None)
        turn = wanted.member(name).wish.turn if wanted else 0
        ran = last is not None and last.state in (ContainerState.RUNNING, ContainerState.EXITED) and last.turn >= turn
        if not ran or last is None or not last.started_wall:
            waits = [w.reason.text for w in result.waiting if w.container in ("", name)]
            raise RuntimeFailed(f"cannot start {name}: {'; '.join(waits) or 'its pod does not stand'}")
