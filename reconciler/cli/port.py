"""`port`: where the ports of containers are published. Ports are a pod's, so that all its containers have them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from reconciler.cli import complete, whose
from reconciler.cli.containerlist import address
from reconciler.cli.resolve import Found, observed
from reconciler.cli.settings import Options, pass_options
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.spec import PortBinding, Protocol


@click.command()
@click.argument("words", nargs=-1, metavar="[CONTAINER] [PORT[/PROTOCOL]]", shell_complete=complete.containers)
@click.option("-a", "--all", "everything", is_flag=True, help="Of all containers that run.")
@click.option("-l", "--latest", is_flag=True, help="Of the container that was made last, instead of CONTAINER.")
@click.option("-N", "--namespace", help="Only in this namespace.")
@pass_options
def port(options: Options, words: tuple[str, ...], everything: bool, latest: bool, namespace: str | None) -> int:
    """Show the ports that are published of containers: of one, or of all. With PORT: where that one is; tcp, unless
    said otherwise.

    \b
    Example:  reconciler port web/app
              reconciler port web/app 53/udp
              reconciler port --all
    """
    if everything:
        if words or latest:
            raise click.UsageError("--all goes with nothing else")
        for found in _running(options, namespace):
            for binding in published(found):
                click.echo(f"{found.container.id[:12]}\t{line(binding)}")
        return 0
    name, rest = whose.parted(words, latest, "CONTAINER")
    if len(rest) > 1:
        raise click.UsageError(f"Got unexpected extra argument ({rest[1]})")
    asked = wanted(rest[0]) if rest else None
    found = whose.container(options.engine(), name, namespace)
    lines = [
        place(b) if asked else line(b) for b in published(found) if asked in (None, (b.container_port, b.protocol))
    ]
    if asked and not lines:
        there = ", ".join(f"{b.container_port}/{b.protocol.lower()}" for b in published(found)) or "none"
        raise NotFound(f"cannot show port {rest[0]} of {found.name}: it is not published", hint=f"published: {there}")
    click.echo("\n".join(lines), nl=bool(lines))
    return 0


def _running(options: Options, namespace: str | None) -> Iterator[Found]:
    for pod in observed(options.engine(), namespace):
        yield from filter(whose.runs, whose.members(pod))


def published(found: Found) -> list[PortBinding]:
    """In the order of the container's ports."""
    ports = found.pod.applied.sandbox.ports if found.pod.applied else ()
    return sorted(ports, key=lambda b: (b.container_port, b.protocol, b.host_ip, b.host_port))


def wanted(text: str) -> tuple[int, Protocol]:
    """``PORT[/PROTOCOL]``. Raises InvalidInput."""
    number, slash, name = text.partition("/")
    protocol = (name if slash else "tcp").upper()
    if not (number.isascii() and number.isdecimal()) or protocol not in tuple(Protocol):
        raise InvalidInput(f'cannot show port "{text}": it is no number, or not one with /tcp, /udp or /sctp')
    return int(number), Protocol(protocol)


def line(binding: PortBinding) -> str:
    return f"{binding.container_port}/{binding.protocol.lower()} -> {place(binding)}"


def place(binding: PortBinding) -> str:
    return f"{address(binding.host_ip)}:{binding.host_port}"
