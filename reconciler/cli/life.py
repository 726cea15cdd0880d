"""`start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `rm`, `wait`: the lives of single containers.

A container made by hand is wanted otherwise from then on; one that a folder defines is only worked on, as its manifest
goes on to say what is wanted.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler.cli.hand import Target, bench_of, each, on_each, targets
from reconciler.cli.options.values import DETACH_KEYS
from reconciler.cli.resolve import current
from reconciler.cli.selection import Which, choosing
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import complain
from reconciler.model.errors import InvalidInput, ReconcilerError
from reconciler.model.observed import Container, ContainerState

if TYPE_CHECKING:
    from reconciler.controller.by_hand import Bench
    from reconciler.engine.engine import Engine

TIME = click.option(
    "-t", "--time", "grace", type=click.IntRange(min=0), metavar="SECONDS", help="Time to end before it is killed."
)


@click.command()
@choosing("CONTAINER", "long_everything", "latest", "filters")
@click.option("-a", "--attach", "attached", is_flag=True, help="Show what it writes, until it ends.")
@click.option("-i", "--interactive", is_flag=True, help="Let it read our input (with --attach).")
@click.option("--detach-keys", "keys", default=DETACH_KEYS, metavar="KEYS", help="Typed in a row, they detach.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Hand signals on to it (with --attach).")
@pass_options
def start(options: Options, which: Which, attached: bool, interactive: bool, keys: str, sig_proxy: bool) -> int:
    """Start containers that were created or have ended: the same ones, with the files they had.

    \b
    Example:  reconciler start adoring_oak
    """
    engine = options.engine()
    bench = bench_of(engine)
    meant = targets(engine, which)
    if attached or interactive:
        return _start_and_stay(engine, bench, meant, interactive, keys, sig_proxy)
    return on_each(engine, meant, _start)


def _start_and_stay(
    engine: Engine, bench: Bench, meant: list[Target], interactive: bool, keys: str, sig_proxy: bool
) -> int:
    from reconciler.cli.conversation import keys_named
    from reconciler.cli.foreground import stay_with

    if [len(target.names) for target in meant] != [1]:
        raise InvalidInput("cannot attach to several containers: name one")
    (target,) = meant
    refuse_managed(target, "attach while starting")
    (container,) = named(target)
    if container.state is ContainerState.EXITED:
        _remake(bench, target)
    start = lambda: _start(bench, target)  # noqa: E731 (what is done when we are connected)
    return stay_with(engine, bench, container.id, start, stdin=interactive, keys=keys_named(keys), proxy=sig_proxy)


def _remake(bench: Bench, target: Target) -> None:
    """Another life of it, down to a process that waits for its start: there is somebody to connect with then."""
    from reconciler.controller import by_hand, wishes

    by_hand.carry_out(bench, target.key, lambda pod, have: wishes.remade(pod, have, target.names))


def _start(bench: Bench, target: Target) -> None:
    from reconciler.controller import by_hand, making, wishes

    if not target.by_hand:
        as_applied(bench, target)
        return
    by_hand.alter(bench, target.key, lambda pod, have: wishes.started(pod, have, target.names))
    try:
        making.expect_made(bench, target.key, target.names, by_hand.settle(bench, target.key))
    except ReconcilerError:
        by_hand.alter(bench, target.key, lambda pod, _: wishes.stopped(pod, target.names))
        raise


@click.command()
@choosing("CONTAINER", "everything", "latest", "filters", "cidfile", "ignore")
@TIME
@pass_options
def stop(options: Options, which: Which, grace: int | None) -> int:
    """Stop containers; they are kept. TERM first, and KILL when their time is over.

    \b
    Example:  reconciler stop -t 3 adoring_oak
    """
    engine = options.engine()
    return on_each(engine, targets(engine, which), lambda bench, t: _stop(bench, t, grace))


def as_applied(bench: Bench, target: Target) -> None:
    """Have a pod of a folder as it was applied last."""
    from reconciler.controller import by_hand, oneshot

    by_hand.settle(bench, target.key, wanted=oneshot.AsApplied(bench))


def _stop(bench: Bench, target: Target, grace: float | None) -> None:
    from reconciler.controller import by_hand, wishes

    if target.by_hand:
        by_hand.carry_out(bench, target.key, lambda pod, have: wishes.each_stopped(pod, have, target.names, grace))
        return
    warn_of_owner(bench, target)
    stop_managed(bench, target, grace)


def stop_managed(bench: Bench, target: Target, grace: float | None) -> None:
    """End what runs of the containers meant, of a pod that a folder defines."""
    from reconciler.controller import oneshot

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
@choosing("CONTAINER", "everything", "latest", "filters", "cidfile")
@TIME
@click.option("--running", is_flag=True, help="All that run.")
@pass_options
def restart(options: Options, which: Which, grace: int | None, running: bool) -> int:
    """Stop containers and start them again. Those that do not run are started.

    \b
    Example:  reconciler restart web/app
    """
    engine = options.engine()
    which = replace(which, filters=(*which.filters, "status=running")) if running else which
    return on_each(engine, targets(engine, which), lambda bench, t: restart_of(bench, t, grace))


def restart_of(bench: Bench, target: Target, grace: float | None) -> None:
    """Another life for each of the members that are named."""
    from reconciler.controller import by_hand, making, wishes

    if not target.by_hand:
        stop_managed(bench, target, grace)
        as_applied(bench, target)
        return
    result = by_hand.carry_out(bench, target.key, lambda pod, have: wishes.restarted(pod, have, target.names, grace))
    making.expect_made(bench, target.key, target.names, result)


@click.command()
@choosing("CONTAINER", "everything", "latest", "cidfile")
@click.option("-s", "--signal", "name", default="KILL", show_default=True, help="By name or number.")
@pass_options
def kill(options: Options, which: Which, name: str) -> int:
    """Send a signal to containers, to the first process of each.

    \b
    Example:  reconciler kill -s HUP web/app
    """
    number = signal_number(name)
    engine = options.engine()
    return each(targets(engine, which), lambda t: kill_of(engine, t, number), lambda t: t.said)


def signal_number(name: str) -> int:
    """Raises InvalidInput."""
    import signal

    word = name.upper().removeprefix("SIG")
    try:
        return signal.Signals(int(word)) if word.isdigit() else signal.Signals[f"SIG{word}"]
    except (ValueError, KeyError):
        raise InvalidInput(f"cannot send {name}: it is no signal", hint="for example: HUP, TERM, 9") from None


def kill_of(engine: Engine, target: Target, number: int) -> None:
    """KILL to one made by hand is a wish, too: it stays ended."""
    import signal

    alive = expect_running(target, "send a signal to")
    if target.by_hand and number == signal.SIGKILL:
        from reconciler.controller import by_hand, wishes

        by_hand.carry_out(bench_of(engine), target.key, lambda pod, _: wishes.stopped(pod, target.names, 0))
        return
    for container in alive:
        engine.signal(container.id, number)


@click.command()
@choosing("CONTAINER", "everything", "latest", "filters", "cidfile")
@pass_options
def pause(options: Options, which: Which) -> int:
    """Freeze containers, every process of them, until unpause.

    \b
    Example:  reconciler pause adoring_oak
    """
    engine = options.engine()
    return on_each(engine, targets(engine, which), pause_of)


def pause_of(bench: Bench, target: Target) -> None:
    """What does not run cannot be paused."""
    from reconciler.controller import by_hand, wishes

    refuse_managed(target, "pause")
    expect_running(target, "pause")
    by_hand.carry_out(bench, target.key, lambda pod, _: wishes.paused(pod, target.names))


@click.command()
@choosing("CONTAINER", "everything", "latest", "filters", "cidfile")
@pass_options
def unpause(options: Options, which: Which) -> int:
    """Let paused containers go on.

    \b
    Example:  reconciler unpause adoring_oak
    """
    engine = options.engine()
    return on_each(engine, targets(engine, which), unpause_of)


def unpause_of(bench: Bench, target: Target) -> None:
    from reconciler.controller import by_hand, wishes

    refuse_managed(target, "unpause")
    by_hand.carry_out(bench, target.key, lambda pod, _: wishes.resumed(pod, target.names))


def expect_running(target: Target, doing: str) -> list[Container]:
    """The containers meant; raises InvalidInput ("cannot ``doing`` …") where one does not run."""
    alive = running(target)
    if idle := set(target.names) - {c.name for c in alive}:
        raise InvalidInput(f"cannot {doing} {', '.join(sorted(idle))}: it does not run")
    return alive


def refuse_managed(target: Target, verb: str) -> None:
    """Raise InvalidInput for a pod that a folder defines."""
    if not target.by_hand:
        raise InvalidInput(
            f"cannot {verb} {', '.join(target.said)}: pod {target.key} belongs to {target.owner}",
            hint="change its manifest",
        )


@click.command()
@choosing("CONTAINER", "everything", "latest", "long_filters", "cidfile", "ignore")
@click.option("-f", "--force", is_flag=True, help="Also what runs: it is stopped first.")
@TIME
@click.option("-v", "--volumes", is_flag=True, help="Its anonymous volumes, too; they go anyway.")
@pass_options
def rm(options: Options, which: Which, force: bool, grace: int | None, volumes: bool) -> int:  # noqa: ARG001
    """Remove containers made by hand, with the files that they wrote.

    \b
    Example:  reconciler rm -f adoring_oak
    """
    engine = options.engine()
    found = targets(engine, replace(which, ignore=which.ignore or force))
    if which.everything:
        found = [target for target in found if target.by_hand]
    return on_each(engine, found, lambda bench, t: _rm(bench, t, force, grace))


def _rm(bench: Bench, target: Target, force: bool, grace: float | None) -> None:
    from reconciler.controller import making

    refuse_managed(target, "remove")
    if not force and (alive := [c.name for c in running(target)]):
        raise InvalidInput(f"cannot remove {', '.join(alive)}: it runs", hint="stop it first, or say -f")
    making.remove_members(bench, target.key, target.names, grace)


def remove_ended(engine: Engine) -> int:
    """Remove the containers made by hand that have ended, as podman's `container prune`; the exit code."""
    found = []
    for target in targets(engine, Which(everything=True)):
        ended = [c for c in current(target.pod) if c.name in target.names and c.state is ContainerState.EXITED]
        if target.by_hand and ended:
            found.append(replace(target, names=tuple(c.name for c in ended), said=tuple(c.id for c in ended)))
    return on_each(engine, found, lambda bench, t: _rm(bench, t, False, None))


