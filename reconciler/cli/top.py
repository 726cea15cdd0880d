"""`top` and `pod top`: the processes of containers, as ps(1) would show them from inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from reconciler.cli import complete, descriptors, formats, whose
from reconciler.cli.descriptors import Shown
from reconciler.cli.resolve import Found
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import table
from reconciler.model.errors import InvalidInput

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

_TAKES_ALL = {"ignore_unknown_options": True}
"""So that options of ps, which podman passes on, are refused in our own words."""


@click.command(context_settings=_TAKES_ALL)
@click.argument(
    "words", nargs=-1, type=click.UNPROCESSED, metavar="CONTAINER [DESCRIPTOR]...", shell_complete=complete.containers
)
@click.option("-l", "--latest", is_flag=True, help="The container that was made last, instead of CONTAINER.")
@click.option("-N", "--namespace", help="Only in this namespace.")
@pass_options
def top(options: Options, words: tuple[str, ...], latest: bool, namespace: str | None) -> int:
    """Show the processes of a container, with process ids and users as they are inside.

    \b
    Descriptors: user pid ppid pcpu etime tty time args (these are shown by default), and
      capamb capbnd capeff capinh capprm comm container group groups hgroup hgroups hpid huid
      huser label nice pgid rgroup rss ruser seccomp state stime uid vsz
    What begins with h is the host's; rss and vsz are KiB.

    \b
    Example:  reconciler top web/app
              reconciler top web/app pid hpid user huser args
    """
    name, rest = whose.parted(words, latest, "CONTAINER")
    columns = descriptors.chosen(rest)
    engine = options.engine()
    found = whose.container(engine, name, namespace)
    whose.expect_running(found, "show the processes of")
    show(engine, [found], columns)
    return 0


@click.command("top", context_settings=_TAKES_ALL)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="POD [DESCRIPTOR]...", shell_complete=complete.pods)
@click.option("-l", "--latest", is_flag=True, help="The pod that was made last, instead of POD.")
@click.option("-N", "--namespace", help="Only in this namespace.")
@pass_options
def pod_top(options: Options, words: tuple[str, ...], latest: bool, namespace: str | None) -> int:
    """Show the processes of all containers of a pod, the infra container included.

    \b
    Descriptors: user pid ppid pcpu etime tty time args (these are shown by default), and
      capamb capbnd capeff capinh capprm comm container group groups hgroup hgroups hpid huid
      huser label nice pgid rgroup rss ruser seccomp state stime uid vsz
    What begins with h is the host's; rss and vsz are KiB.

    \b
    Example:  reconciler pod top web
              reconciler pod top web container pid user args
    """
    name, rest = whose.parted(words, latest, "POD")
    columns = descriptors.chosen(rest)
    engine = options.engine()
    pod = whose.pod(engine, name, namespace)
    there = list(filter(whose.runs, whose.members(pod)))
    if not there:
        raise InvalidInput(f"cannot show the processes of pod {pod.key}: none of its containers runs")
    show(engine, there, columns)
    return 0


def show(engine: Engine, containers: Iterable[Found], columns: tuple[str, ...]) -> None:
    """One table of the processes of all these containers."""
    lines: list[list[object]] = []
    for found in containers:
        assert found.pod.sandbox is not None, "who runs is recorded"
        inside = engine.inside(found.pod.sandbox.id, found.container)
        shown = (Shown(process, inside, whose.name(found)) for process in inside.processes)
        lines += (descriptors.cells(columns, one) for one in shown)
    formats.show(table(descriptors.headings(columns), lines))
