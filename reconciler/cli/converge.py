"""`watch`, `apply`, `diff`, `down`: making this machine match manifests, or saying what that would take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import claimed
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.strictness import STRICTNESS, as_before, chosen
from reconciler.cli.terminal import GREEN, RED, YELLOW, Progress, coloured, complain, harmless
from reconciler.model.actions import Action
from reconciler.model.errors import InvalidInput
from reconciler.model.key import Key
from reconciler.model.strictness import Strictness

if TYPE_CHECKING:
    from reconciler.controller.converge import Report
    from reconciler.controller.log import Log
    from reconciler.engine.engine import Engine
    from reconciler.kube import Problem
    from reconciler.sources.directory import DirectorySource

PLACE = click.Path(path_type=Path)

NETWORK = click.option("--network", metavar="NAME", help="Pods that name no network go into this one.")

WAIT_SECONDS = 300.0
"""As long as ``apply --wait`` waits unless told otherwise: a crash loop never ends by itself."""


@click.command()
@click.argument("folders", nargs=-1, required=True, type=PLACE, metavar="DIR...")
@click.option("--yes-prune", is_flag=True, help="Removing most of the pods at once is meant.")
@click.option(
    "--resync",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Look at everything this often although nothing was heard (0: never).",
)
@NETWORK
@STRICTNESS
@pass_options
def watch(
    options: Options,
    folders: tuple[Path, ...],
    yes_prune: bool,
    resync: float,
    network: str | None,
    strictness: str | None,
) -> int:
    """Keep this machine as the manifests of folders say, until Ctrl-C. Pods go on without it.

    Additions and edits are taken up at once; removals when the folder has been quiet for 2 seconds.

    \b
    Example:  reconciler watch /etc/pods
    """
    import faulthandler
    import signal

    from reconciler.controller.interruption import until_interrupted
    from reconciler.controller.log import open_log
    from reconciler.controller.watch import WatchOptions
    from reconciler.controller.watch import watch as keep
    from reconciler.linux.notify import from_environment

    notifier = from_environment()
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise InvalidInput(f"cannot watch {folder}: it is not a directory", hint=f"try: reconciler apply {folder}")
    log = open_log()
    engine = options.engine(say=log.warning)
    faulthandler.register(signal.SIGUSR1)  # "what is it doing?": every thread's stack on standard error
    faulthandler.enable()  # the same when the watchdog aborts us
    with until_interrupted() as stop:
        _warm(engine, log)
        wishes = WatchOptions(
            engine.layout,
            resync=resync,
            prune=yes_prune,
            network=_known(engine, network),
            strictness=chosen(engine, strictness),
            log=log,
            notifier=notifier,
        )
        return keep(engine, folders, wishes, stop=stop)


@click.command()
@click.argument("places", nargs=-1, required=True, type=PLACE, metavar="DIR|FILE...")
@click.option("--wait", is_flag=True, help="Until every container is running and ready, or succeeded.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after this long. [--wait: 300]"
)
@click.option("--pull", is_flag=True, help="Ask the registries for newer images; what runs an older one is replaced.")
@click.option("--yes-prune", is_flag=True, help="Removing most of the pods at once is meant.")
@NETWORK
@STRICTNESS
@pass_options
def apply(
    options: Options,
    places: tuple[Path, ...],
    wait: bool,
    timeout: float | None,
    pull: bool,
    yes_prune: bool,
    network: str | None,
    strictness: str | None,
) -> int:
    """Converge once: create, change and remove pods until they are as the manifests say.

    Exit code 0: all is as wanted; 1: not, and each pod or container that is not is named.

    \b
    Example:  reconciler apply --wait --timeout 60 manifests/
    """
    from reconciler.controller import converge

    if wait and timeout is None:
        timeout = WAIT_SECONDS
    engine = options.engine(patience=timeout)
    sources = converge.open_sources(
        places,
        engine.layout,
        prune=yes_prune,
        network=_known(engine, network),
        strictness=chosen(engine, strictness),
    )
    progress = Progress()
    try:
        report = converge.apply(
            engine,
            sources,
            layout=engine.layout,
            wait=wait,
            timeout=timeout,
            on_progress=told_to(progress),
            pull=_pulling(progress) if pull else None,
        )
    finally:
        progress.done()
    return _tell(report, "as wanted", timeout)


@click.command()
@click.argument("places", nargs=-1, required=True, type=PLACE, metavar="DIR|FILE...")
@NETWORK
@STRICTNESS
@pass_options
def diff(options: Options, places: tuple[Path, ...], network: str | None, strictness: str | None) -> int:
    """Show what would be done, and why; nothing is changed.

    Without --network, pods that name none are looked for where the last apply or watch had them. Manifests are read as
    strictly as then.

    Of a suspended pod: what resuming it would do.

    Exit code 0: nothing; 1: changes; 2: an error, in a manifest or otherwise.

    \b
    Example:  reconciler diff manifests/
    """
    from reconciler.controller import converge, looking
    from reconciler.sources.suspended import Suspensions

    engine = options.engine()
    known = None if network is None else _known(engine, network)
    said = Strictness(strictness) if strictness else None
    sources = converge.open_sources(places, engine.layout, network=known, strictness=said)
    as_before(engine, sources)
    found = looking.diff(engine, sources, suspensions=Suspensions(engine.layout.suspended))
    for pod in found:
        click.echo(f"pod {pod.key}")
        if pod.suspended:
            click.echo(
                f"  {coloured('-', YELLOW)} {looking.left_alone(pod.key)}{'' if pod.is_as_wanted else '; then:'}"
            )
        for sentence in pod.actions:
            click.echo(f"  {coloured('*', GREEN)} {harmless(sentence)}")
        for sentence in pod.waiting:
            click.echo(f"  {coloured('-', YELLOW)} waiting: {harmless(sentence)}")
    errors = [p for source in sources for p in source.problems()]
    if show(errors):
        return 2
    return 0 if all(pod.is_as_wanted for pod in found) else 1


@click.command()
@click.argument("places", nargs=-1, required=True, type=PLACE, metavar="DIR|FILE...")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after this long.")
@click.option(
    "--volumes", "also_volumes", is_flag=True, help="Also the volumes of its claims, with all that is in them."
)
@pass_options
def down(options: Options, places: tuple[Path, ...], timeout: float | None, also_volumes: bool) -> int:
    """Stop and remove what a folder or file owns: its pods, whatever their files say now.

    Containers get their grace period. Refused, naming the process, while a watch owns the folder. The volumes of
    PersistentVolumeClaims stay, unless --volumes is said.

    \b
    Example:  reconciler down manifests/
    """
    from reconciler.controller import converge
    from reconciler.controller.lock import holder

    engine = options.engine(patience=timeout)
    sources = _owners_at(engine, places)
    progress = Progress()
    claims = _claims_of(engine, sources) if also_volumes else ()
    try:
        report = converge.down(engine, sources, layout=engine.layout, timeout=timeout, on_progress=told_to(progress))
    finally:
        progress.done()
    if not holder(engine.layout.controller_lock):
        engine.retire()
    code = _tell(report, "gone", timeout)
    return code or claimed.remove(engine, claims)


def _claims_of(engine: Engine, sources: list[DirectorySource]) -> tuple[str, ...]:
    from reconciler.cli.resolve import observed

    owners = {source.id for source in sources}
    pods = [pod.applied for pod in observed(engine) if pod.sandbox and pod.applied and pod.sandbox.owner in owners]
    return claimed.volumes((one for source in sources for one in source.snapshot.objects), pods)


def _pulling(progress: Progress) -> Callable[[str], None]:
    """Progress of pulls; what failed stays on the screen."""

    def tell(text: str) -> None:
        if text.endswith("\n"):
            progress.done()
            complain(text.rstrip("\n"), "what is here is used, if there is an image")
        else:
            progress.say(text)

    return tell


def _known(engine: Engine, network: str | None) -> str:
    """The network of --network as sources have it. Raises NotFound: a misspelt one would hold up every pod."""
    from reconciler.engine import netrecords, networks
    from reconciler.model.spec import DEFAULT_NETWORK

    if network is None or network == DEFAULT_NETWORK:
        return ""
    if netrecords.read(engine.context, network) is None:
        raise networks.unknown(network)
    return network


def told_to(progress: Progress) -> Callable[[Key, Action], None]:
    """Each step that was done, as a line of progress."""
    from reconciler.plan.sentences import describe

    def tell(key: Key, action: Action) -> None:
        progress.say(f"pod {key}: {describe(action)}")

    return tell


WARM_AFTER = 1.5
"""Seconds that pods which run have to themselves at the start: one interpreter runs one thread at a time."""


def _warm(engine: Engine, log: Log) -> None:
    """Get ready what the first pod would wait for, while the folders are read; where there are pods, when they have
    been looked at."""
    import threading

    from reconciler.model.errors import ReconcilerError

    def body() -> None:
        try:
            engine.warm()
        except ReconcilerError as error:
            log.error("not ready for containers", cause=error.message, hint=error.hint)

    timer = threading.Timer(WARM_AFTER if engine.keys() else 0.0, body)
    timer.name, timer.daemon = "warm", True
    timer.start()


def _owners_at(engine: Engine, places: tuple[Path, ...]) -> list[DirectorySource]:
    """The sources at ``places``, also of a folder that is gone meanwhile but has pods recorded."""
    from reconciler.cli.resolve import observed
    from reconciler.controller.converge import open_sources
    from reconciler.sources.directory import DirectorySource, FileSource

    recorded = {pod.sandbox.owner for pod in observed(engine) if pod.sandbox}
    made: list[DirectorySource] = []
    for place in places:
        candidates = [DirectorySource(place), FileSource(place)]
        known = [source for source in candidates if source.id in recorded]
        made += known or open_sources([place], engine.layout)
    return made


def _tell(report: Report, wanted: str, timeout: float | None) -> int:
    """The end of the story: what is not as wanted on standard error, one line of summary on standard output."""
    show(report.problems)
    for sentence in report.network:
        click.echo(f"{coloured('network:', YELLOW, sys.stderr)} {harmless(sentence)}", err=True)
    told = {str(problem) for problem in report.problems}
    for row in report.rows:
        if row.converged:
            continue
        for why in row.why or ("it is not ready",):
            why = "its manifest is in error (told above)" if why in told else why
            click.echo(f"{coloured('not ready:', RED, sys.stderr)} pod {row.key}: {harmless(why)}", err=True)
    if report.timed_out:
        click.echo(f"the time is over ({timeout:g} s)", err=True)
    if not report.rows and not report.problems and wanted != "gone":
        click.echo("No manifests found.", err=True)
        return 0
    good = sum(row.converged for row in report.rows)
    steps = "nothing to do" if not report.steps else f"{report.steps} step{'' if report.steps == 1 else 's'}"
    click.echo(f"{good} of {len(report.rows)} pod{'' if len(report.rows) == 1 else 's'} {wanted} ({steps})")
    return 0 if report.ok else 1


def show(problems: Sequence[Problem]) -> bool:
    """Print what is wrong with the files; whether any of it is an error."""
    for problem in problems:
        click.echo(coloured(harmless(str(problem)), RED if problem.is_error else YELLOW, sys.stderr), err=True)
    return any(problem.is_error for problem in problems)
