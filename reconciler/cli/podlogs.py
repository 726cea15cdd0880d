"""`pod logs`: what the containers of a pod wrote, each line with whose it is where several do."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING

import click

from reconciler.cli import complete, whose
from reconciler.cli.logs import followed, log_path, read_log, window, write
from reconciler.cli.moments import moment, of_stamp
from reconciler.cli.resolve import Found, current
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import coloured
from reconciler.model.errors import NotFound

if TYPE_CHECKING:
    from reconciler.cli.crilog import Line
    from reconciler.model.observed import Observed

COLOURS = ("32", "33", "34", "35", "36", "31")

Labelled = tuple[str, "Line"]


@click.command()
@click.argument("name", required=False, metavar="POD", shell_complete=complete.pods)
@click.option("-c", "--container", "member", help="Only of this container, by its name or id.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the containers have ended for good.")
@click.option("--tail", type=click.IntRange(min=-1), default=-1, metavar="N", help="The last N lines of each only.")
@click.option("--since", type=moment, metavar="TIME", help="Only lines from then on: 10m, or a date.")
@click.option("--until", type=moment, metavar="TIME", help="Only lines up to then.")
@click.option("-t", "--timestamps", is_flag=True, help="Show the time of each line.")
@click.option("-n", "--names", is_flag=True, help="Begin lines with the container's name, not its id.")
@click.option("--color", "colour", is_flag=True, help="A colour for each container, on a terminal.")
@click.option("-l", "--latest", is_flag=True, help="Of the pod that was made last, instead of POD.")
@click.option("--raw", is_flag=True, help="As it is also to a terminal, which then obeys it: colours, and all else.")
@click.option("-N", "--namespace", help="Only in this namespace.")
@pass_options
def logs(
    options: Options,
    name: str | None,
    member: str | None,
    follow: bool,
    tail: int,
    since: float | None,
    until: float | None,
    timestamps: bool,
    names: bool,
    colour: bool,
    latest: bool,
    raw: bool,
    namespace: str | None,
) -> int:
    """Print what the containers of a pod wrote, in the order of time.

    Where several are shown, each line begins with its container. TIME is a duration before now (90s, 1h30m), a date and
    time (2026-01-02T15:04:05Z), or seconds since 1970.

    \b
    Example:  reconciler pod logs -f --names --tail 20 web
    """
    if latest == (name is not None):
        raise click.UsageError("name a pod, or say --latest (and not both)")
    engine = options.engine()
    pod = whose.pod(engine, name, namespace)
    found = [Found(pod, c) for c in current(pod) if c.log_path] if member is None else [_one(pod, member)]
    colours = cycle(COLOURS if colour else ("",))
    labels = [_label(one, names, its) if len(found) > 1 else "" for one, its in zip(found, colours, strict=False)]
    logs = [(label, one, log_path(one, False)) for label, one in zip(labels, found, strict=True)]
    wanted, count = window(since, until), None if tail < 0 else tail
    if follow:
        lines = followed(engine, logs, count, since, until, wanted)
    else:
        lines = merged((label, read_log(path, count, since, until, wanted)) for label, _, path in logs)
    write(whole(lines) if len(found) > 1 else lines, timestamps, at_once=follow, raw=raw)
    return 0


def _one(pod: Observed, member: str) -> Found:
    """That container of a pod, by its name or a unique beginning of its id. Raises NotFound."""
    there = current(pod)
    named = [c for c in there if c.name == member] or [c for c in there if member and c.id.startswith(member)]
    if len(named) != 1:
        names = ", ".join(c.name for c in there) or "none"
        raise NotFound(f'cannot find container "{member}" in pod {pod.key}: it has {names}')
    return Found(pod, named[0])


def _label(found: Found, names: bool, colour: str) -> str:
    text = found.container.name if names else found.container.id[:12]
    return f"{coloured(text, colour) if colour else text} "


def merged(logs: Iterable[tuple[str, Iterable[Line]]]) -> Iterator[Labelled]:
    """Lines of several logs, with the label of each, in the order of time; each log is in order, and stays so."""
    in_order = heapq.merge(*(_timed(label, lines) for label, lines in logs), key=lambda timed: timed[0])
    return (labelled for _, labelled in in_order)


def _timed(label: str, lines: Iterable[Line]) -> Iterator[tuple[float, Labelled]]:
    """What does not say when it was written was so with the line before it."""
    at = 0.0
    for line in lines:
        at = max(at, of_stamp(line.stamp) or 0.0)
        yield at, (label, line)


def whole(lines: Iterable[Labelled]) -> Iterator[Labelled]:
    """A line that its container never ended is ended where another's may follow."""
    return ((label, replace(line, whole=True)) for label, line in lines)
