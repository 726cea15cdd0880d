"""`pod start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `rm`, `prune`: the lives of whole pods.

As with single containers: a pod made by hand is wanted otherwise from then on, one that a folder defines is only
worked on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler.cli.hand import Target, each, on_each
from reconciler.cli.life import (
    TIME,
    as_applied,
    kill_of,
    pause_of,
    refuse_managed,
    restart_of,
    running,
    signal_number,
    stop_managed,
    unpause_of,
    warn_of_owner,
)
from reconciler.cli.resolve import current, find_pod
from reconciler.cli.selection import Which, choosing
from reconciler.cli.settings import Options, pass_options
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.key import Key
from reconciler.model.observed import ContainerState, Observed

if TYPE_CHECKING:
    from reconciler.controller.by_hand import Bench
    from reconciler.engine.engine import Engine
    from reconciler.sources.hand import HandPod


def pods_meant(engine: Engine, which: Which) -> list[Target]:
    """The pods that were meant; ``--all`` leaves out those that are there for one container only.

    Raises NotFound, InvalidInput.
    """
    found: dict[Key, Target] = {}
    for name in which.said(engine, "pods"):
        try:
            pod = find_pod(engine, name)
        except NotFound:
            if which.ignore:
                continue
            raise
        found.setdefault(pod.key, _target(pod, pod.sandbox.id if pod.sandbox else name))
    return list(found.values())


def _target(pod: Observed, said: str) -> Target:
    return Target(pod, tuple(c.name for c in current(pod)), (said,))


@click.command()
@choosing("POD", "everything", "latest", "pod_id_file")
@pass_options
def start(options: Options, which: Which) -> int:
    """Start pods with all their containers, and print their ids.

    \b
    Example:  reconciler pod start jolly_oak
    """
    engine = options.engine()
    return on_each(engine, pods_meant(engine, which), _start)


def _start(bench: Bench, target: Target) -> None:
    from reconciler.controller import by_hand, making, wishes

    if not target.by_hand:
        as_applied(bench, target)
        return
    pod = by_hand.alter(bench, target.key, wishes.pod_started)
    making.expect_made(bench, target.key, wishes.names_of(pod), by_hand.settle(bench, target.key))


@click.command()
@choosing("POD", "everything", "latest", "pod_id_file", "ignore")
@TIME
@pass_options
def stop(options: Options, which: Which, grace: int | None) -> int:
    """Stop pods; they are kept. TERM to their containers first, and KILL when their time is over.

    \b
    Example:  reconciler pod stop -t 3 jolly_oak
    """
    engine = options.engine()
    meant = pods_meant(engine, which)
    return on_each(engine, meant, lambda bench, t: _stop(bench, t, grace))


def _stop(bench: Bench, target: Target, grace: float | None) -> None:
    from reconciler.controller import by_hand, wishes

    if not target.by_hand:
        warn_of_owner(bench, target)
        stop_managed(bench, target, grace)
        return
    by_hand.carry_out(bench, target.key, lambda pod, _: wishes.pod_stopped(pod, grace))


@click.command()
@choosing("POD", "everything", "latest", "pod_id_file")
@TIME
@pass_options
def restart(options: Options, which: Which, grace: int | None) -> int:
    """Stop pods and start them again. Those of which nothing runs are started.

    \b
    Example:  reconciler pod restart web
    """
    engine = options.engine()
    return on_each(engine, pods_meant(engine, which), lambda bench, t: _restart(bench, t, grace))


def _restart(bench: Bench, target: Target, grace: float | None) -> None:
    from reconciler.controller import by_hand, making, wishes

    if not target.by_hand:
        restart_of(bench, target, grace)
        return
    pod = by_hand.alter(bench, target.key, lambda pod, have: wishes.pod_restarted(pod, have, grace))
    making.expect_made(bench, target.key, wishes.names_of(pod), by_hand.settle(bench, target.key))


@click.command()
@choosing("POD", "everything", "latest")
@click.option("-s", "--signal", "name", default="KILL", show_default=True, help="By name or number.")
@pass_options
def kill(options: Options, which: Which, name: str) -> int:
    """Send a signal to the containers of pods, to the first process of each that runs.

    \b
    Example:  reconciler pod kill -s HUP web
    """
    number = signal_number(name)
    engine = options.engine()
    meant = [_running_of(target) for target in pods_meant(engine, which)]
    return each(meant, lambda t: kill_of(engine, t, number), lambda t: t.said)


@click.command()
@choosing("POD", "everything", "latest")
@pass_options
def pause(options: Options, which: Which) -> int:
    """Freeze the containers of pods, every process of them, until unpause.

    \b
    Example:  reconciler pod pause jolly_oak
    """
    engine = options.engine()
    meant = [_running_of(target) for target in pods_meant(engine, which)]
    return on_each(engine, meant, pause_of)


@click.command()
@choosing("POD", "everything", "latest")
@pass_options
def unpause(options: Options, which: Which) -> int:
    """Let paused pods go on, all their containers that were frozen.

    \b
    Example:  reconciler pod unpause jolly_oak
    """
    engine = options.engine()
    return on_each(engine, pods_meant(engine, which), unpause_of)


def _running_of(target: Target) -> Target:
    return Target(target.pod, tuple(c.name for c in running(target)), target.said)


@click.command()
@choosing("POD", "everything", "latest", "pod_id_file", "ignore")
@click.option("-f", "--force", is_flag=True, help="Also one with containers: those that run are stopped first.")
@TIME
@pass_options
def rm(options: Options, which: Which, force: bool, grace: int | None) -> int:
    """Remove pods made by hand, with all that is in them.

    \b
    Example:  reconciler pod rm -f jolly_oak
    """
    engine = options.engine()
    meant = pods_meant(engine, replace(which, ignore=which.ignore or force))
    if which.everything:
        meant = [target for target in meant if target.by_hand]
    return on_each(engine, meant, lambda bench, t: _rm(bench, t, force, grace))


def _rm(bench: Bench, target: Target, force: bool, grace: float | None) -> None:
    from reconciler.controller import by_hand

    refuse_managed(target, "remove")
    if not force and (alive := [c.name for c in running(target)]):
        raise InvalidInput(
            f"cannot remove pod {target.key.name}: {', '.join(alive)} runs", hint="stop it first, or say -f"
        )
    by_hand.edit(bench, target.key, lambda pod: by_hand.removed(pod or _lost(target), target.key, grace))
    by_hand.settle(bench, target.key)


def _lost(target: Target) -> HandPod | None:
    """The word about a pod whose word is lost: what it runs by."""
    from reconciler.sources.hand import HandPod

    return HandPod(target.pod.applied) if target.pod.applied else None


@click.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@pass_options
def prune(options: Options, force: bool) -> int:
    """Remove pods of which nothing runs, those made by hand.

    \b
    Example:  reconciler pod prune
    """
    engine = options.engine()
    idle = [t for t in pods_meant(engine, Which(everything=True)) if t.by_hand and not running(t) and not _waits(t)]
    if idle and not force and not click.confirm(f"This removes {len(idle)} pods. Go on?", err=True):
        return 1
    return on_each(engine, idle, lambda bench, t: _rm(bench, t, False, None))


def _waits(target: Target) -> bool:
    """Whether its infra container is alive: it runs, or waits for its first start."""
    sandbox = target.pod.sandbox
    infra = sandbox.infra if sandbox else None
    return infra is not None and infra.state in (ContainerState.RUNNING, ContainerState.CREATED)
