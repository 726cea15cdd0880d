"""Whose processes, usage, ports or logs a command shows: a container or pod by its name, or the one made last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from reconciler.cli import gather
from reconciler.cli.resolve import Found, current, find_container, find_pod, infra_name, observed, shown_infra
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.observed import ContainerState, Observed

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine


def parted(words: tuple[str, ...], latest: bool, what: str) -> tuple[str | None, tuple[str, ...]]:
    """A command's words: the name of the object (None: the latest), and the rest."""
    if latest:
        return None, words
    if not words:
        raise click.UsageError(f"Missing argument '{what}'.")
    return words[0], words[1:]


def container(engine: Engine, name: str | None, namespace: str | None = None) -> Found:
    """The container of that name, an infra container, too; None: the member made last.

    Raises NotFound, InvalidInput.
    """
    if name is not None:
        return find_container(engine, name, namespace)
    everyone = [Found(pod, member) for pod in observed(engine, namespace) for member in current(pod)]
    if not everyone:
        raise NotFound("cannot find the latest container: no container is here")
    return max(everyone, key=lambda found: found.container.created_wall)


def pod(engine: Engine, name: str | None, namespace: str | None = None) -> Observed:
    """The pod of that name; None: the one made last, but for those that are there for one container only.

    Raises NotFound, InvalidInput.
    """
    if name is not None:
        return find_pod(engine, name, namespace)
    solo = {key for key, hand in gather.by_hand(engine.layout.hand).items() if hand.solo}
    pods = tuple(pod for pod in observed(engine, namespace) if pod.key not in solo)
    if not pods:
        raise NotFound("cannot find the latest pod: no pod is here")
    return max(pods, key=lambda pod: pod.sandbox.created_wall if pod.sandbox else 0.0)


def members(pod: Observed) -> Iterator[Found]:
    """The infra container, where there is one, and the newest attempt at each member."""
    if (infra := shown_infra(pod)) is not None:
        yield Found(pod, infra)
    yield from (Found(pod, member) for member in current(pod))


def name(found: Found) -> str:
    """What the container is called in its pod."""
    infra = found.pod.sandbox.infra if found.pod.sandbox else None
    return infra_name(found.pod) if infra and infra.id == found.container.id else found.container.name


def runs(found: Found) -> bool:
    return found.container.state is ContainerState.RUNNING


def expect_running(found: Found, doing: str) -> None:
    """Raises InvalidInput ("cannot ``doing`` …") for a container that does not run."""
    if not runs(found):
        raise InvalidInput(
            f"cannot {doing} {found.name}: the container is {found.container.state}, not running",
            hint=f"see: reconciler logs {found.name}",
        )
