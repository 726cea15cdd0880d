"""`get`: pods as Kubernetes would show them."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import click

from reconciler.cli import complete
from reconciler.cli.ports import ranges, run
from reconciler.cli.resolve import find_pod, observed
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import age, table
from reconciler.cli.terminal import show
from reconciler.model.desired import Desired, Present, Suspended
from reconciler.model.key import HAND
from reconciler.model.observed import HostFacts, Observed
from reconciler.model.spec import PodSpec
from reconciler.model.status import PodStatus

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine
    from reconciler.plan.printed import Counts

Shown = tuple[PodSpec, PodStatus]


@click.group()
def get() -> None:
    """Show pods as Kubernetes would."""


def _pods(
    options: Options, names: tuple[str, ...], namespace: str | None, everywhere: bool, output: str, no_headers: bool
) -> int:
    """Show pods: all of the namespace "default", or some by their names.

    \b
    Example:  reconciler get pods -o wide
    """
    engine = options.engine()
    space = None if everywhere else namespace or "default"
    asked = tuple(find_pod(engine, name, space) for name in dict.fromkeys(names))
    pods = asked or observed(engine, space)
    shown = [status_of(engine, pod) for pod in pods]
    if output in ("json", "yaml"):
        show(as_objects(shown, output, one=len(asked) == 1))
    elif not shown:
        click.echo("No resources found" + ("" if space is None else f" in {space} namespace."), err=True)
    else:
        click.echo(as_table(shown, wide=output == "wide", spaces=everywhere, header=not no_headers, now=time.time()))
    return 0


for _name in ("pods", "pod", "po"):
    _command = click.command(_name, hidden=_name != "pods", help=_pods.__doc__)(pass_options(_pods))
    click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete.pods)(_command)
    click.option("-n", "-N", "--namespace", help="Pods of this namespace (default: default).")(_command)
    click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Pods of all namespaces.")(_command)
    click.option("-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table")(_command)
    click.option("--no-headers", is_flag=True, help="Rows only.")(_command)
    get.add_command(_command)


def status_of(engine: Engine, pod: Observed) -> Shown:
    """The pod's applied spec and its status by that."""
    from reconciler.controller.troubles import load
    from reconciler.plan.pod_status import pod_status, with_troubles
    from reconciler.plan.situation import lacks_nothing
    from reconciler.sources.suspended import Suspensions

    sandbox = pod.sandbox
    assert sandbox is not None  # observed() gives no others
    applied = Present(spec=sandbox.applied, owner=sandbox.owner)
    seen = pod if lacks_nothing(applied, pod) else engine.observe(pod.key, sandbox.applied)
    since = Suspensions(engine.layout.suspended).since(pod.key) if sandbox.owner != HAND else None
    want: Desired = applied if since is None else Suspended(applied, since)
    status = pod_status(want, seen, HostFacts(), engine.context.clock.now())
    return sandbox.applied, with_troubles(status, load(engine.layout.troubles, pod.key))


def as_table(shown: list[Shown], *, wide: bool, spaces: bool, header: bool, now: float) -> str:
    """kubectl's columns; an unset value is ``<none>``."""
    headings = ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    headings = (["NAMESPACE"] if spaces else []) + headings + (["IP", "NODE", "PORTS", "IMAGES"] if wide else [])
    return table(headings, [_row(spec, status, wide, spaces, now) for spec, status in shown], header=header)


def _row(spec: PodSpec, status: PodStatus, wide: bool, spaces: bool, now: float) -> list[str]:
    from reconciler.plan.printed import counts

    found = counts(status)
    row = [
        spec.key.name,
        f"{found.ready}/{len(spec.lasting)}",
        status.summary,
        restarts(found, now),
        age(now - status.created_wall) if status.created_wall else "<unknown>",
    ]
    if spaces:
        row.insert(0, spec.key.namespace)
    if wide:
        ports = ",".join(
            f"{run(p.host_port, count)}->{run(p.container_port, count)}/{p.protocol}"
            for p, count in ranges(spec.sandbox.ports)
        )
        row += [
            ",".join(status.ips) or _host_address(spec, status) or "<none>",
            socket.gethostname(),
            ports or "<none>",
            ",".join(dict.fromkeys(c.image for c in spec.containers)),
        ]
    return row


def _host_address(spec: PodSpec, status: PodStatus) -> str:
    """The machine's own, of a pod that is on its network."""
    from reconciler.engine.network.hostips import host_ips

    return next(iter(host_ips()), "") if spec.sandbox.host_network and status.uid else ""


def restarts(found: Counts, now: float) -> str:
    """ "3 (5m ago)": how often, and when last."""
    ended = found.ended_wall
    return f"{found.restarts} ({age(now - ended)} ago)" if found.restarts and ended else str(found.restarts)


def as_objects(shown: list[Shown], output: str, *, one: bool) -> str:
    """A v1 PodList, or the v1 Pod alone where one was asked for by its name."""
    from reconciler.engine.network.hostips import host_ips
    from reconciler.kube.present import pod_list, pod_object

    value = pod_object(*shown[0], host_ips()) if one else pod_list(shown, host_ips())
    if output == "json":
        import json

        return json.dumps(value, indent=4, ensure_ascii=False)
    from reconciler.kube.written import to_yaml

    return to_yaml(value).rstrip("\n")
