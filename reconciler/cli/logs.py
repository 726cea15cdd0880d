"""`logs`: what containers wrote."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import complete
from reconciler.cli.moments import moment, of_stamp
from reconciler.cli.naming import find_container
from reconciler.cli.resolve import Found, current, find_pod, seen
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import harmless
from reconciler.model.errors import NotFound
from reconciler.model.observed import Observed

if TYPE_CHECKING:
    from reconciler.cli.crilog import Line
    from reconciler.cli.logfollow import State
    from reconciler.engine.engine import Engine


@click.command()
@click.argument("name", shell_complete=complete.either)
@click.argument("member", required=False, metavar="[CONTAINER]", shell_complete=complete.containers)
@click.option("-f", "--follow", is_flag=True, help="Go on until the container has ended for good.")
@click.option("--tail", type=click.IntRange(min=-1), default=-1, metavar="N", help="The last N lines only.")
@click.option("--since", "--since-time", type=moment, metavar="TIME", help="Only lines from then on: 10m, or a date.")
@click.option("--until", type=moment, metavar="TIME", help="Only lines up to then.")
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("-c", "--container", "chosen", help="The container of the pod NAME.")
@click.option("--all-containers", is_flag=True, help="All containers of the pod NAME.")
@click.option("--prefix", is_flag=True, help="Begin each line with the pod and the container it is of.")
@click.option("-p", "--previous", is_flag=True, help="The attempt before the present one.")
@click.option("--raw", is_flag=True, help="As it is also to a terminal, which then obeys it: colours, and all else.")
@click.option("-n", "-N", "--namespace", help="Only pods of this namespace.")
@pass_options
def logs(
    options: Options,
    name: str,
    member: str | None,
    follow: bool,
    tail: int,
    since: float | None,
    until: float | None,
    timestamps: bool,
    chosen: str | None,
    all_containers: bool,
    prefix: bool,
    previous: bool,
    raw: bool,
    namespace: str | None,
) -> int:
    """Print what a container wrote to standard output and standard error.

    NAME is a container's id or a unique beginning of it, its name, POD/CONTAINER, or a pod with one container.
    TIME is a duration before now (90s, 1h30m), a date and time (2026-01-02T15:04:05Z), or seconds since 1970.

    \b
    Example:  reconciler logs -f --tail 20 web/app
    """
    if sum((member is not None, chosen is not None, all_containers)) > 1:
        raise click.UsageError("name a container once: behind the pod, with -c, or all of them with --all-containers")
    engine = options.engine()
    if all_containers:
        pod = find_pod(engine, name, namespace)
        found = [Found(pod, container) for container in current(pod)]
    else:
        found = [seen(engine, find_container(engine.names(), name, namespace=namespace, member=chosen or member))]
    paths = [(f"[pod/{one.name}] " if prefix else "", one, log_path(one, previous)) for one in found]
    wanted = window(since, until)
    count = None if tail < 0 else tail
    if follow and not previous:
        lines = followed(engine, paths, count, since, until, wanted)
    else:
        lines = ((label, line) for label, _, path in paths for line in read_log(path, count, since, until, wanted))
    write(lines, timestamps, at_once=follow, raw=raw)
    return 0


def read_log(
    path: Path, tail: int | None, since: float | None, until: float | None, wanted: Callable[[Line], bool]
) -> Iterable[Line]:
    """What a log has of that time, or the last ``tail`` lines of it."""
    from reconciler.cli import crilog

    if until is None or tail is None:
        return filter(wanted, crilog.read(path, tail, since))
    return deque(filter(wanted, crilog.read(path, None, since)), maxlen=tail)


def followed(
    engine: Engine,
    paths: list[tuple[str, Found, Path]],
    tail: int | None,
    since: float | None,
    until: float | None,
    wanted: Callable[[Line], bool],
) -> Iterator[tuple[str, Line]]:
    """The same of several logs, with their labels, and what comes until the containers have ended for good."""
    from reconciler.cli.logfollow import Stream, follow

    def looking(found: Found) -> Callable[[Path], State]:
        return lambda path: state(engine.look(found.pod.key), found, path)

    streams = [Stream(label, path, looking(found)) for label, found, path in paths]
    return follow(streams, engine.layout.exits, tail, since, until, wanted)


def state(pod: Observed, found: Found, path: Path) -> State:
    """How things stand with the attempt that writes to ``path``: ``found`` or a later one of the same member."""
    from reconciler.cli.logfollow import State
    from reconciler.plan.situation import restarts_after

    attempts = [c for c in pod.containers if c.name == found.container.name and Path(c.log_path).parent == path.parent]
    now = next((c for c in attempts if Path(c.log_path) == path), None)
    later = [c for c in attempts if c.attempt > int(path.stem)]
    ended = now is None or now.exit is not None
    if later:
        return State(ended, Path(min(later, key=lambda c: c.attempt).log_path))
    if now is None or pod.applied is None:
        return State(ended, final=True)
    spec = pod.applied.container(now.name) or now.spec
    return State(ended, final=not restarts_after(pod.applied, spec, now))


def window(since: float | None, until: float | None) -> Callable[[Line], bool]:
    """Whether a line is of that time. One that does not say when it was written is."""
    if since is None and until is None:
        return lambda _: True

    def inside(line: Line) -> bool:
        at = of_stamp(line.stamp)
        return at is None or ((since is None or at >= since) and (until is None or at <= until))

    return inside


def log_path(found: Found, previous: bool) -> Path:
    """The log of the newest attempt, or of the newest one before it that left a log."""
    path = Path(found.container.log_path)
    if not previous:
        return path
    older = {int(name) for p in path.parent.glob("*.log*") if (name := p.name.partition(".")[0]).isdecimal()}
    for attempt in sorted(older, reverse=True):
        if attempt < found.container.attempt:
            return path.parent / f"{attempt}.log"
    raise NotFound(f"cannot show an earlier log of {found.name}: there is none")


def write(lines: Iterable[tuple[str, Line]], timestamps: bool, *, at_once: bool = False, raw: bool = False) -> None:
    """(label, line) byte for byte to a file or pipe, and where ``raw``; to a terminal made harmless.

    ``at_once``: do not keep lines back until there is more of them.
    """
    out, tty = sys.stdout.buffer, sys.stdout.isatty()
    for label, line in lines:
        text = _visible(line) if tty and not raw else line.text
        stamp = f"{line.stamp} ".encode() if timestamps and line.stamp else b""
        out.write(label.encode() + stamp + text + (b"\n" if line.whole else b""))
        if tty or at_once:
            out.flush()
    out.flush()


def _visible(line: Line) -> bytes:
    """What stands in a line, for eyes. The return that a container's terminal puts before each line's end is no part of
    it."""
    text = line.text.removesuffix(b"\r") if line.whole else line.text
    return harmless(text.decode(errors="backslashreplace")).encode()
