"""`ps`: the containers, in Podman's columns."""

from __future__ import annotations

import time
from typing import Any

import click

from reconciler.cli.ports import ranges, run
from reconciler.cli.resolve import Found, current, observed
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import ago, table
from reconciler.model.observed import Container, ContainerState, Observed


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run, and infra containers.")
@click.option("--pod", "show_pod", is_flag=True, help="Show the pod of each.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-N", "--namespace", help="Only pods of this namespace.")
@pass_options
def ps(
    options: Options, everything: bool, show_pod: bool, quiet: bool, no_trunc: bool, form: str, namespace: str | None
) -> int:
    """List containers: those that run, or with -a all of them.

    \b
    Example:  reconciler ps -a --pod
    """
    rows = listed(observed(options.engine(), namespace), everything)
    short = slice(None) if no_trunc else slice(12)
    if quiet:
        click.echo("\n".join(f.container.id[short] for f in rows), nl=bool(rows))
    elif form == "json":
        import json

        click.echo(json.dumps([as_json(f) for f in rows], indent=2))
    else:
        click.echo(as_table(rows, show_pod, short, time.time()))
    return 0


def listed(pods: tuple[Observed, ...], everything: bool) -> list[Found]:
    """What is shown: running members, or every attempt there is and the infra containers."""
    if not everything:
        return [Found(p, c) for p in pods for c in current(p) if c.state is ContainerState.RUNNING]
    found: list[Found] = []
    for pod in pods:
        infra = pod.sandbox.infra if pod.sandbox else None
        found += [Found(pod, c) for c in pod.containers]
        found += [Found(pod, infra)] if infra else []
    return found


def as_table(rows: list[Found], show_pod: bool, short: slice, now: float) -> str:
    headings = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    headings += ["POD ID", "PODNAME"] if show_pod else []
    return table(headings, [_row(f, show_pod, short, now) for f in rows])


def _row(found: Found, show_pod: bool, short: slice, now: float) -> list[str]:
    container, command = found.container, " ".join(command_of(found.container))
    if short.stop and len(command) > 20:
        command = command[:17] + "..."
    row = [
        container.id[short],
        container.spec.image or "<infra>",
        command,
        ago(now - container.created_wall),
        status(container, now),
        ports(found.pod),
        name(found),
    ]
    pod = found.pod.sandbox.id if found.pod.sandbox else ""
    return [*row, pod[short], found.pod.key.name] if show_pod else row


def name(found: Found) -> str:
    """POD/CONTAINER, as every command accepts it; an infra container is ``<podid12>-infra``."""
    if is_infra(found):
        return f"{found.pod.sandbox.id[:12] if found.pod.sandbox else ''}-infra"
    return found.name


def is_infra(found: Found) -> bool:
    sandbox = found.pod.sandbox
    return sandbox is not None and sandbox.infra is not None and sandbox.infra.id == found.container.id


def command_of(container: Container) -> tuple[str, ...]:
    """What the manifest says (the image's own command is not repeated here)."""
    return (*(container.spec.command or ()), *(container.spec.args or ()))


def status(container: Container, now: float) -> str:
    """Podman's words: Up 5 minutes, Exited (1) 3 seconds ago, Created; and why it was killed."""
    if container.state is ContainerState.RUNNING:
        up = f"Up {ago(now - container.started_wall).removesuffix(' ago')}"
        return f"{up} (stopping)" if container.stopping else up
    if container.exit is not None:
        killed = ", OOMKilled" if container.exit.oom else ""
        return f"Exited ({container.exit.code}{killed}) {ago(now - container.exit.finished_wall)}"
    return container.state.value.capitalize()


def ports(pod: Observed) -> str:
    """Published ports of the pod, as each of its containers shares them."""
    if pod.applied is None:
        return ""
    return ", ".join(
        f"{_address(p.host_ip)}:{run(p.host_port, count)}->{run(p.container_port, count)}/{p.protocol.lower()}"
        for p, count in ranges(pod.applied.sandbox.ports)
    )


def _address(host_ip: str) -> str:
    """As podman writes it, which has 0.0.0.0 for every address."""
    return f"[{host_ip}]" if ":" in host_ip else host_ip or "0.0.0.0"


def as_json(found: Found) -> dict[str, Any]:
    """One object of `--format json`, with podman's names where it has one."""
    container, sandbox = found.container, found.pod.sandbox
    return {
        "Id": container.id,
        "Names": [name(found)],
        "Image": container.spec.image,
        "ImageID": container.image_id,
        "Command": list(command_of(container)),
        "State": container.state.value,
        "ExitCode": container.exit.code if container.exit else 0,
        "OOMKilled": container.exit.oom if container.exit else False,
        "Pid": container.pid.pid if container.pid else 0,
        "Created": container.created_wall,
        "StartedAt": container.started_wall,
        "ExitedAt": container.exit.finished_wall if container.exit else 0,
        "Restarts": container.restarts,
        "IsInfra": is_infra(found),
        "Namespace": found.pod.key.namespace,
        "Pod": sandbox.id if sandbox else "",
        "PodName": found.pod.key.name,
        "LogPath": container.log_path,
        "Ports": [
            {
                "host_ip": p.host_ip,
                "host_port": p.host_port,
                "container_port": p.container_port,
                "protocol": p.protocol.lower(),
            }
            for p in (found.pod.applied.sandbox.ports if found.pod.applied else ())
        ],
    }
