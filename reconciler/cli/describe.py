"""`describe pod`: all that is known of pods, as kubectl tells it, with their events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from reconciler.cli import complete
from reconciler.cli.get import status_of
from reconciler.cli.resolve import find_pod, observed
from reconciler.cli.settings import Options, pass_options
from reconciler.model.observed import Observed

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine


@click.group()
def describe() -> None:
    """Show all that is known of a pod, as kubectl describes it."""


def _pods(options: Options, names: tuple[str, ...], namespace: str | None, everywhere: bool) -> int:
    """Describe pods: all of the namespace "default", or some by their names.

    \b
    Example:  reconciler describe pod web
    """
    engine = options.engine()
    space = None if everywhere else namespace or "default"
    asked = [find_pod(engine, name, space) for name in names]
    pods = asked or observed(engine, space)
    if not pods:
        click.echo("No resources found" + ("" if space is None else f" in {space} namespace."), err=True)
        return 0
    click.echo("\n\n\n".join(_described(engine, pod) for pod in pods))
    return 0


def _described(engine: Engine, pod: Observed) -> str:
    import socket

    from reconciler.cli.description import describe as told
    from reconciler.engine.network.hostips import host_ips
    from reconciler.kube.present import pod_object

    spec, status = status_of(engine, pod)
    events = [event for event in engine.events() if event.about == str(spec.key)]
    return told(
        pod_object(spec, status, host_ips()),
        events,
        node=socket.gethostname(),
        owner=pod.sandbox.owner if pod.sandbox else "",
        word=status.summary,
        now=time.time(),
    )


for _name in ("pod", "pods", "po"):
    _command = click.command(_name, hidden=_name != "pod", help=_pods.__doc__)(pass_options(_pods))
    click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete.pods)(_command)
    click.option("-n", "-N", "--namespace", help="Pods of this namespace (default: default).")(_command)
    click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Pods of all namespaces.")(_command)
    describe.add_command(_command)
