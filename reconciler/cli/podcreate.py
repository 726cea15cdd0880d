"""`pod create`, and `pod recreate`: what is fixed when a pod is made, and how it comes to be another."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import complete
from reconciler.cli.hand import bench_of, new_name
from reconciler.cli.options.command import PodmanCommand
from reconciler.cli.options.groups import pod_options, pod_sandbox_options, sandbox_options
from reconciler.cli.options.values import PodOptions, SandboxOptions
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import Progress
from reconciler.cli.umask import as_called
from reconciler.model.desired import RunState
from reconciler.model.errors import InvalidInput, RuntimeFailed
from reconciler.model.key import HAND, Key
from reconciler.model.observed import Observed

if TYPE_CHECKING:
    from reconciler.controller.sync import Result
    from reconciler.engine.engine import Engine
    from reconciler.model.spec import SandboxSpec

INTERSPERSED = {"allow_interspersed_args": True}
"""No command of a container follows: options may come after names."""


@click.command(cls=PodmanCommand, podman="pod create", context_settings=INTERSPERSED)
@click.argument("called", required=False, metavar="[NAME]")
@pod_options
@pod_sandbox_options
@pass_options
def create(options: Options, called: str | None, pod: PodOptions, box: SandboxOptions) -> int:
    """Create a new empty pod, and print its id. It can then be started at any time: reconciler pod start.

    \b
    Example:  reconciler pod create --name web -p 8080:80
    """
    from reconciler.cli.options import assemble
    from reconciler.cli.options.world import here
    from reconciler.controller import making
    from reconciler.sources.hand import HandPod

    if called and pod.name:
        raise InvalidInput(f"cannot name a pod both {pod.name} and {called}")
    engine = options.engine()
    bench = bench_of(engine)
    name = called or pod.name or new_name(bench)
    spec = assemble.pod_from(pod, box, name=name, world=here(engine))
    word = HandPod(spec, RunState.CREATED, command=tuple(sys.argv))
    making.make_pod(bench, word, replace_old=pod.replace)
    ident = _id_of(engine, spec.key)
    if pod.pod_id_file:
        with as_called():
            Path(pod.pod_id_file).write_text(ident)
    click.echo(ident)
    return 0


@click.command(cls=PodmanCommand, podman="", context_settings=INTERSPERSED)
@click.argument("name", metavar="POD", shell_complete=complete.pods)
@sandbox_options
@pass_options
def recreate(options: Options, name: str, box: SandboxOptions) -> int:
    """Make a pod again with other bindings: -p adds ports, other options replace what they name.

    Its id stays, and all its members with their ids, names, labels, files and volumes; what runs is stopped for it and
    started again.

    \b
    Example:  reconciler pod recreate web -p 8443:443
    """
    from reconciler.cli.options import assemble
    from reconciler.cli.options.world import here
    from reconciler.cli.resolve import find_pod
    from reconciler.controller import by_hand, making
    from reconciler.controller.wanted import spoken

    engine = options.engine()
    pod = find_pod(engine, name)
    if pod.sandbox is None or pod.sandbox.owner != HAND:
        whose = spoken(pod.sandbox.owner) if pod.sandbox else "nobody"
        raise InvalidInput(f"cannot make pod {pod.key.name} again: it belongs to {whose}", hint="change its manifest")
    if not any(assemble.given(box)):
        raise InvalidInput(f"cannot make pod {pod.key.name} again: no option says what is to be another")
    progress = Progress()
    bench = bench_of(engine, progress)
    before = by_hand.alter(bench, pod.key, lambda word, _: word)
    world = here(engine)
    try:
        word = by_hand.alter(
            bench, pod.key, lambda word, _: replace(word, spec=assemble.recreated(word.spec, box, world))
        )
        result = by_hand.settle(bench, pod.key)
        making.expect_made(bench, pod.key, [], result)
        _expect_taken(engine.observe(pod.key, None), word.spec.sandbox, result)
    except BaseException:
        by_hand.edit(bench, pod.key, lambda _: before)
        by_hand.settle(bench, pod.key)
        raise
    finally:
        progress.done()
    click.echo(_id_of(engine, pod.key))
    return 0


def _expect_taken(have: Observed, sandbox: SandboxSpec, result: Result) -> None:
    """Raise RuntimeFailed where the pod is as it was: a port is taken, for one."""
    if have.applied is not None and have.applied.sandbox != sandbox and result.waiting:
        why = "; ".join(waiting.reason.text for waiting in result.waiting)
        raise RuntimeFailed(f"cannot make pod {have.key.name} again: {why}")


def _id_of(engine: Engine, key: Key) -> str:
    sandbox = engine.observe(key, None).sandbox
    return sandbox.id if sandbox else ""
