"""`attach`: our terminal, or our stdin and stdout, as those of a running container."""

from __future__ import annotations

import sys

import click

from reconciler.cli import complete
from reconciler.cli.app import FAILED_AS_PODMAN
from reconciler.cli.naming import find_running
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import complain


@click.command("attach")
@click.argument("name", shell_complete=complete.containers)
@click.option("-c", "--container", "member", help="The container of the pod NAME.")
@click.option("-n", "-N", "--namespace", help="Only pods of this namespace.")
@click.option("--no-stdin", is_flag=True, help="Only show what it writes.")
@click.option("--detach-keys", "keys", default="ctrl-p,ctrl-q", show_default=True, help="Typed in a row, they detach.")
@pass_options
def attach(options: Options, name: str, member: str | None, namespace: str | None, no_stdin: bool, keys: str) -> int:
    """Be connected with a running container: its input, its output, its terminal.

    What it wrote before is not shown again (see: reconciler logs). The container goes on when this ends, unless its
    manifest says stdinOnce. The exit code is the container's where it ended, 0 after the keys that detach, and 125 for
    an error of our own.

    \b
    Example:  reconciler attach web/app
    """
    from reconciler.cli.conversation import Conversation, Ended, keys_named

    typed = keys_named(keys)
    engine = options.engine()
    found = find_running(engine, name, doing="attach to", namespace=namespace, member=member)
    sys.stdout.flush()
    with engine.attached(found.id) as session:
        stdin = None if no_stdin or not (session.stdin or session.tty) else 0
        if Conversation(session, stdin, typed).hold() is Ended.DETACHED:
            return 0
    code = engine.exit_code(found.id, session.life)
    if code is None:
        complain(
            f"no connection with {found} any more: it runs on",
            hint="its output came faster than it was read here, or its monitor was killed and replaced; attach again",
        )
        return FAILED_AS_PODMAN
    return code
