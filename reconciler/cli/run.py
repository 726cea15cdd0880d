"""`run` and `create`: a container by podman's options, in a pod of its own, a new one, or one that is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from reconciler.cli.hand import bench_of, new_name
from reconciler.cli.options.command import PodmanCommand
from reconciler.cli.options.groups import create_options, member_options, run_options, sandbox_options
from reconciler.cli.options.values import MakingOptions, MemberOptions, SandboxOptions
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.terminal import Progress, complain
from reconciler.cli.umask import as_called
from reconciler.model.desired import RunState, Wish
from reconciler.model.errors import InvalidInput, NotFound, ReconcilerError
from reconciler.model.key import HAND, ContainerId, Key
from reconciler.model.observed import Observed

if TYPE_CHECKING:
    from reconciler.cli.options.world import World
    from reconciler.controller.by_hand import Bench
    from reconciler.engine.engine import Engine
    from reconciler.model.spec import ContainerSpec, PodSpec

T = TypeVar("T")

IMAGE = click.argument("image")
COMMAND = click.argument("command", nargs=-1, type=click.UNPROCESSED)


@click.command(cls=PodmanCommand, podman="run")
@IMAGE
@COMMAND
@run_options
@member_options
@sandbox_options
@pass_options
def run(
    options: Options,
    image: str,
    command: tuple[str, ...],
    how: MakingOptions,
    member: MemberOptions,
    box: SandboxOptions,
) -> int:
    """Run a command in a new container. The exit code is the command's; 125: none was run; 126, 127: it cannot be.

    \b
    Example:  reconciler run -dt --pod new:web -p 8080:80 busybox:1 httpd -f
    """
    if member.interactive and member.tty and not how.detach and not os.isatty(0):
        raise InvalidInput("cannot connect the container's terminal with ours: stdin is none", hint="leave -t away")
    engine = options.engine()
    progress = Progress()
    bench = bench_of(engine, None if how.quiet else progress)
    at_once = how.detach and not how.rm  # what is removed when it ends may be gone before its id is known
    try:
        first = RunState.RUNNING if at_once else RunState.CREATED
        made = _make(engine, bench, image, command, how, member, box, first)
        progress.done()
        if not how.detach:
            return _stay(engine, bench, made, how, member)
        if not at_once:
            _or_remove(bench, made, lambda: _start(bench, made))
        click.echo(made.id)
        return 0
    except ReconcilerError as error:
        from reconciler.cli.foreground import code_of

        progress.done()
        complain(error.message, error.hint)
        return code_of(error)
    finally:
        progress.done()


@click.command(cls=PodmanCommand, podman="create")
@IMAGE
@COMMAND
@create_options
@member_options
@sandbox_options
@pass_options
def create(
    options: Options,
    image: str,
    command: tuple[str, ...],
    how: MakingOptions,
    member: MemberOptions,
    box: SandboxOptions,
) -> int:
    """Create a container without starting it, and print its id.

    \b
    Example:  reconciler create --name db -v data:/var/lib/db busybox:1 sleep inf
    """
    engine = options.engine()
    progress = Progress()
    try:
        made = _make(
            engine, bench_of(engine, progress), image, command, how, member, box, RunState.CREATED, new_run=False
        )
    finally:
        progress.done()
    click.echo(made.id)
    return 0


@dataclass(frozen=True, slots=True)
class Made:
    """A container that was made: the key of its pod, its name, its id."""

    key: Key
    name: str
    id: ContainerId


def _make(
    engine: Engine,
    bench: Bench,
    image: str,
    command: tuple[str, ...],
    how: MakingOptions,
    member: MemberOptions,
    box: SandboxOptions,
    run: RunState,
    *,
    new_run: bool = True,
) -> Made:
    """``run``: what the container is to be at; ``new_run``: whether a pod that is made for it runs."""
    from reconciler.cli.options import assemble
    from reconciler.cli.options.world import here
    from reconciler.controller import making
    from reconciler.sources.hand import HandMember, HandPod

    file = _new_file(how.cidfile)
    name = how.name or new_name(bench)
    world, words = here(engine), tuple(sys.argv)
    said = HandMember(name, Wish(run), how.rm, words)
    place, new = _place(how)
    if place and not new:
        pod = _pod_to_join(engine, place)
        assemble.stay_out_of_sandbox(box, pod.key.name)
        mounts = pod.applied.mounts if pod.applied else ()
        spec = assemble.member_from(member, image, command, name=name, world=world, pods=mounts)
        if how.replace:
            _remove_namesake(bench, name)
        making.add_member(bench, pod.key, spec, said)
        key = pod.key
    else:
        spec = assemble.member_from(member, image, command, name=name, world=world)
        pod_spec = _new_pod(place, spec, box, world)
        key = pod_spec.key
        pod_run = RunState.RUNNING if new_run else RunState.CREATED
        word = HandPod(pod_spec, pod_run, (said,), solo=not place, command=words)
        making.make_pod(bench, word, replace_old=how.replace)
    made = Made(key, name, making.id_of(bench, key, name))
    if file:
        with as_called():
            file.write_text(made.id)
    return made


def _new_pod(place: str, spec: ContainerSpec, box: SandboxOptions, world: World) -> PodSpec:
    from reconciler.cli.options import assemble

    if not place:
        return assemble.own_pod(spec, box, world)
    return replace(assemble.new_pod(place, box, world), containers=(spec,))


def _place(how: MakingOptions) -> tuple[str, bool]:
    """The pod it joins ("" for none), and whether that is to be made."""
    from reconciler.flags import names

    if how.pod_id_file:
        if how.pod:
            raise InvalidInput("cannot use --pod and --pod-id-file together: they name the same thing")
        return _text(how.pod_id_file), False
    return names.pod_choice(how.pod) if how.pod is not None else ("", False)


def _text(path: str) -> str:
    from reconciler.cli.options.world import text_of

    return text_of(path, "--pod-id-file").strip()


def _new_file(path: str | None) -> Path | None:
    """Podman never writes over one: it may name another container."""
    if path is None:
        return None
    if os.path.lexists(path):
        raise InvalidInput(f"cannot write --cidfile {path}: it is there already", hint="remove it, or name another")
    return Path(path)


def _pod_to_join(engine: Engine, name: str) -> Observed:
    from reconciler.cli.resolve import find_pod
    from reconciler.controller.wanted import spoken

    pod = find_pod(engine, name)
    if pod.sandbox is not None and pod.sandbox.owner != HAND:
        raise InvalidInput(
            f"cannot make a container in pod {pod.key.name}: it belongs to {spoken(pod.sandbox.owner)}",
            hint="add it to the pod's manifest",
        )
    return pod


def _remove_namesake(bench: Bench, name: str) -> None:
    from reconciler.controller import making

    other = bench.source.holder(name)
    if other is not None:
        with suppress(NotFound):
            making.remove_members(bench, other, [name])


def _stay(engine: Engine, bench: Bench, made: Made, how: MakingOptions, member: MemberOptions) -> int:
    """Start what was made, and stay with it to its end."""
    from reconciler.cli.conversation import keys_named
    from reconciler.cli.foreground import stay_with
    from reconciler.controller import by_hand

    keys = keys_named(how.detach_keys)
    code = _or_remove(
        bench,
        made,
        lambda: stay_with(
            engine,
            bench,
            made.id,
            lambda: _start(bench, made),
            stdin=member.interactive,
            keys=keys,
            proxy=how.sig_proxy,
        ),
    )
    if how.rm:
        with suppress(ReconcilerError):
            by_hand.settle(bench, made.key)
    return code


def _start(bench: Bench, made: Made) -> None:
    """Raises RuntimeFailed and others where it cannot be started. It may have ended, and be removed for that."""
    from reconciler.controller import by_hand, making, wishes

    result = by_hand.carry_out(bench, made.key, lambda pod, have: wishes.started(pod, have, (made.name,)))
    if bench.source.code_of(made.id) is None:
        making.expect_made(bench, made.key, [made.name], result)


def _or_remove(bench: Bench, made: Made, act: Callable[[], T]) -> T:
    """What cannot be started is not left behind."""
    from reconciler.controller import making

    try:
        return act()
    except ReconcilerError:
        with suppress(ReconcilerError):
            making.remove_members(bench, made.key, [made.name], grace=0)
        raise