@click.command()
@choosing("CONTAINER", "latest", "long_ignore")
@click.option(
    "--condition",
    type=click.Choice(["stopped", "exited", "running"]),
    default="stopped",
    show_default=True,
    help="What is waited for.",
)
@click.option("-i", "--interval", hidden=True, help="Nobody asks again and again here.")
@pass_options
def wait(options: Options, which: Which, condition: str, interval: str | None) -> int:  # noqa: ARG001 (podman's)
    """Wait until containers have ended, and print their exit codes.

    \b
    Example:  reconciler wait adoring_oak
    """
    engine = options.engine()
    bench = bench_of(engine)
    for target in targets(engine, which):
        for container in named(target):
            if condition == "running":
                _await_running(bench, target, container)
                click.echo(-1)  # as podman has it
            else:
                click.echo(_awaited(bench, target, container))
    return 0


def _await_running(bench: Bench, target: Target, container: Container) -> None:
    """Nobody tells of a start, so this asks again and again."""
    while not any(
        c.id == container.id and c.state is ContainerState.RUNNING
        for c in bench.engine.observe(target.key, None).containers
    ):
        time.sleep(0.05)


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


def named(target: Target) -> list[Container]:
    """The containers meant."""
    return [c for c in current(target.pod) if c.name in target.names]


def running(target: Target) -> list[Container]:
    """Those of the containers meant that run."""
    return [c for c in named(target) if c.state is ContainerState.RUNNING]
