"""`start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `rm`, `wait`: the lives of single containers.

A container made by hand is wanted otherwise from then on; one that a folder defines is only worked on, as its manifest
goes on to say what is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.hand import ALL, Target, bench_of, each, expect_alive, targets
from reconciler.cli.resolve import current
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import complain
from reconciler.model.errors import InvalidInput, ReconcilerError
from reconciler.model.observed import Container, ContainerState

if TYPE_CHECKING:
    from reconciler.controller.by_hand import Bench
    from reconciler.model.observed import Observed
    from reconciler.sources.hand import HandPod

NAMES = click.argument("names", nargs=-1, metavar="CONTAINER...")
TIME = click.option(
    "-t", "--time", "grace", type=click.IntRange(min=0), metavar="SECONDS", help="Time to end before it is killed."
)
IGNORE = click.option("-i", "--ignore", is_flag=True, help="One that is not there is no error.")


@click.command()
@NAMES
@ALL
@pass_options
def start(options: Options, names: tuple[str, ...], everything: bool) -> int:
    """Start containers that were created or have ended: the same ones, with the files they had.

    \b
    Example:  reconciler start adoring_oak
    """
    engine = options.engine()
    bench = bench_of(engine)
    return each(targets(engine, names, everything), lambda t: _start(bench, t), lambda t: t.said)


def _start(bench: Bench, target: Target) -> None:
    from reconciler.controller import by_hand, oneshot, wishes

    if not target.by_hand:
        by_hand.settle(bench, target.key, wanted=oneshot.AsApplied(bench))
        return
    by_hand.alter(bench, target.key, lambda pod, have: wishes.started(pod, have, target.names))
    try:
        result = by_hand.settle(bench, target.key)
        expect_alive(bench, target.key, target.names, result)
    except ReconcilerError:
        by_hand.alter(bench, target.key, lambda pod, _: wishes.stopped(pod, target.names))
        raise


@click.command()
@NAMES
@ALL
@TIME
@IGNORE
@pass_options
def stop(options: Options, names: tuple[str, ...], everything: bool, grace: int | None, ignore: bool) -> int:
    """Stop containers; they are kept. TERM first, and KILL when their time is over.

    \b
    Example:  reconciler stop -t 3 adoring_oak
    """
    engine = options.engine()
    bench = bench_of(engine)
    return each(targets(engine, names, everything, ignore=ignore), lambda t: _stop(bench, t, grace), lambda t: t.said)


def _stop(bench: Bench, target: Target, grace: float | None) -> None:
    from reconciler.controller import by_hand, oneshot, wishes

    if target.by_hand:
        by_hand.alter(bench, target.key, lambda pod, _: wishes.stopped(pod, target.names, grace))
        by_hand.settle(bench, target.key)
        return
    warn_of_owner(bench, target)
    oneshot.stop(bench, target.key, running(target), grace)


def warn_of_owner(bench: Bench, target: Target) -> None:
    """Of a managed pod that is not left alone: that it does not stay stopped, and what keeps it so."""
    from reconciler.sources.suspended import Suspensions

    if Suspensions(bench.layout.suspended).since(target.key) is not None:
        return
    complain(
        f"pod {target.key} belongs to {target.owner}: what is stopped of it will be started again",
        f"to leave it alone: reconciler suspend {target.key.name}",
    )


@click.command()
@NAMES
@ALL
@TIME
@pass_options
def restart(options: Options, names: tuple[str, ...], everything: bool, grace: int | None) -> int:
    """Stop containers and start them again. Those that do not run are started.

    \b
    Example:  reconciler restart web/app
    """
    engine = options.engine()
    bench = bench_of(engine)
    return each(targets(engine, names, everything), lambda t: restart_of(bench, t, grace), lambda t: t.said)


def restart_of(bench: Bench, target: Target, grace: float | None) -> None:
    """Another life for each of the members that are named."""
    from reconciler.controller import by_hand, oneshot, wishes

    if not target.by_hand:
        oneshot.stop(bench, target.key, running(target), grace)
        by_hand.settle(bench, target.key, wanted=oneshot.AsApplied(bench))
        return
    by_hand.alter(bench, target.key, lambda pod, have: wishes.restarted(pod, have, target.names, grace))
    expect_alive(bench, target.key, target.names, by_hand.settle(bench, target.key))


@click.command()
@NAMES
@ALL
@click.option("-s", "--signal", "name", default="KILL", show_default=True, help="By name or number.")
@pass_options
def kill(options: Options, names: tuple[str, ...], everything: bool, name: str) -> int:
    """Send a signal to containers, to the first process of each.

    \b
    Example:  reconciler kill -s HUP web/app
    """
    number = signal_number(name)
    engine = options.engine()
    bench = bench_of(engine)
    return each(targets(engine, names, everything), lambda t: kill_of(bench, t, number), lambda t: t.said)


def signal_number(name: str) -> int:
    """Raises InvalidInput."""
    import signal

    word = name.upper().removeprefix("SIG")
    try:
        return signal.Signals(int(word)) if word.isdigit() else signal.Signals[f"SIG{word}"]
    except (ValueError, KeyError):
        raise InvalidInput(f"cannot send {name}: it is no signal", hint="for example: HUP, TERM, 9") from None


def kill_of(bench: Bench, target: Target, number: int) -> None:
    """KILL to one made by hand is a wish, too: it stays ended."""
    import signal

    from reconciler.controller import by_hand, wishes

    alive = running(target)
    if idle := set(target.names) - {c.name for c in alive}:
        raise InvalidInput(f"cannot send a signal to {', '.join(sorted(idle))}: it does not run")
    if target.by_hand and number == signal.SIGKILL:
        by_hand.alter(bench, target.key, lambda pod, _: wishes.stopped(pod, target.names, 0))
        by_hand.settle(bench, target.key)
        return
    for container in alive:
        bench.engine.signal(container.id, number)


@click.command()
@NAMES
@ALL
@pass_options
def pause(options: Options, names: tuple[str, ...], everything: bool) -> int:
    """Freeze containers, every process of them, until unpause.

    \b
    Example:  reconciler pause adoring_oak
    """
    engine = options.engine()
    bench = bench_of(engine)
    return each(targets(engine, names, everything), lambda t: pause_of(bench, t), lambda t: t.said)


def pause_of(bench: Bench, target: Target) -> None:
    """What does not run cannot be paused."""
    from reconciler.controller import by_hand, wishes

    refuse_managed(target, "pause")
    if idle := set(target.names) - {c.name for c in running(target)}:
        raise InvalidInput(f"cannot pause {', '.join(sorted(idle))}: it does not run")
    by_hand.alter(bench, target.key, lambda pod, _: wishes.paused(pod, target.names))
    by_hand.settle(bench, target.key)


@click.command()
@NAMES
@ALL
@pass_options
def unpause(options: Options, names: tuple[str, ...], everything: bool) -> int:
    """Let paused containers go on.

    \b
    Example:  reconciler unpause adoring_oak
    """
    engine = options.engine()
    bench = bench_of(engine)
    return each(targets(engine, names, everything), lambda t: unpause_of(bench, t), lambda t: t.said)


def unpause_of(bench: Bench, target: Target) -> None:
    from reconciler.controller import by_hand, wishes

    refuse_managed(target, "unpause")
    by_hand.alter(bench, target.key, lambda pod, _: wishes.resumed(pod, target.names))
    by_hand.settle(bench, target.key)


def refuse_managed(target: Target, verb: str) -> None:
    """Raise InvalidInput for a pod that a folder defines."""
    if not target.by_hand:
        raise InvalidInput(
            f"cannot {verb} {', '.join(target.said)}: pod {target.key} belongs to {target.owner}",
            hint="change its manifest",
        )


@click.command()
@NAMES
@ALL
@click.option("-f", "--force", is_flag=True, help="Also what runs: it is stopped first.")
@TIME
@IGNORE
@click.option("-v", "--volumes", is_flag=True, hidden=True)
@pass_options
def rm(
    options: Options,
    names: tuple[str, ...],
    everything: bool,
    force: bool,
    grace: int | None,
    ignore: bool,
    volumes: bool,  # noqa: ARG001 (anonymous volumes always go)
) -> int:
    """Remove containers made by hand, with the files that they wrote.

    \b
    Example:  reconciler rm -f adoring_oak
    """
    engine = options.engine()
    bench = bench_of(engine)
    found = targets(engine, names, everything, ignore=ignore or force)
    if everything:
        found = [target for target in found if target.by_hand]
    return each(found, lambda t: _rm(bench, t, force, grace), lambda t: t.said)


def _rm(bench: Bench, target: Target, force: bool, grace: float | None) -> None:
    from dataclasses import replace

    from reconciler.controller import by_hand

    refuse_managed(target, "remove")
    if not force and (alive := [c.name for c in running(target)]):
        raise InvalidInput(f"cannot remove {', '.join(alive)}: it runs", hint="stop it first, or say -f")

    def without(pod: HandPod, _: Observed) -> HandPod:
        if pod.solo:
            return replace(pod, going=True, grace=grace)
        for name in target.names:
            pod = pod.without(name, grace)
        return pod

    by_hand.alter(bench, target.key, without)
    by_hand.settle(bench, target.key)


@click.command()
@NAMES
@IGNORE
@pass_options
def wait(options: Options, names: tuple[str, ...], ignore: bool) -> int:
    """Wait until containers have ended, and print their exit codes.

    \b
    Example:  reconciler wait adoring_oak
    """
    engine = options.engine()
    bench = bench_of(engine)
    for target in targets(engine, names, False, ignore=ignore):
        for container in _named(target):
            click.echo(_awaited(bench, target, container))
    return 0


def _awaited(bench: Bench, target: Target, container: Container) -> int:
    """The exit code of the container's present life, or of its last one."""
    from reconciler.controller.by_hand import await_ends

    while container.state is not ContainerState.EXITED:
        await_ends([container], 3600.0)
        now = [c for c in bench.engine.observe(target.key, None).containers if c.id == container.id]
        if not now or now[0].turn != container.turn or now[0].restarts != container.restarts:
            last = now[0].last if now else None
            code = bench.source.code_of(container.id)
            return last.code if last else -1 if code is None else code
        container = now[0]
    return container.exit.code if container.exit else -1


def _named(target: Target) -> list[Container]:
    return [c for c in current(target.pod) if c.name in target.names]


def running(target: Target) -> list[Container]:
    """Those of the containers meant that run."""
    return [c for c in _named(target) if c.state is ContainerState.RUNNING]
