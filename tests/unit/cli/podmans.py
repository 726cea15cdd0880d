"""Commands with podman's options that hand on what they were given, for tests of the options alone."""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.kubegenerate import generate
from reconciler.cli.kubeplay import down, play
from reconciler.cli.options.command import PodmanCommand
from reconciler.cli.options.groups import (
    create_options,
    member_options,
    pod_options,
    pod_sandbox_options,
    run_options,
    sandbox_options,
)

Seen = dict[str, Any]


def _words(command: Any) -> Any:
    return click.argument("image")(click.argument("command", nargs=-1, type=click.UNPROCESSED)(command))


@click.command("run", cls=PodmanCommand)
@_words
@run_options
@member_options
@sandbox_options
def run(**seen: Any) -> Seen:
    """Run a command in a new container: of its own, or in a pod.

    \b
    Example:  reconciler run -it --rm -p 8080:80 busybox sh
    """
    return seen


@click.command("create", cls=PodmanCommand)
@_words
@create_options
@member_options
@sandbox_options
def create(**seen: Any) -> Seen:
    """Make a container, and print its id.

    \b
    Example:  reconciler create --name web busybox httpd
    """
    return seen


@click.command("create", cls=PodmanCommand, podman="pod create")
@click.argument("name_", required=False, metavar="[NAME]")
@pod_options
@pod_sandbox_options
def pod_create(**seen: Any) -> Seen:
    """Make a pod, and print its id.

    \b
    Example:  reconciler pod create -p 8080:80 web
    """
    return seen


COMMANDS: dict[str, click.Command] = {
    "run": run,
    "create": create,
    "pod create": pod_create,
    "kube play": play,
    "kube down": down,
    "kube generate": generate,
}


OURS = {"kube play": {"--strictness"}}
"""Options that podman has not, by command."""


def given(command: click.Command, *words: str) -> Seen:
    """What the command's function is given. Raises click.UsageError."""
    seen: Seen = command.main([*words], prog_name="reconciler", standalone_mode=False)
    return seen
