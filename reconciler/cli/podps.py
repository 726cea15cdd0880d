"""`pod ps`: the pods, in podman's columns."""

from __future__ import annotations

import time

import click

from reconciler.cli import filters, formats, gather
from reconciler.cli import podlist as shown
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import table


@click.command()
@click.option("--ctr-ids", is_flag=True, help="Show the ids of the containers of each.")
@click.option("--ctr-names", is_flag=True, help="Show their names.")
@click.option("--ctr-status", is_flag=True, help="Show their states.")
@click.option("-f", "--filter", "wanted", multiple=True, metavar="KEY=VALUE", help="Only those (id, name, label, …).")
@click.option("--format", "form", metavar="FORMAT", help="json, or a Go template: 'table {{.ID}} {{.Name}}'.")
@click.option("-l", "--latest", is_flag=True, help="The one that was made last.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("-n", "--noheading", is_flag=True, help="No headings.")
@click.option("--ns", "spaces", is_flag=True, help="Show cgroup and namespace of each.")
@click.option("-q", "--quiet", is_flag=True, help="Whole ids only.")
@click.option("--sort", type=click.Choice(list(shown.ORDERS)), default="created", help="Default: the newest first.")
@click.option("-N", "--namespace", help="Only pods of this namespace.")
@pass_options
def ps(
    options: Options,
    ctr_ids: bool,
    ctr_names: bool,
    ctr_status: bool,
    wanted: tuple[str, ...],
    form: str | None,
    latest: bool,
    no_trunc: bool,
    noheading: bool,
    spaces: bool,
    quiet: bool,
    sort: str,
    namespace: str | None,
) -> int:
    """List pods.

    \b
    Example:  reconciler pod ps --filter status=running
    """
    if quiet and form is not None:
        raise click.UsageError("--quiet and --format cannot be used together")
    now, engine = time.time(), options.engine()
    rows = filters.pods(wanted, gather.pods(engine, namespace), now)
    rows = shown.ordered(shown.ordered(rows, "created")[: 1 if latest else None], sort)
    cgroup_of = gather.cgroups(engine)
    if form is not None and formats.is_json(form):
        formats.show(formats.json_text([shown.as_json(row, cgroup_of) for row in rows]))
        return 0
    given = [shown.fields(row, now, cgroup_of, full=no_trunc) for row in rows]
    if form is not None and form != "table":
        formats.show(formats.rows_text(form, given, shown.HEADINGS, header=not noheading))
    elif quiet:
        formats.show("\n".join(row.id for row in rows))
    else:
        columns = shown.columns(ids=ctr_ids, names=ctr_names, statuses=ctr_status, spaces=spaces)
        lines = [[of(row[field]) for field in columns] for row in given]
        formats.show(table(list(map(shown.heading, columns)), lines, header=not noheading))
    return 0


def of(value: object) -> object:
    return value() if callable(value) else value
