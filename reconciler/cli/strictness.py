"""``--strictness``: the option of every command that reads manifests, and what counts where it is not given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.settings import Options
from reconciler.model.errors import HostUnfit
from reconciler.model.strictness import Strictness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.engine.engine import Engine
    from reconciler.sources.directory import DirectorySource

CHOICE = click.Choice([word.value for word in Strictness])
HELP = "Fields that are unknown or not supported: errors; warnings, left out; left out. [config.toml, else strict]"

STRICTNESS = click.option("--strictness", type=CHOICE, help=HELP)


def chosen(engine: Engine, said: str | None) -> Strictness:
    """What was said on the command line, else in the configuration file."""
    return Strictness(said) if said else engine.context.config.manifests.strictness


def as_before(engine: Engine, sources: Iterable[DirectorySource]) -> None:
    """Have sources read as strictly as the last apply or watch did it; else as the configuration file says."""
    for source in sources:
        source.read_as(engine.context.config.manifests.strictness)


def chosen_without_engine(options: Options, said: str | None) -> Strictness:
    """``chosen`` for a command that needs neither root nor a configuration file that is right."""
    if said:
        return Strictness(said)
    from reconciler.engine import config
    from reconciler.engine.layout import Layout

    try:
        return config.read(Layout.at(options.root).config).manifests.strictness
    except HostUnfit:
        return Strictness.STRICT
