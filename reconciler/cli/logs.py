"""`logs`: what a container wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.resolve import Found, find_container, observed
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import harmless
from reconciler.model.errors import NotFound
from reconciler.model.observed import Container

if TYPE_CHECKING:
    from reconciler.cli.crilog import Line
    from reconciler.engine.engine import Engine


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option("--tail", type=click.IntRange(min=-1), default=-1, metavar="N", help="The last N lines only.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("-c", "--container", "member", help="The container of the pod NAME.")
@click.option("-p", "--previous", is_flag=True, help="The attempt before the present one.")
@click.option("-n", "-N", "--namespace", help="Only pods of this namespace.")
@pass_options
def logs(
    options: Options,
    name: str,
    follow: bool,
    tail: int,
    timestamps: bool,
    member: str | None,
    previous: bool,
    namespace: str | None,
) -> int:
    """Print what a container wrote to standard output and standard error.

    NAME is a container's id or a unique beginning of it, its name, POD/CONTAINER, or a pod with one container.

    \b
    Example:  reconciler logs -f --tail 20 web/app
    """
    from reconciler.cli import crilog

    engine = options.engine()
    found = find_container(observed(engine), name, namespace=namespace, member=member)
    path = log_path(found, previous)
    count = None if tail < 0 else tail
    if follow and not previous:
        lines = crilog.follow(path, count, engine.layout.exits, lambda: _over(engine, found))
    else:
        lines = crilog.read(path, count)
    write(lines, timestamps, at_once=follow)
    return 0


def log_path(found: Found, previous: bool) -> Path:
    """The log of the newest attempt, or of the newest one before it that left a log."""
    path = Path(found.container.log_path)
    if not previous:
        return path
    older = sorted((int(p.stem) for p in path.parent.glob("*.log") if p.stem.isdecimal()), reverse=True)
    for attempt in older:
        if attempt < found.container.attempt:
            return path.parent / f"{attempt}.log"
    raise NotFound(f"cannot show an earlier log of {found.name}: there is none")


def write(lines: Iterable[Line], timestamps: bool, *, at_once: bool = False) -> None:
    """Byte for byte to a file or pipe; to a terminal with control characters made visible.

    ``at_once``: do not keep lines back until there is more of them.
    """
    out, tty = sys.stdout.buffer, sys.stdout.isatty()
    for line in lines:
        text = harmless(line.text.decode(errors="backslashreplace")).encode() if tty else line.text
        stamp = f"{line.stamp} ".encode() if timestamps and line.stamp else b""
        out.write(stamp + text + (b"\n" if line.whole else b""))
        if tty or at_once:
            out.flush()
    out.flush()


def _over(engine: Engine, found: Found) -> bool:
    """Whether this attempt ended, or is not there any more."""
    pod = engine.observe(found.pod.key, None)
    now: Container | None = next((c for c in pod.containers if c.id == found.container.id), None)
    return now is None or now.exit is not None
