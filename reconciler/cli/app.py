"""The command tree, loaded one command at a time, and the one place where errors become a line and an exit code.

Exit codes: 0 done; 1 not done (or "no", where a command answers a question); 2 wrong usage; 125 instead of these two
for commands in podman's words; 130 Ctrl-C; 141 the reader of our output went away. Commands that promise more say so in
their help.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from reconciler.cli.lazy import LazyGroup, Sections
from reconciler.cli.settings import Options
from reconciler.cli.terminal import complain

INTERRUPTED, BROKEN_PIPE = 130, 141
COMPLETE = "_RECONCILER_COMPLETE"
"""The variable by which a shell asks how a command line can go on."""

_BY_HAND = "By hand, in podman's words"

SECTIONS: Sections = (
    (
        "Converge",
        (
            ("watch", "converge:watch", "Keep this machine as the manifests of folders say."),
            ("apply", "converge:apply", "Converge once."),
            ("diff", "converge:diff", "Show what would be done, and why."),
            ("down", "converge:down", "Stop and remove what a folder or file owns."),
            ("status", "status:status", "Say of each file what has become of it."),
            ("suspend", "suspend:suspend", "Leave pods of a folder alone, as they are."),
            ("resume", "suspend:resume", "Take suspended pods up again."),
            ("validate", "status:validate", "Check manifests without touching anything."),
            ("explain", "explain:explain", "Say what a field of a manifest is for."),
        ),
    ),
    (
        "Look",
        (
            ("get", "get:get", "Show pods as Kubernetes would."),
            ("describe", "describe:describe", "Show all that is known of a pod."),
            ("logs", "logs:logs", "Print what a container wrote."),
            ("exec", "exec:exec_", "Run a command inside a running container."),
            ("attach", "attach:attach", "Be connected with a running container."),
            ("events", "events:events", "Show what happened, oldest first."),
        ),
    ),
    (
        _BY_HAND,
        (
            ("ps", "ps:ps", "List containers."),
            ("inspect", "inspect:inspect", "Show all that is known of containers, pods and images."),
            ("run", "run:run", "Run a command in a new container."),
            ("create", "run:create", "Create a container without starting it."),
            ("start", "life:start", "Start containers that were created or have ended."),
            ("stop", "life:stop", "Stop containers; they are kept."),
            ("restart", "life:restart", "Stop containers and start them again."),
            ("kill", "life:kill", "Send a signal to containers."),
            ("pause", "life:pause", "Freeze containers."),
            ("unpause", "life:unpause", "Let paused containers go on."),
            ("wait", "life:wait", "Wait until containers have ended."),
            ("rm", "life:rm", "Remove containers."),
            ("stats", "stats:stats", "Show what containers use."),
            ("top", "top:top", "Show the processes of a container."),
            ("port", "port:port", "Show the ports that are published of containers."),
            ("pod", "pod:pod", "Make, look at and handle pods, as with podman."),
            ("kube", "kube:kube", "Play manifests by hand, as with podman."),
        ),
    ),
    (
        "System",
        (
            ("image", "image:image", "Load, pull, list and remove images."),
            ("network", "network:network", "Make, list and remove networks of pods."),
            ("volume", "volume:volume", "Make, list and remove volumes."),
            ("info", "info:info", "Show this machine as the engine sees it."),
            ("system", "system:system", "Look after the instance as a whole."),
            ("completion", "completion:completion", "Print the completion script of a shell."),
        ),
    ),
)
"""Section, then name, where it lives below reconciler.cli, and its short help (so that --help imports nothing)."""

_PLACES = {name: place for _, commands in SECTIONS for name, place, _ in commands}

PODMANS = (
    *(name for title, commands in SECTIONS if title == _BY_HAND for name, _, _ in commands),
    *("logs", "exec", "attach"),
)
"""What is done in podman's words. The last three are kubectl's as well; but what `exec` and `attach` exit with is the
code of what was run, of which 1 and 2 are the commonest."""

FAILED = {"diff": 2, "status": 2}
"""The exit code of a command that could not be carried out, where it is not 1."""

FAILED_AS_PODMAN = 125
"""Podman's, whatever is wrong, also on the command line: what is less may be the code of what was run."""


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    brief=(_BY_HAND,),
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
)
@click.option(
    "--root",
    envvar="RECONCILER_ROOT",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep everything of this instance below DIR instead of in the system's directories.",
    metavar="DIR",
)
@click.option("--runtime", type=click.Choice(["crun", "runc"]), help="Use this OCI runtime instead of the one probed.")
@click.option("--conmon", type=click.Path(path_type=Path, dir_okay=False), metavar="PATH", help="Use this monitor.")
@click.option("-v", "--verbose", is_flag=True, help="Log more; show tracebacks.")
@click.version_option(package_name="reconciler", message="reconciler %(version)s")
@click.pass_context
def tree(ctx: click.Context, root: Path | None, runtime: str | None, conmon: Path | None, verbose: bool) -> None:
    """A folder of Kubernetes Pod manifests becomes running pods on this machine.

    \b
    Example:  reconciler watch manifests/
    """
    ctx.obj = Options(root, runtime, conmon, verbose)


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; the answer is the exit code. Never raises, and never shows a traceback unasked."""
    if COMPLETE in os.environ:
        return _complete()
    verbose = _asks_for_tracebacks(arguments)
    ctx: click.Context | None = None
    try:
        with tree.make_context("reconciler", list(arguments)) as ctx:
            code = tree.invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _interrupted()
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:
        if verbose and not isinstance(error, click.ClickException):
            import traceback

            traceback.print_exc()
        return _failed(error, _told(error), ctx.invoked_subcommand if ctx else None)
    return code if isinstance(code, int) else 0


def _complete() -> int:
    """Answer a shell that completes. It shows whatever it is told to somebody who types: so never an error."""
    try:
        tree.main(prog_name="reconciler")
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
    except (Exception, KeyboardInterrupt):
        return 1
    return 0


def _failed(error: Exception, told: int, command: str | None) -> int:
    """The exit code of ``command`` after an error, of which ``told`` is the usual one."""
    if command in PODMANS:
        return FAILED_AS_PODMAN
    return told if isinstance(error, click.ClickException) else FAILED.get(command or "", told)


def _asks_for_tracebacks(arguments: Sequence[str]) -> bool:
    """Whether -v stands among the global options (before the command)."""
    for argument in arguments:
        if argument in _PLACES:
            return False
        if argument in ("-v", "--verbose"):
            return True
    return False


def _told(error: Exception) -> int:
    from reconciler.engine.boundary import hint_in
    from reconciler.model.errors import ReconcilerError

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "reconciler"
        complain(error.format_message(), f"see: {where} --help")
        return error.exit_code
    if isinstance(error, click.ClickException):
        complain(error.format_message(), "")
        return error.exit_code
    if isinstance(error, ReconcilerError):
        complain(error.message, error.hint)
        return 1
    if isinstance(error, OSError) and (error.filename or hint_in(str(error))):
        complain(
            f"cannot {f'use {error.filename}' if error.filename else 'go on'}: {error.strerror}", hint_in(str(error))
        )
        return 1
    complain(f"cannot go on: {type(error).__name__}: {error}", "this is a mistake in reconciler itself: -v shows where")
    return 1


def _interrupted() -> int:
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return INTERRUPTED


def _reader_gone() -> int:
    """The interpreter flushes standard output once more at its end: give that somewhere to go."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
    return BROKEN_PIPE
