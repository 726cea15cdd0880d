"""Which containers, or pods, a command is about: by name, all, the last one made, those that a filter lets through.

One group of options for each of both; a command takes it as one argument, ``which``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import complete
from reconciler.cli.options.bundle import F, bundled
from reconciler.model.errors import InvalidInput

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Which:
    """What the options said. ``files`` hold ids; ``ignore``: one that is not there is no error."""

    names: tuple[str, ...] = ()
    everything: bool = False
    latest: bool = False
    filters: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    ignore: bool = False

    def said(self, engine: Engine, what: str) -> tuple[str, ...]:
        """The names, and the ids that the other options come to. ``what``: "containers" or "pods".

        Raises InvalidInput where nothing was said, or two things that do not go together.
        """
        named = (*self.names, *(file.read_text().strip() for file in self.files))
        if sum(map(bool, (named, self.everything, self.latest or self.filters))) != 1:
            raise InvalidInput(f"cannot tell which {what} are meant: name them, or say --all, --latest or --filter")
        return named or (_pods(engine, self) if what == "pods" else _containers(engine, self))


def _containers(engine: Engine, which: Which) -> tuple[str, ...]:
    from reconciler.cli import filters, gather

    rows = [row for row in gather.containers(engine) if not row.infra]
    kept = filters.containers(which.filters, rows, time.time())
    return tuple(row.id for row in _last(kept, which))


def _pods(engine: Engine, which: Which) -> tuple[str, ...]:
    from reconciler.cli import filters, gather

    kept = filters.pods(which.filters, gather.pods(engine), time.time())
    return tuple(row.id for row in _last(kept, which))


def _last(rows: list[Any], which: Which) -> list[Any]:
    return sorted(rows, key=lambda row: -row.created)[:1] if which.latest else rows


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _filters(*names: str) -> Any:
    return click.option(*names, "filters", multiple=True, metavar="KEY=VALUE", help="Those, as for ps -f.")


def _files(name: str) -> Any:
    return click.option(name, "files", multiple=True, type=_FILE, metavar="FILE", help="The one whose id is in FILE.")


def _switch(*names: str, about: str) -> Any:
    return click.option(*names, is_flag=True, help=about)


_ALL, _ABSENT = "All that are there.", "One that is not there is no error."
_OPTIONS = {
    "everything": _switch("-a", "--all", "everything", about=_ALL),
    "long_everything": _switch("--all", "everything", about=_ALL),
    "latest": _switch("-l", "--latest", about="The one that was made last."),
    "filters": _filters("-f", "--filter"),
    "long_filters": _filters("--filter"),
    "cidfile": _files("--cidfile"),
    "pod_id_file": _files("--pod-id-file"),
    "ignore": _switch("-i", "--ignore", about=_ABSENT),
    "long_ignore": _switch("--ignore", about=_ABSENT),
}


def choosing(what: str, *options: str) -> Callable[[F], F]:
    """A decorator that adds ``NAME...`` and these options, and hands ``which`` to the command. ``what``: CONTAINER or
    POD, the name of the argument."""

    known = complete.pods if what == "POD" else complete.containers
    names = click.argument("names", nargs=-1, metavar=f"{what}...", shell_complete=known)
    return bundled("which", Which, (*(_OPTIONS[option] for option in options), names))
