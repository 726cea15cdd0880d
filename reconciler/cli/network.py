"""`network`: named networks for pods, in podman's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import formats
from reconciler.cli.maps import Map, Time
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import table
from reconciler.cli.terminal import show

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

_OPTIONS = ("mtu",)


@click.group()
def network() -> None:
    """Make, list and remove networks of pods.

    A pod is in the network that its annotation reconciler/network names, or that --network of watch or apply does;
    otherwise in the instance's own, called "default". Pods of different networks reach each other by published ports
    alone.

    \b
    Example:  reconciler network create --internal backend
    """


@network.command()
@click.argument("name")
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="Its addresses; one of each family.")
@click.option("--gateway", "gateways", multiple=True, metavar="IP", help="The host's address in it. [the first]")
@click.option("--ipv6", is_flag=True, help="Give it an IPv6 subnet, too.")
@click.option("--internal", is_flag=True, help="No way out of it, or in from outside.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Free words to know it by.")
@click.option("--disable-dns", is_flag=True, help="Pods in it do not resolve each other's names.")
@click.option("-d", "--driver", type=click.Choice(["bridge"]), default="bridge", show_default=True, help="Its kind.")
@click.option("-o", "--opt", "opts", multiple=True, metavar="mtu=BYTES", help="The largest packet. [the uplink's]")
@click.option("--ignore", is_flag=True, help="It is no error if it is there already.")
@pass_options
def create(
    options: Options,
    name: str,
    subnets: tuple[str, ...],
    gateways: tuple[str, ...],
    ipv6: bool,
    internal: bool,
    labels: tuple[str, ...],
    disable_dns: bool,
    driver: str,  # noqa: ARG001 (there is one kind)
    opts: tuple[str, ...],
    ignore: bool,
) -> int:
    """Make a network, and print its name.

    Its subnets are free ones of this machine unless given. It always has IPv4.

    \b
    Example:  reconciler network create --subnet 10.90.0.0/24 --ipv6 backend
    """
    from reconciler.engine import netadmin, netrecords
    from reconciler.model.words import network_flaw

    if flaw := network_flaw(name):
        raise click.UsageError(f"the network's name {flaw}")
    ctx = options.engine().context
    if ignore and netrecords.read(ctx, name) is not None:
        click.echo(name)
        return 0
    wish = netadmin.Wish(
        name, subnets, gateways, ipv6, internal, not disable_dns, _mtu(opts, netadmin.MTU), _labels(labels)
    )
    click.echo(netadmin.create(ctx, wish).name)
    return 0


@network.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@click.option("-n", "--noheading", is_flag=True, help="Rows only.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--format", "form", default="table", metavar="FORMAT", help="json, or a Go template: '{{.Name}}'.")
@pass_options
def ls(options: Options, quiet: bool, noheading: bool, no_trunc: bool, form: str) -> int:
    """List the networks.

    \b
    Example:  reconciler network ls
    """
    from reconciler.engine import netadmin

    ctx = options.engine().context
    known = netadmin.listed(ctx)
    if formats.is_json(form):
        _print([netadmin.described(ctx, record) for record in known])
    elif quiet:
        click.echo("\n".join(record.name for record in known))
    elif form != "table":
        given = [fields(netadmin.described(ctx, record), slice(None if no_trunc else 12)) for record in known]
        formats.show(formats.rows_text(form, given, {"ID": "NETWORK ID"}, header=not noheading))
    else:
        rows = [(record.id if no_trunc else record.id[:12], record.name, "bridge") for record in known]
        click.echo(table(["NETWORK ID", "NAME", "DRIVER"], rows, header=not noheading))
    return 0


@network.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-f", "--format", "form", default="json", metavar="FORMAT", help="json, or a Go template: '{{.Id}}'.")
@pass_options
def inspect(options: Options, names: tuple[str, ...], form: str) -> int:
    """Show everything about networks, as JSON, and which pods are in them.

    \b
    Example:  reconciler network inspect default
    """
    from reconciler.engine import netadmin

    ctx = options.engine().context
    found = [netadmin.described(ctx, netadmin.find(ctx, name)) for name in names]
    if formats.is_json(form):
        _print(found)
    else:
        formats.show("".join(formats.object_text(form, fields(one)) for one in found))
    return 0


@network.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-f", "--force", is_flag=True, help="Stop and remove the pods in it first; no error if there is none.")
@click.option("-t", "--time", "timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="With -f: give up then.")
@pass_options
def rm(options: Options, names: tuple[str, ...], force: bool, timeout: float | None) -> int:
    """Remove networks. Refused while pods are in one.

    \b
    Example:  reconciler network rm backend
    """
    from reconciler.cli.terminal import complain
    from reconciler.engine import netadmin
    from reconciler.model.errors import NotFound, ReconcilerError

    engine, failed = options.engine(), False
    for name in names:
        try:
            record = netadmin.find(engine.context, name)
            if force:
                _empty(engine, record.name, timeout)
            netadmin.remove(engine.context, record.name)
            click.echo(record.name)
        except ReconcilerError as error:
            if force and isinstance(error, NotFound):
                continue
            complain(error.message, error.hint)
            failed = True
    return 1 if failed else 0


def _empty(engine: Engine, name: str, timeout: float | None) -> None:
    """Stop and remove the network's pods; a controller would make them again, and they would wait for the network."""
    from reconciler.cli.converge import told_to
    from reconciler.cli.terminal import Progress
    from reconciler.controller import converge
    from reconciler.controller.lock import holder
    from reconciler.engine import netadmin
    from reconciler.model.errors import Busy
    from reconciler.model.spec import DEFAULT_NETWORK

    pods = netadmin.users(engine.context, name)
    if not pods or name == DEFAULT_NETWORK:
        return
    if live := holder(engine.layout.controller_lock):
        raise Busy(
            f"cannot remove network {name}: controller (pid {live.pid}) would bring its pods back",
            hint="change their manifests, or stop it first",
        )
    progress = Progress()
    try:
        converge.down_all(
            engine, layout=engine.layout, timeout=timeout, on_progress=told_to(progress), keys=frozenset(pods)
        )
    finally:
        progress.done()


