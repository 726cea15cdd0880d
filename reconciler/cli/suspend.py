"""`suspend` and `resume`: pods of a folder that are to be left alone for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from reconciler.cli import complete
from reconciler.cli.resolve import find_pod
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import complain
from reconciler.model.errors import InvalidInput, NotFound, ReconcilerError
from reconciler.model.key import HAND, Key

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine
    from reconciler.model.key import SourceId
    from reconciler.sources.suspended import Suspensions

PODS = click.argument("names", nargs=-1, required=True, metavar="POD...", shell_complete=complete.pods)
NAMESPACE = click.option("-n", "-N", "--namespace", help="Pods of this namespace.")


@click.command()
@PODS
@NAMESPACE
@pass_options
def suspend(options: Options, names: tuple[str, ...], namespace: str | None) -> int:
    """Leave pods of a folder alone, as they are, until resume: whatever ends is not started again, and what changes in
    their manifests waits, also over restarts of the machine. Only down removes them.

    What runs goes on; to stop it as well: reconciler pod stop POD.

    \b
    Example:  reconciler suspend web
    """
    engine = options.engine()
    return _each(names, lambda name: _suspend(engine, _suspensions(engine), name, namespace))


def _suspend(engine: Engine, suspensions: Suspensions, name: str, namespace: str | None) -> None:
    from reconciler.model.events import EventType

    pod = find_pod(engine, name, namespace)
    if pod.sandbox is not None and pod.sandbox.owner == HAND:
        raise InvalidInput(
            f'cannot suspend pod "{pod.key.name}": it was made by hand, and only commands change it',
            hint=f"to stop it: reconciler pod stop {pod.key.name}",
        )
    with engine.lock(pod.key):
        is_new = suspensions.suspend(pod.key, engine.context.clock.wall())
    if not is_new:
        click.echo(f"pod {pod.key} is suspended already")
        return
    engine.emit(str(pod.key), EventType.NORMAL, "Suspended", "It is left as it is until it is resumed")
    click.echo(f"pod {pod.key} is suspended")


@click.command()
@PODS
@NAMESPACE
@pass_options
def resume(options: Options, names: tuple[str, ...], namespace: str | None) -> int:
    """Take suspended pods up again: they become what their manifests say now.

    \b
    Example:  reconciler resume web
    """
    engine = options.engine()
    return _each(names, lambda name: _resume(engine, _suspensions(engine), name, namespace))


def _resume(engine: Engine, suspensions: Suspensions, name: str, namespace: str | None) -> None:
    from reconciler.model.events import EventType

    key, owner = _known(engine, suspensions, name, namespace)
    with engine.lock(key):
        was = suspensions.resume(key)
    if not was:
        click.echo(f"pod {key} is not suspended")
        return
    engine.emit(str(key), EventType.NORMAL, "Resumed", "It becomes what its manifest says")
    click.echo(f"pod {key} is resumed")
    _tell_of_nobody(engine, key, owner)


def _known(engine: Engine, suspensions: Suspensions, name: str, namespace: str | None) -> tuple[Key, SourceId | None]:
    """The pod that is meant, and whose it is; also one that is suspended and not there.

    Raises NotFound, InvalidInput.
    """
    try:
        pod = find_pod(engine, name, namespace)
    except NotFound:
        absent = [key for key in suspensions.keys() if name in (key.name, str(key))]  # noqa: SIM118 (no dict)
        meant = [key for key in absent if namespace in (None, key.namespace)]
        if len(meant) != 1:
            raise
        return meant[0], None
    return pod.key, pod.sandbox.owner if pod.sandbox else None


def _tell_of_nobody(engine: Engine, key: Key, owner: SourceId | None) -> None:
    """Where no controller looks after the pod, nothing happens before the next command."""
    from reconciler.controller.lock import holder
    from reconciler.controller.wanted import spoken

    live = holder(engine.layout.controller_lock)
    if owner is None or (live is not None and owner in live.sources):
        return
    place = spoken(owner)
    complain(f"nobody watches {place}: pod {key} stays as it is for now", f"take it up: reconciler apply {place}")


def _suspensions(engine: Engine) -> Suspensions:
    from reconciler.sources.suspended import Suspensions

    return Suspensions(engine.layout.suspended)


def _each(names: tuple[str, ...], act: Callable[[str], None]) -> int:
    code = 0
    for name in names:
        try:
            act(name)
        except ReconcilerError as error:
            complain(error.message, error.hint)
            code = 1
    return code
