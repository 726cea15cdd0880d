"""`status` and `validate`: what is said of manifest files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.terminal import RED, YELLOW, coloured, harmless

if TYPE_CHECKING:
    from reconciler.sources.directory import DirectorySource

MANIFESTS = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("places", nargs=-1, required=True, type=MANIFESTS, metavar="DIR|FILE...")
@click.option("-q", "--quiet", is_flag=True, help="Problems only.")
def validate(places: tuple[Path, ...], quiet: bool) -> int:
    """Check manifests without touching anything; needs no root.

    Exit code 0: all are good (there may be warnings); 1: something is wrong; 2: wrong usage.

    \b
    Example:  reconciler validate manifests/
    """
    sources = [source_of(place) for place in places]
    problems = list(dict.fromkeys(p for source in sources for p in source.problems()))
    for problem in problems:
        click.echo(coloured(harmless(str(problem)), RED if problem.is_error else YELLOW))
    twice = defined_twice(sources)
    for line in twice:
        click.echo(coloured(line, RED))
    files = sum(len(source.snapshot.files) for source in sources)
    pods = sum(len(source.snapshot.claims) for source in sources)
    errors = sum(p.is_error for p in problems) + len(twice)
    if not quiet:
        click.echo(f"{_count(files, 'file')}, {_count(pods, 'pod')}, {_count(errors, 'error')}")
    return 1 if errors else 0


def source_of(place: Path) -> DirectorySource:
    """A directory or a file as a source that remembers nothing."""
    from reconciler.sources.directory import DirectorySource, FileSource

    return DirectorySource(place) if place.is_dir() else FileSource(place)


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
