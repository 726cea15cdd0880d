"""What the commands on pods and containers made by hand share: what they work with, whom they mean, how they fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.app import FAILED_AS_PODMAN
from reconciler.cli.naming import find_container
from reconciler.cli.resolve import Found, seen
from reconciler.cli.selection import Which
from reconciler.cli.terminal import Progress, complain
from reconciler.model.errors import NotFound, ReconcilerError
from reconciler.model.key import HAND, Key
from reconciler.model.observed import Observed

if TYPE_CHECKING:
    from reconciler.controller.by_hand import Bench
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
    found: dict[Key, list[tuple[Found, str]]] = {}
    lost = _unmade(engine) if which.everything else []
    names, known = which.said(engine, "containers"), engine.names()
    for name in names:
        try:
            one = seen(engine, find_container(known, name))
        except NotFound:
            asked_for = [target for target in _unmade(engine) if name in target.names]
            if not asked_for and not which.ignore:
                raise
            lost += asked_for
        else:
            found.setdefault(one.pod.key, []).append((one, name))
    made = [
        Target(some[0][0].pod, tuple(dict.fromkeys(f.container.name for f, _ in some)), tuple(n for _, n in some))
        for some in found.values()
    ]
    return [*made, *lost]


def _unmade(engine: Engine) -> list[Target]:
    """Containers that a command asked for, and was killed before it made them."""
    found = []
    for pod in bench_of(engine).source.all():
        have = engine.look(pod.key)
        made = {container.name for container in have.containers}
        if names := tuple(c.name for c in pod.spec.everyone if c.name not in made):
            found.append(Target(have, names, names))
    return found


def on_each(engine: Engine, meant: Sequence[Target], act: Callable[[Bench, Target], None]) -> int:
    """``act`` on each of those that were meant, several pods at the same time; the exit code."""
    bench = bench_of(engine)
    return each(meant, lambda target: act(bench, target), lambda target: target.said)


def each(things: Iterable[Any], act: Callable[[Any], None], say: Callable[[Any], Sequence[str]]) -> int:
    """Do something to several pods at the same time; print what was done, complain of what was not; the exit code."""
    from reconciler.controller import several

    def failure(thing: Any) -> ReconcilerError | None:
        try:
            act(thing)
        except ReconcilerError as error:
            return error
        return None

    code = 0
    for thing, error in several.each(list(things), failure, AT_ONCE):
        if error is None:
            click.echo("\n".join(say(thing)))
        else:
            complain(error.message, error.hint)
            code = FAILED_AS_PODMAN
    return code