def _mtu(texts: tuple[str, ...], allowed: range) -> int:
    mtu = 0
    for text in texts:
        name, _, value = text.partition("=")
        if name not in _OPTIONS:
            raise click.UsageError(f"there is no option {name!r} of a network; there is mtu=BYTES")
        if not value.isascii() or not value.isdigit() or int(value) not in allowed:
            raise click.UsageError(f"mtu must be between {allowed[0]} and {allowed[-1]}, not {value!r}")
        mtu = int(value)
    return mtu


def _labels(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = (text.partition("=") for text in texts)
    return tuple({key: value for key, _, value in pairs}.items())


def fields(told: dict[str, Any], short: slice = slice(None)) -> dict[str, Any]:
    """What templates may ask of a network, by the names that podman's Go has for what is lower case in JSON."""
    return {
        "ID": told["id"][short],
        "Id": told["id"][short],
        "Name": told["name"],
        "Driver": told["driver"],
        "NetworkInterface": told["network_interface"],
        "Created": Time(told["created"]),
        "Subnets": [{"Subnet": one["subnet"], "Gateway": one["gateway"]} for one in told["subnets"]],
        "IPv6Enabled": told["ipv6_enabled"],
        "Internal": told["internal"],
        "DNSEnabled": told["dns_enabled"],
        "Labels": Map(told["labels"]),
        "Options": Map(told["options"]),
        "Pods": Map(told["pods"]),
    }


def _print(networks: list[dict[str, Any]]) -> None:
    import json

    from reconciler.kube.present import time_of

    for one in networks:
        one["created"] = time_of(one["created"]) if one["created"] else None
    show(json.dumps(networks, indent=4, ensure_ascii=False))
