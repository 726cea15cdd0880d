"""`stats` and `pod stats`: what containers use, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import complete, formats, gather, rows, whose
from reconciler.cli import usagelist as shown
from reconciler.cli.options.bundle import F, bundled
from reconciler.cli.resolve import observed
from reconciler.cli.rows import ByHand, ContainerRow
from reconciler.cli.screen import Screen
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import table
from reconciler.cli.usagelist import Fields, Measured, Meter
from reconciler.model.key import ContainerId, Key
from reconciler.model.observed import Observed
from reconciler.model.usage import Usage

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

FIRST = 0.3
"""Seconds over which CPU % is measured at first: the kernel counts in steps of some milliseconds."""


@dataclass(frozen=True, slots=True)
class Way:
    """Who is meant and how it is shown, as both commands are asked. ``interval``: seconds."""

    names: tuple[str, ...] = ()
    everything: bool = False
    form: str | None = None
    interval: float = 1.0
    latest: bool = False
    no_reset: bool = False
    no_stream: bool = False
    no_trunc: bool = False
    namespace: str | None = None

    def chosen_names(self) -> tuple[str | None, ...]:
        """The names; None in their place for the one made last. Raises UsageError where two things were said."""
        if bool(self.names) + self.everything + self.latest > 1:
            raise click.UsageError("names, --all and --latest cannot be used together")
        return self.names or ((None,) if self.latest else ())


_FORMAT = click.option("--format", "form", metavar="FORMAT", help="json, or a Go template: '{{.Name}} {{.CPUPerc}}'.")
_POD_FORMAT = click.option("--format", "form", metavar="FORMAT", help="json, or a Go template: '{{.Name}} {{.CPU}}'.")
_INTERVAL = click.FloatRange(min=0.1)
_NO_RESET = click.option("--no-reset", is_flag=True, help="On a terminal, too, one table below the other.")
_NO_STREAM = click.option("--no-stream", is_flag=True, help="Once only.")
_NO_TRUNC = click.option("--no-trunc", is_flag=True, help="Whole ids.")
_NAMESPACE = click.option("-N", "--namespace", help="Only in this namespace.")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whose usage is shown. ``members`` and ``pods`` None: all. ``idle``: also of those that do not run."""

    members: frozenset[tuple[Key, str]] | None = None
    pods: frozenset[Key] | None = None
    idle: bool = False
    namespace: str | None = None

    @property
    def named(self) -> bool:
        return self.pods is not None

    def has(self, key: Key, row: ContainerRow, usage: Usage | None) -> bool:
        return (usage is not None or self.idle) and (self.members is None or (key, row.member) in self.members)


def _asked(*own: Any) -> Callable[[F], F]:
    return bundled("way", Way, (*own, _NO_RESET, _NO_STREAM, _NO_TRUNC, _NAMESPACE))


@click.command()
@_asked(
    click.argument("names", nargs=-1, metavar="[CONTAINER]...", shell_complete=complete.containers),
    click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run."),
    _FORMAT,
    click.option(
        "-i", "--interval", type=_INTERVAL, default=5.0, metavar="SECONDS", help="Time from one to the next: 5."
    ),
    click.option("-l", "--latest", is_flag=True, help="The container that was made last."),
)
@pass_options
def stats(options: Options, way: Way) -> int:
    """Show what containers use, again and again until Ctrl-C: those that run, or those that are named.

    Of CPU, 100% is one of them, used since the table before; memory is without files that were only read, NET IO is the
    pod's, received and sent, BLOCK IO read and written.

    \b
    Example:  reconciler stats
              reconciler stats --no-stream --format json web/app
    """
    names = way.chosen_names()
    engine = options.engine()
    found = [whose.container(engine, name, way.namespace) for name in names]
    members = frozenset((one.pod.key, whose.name(one)) for one in found) if found else None
    pods = frozenset(one.pod.key for one in found) if found else None
    chosen = Chosen(members, pods, way.everything or bool(found), way.namespace)

    def text(measured: Sequence[Measured]) -> str:
        known = [shown.fields(one, full=way.no_trunc) for one in measured]
        if way.form is not None and formats.is_json(way.form):
            return formats.json_text([shown.as_json(one) for one in known])
        return listing(way.form, known, shown.COLUMNS, shown.HEADINGS)

    show(engine, chosen, text, way)
    return 0


