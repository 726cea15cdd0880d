"""`inspect` and `pod inspect`: all that is known of containers, pods and images, as podman shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import complete, formats, gather
from reconciler.cli.resolve import Found, anything, observed
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import complain
from reconciler.model.errors import NotFound, ReconcilerError

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

KINDS = ("all", "container", "pod", "image")
NOT_FOUND = 125
"""Podman's exit code, also where some of those that were named could be shown."""

_FORMAT = click.option("-f", "--format", "form", metavar="FORMAT", help="json, or a Go template: '{{.State}}'.")
_LATEST = click.option("-l", "--latest", is_flag=True, help="The one that was made last.")
_NAMESPACE = click.option("-N", "--namespace", help="Only containers and pods of this namespace.")


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=complete.anything)
@_FORMAT
@_LATEST
@click.option("--type", "kind", type=click.Choice(KINDS), default="all", show_default=True, help="What is meant.")
@_NAMESPACE
@pass_options
def inspect(
    options: Options, names: tuple[str, ...], form: str | None, latest: bool, kind: str, namespace: str | None
) -> int:
    """Show all that is known of containers, pods and images: a name is looked for among them in this order.

    \b
    Example:  reconciler inspect -f '{{.State.Pid}}' web/app
    """
    _expect(names, latest)
    engine = options.engine()
    if latest:
        names = _latest([(c.created_wall, c.id) for pod in observed(engine, namespace) for c in pod.containers])
    return _show(names, lambda name: _anything(engine, namespace, name, kind), form)


@click.command("inspect")
@click.argument("names", nargs=-1, metavar="POD...", shell_complete=complete.pods)
@_FORMAT
@_LATEST
@_NAMESPACE
@pass_options
def pod_inspect(options: Options, names: tuple[str, ...], form: str | None, latest: bool, namespace: str | None) -> int:
    """Show all that is known of pods.

    \b
    Example:  reconciler pod inspect -f '{{.State}}' web
    """
    _expect(names, latest)
    engine = options.engine()
    if latest:
        pods = gather.to_see(engine, observed(engine, namespace))
        names = _latest([(pod.sandbox.created_wall, pod.sandbox.id) for pod in pods if pod.sandbox])
    return _show(names, lambda name: _anything(engine, namespace, name, "pod"), form)


def _expect(names: Sequence[str], latest: bool) -> None:
    if bool(names) == latest:
        raise click.UsageError("name what is to be shown, or say --latest (and not both)")


def _latest(made: Sequence[tuple[float, str]]) -> tuple[str, ...]:
    if not made:
        raise NotFound("cannot show the latest: nothing is there")
    return (max(made)[1],)


def _anything(engine: Engine, namespace: str | None, name: str, kind: str) -> dict[str, Any]:
    """The object of that name. Raises NotFound, InvalidInput."""
    kinds = {"containers": kind in ("all", "container"), "whole_pods": kind in ("all", "pod")}
    found = anything(engine, name, namespace, **kinds)
    if isinstance(found, Found):
        return gather.inspected(engine, found)
    if found is not None and (kind != "pod" or gather.to_see(engine, [found])):
        return gather.inspected_pod(engine, found)
    if kind in ("all", "image") and engine.images.get(name) is not None:
        return engine.images.inspect(name)
    what = f"no {kind}" if kind != "all" else "no container, pod or image"
    raise NotFound(f'cannot inspect "{name}": {what} has this name or id')


def _show(names: Sequence[str], read: Callable[[str], dict[str, Any]], form: str | None) -> int:
    """What was found is shown, what was not is complained about."""
    found, code = [], 0
    for name in names:
        try:
            found.append(read(name))
        except ReconcilerError as error:
            complain(error.message, error.hint)
            code = NOT_FOUND
    if form is None or formats.is_json(form):
        formats.show(formats.json_text(found))
    else:
        formats.show("".join(formats.object_text(form, one) for one in found))
    return code
