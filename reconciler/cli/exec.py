"""`exec`: a command inside a running container, its exit code passed on."""

from __future__ import annotations

import os

import click

from reconciler.cli import complete
from reconciler.cli.naming import find_running
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import complain
from reconciler.model.errors import InvalidInput

TIMED_OUT = 124
"""As timeout(1) has it."""


class TakesCommand(click.Command):
    """Options end at ``--`` or at the command's first word, so that the command keeps its own options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._separated(args))

    def _separated(self, args: list[str]) -> list[str]:
        names, at = 0, 0
        while at < len(args):
            word = args[at]
            if word == "--" and names == 0:
                return args
            if word == "--":
                break
            if not word.startswith("-") or word == "-":
                if names == 1:
                    return [*args[:at], "--", *args[at:]]
                names += 1
            at += 2 if self._takes_value(word) else 1
        return args

    def _takes_value(self, word: str) -> bool:
        return any(isinstance(p, click.Option) and word in p.opts and not p.is_flag for p in self.params)


@click.command("exec", cls=TakesCommand)
@click.argument("name", shell_complete=complete.containers)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG]...")
@click.option("-c", "--container", "member", help="The container of the pod NAME.")
@click.option("-n", "-N", "--namespace", help="Only pods of this namespace.")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable for the command.")
@click.option("-w", "--workdir", metavar="DIR", help="Run the command in this directory.")
@click.option("-i", "--stdin", "--interactive", "stdin", is_flag=True, help="Let the command read our stdin.")
@click.option("-t", "--tty", is_flag=True, help="Give the command a terminal, connected with ours.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Kill it when they are over."
)
@pass_options
def exec_(
    options: Options,
    name: str,
    command: tuple[str, ...],
    member: str | None,
    namespace: str | None,
    env: tuple[str, ...],
    workdir: str | None,
    stdin: bool,
    tty: bool,
    timeout: float | None,
) -> int:
    """Run a command inside a running container.

    NAME is a container's id or a unique beginning of it, its name, POD/CONTAINER, or a pod with one container.
    The exit code is the command's; 124: its time was over; 125: there was an error of our own; 126: the command cannot
    be run; 127: it is not there.

    \b
    Example:  reconciler exec web/app -- ls -l /
              reconciler exec -it web/app -- sh
              tar c . | reconciler exec -i web/app -- tar x -C /site
    """
    if tty and not os.isatty(0):
        raise InvalidInput("cannot give the command a terminal: stdin is none", hint="leave -t away")
    engine = options.engine()
    found = find_running(engine, name, doing="run a command in", namespace=namespace, member=member)
    from reconciler.engine.execute import NotStarted, TimedOut

    try:
        return engine.exec(found.id, command, env=env, cwd=workdir, stdin=stdin, tty=tty, timeout=timeout)
    except NotStarted as error:
        if not error.told:
            complain(error.message)
        return error.code
    except TimedOut as error:
        complain(error.message)
        return TIMED_OUT