@click.command("stats")
@_asked(
    click.argument("names", nargs=-1, metavar="[POD]...", shell_complete=complete.pods),
    click.option("-a", "--all", "everything", is_flag=True, help="All pods, and what does not run of them."),
    _POD_FORMAT,
    click.option(
        "-i", "--interval", type=_INTERVAL, default=1.0, metavar="SECONDS", help="Time from one to the next: 1."
    ),
    click.option("-l", "--latest", is_flag=True, help="The pod that was made last."),
)
@pass_options
def pod_stats(options: Options, way: Way) -> int:
    """Show what the containers of pods use, again and again until Ctrl-C.

    Of CPU, 100% is one of them, used since the table before; memory is without files that were only read, NET IO is the
    pod's, received and sent, BLOCK IO read and written.

    \b
    Example:  reconciler pod stats web
              reconciler pod stats --no-stream --format 'table {{.Name}} {{.CPU}} {{.Mem}}'
    """
    names = way.chosen_names()
    engine = options.engine()
    pods = frozenset(whose.pod(engine, name, way.namespace).key for name in names)
    chosen = Chosen(None, pods or None, way.everything, way.namespace)

    def text(measured: Sequence[Measured]) -> str:
        known = [shown.pod_fields(one, full=way.no_trunc) for one in measured if one.row.pod]
        if way.form is not None and formats.is_json(way.form):
            return formats.json_text(known)
        unknown = dict.fromkeys(shown.POD_COLUMNS, shown.UNKNOWN)
        return listing(
            way.form, known or ([unknown] if way.form is None else []), shown.POD_COLUMNS, shown.POD_HEADINGS
        )

    show(engine, chosen, text, way)
    return 0


def listing(form: str | None, known: Sequence[Fields], columns: Sequence[str], headings: dict[str, str]) -> str:
    """The usual table, or what a template makes of each. Raises InvalidInput."""
    if form is None or form == "table":
        return table([headings[name] for name in columns], [[one[name] for name in columns] for one in known], gap=2)
    return formats.rows_text(form, known, headings)


def show(engine: Engine, chosen: Chosen, text: Callable[[Sequence[Measured]], str], way: Way) -> None:
    """Measure and show, once or every so many seconds. Ends when none is left of those that were named."""
    screen, meter = Screen(repaint=not (way.no_reset or way.no_stream)), Meter()
    meter.measured(look(engine, chosen), time.time())
    time.sleep(FIRST)
    while True:
        measured = meter.measured(look(engine, chosen), time.time())
        if chosen.named and not measured:
            return
        screen.show(text(measured))
        if way.no_stream:
            return
        time.sleep(way.interval)


def look(engine: Engine, chosen: Chosen) -> list[tuple[ContainerRow, Usage | None]]:
    """Each container that is to be shown, with what it uses; None for one that does not run."""
    hand = gather.by_hand(engine.layout.hand)
    found: list[tuple[ContainerRow, Usage | None]] = []
    for pod in _pods(engine, chosen):
        usage = engine.usage(pod)
        for row in rows.of_pod(pod, _no_command, hand.get(pod.key, ByHand())):
            its = usage.get(ContainerId(row.id))
            if chosen.has(pod.key, row, its):
                found.append((row, its))
    return found


def _pods(engine: Engine, chosen: Chosen) -> Iterator[Observed]:
    if chosen.pods is None:
        yield from observed(engine, chosen.namespace)
        return
    for key in sorted(chosen.pods):
        pod = engine.look(key)
        if pod.sandbox is not None:
            yield pod


def _no_command(_image: str) -> tuple[str, ...]:
    return ()
