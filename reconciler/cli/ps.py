"""`ps`: the containers, in podman's columns."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from reconciler.cli import containerlist as shown
from reconciler.cli import filters, formats, gather
from reconciler.cli.rows import ContainerRow
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import table


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run.")
@click.option("-f", "--filter", "wanted", multiple=True, metavar="KEY=VALUE", help="Only those (id, name, label, …).")
@click.option("--format", "form", metavar="FORMAT", help="json, or a Go template: 'table {{.ID}} {{.Names}}'.")
@click.option("-n", "--last", type=click.IntRange(0), metavar="N", help="The N that were made last, in any state.")
@click.option("-l", "--latest", is_flag=True, help="The one that was made last.")
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option("--noheading", is_flag=True, help="No headings.")
@click.option("--ns", "spaces", is_flag=True, help="Show the kernel's namespaces of each.")
@click.option("-p", "--pod", "with_pod", is_flag=True, help="Show the pod of each.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--sort", type=click.Choice(list(shown.ORDERS)), default="created", help="Default: the newest first.")
@click.option("-N", "--namespace", help="Only pods of this namespace.")
@pass_options
def ps(
    options: Options,
    everything: bool,
    wanted: tuple[str, ...],
    form: str | None,
    last: int | None,
    latest: bool,
    no_trunc: bool,
    noheading: bool,
    spaces: bool,
    with_pod: bool,
    quiet: bool,
    sort: str,
    namespace: str | None,
) -> int:
    """List containers: those that run, or with -a all of them.

    \b
    Example:  reconciler ps -a --pod
    """
    if latest and last is not None:
        raise click.UsageError("--latest and --last cannot be used together")
    if quiet and spaces:
        raise click.UsageError("--quiet and --ns cannot be used together")
    now = time.time()
    most = 1 if latest else last
    rows = chosen(gather.containers(options.engine(), namespace), wanted, now, everything=everything, most=most)
    rows = shown.ordered(rows, sort)
    if form is not None and formats.is_json(form):
        formats.show(formats.json_text([shown.as_json(row, now, with_namespaces=spaces) for row in rows]))
    elif form is not None and form != "table":
        given = [shown.fields(row, now, full=no_trunc) for row in rows]
        formats.show(formats.rows_text(form, given, shown.HEADINGS, header=not noheading))
    elif quiet and form is None:
        formats.show("\n".join(row.id if no_trunc else row.id[:12] for row in rows))
    else:
        formats.show(as_table(rows, now, full=no_trunc, with_pod=with_pod, spaces=spaces, header=not noheading))
    return 0


def chosen(
    rows: Sequence[ContainerRow],
    wanted: Sequence[str],
    now: float,
    *,
    everything: bool = False,
    most: int | None = None,
) -> list[ContainerRow]:
    """What is shown of all there is: what runs, unless a state, all or the last ``most`` are asked for."""
    kept = filters.containers(wanted, rows, now)
    if not (everything or most is not None or filters.overrides_all(wanted)):
        kept = [row for row in kept if row.runs]
    return kept if most is None else sorted(kept, key=lambda row: -row.created)[:most]


def as_table(
    rows: Sequence[ContainerRow],
    now: float,
    *,
    full: bool = False,
    with_pod: bool = False,
    spaces: bool = False,
    header: bool = True,
) -> str:
    if spaces:
        headings = ["CONTAINER ID", "NAMES", "PID", *(heading for heading, _ in shown.NAMESPACES.values())]
        return table(headings, [shown.ns_cells(row, full=full) for row in rows], header=header, gap=2)
    headings = [*shown.COLUMNS, *(["POD"] if with_pod else [])]
    return table(headings, [shown.cells(row, now, full=full, with_pod=with_pod) for row in rows], header=header, gap=2)
