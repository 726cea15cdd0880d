"""`system`: the instance as a whole."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from reconciler.cli.settings import Options, pass_options
from reconciler.cli.table import table

if TYPE_CHECKING:
    from reconciler.engine.check import Leak
    from reconciler.engine.engine import Engine


@click.group()
def system() -> None:
    """Look after the instance as a whole."""


@system.command()
@click.option("--repair", is_flag=True, help="Put right what can be; say what to do of the rest.")
@click.option("--kill", is_flag=True, help="With --repair: also end what runs without a record.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@pass_options
def check(options: Options, repair: bool, kill: bool, form: str) -> int:
    """List what belongs to no recorded pod.

    Processes, mounts, links, cgroups, directories, rows, found by our naming rule alone: it works with an empty store.
    With --repair what can be is collected or mended. What runs is not ended and no data deleted: the list says what to
    do.
    Exit code 1 when anything is listed; with --repair, when anything is left.

    \b
    Example:  reconciler system check --repair
    """
    if kill and not repair:
        raise click.UsageError("--kill goes with --repair")
    engine = options.engine()
    if repair:
        return _shown([(done.leak, done.left) for done in engine.repair(kill=kill)], form, repaired=True)
    return _shown([(leak, leak.why) for leak in engine.check()], form, repaired=False)


def _shown(found: list[tuple[Leak, str]], form: str, *, repaired: bool) -> int:
    """Print what was found; the exit code. Of what was repaired the text beside it says what is left to do, or ""."""
    if form == "json":
        import json

        click.echo(
            json.dumps(
                [
                    {"kind": leak.kind, "name": leak.name, "why": leak.why}
                    | ({"repaired": not left, "left": left} if repaired else {})
                    for leak, left in found
                ],
                indent=2,
            )
        )
    elif found and repaired:
        rows = [(leak.kind, leak.name, leak.why, left or "repaired") for leak, left in found]
        click.echo(table(["KIND", "NAME", "WHY", "NOW"], rows))
    elif found:
        click.echo(table(["KIND", "NAME", "WHY"], [(leak.kind, leak.name, leak.why) for leak, _ in found]))
    else:
        click.echo("clean: everything of this instance belongs to a recorded pod")
    return 1 if any(left for _, left in found) else 0


@system.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@pass_options
def df(options: Options, form: str) -> int:
    """Show what images, containers and named volumes take of the disk, and what of that nobody uses.

    An image is used by each container made from it, running or not; what images share counts once. What nobody uses
    goes by `system prune`, or by the controller's doing where the disk is full.

    \b
    Example:  reconciler system df
    """
    uses = options.engine().disk_use()
    if form == "json":
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(use) for use in uses], indent=2))
        return 0
    from reconciler.cli.units import size

    rows = [
        (u.kind, u.total, u.active, size(u.size), f"{size(u.reclaimable)} ({u.reclaimable * 100 // (u.size or 1)}%)")
        for u in uses
    ]
    click.echo(table(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], rows))
    return 0


@system.command()
@click.option("-a", "--all", "everything", is_flag=True, help="All images that no container uses, named ones too.")
@click.option("--volumes", is_flag=True, help="The named volumes that no container mounts, too, with what is in them.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_context
@pass_options
def prune(options: Options, context: click.Context, everything: bool, volumes: bool, force: bool) -> int:
    """Remove what was made by hand and has ended, containers and pods, and the images without a name that no container
    uses.

    What manifests define stays, and so does what a PersistentVolumeClaim has.

    \b
    Example:  reconciler system prune --all --force
    """
    from reconciler.cli import image, life, podlife, volume
    from reconciler.cli.units import size

    engine = options.engine()
    what = ["containers made by hand that have ended, and pods of which nothing runs"]
    what.append(f"{'all images' if everything else 'images without a name'} that no container uses")
    what += ["named volumes that no container mounts, with all that is in them"] if volumes else []
    if not force and not click.confirm("This removes\n- " + "\n- ".join(what) + "\nGo on?", err=True):
        return 1
    before = sum(use.size for use in engine.disk_use())
    code: int = context.invoke(podlife.prune, force=True)
    code = life.remove_ended(engine) or code
    if volumes:
        context.invoke(volume.prune, force=True, filters=())
    context.invoke(image.prune, everything=everything, force=True, filters=())
    click.echo(f"Total reclaimed space: {size(max(0, before - sum(use.size for use in engine.disk_use())))}")
    return code


@system.command(hidden=True)
@click.argument("container")
@pass_options
def ended(options: Options, container: str) -> int:
    """See to what follows the end of a container made by hand: monitors call this.

    \b
    Example:  reconciler system ended 4f1c…
    """
    from reconciler.controller import by_hand
    from reconciler.model.key import ContainerId

    engine = options.engine()
    again = by_hand.ended(engine, engine.layout, ContainerId(container))
    if again is not None:
        # A shell waits out the back-off in our place: it is a tenth of our size, and there may be many. Who ends it,
        # because the container is stopped or removed, ends its sleep.
        script = 'setpriv --pdeathsig KILL sleep "$0"; exec "$@"'
        wait = ["sh", "-c", script, f"{again:.3f}", *sys.orig_argv]
        os.execv("/bin/sh", wait)
    return 0


@system.command()
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Kill what has not ended by then.")
@pass_options
def stop(options: Options, timeout: float | None) -> int:
    """End all containers, with their grace; pods stay recorded.

    They run again with the controller's next start, or after a boot. The service does this when the machine shuts
    down. Refused, naming the process, while a controller runs.

    \b
    Example:  sudo systemctl stop reconciler && sudo reconciler system stop
    """
    from reconciler.cli.terminal import Progress, harmless
    from reconciler.controller.reset import stop as end

    engine = options.engine()
    progress = Progress()
    try:
        ended = end(
            engine,
            timeout=timeout,
            on_stop=lambda key, name: progress.say(f"pod {key}: {harmless(name)} was asked to end"),
        )
    finally:
        progress.done()
    click.echo(f"{ended} container{'' if ended == 1 else 's'} ended.")
    return 0


@system.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Kill what has not ended by then, whatever its grace period.",
)
@pass_options
def reset(options: Options, yes: bool, timeout: float | None) -> int:
    """Remove everything of this instance from this machine.

    Pods (they get their grace period), images, logs, state, and what is in the kernel: as if nothing had ever run.
    Manifests and the configuration file stay. Refused, naming the process, while a controller runs,
    or systemd is about to start it again.

    \b
    Example:  sudo systemctl stop reconciler && sudo reconciler system reset
    """
    import sys

    from reconciler.cli.converge import told_to
    from reconciler.cli.terminal import Progress
    from reconciler.controller.reset import refuse_reset
    from reconciler.controller.reset import reset as remove_all

    engine = options.engine(mend=False)
    refuse_reset(engine)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("cannot ask, as there is no terminal: say --yes")
        click.echo(_inventory(engine), err=True)
        if not click.confirm("Remove all of this?", err=True):
            click.echo("Nothing was removed.", err=True)
            return 1
    progress = Progress()
    try:
        remove_all(engine, timeout=timeout, on_progress=told_to(progress))
    finally:
        progress.done()
    click.echo("Everything of this instance is removed.")
    return 0


def _inventory(engine: Engine) -> str:
    """What will go, as lines that are read before saying yes."""
    have = engine.holdings()
    lines = []
    if have.pods is None:
        lines.append("pods:         as many as there are (the index cannot be read)")
    else:
        named = ", ".join(map(str, have.pods[:8])) + (", ..." if len(have.pods) > 8 else "")
        lines.append(f"pods:         {len(have.pods)}{f' ({named})' if have.pods else ''}")
    lines.append(f"images:       {have.images}")
    lines += [f"directory:    {directory}" for directory in have.directories]
    return "\n".join(lines)
