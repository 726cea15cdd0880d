"""`system`: the instance as a whole."""

from __future__ import annotations

import click

from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import table


@click.group()
def system() -> None:
    """Look after the instance as a whole."""


@system.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@pass_options
def check(options: Options, form: str) -> int:
    """List what belongs to no recorded pod.

    Processes, mounts, links, cgroups, directories, rows, found by our naming rule alone: it works with an empty store.
    Exit code 1 when anything is listed.

    \b
    Example:  reconciler system check
    """
    leaks = options.engine().check()
    if form == "json":
        import json

        click.echo(json.dumps([{"kind": leak.kind, "name": leak.name, "why": leak.why} for leak in leaks], indent=2))
    elif leaks:
        click.echo(table(["KIND", "NAME", "WHY"], [(leak.kind, leak.name, leak.why) for leak in leaks]))
    else:
        click.echo("clean: everything of this instance belongs to a recorded pod")
    return 1 if leaks else 0
