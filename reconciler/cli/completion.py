"""`completion`: the script that makes a shell complete our words."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the completion script of a shell.

    \b
    Example:  source <(reconciler completion bash)
    """
    from click.shell_completion import get_completion_class

    from reconciler.cli.app import COMPLETE

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not supported")
    click.echo(kind(ctx.find_root().command, {}, "reconciler", COMPLETE).source())
    return 0
