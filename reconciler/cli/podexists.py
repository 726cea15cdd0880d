"""`pod exists`: a question that the exit code answers."""

from __future__ import annotations

import click

from reconciler.cli import complete
from reconciler.cli.gather import to_see
from reconciler.cli.resolve import find_pod
from reconciler.cli.settings import Options, pass_options
from reconciler.model.errors import NotFound


@click.command()
@click.argument("name", metavar="POD", shell_complete=complete.pods)
@click.option("-N", "--namespace", help="Only in this namespace.")
@pass_options
def exists(options: Options, name: str, namespace: str | None) -> int:
    """Say by the exit code whether there is such a pod: 0 for yes, 1 for no, 125 when that could not be found out.

    \b
    Example:  reconciler pod exists web && echo yes
    """
    try:
        engine = options.engine()
        return 0 if to_see(engine, [find_pod(engine, name, namespace)]) else 1
    except NotFound:
        return 1
