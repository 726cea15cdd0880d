"""`status` and `validate`: what is said of manifest files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.settings import Options, pass_options
from reconciler.cli.strictness import STRICTNESS, as_before, chosen_without_engine
from reconciler.cli.table import table
from reconciler.cli.terminal import GREEN, RED, YELLOW, coloured, harmless
from reconciler.model.errors import NotFound

if TYPE_CHECKING:
    from reconciler.controller.looking import StatusRow
    from reconciler.engine.engine import Engine
    from reconciler.model.strictness import Strictness
    from reconciler.sources.directory import DirectorySource

MANIFESTS = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("places", nargs=-1, required=True, type=MANIFESTS, metavar="DIR|FILE...")
@click.option("-q", "--quiet", is_flag=True, help="Problems only.")
@STRICTNESS
@pass_options
def validate(options: Options, places: tuple[Path, ...], quiet: bool, strictness: str | None) -> int:
    """Check manifests without touching anything; needs no root.

    Exit code 0: all are good (there may be warnings); 1: something is wrong; 2: wrong usage.

    \b
    Example:  reconciler validate manifests/
    """
    chosen = chosen_without_engine(options, strictness)
    sources = [source_of(place, chosen) for place in places]
    problems = list(dict.fromkeys(p for source in sources for p in source.problems()))
    for problem in problems:
        click.echo(coloured(harmless(str(problem)), RED if problem.is_error else YELLOW))
    twice = defined_twice(sources)
    for line in twice:
        click.echo(coloured(harmless(line), RED))
    files = sum(len(source.snapshot.files) for source in sources)
    pods = sum(len(source.snapshot.claims) for source in sources)
    errors = sum(p.is_error for p in problems) + len(twice)
    if not quiet:
        click.echo(f"{_count(files, 'file')}, {_count(pods, 'pod')}, {_count(errors, 'error')}")
    return 1 if errors else 0


def source_of(place: Path, strictness: Strictness | None = None) -> DirectorySource:
    """A directory or a file as a source that remembers nothing."""
    from reconciler.sources.directory import DirectorySource, FileSource

    kind = DirectorySource if place.is_dir() else FileSource
    return kind(place, strictness=strictness)


def defined_twice(sources: Sequence[DirectorySource]) -> list[str]:
    """Pods that more than one of the sources defines (one source tells of its own)."""
    first: dict[object, DirectorySource] = {}
    lines = []
    for source in sources:
        for key in sorted(source.snapshot.claims):
            other = first.setdefault(key, source)
            if other is not source and other.id != source.id:
                lines.append(f"{source.path_of(key)}: pod {key} is already defined in {other.path_of(key)}")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@click.command()
@click.argument("places", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR|FILE]...")
@pass_options
def status(options: Options, places: tuple[Path, ...]) -> int:
    """Say of each file what has become of it. Without DIR: of what is watched, or was applied, here.

    Exit code 0: all is as wanted; 1: on the way, or suspended; 2: something is wrong and waits for you.

    \b
    Example:  reconciler status manifests/
    """
    from reconciler.controller import converge, looking
    from reconciler.sources.suspended import Suspensions

    engine = options.engine()
    sources = converge.open_sources(places, engine.layout) if places else known_sources(engine)
    as_before(engine, sources)
    rows = looking.status(
        engine, sources, troubles=engine.layout.troubles, suspensions=Suspensions(engine.layout.suspended)
    )
    if not rows:
        click.echo("No manifests found.", err=True)
        return 0
    click.echo(shown(rows))
    return exit_code([row.state for row in rows])


COLOURS = {"Converged": GREEN, "Error": RED, "Held": RED}
MOST = 5  # objects and problems shown of one file; the rest are counted


def shown(rows: Sequence[StatusRow]) -> str:
    """The table: a line for each file, and below it one for each further object and problem of it."""
    cells: list[tuple[str, str, str, str]] = []
    for row in rows:
        problems = _first([text.replace(row.file, _short(row.file)) for text in row.problems])
        objects = _first([str(found) for found in row.objects])
        beside = list(zip_longest(objects, problems, fillvalue="")) or [("", "")]
        for number, (found, problem) in enumerate(beside):
            file, state = (_short(row.file), row.state) if number == 0 else ("", "")
            cells.append((file, found, state, problem))
    lines = table(["FILE", "OBJECTS", "STATE", "PROBLEM"], cells).splitlines()
    for number, (_, _, state, _) in enumerate(cells, start=1):
        if state:
            lines[number] = lines[number].replace(f" {state}", f" {coloured(state, COLOURS.get(state, YELLOW))}", 1)
    return "\n".join(lines)


def _first(texts: list[str]) -> list[str]:
    return texts if len(texts) <= MOST else [*texts[: MOST - 1], f"and {len(texts) - MOST + 1} more"]


def exit_code(states: Sequence[str]) -> int:
    """0 converged, 1 converging or suspended, 2 errors (what is held back waits for a person, too)."""
    if {"Error", "Held"} & set(states):
        return 2
    return 0 if all(state == "Converged" for state in states) else 1


def known_sources(engine: Engine) -> list[DirectorySource]:
    """What the live controller watches; without one, whatever has pods recorded here.

    Raises NotFound where there is neither.
    """
    from reconciler.cli.resolve import observed
    from reconciler.controller.converge import open_sources
    from reconciler.controller.lock import holder

    live = holder(engine.layout.controller_lock)
    if live is not None and live.directories:
        return open_sources(live.directories, engine.layout)
    owners = {pod.sandbox.owner for pod in observed(engine) if pod.sandbox}
    places = sorted(owner.partition(":")[2] for owner in owners if owner.startswith(("dir:", "file:")))
    if not places:
        raise NotFound("cannot tell a status: nothing is watched here, and no pod is recorded", hint="say which folder")
    return open_sources(places, engine.layout)


def _short(path: str) -> str:
    """A path below the working directory without that."""
    return path.removeprefix(f"{Path.cwd()}/")
