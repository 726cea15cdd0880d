"""`events`: what happened to which object, and why."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import complete
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import age, table
from reconciler.cli.terminal import YELLOW, coloured, harmless
from reconciler.model.events import Event, EventType

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine


IMAGE = "image/"
"""How the name of an image begins in ``Event.about``."""


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens now, until Ctrl-C.")
@click.option(
    "--for",
    "about",
    metavar="POD|PATH",
    shell_complete=complete.pods,
    help="Only of this pod (NAME, NAMESPACE/NAME) or file.",
)
@click.option("-n", "-N", "--namespace", help="Only of pods of this namespace.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@pass_options
def events(options: Options, follow: bool, about: str | None, namespace: str | None, form: str) -> int:
    """Show what happened, oldest first. Repeated events are counted, not repeated.

    \b
    Example:  reconciler events -f --for web
    """
    engine = options.engine()

    def wanted(event: Event) -> bool:
        return matches(event, about, namespace)

    past = [e for e in engine.events() if wanted(e)]
    if not follow:
        click.echo(as_json(past) if form == "json" else as_table(past, time.time()))
        return 0
    for event in past:
        _show(event, form)
    for event in follow_events(engine, past[-1].seq if past else 0):
        if wanted(event):
            _show(event, form)
    return 0


def matches(event: Event, about: str | None, namespace: str | None) -> bool:
    """Whether an event is about the pod or file that the user named."""
    if namespace is not None and not event.about.startswith(f"{namespace}/"):
        return False
    if about is None or event.about == about:
        return True
    name = about.removeprefix("pod/").removeprefix("pods/")
    if event.about.startswith("/"):
        return event.about == str(Path(about).absolute()) or event.about.startswith(f"{Path(about).absolute()}:")
    return event.about == name or ("/" not in name and event.about.partition("/")[2] == name)


def follow_events(engine: Engine, after: int) -> Iterator[Event]:
    """Events as they are written: each transaction touches the database's write-ahead log, which is watched."""
    import select

    from reconciler.linux.inotify import Inotify, Mask

    watch = Inotify()
    watch.add(str(engine.layout.database.parent), Mask.MODIFY | Mask.CREATE)
    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    try:
        while True:
            for event in engine.events(after=after):
                after = event.seq
                yield event
            poll.poll(5000)
            watch.read()
    finally:
        watch.close()


def as_table(shown: list[Event], now: float) -> str:
    """kubectl's columns."""
    if not shown:
        return "No events."
    return table(
        ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"],
        [(_seen(e, now), e.type, e.reason, object_of(e), e.message) for e in shown],
    )


def object_of(event: Event) -> str:
    """``pod/NAMESPACE/NAME``, ``image/REFERENCE``, the path or (of this host: "network") the word as it is."""
    as_it_is = event.about.startswith((os.sep, IMAGE)) or "/" not in event.about
    return event.about if as_it_is else f"pod/{event.about}"


def _seen(event: Event, now: float) -> str:
    last = age(now - event.last_wall)
    return last if event.count == 1 else f"{last} (x{event.count} over {age(now - event.first_wall)})"


def as_json(shown: list[Event]) -> str:
    import json
    from dataclasses import asdict

    return json.dumps([asdict(e) for e in shown], indent=2)


def _show(event: Event, form: str) -> None:
    if form == "json":
        import json
        from dataclasses import asdict

        line = json.dumps(asdict(event))
    else:
        stamp = time.strftime("%H:%M:%S", time.localtime(event.last_wall))
        kind = coloured(event.type, YELLOW) if event.type is EventType.WARNING else event.type
        times = f" (x{event.count})" if event.count > 1 else ""
        line = f"{stamp} {kind} {event.reason} {harmless(object_of(event))}: {harmless(event.message)}{times}"
    click.echo(line)
    sys.stdout.flush()
