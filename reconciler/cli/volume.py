"""`volume`: named volumes, in podman's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.hand import bench_of
from reconciler.cli.life import TIME
from reconciler.cli.settings import Options, pass_options
from reconciler.model.errors import InvalidInput
from reconciler.model.key import HAND, Key

if TYPE_CHECKING:
    from reconciler.engine.context import Context
    from reconciler.engine.engine import Engine
    from reconciler.engine.named import VolumeRecord

_HEADINGS = {"Driver": "DRIVER", "Name": "VOLUME NAME", "Mountpoint": "MOUNTPOINT", "Scope": "SCOPE"}


@click.group()
def volume() -> None:
    """Make, list and remove volumes, which outlive the containers that mount them.

    `run -v NAME:/data` makes one that is not there, and fills it with what the image has in /data.

    \b
    Example:  reconciler volume create db
    """


@volume.command()
@click.argument("name", required=False)
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Free words to know it by.")
@click.option("-d", "--driver", type=click.Choice(["local"]), default="local", show_default=True, help="Its kind.")
@click.option("--ignore", is_flag=True, help="It is no error if it is there already.")
@pass_options
def create(options: Options, name: str | None, labels: tuple[str, ...], driver: str, ignore: bool) -> int:  # noqa: ARG001 (there is one kind)
    """Make an empty volume, and print its name.

    The first container that mounts it fills it with what its image has there.

    \b
    Example:  reconciler volume create --label for=tests db
    """
    import os

    from reconciler.engine import named
    from reconciler.flags.labels import labels as parsed
    from reconciler.flags.mounts import VOLUME_NAME

    wanted = name or os.urandom(32).hex()
    if not VOLUME_NAME.fullmatch(wanted):
        raise click.UsageError(f"{wanted!r} cannot be the name of a volume: letters, digits, '_', '.' and '-'")
    ctx = options.engine().context
    if not (ignore and any(record.name == wanted for record in named.listed(ctx))):
        named.create(ctx, wanted, parsed(labels, ()))
    click.echo(wanted)
    return 0


@volume.command("ls")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="name, label or dangling.")
@click.option("--format", "form", metavar="FORMAT", help="json, or a Go template: '{{.Name}} {{.Mountpoint}}'.")
@click.option("-n", "--noheading", is_flag=True, help="Rows only.")
@click.option("-q", "--quiet", is_flag=True, help="Names only.")
@pass_options
def ls(options: Options, filters: tuple[str, ...], form: str | None, noheading: bool, quiet: bool) -> int:
    """List the volumes.

    \b
    Example:  reconciler volume ls --filter dangling=true
    """
    from reconciler.cli import formats
    from reconciler.cli.table import table
    from reconciler.engine import named

    ctx = options.engine().context
    found = [record for record in named.listed(ctx) if _fits(ctx, record, filters)]
    if quiet:
        click.echo("".join(f"{record.name}\n" for record in found), nl=False)
    elif form and formats.is_json(form):
        formats.show(formats.json_text([_described(ctx, record) for record in found]))
    elif form:
        rows = [_described(ctx, record) for record in found]
        formats.show(formats.rows_text(form, rows, _HEADINGS, header=not noheading))
    else:
        rows_of = [("local", record.name) for record in found]
        click.echo(table(["DRIVER", "VOLUME NAME"], rows_of, header=not noheading, gap=6))
    return 0


@volume.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("-a", "--all", "everything", is_flag=True, help="All volumes.")
@click.option("-f", "--format", "form", metavar="FORMAT", help="A Go template: '{{.Mountpoint}}'.")
@pass_options
def inspect(options: Options, names: tuple[str, ...], everything: bool, form: str | None) -> int:
    """Show everything about volumes, as JSON.

    \b
    Example:  reconciler volume inspect db
    """
    from reconciler.cli import formats
    from reconciler.engine import named

    ctx = options.engine().context
    if everything == bool(names):
        raise click.UsageError("name volumes, or say --all")
    found = named.listed(ctx) if everything else [named.find(ctx, name) for name in names]
    shown = [_described(ctx, record) for record in found]
    if form and not formats.is_json(form):
        formats.show("".join(formats.object_text(form, one) for one in shown))
    else:
        formats.show(formats.json_text(shown))
    return 0


@volume.command()
@click.argument("name")
@pass_options
def exists(options: Options, name: str) -> int:
    """Exit with 0 if there is a volume of that name, with 1 if not.

    \b
    Example:  reconciler volume exists db
    """
    from reconciler.engine import named

    return 0 if any(record.name == name for record in named.listed(options.engine().context)) else 1


@volume.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("-a", "--all", "everything", is_flag=True, help="All volumes.")
@click.option("-f", "--force", is_flag=True, help="Also the containers that mount them; no error for one that is gone.")
@TIME
@pass_options
def rm(options: Options, names: tuple[str, ...], everything: bool, force: bool, grace: int | None) -> int:
    """Remove volumes with all that is in them. Refused while a container, running or not, mounts one.

    With -f these containers are stopped and removed first, those made by hand.

    \b
    Example:  reconciler volume rm db
    """
    from reconciler.cli.terminal import complain
    from reconciler.engine import named
    from reconciler.model.errors import ReconcilerError

    engine, failed = options.engine(), False
    ctx = engine.context
    if everything == bool(names):
        raise click.UsageError("name volumes, or say --all")
    for name in names or [record.name for record in named.listed(ctx)]:
        try:
            if gone := _remove_with_users(engine, name, grace) if force else named.remove(ctx, name):
                click.echo(gone)
        except ReconcilerError as error:
            complain(error.message, error.hint)
            failed = True
    return 1 if failed else 0


def _remove_with_users(engine: Engine, name: str, grace: float | None) -> str:
    """Remove a volume, and before it the containers that mount it; its whole name, "" where there is none.

    Raises InvalidInput where one of them was not made by hand.
    """
    from reconciler.controller import making
    from reconciler.engine import named
    from reconciler.model.errors import NotFound

    ctx, bench = engine.context, bench_of(engine)
    try:
        whole = named.find(ctx, name).name
    except NotFound:
        return ""
    members: dict[Key, list[str]] = {}
    for key, member in named.users(ctx).get(whole, ()):
        members.setdefault(key, []).append(member)
    for key in members:
        _refuse_managed(engine, whole, key)
    for key, mounting in members.items():
        making.remove_members(bench, key, mounting, grace)
    try:
        return named.remove(ctx, whole)
    except NotFound:  # an anonymous one goes with its container
        return whole


def _refuse_managed(engine: Engine, volume: str, key: Key) -> None:
    from reconciler.controller.wanted import spoken

    sandbox = engine.observe(key, None).sandbox
    if sandbox is not None and sandbox.owner != HAND:
        raise InvalidInput(
            f"cannot remove volume {volume}: pod {key} mounts it, which belongs to {spoken(sandbox.owner)}",
            hint="change its manifest first",
        )


@volume.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only those (name, label).")
@pass_options
def prune(options: Options, force: bool, filters: tuple[str, ...]) -> int:
    """Remove the volumes that no container mounts, with all that is in them. Those of PersistentVolumeClaims stay: they
    are removed by name, or by `down --volumes`.

    \b
    Example:  reconciler volume prune --force
    """
    from reconciler.engine import named

    ctx = options.engine().context
    unused = [r for r in named.listed(ctx) if not r.claimed and _fits(ctx, r, (*filters, "dangling=true"))]
    if not force and unused:
        click.echo("\n".join(record.name for record in unused), err=True)
        click.confirm(f"Remove {len(unused)} volumes with all that is in them?", abort=True, err=True)
    for record in unused:
        click.echo(named.remove(ctx, record.name))
    return 0


def _fits(ctx: Context, record: VolumeRecord, filters: tuple[str, ...]) -> bool:
    from reconciler.engine import named

    for text in filters:
        key, equals, value = text.partition("=")
        match key:
            case "name":
                fits = value in record.name
            case "label":
                name, says, wanted = value.partition("=")
                labels = dict(record.labels)
                fits = name in labels and (not says or labels[name] == wanted)
            case "dangling" if value in ("true", "false"):
                fits = (record.name not in named.users(ctx)) == (value == "true")
            case _:
                raise click.UsageError(f"there is no filter {text!r}; there are name=, label= and dangling=true|false")
        if not (equals and fits):
            return False
    return True


def _described(ctx: Context, record: VolumeRecord) -> dict[str, Any]:
    """As podman describes one."""
    from reconciler.engine.oci.places import data_of
    from reconciler.kube.present import time_of

    return {
        "Name": record.name,
        "Driver": "local",
        "Mountpoint": str(data_of(ctx.layout.volumes, record.name)),
        "CreatedAt": time_of(record.created_wall),
        "Labels": dict(record.labels),
        "Scope": "local",
        "Options": {},
        "Anonymous": record.anonymous,
        "NeedsCopyUp": not record.used,
        **({"Claim": dict(record.asked)} if record.asked else {}),
    }
