"""`kube play` and `kube down`: a manifest's pods as podman's users make them and take them away."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import claimed
from reconciler.cli.app import FAILED_AS_PODMAN
from reconciler.cli.options.command import Option, PodmanCommand, Switch
from reconciler.cli.options.groups import NETWORK, OTHER
from reconciler.cli.settings import Options, pass_options
from reconciler.cli.strictness import CHOICE, HELP, chosen_without_engine
from reconciler.cli.terminal import Progress, complain
from reconciler.model.errors import InvalidInput
from reconciler.model.key import Key
from reconciler.model.strictness import Strictness

if TYPE_CHECKING:
    from reconciler.controller.by_hand import Bench
    from reconciler.controller.played import Outcome
    from reconciler.engine.engine import Engine
    from reconciler.flags.beside import Beside
    from reconciler.kube import Loaded
    from reconciler.model.objects import Object
    from reconciler.model.spec import PodSpec

INTERSPERSED = {"allow_interspersed_args": True}
"""No command of a container follows: options may come after the file."""

option = partial(click.option, cls=Option, section=NETWORK)
switch = partial(click.option, cls=Switch, section=OTHER)

FILE = click.argument("place", metavar="FILE|-")


@click.command(cls=PodmanCommand, podman="kube play", context_settings=INTERSPERSED)
@FILE
@option("--annotation", section=OTHER, multiple=True, metavar="KEY=VALUE", help="One more for each pod.")
@option("--configmap", section=OTHER, multiple=True, metavar="FILE", help="ConfigMaps of another file count, too.")
@option("--network", multiple=True, common=True, metavar="NAME", help="Pods that name none go into this one.")
@option("--ip", metavar="IP", help="The pod's address.")
@option("--mac-address", metavar="MAC", help="The pod's hardware address.")
@option("--publish", multiple=True, common=True, metavar="HOST:CONTAINER", help="Instead of what the file says of it.")
@switch("--publish-all", section=NETWORK, help="Every port of a container at the same host port.")
@switch("--no-hosts", section=NETWORK, help="Leave /etc/hosts as the image has it.")
@option("--userns", section=OTHER, metavar="MODE", help="auto: users of its own; host.")
@switch("--replace", common=True, help="Also what run or pod create made under that name.")
@switch("--start", default=True, common=True, help="Start them; else they are only made.")
@switch("-w", "--wait", common=True, help="Until all have ended or Ctrl-C; then down.")
@switch("--down", "is_down", common=True, help="The same as kube down.")
@switch("--force", help="With --down: also the volumes of claims.")
@switch("-q", "--quiet", help="No progress.")
@option("--strictness", section=OTHER, type=CHOICE, help=HELP)
@pass_options
def play(options: Options, /, place: str, **said: Any) -> int:
    """Make the pods of a manifest, or change those that are there so that they are as it says: what it does not change
    is not touched. Each start of a container is a new one. With -, it is read from standard input.

    \b
    Example:  reconciler kube play web.yaml
    """
    if said["is_down"]:
        return _down(options, place, said["force"])
    if said["wait"] and not said["start"]:
        raise InvalidInput("cannot use --wait with --start=false: what does not run does not end")
    beside = _beside(said)
    manifest = _manifest(place, "play", strictness=chosen_without_engine(options, said["strictness"]))
    pods = _dressed(place, manifest, beside)
    objects = [*(found.value for found in manifest.objects), *_config_maps(said["configmap"], manifest)]
    engine = options.engine()
    _expect_network(engine, pods)
    progress = None if said["quiet"] else Progress()
    bench = _bench(engine, progress)
    if not said["wait"]:
        return _play(bench, pods, objects, said, progress)
    return _play_and_wait(bench, pods, objects, said, progress)


def _play(
    bench: Bench, pods: Sequence[PodSpec], objects: Sequence[Object], said: Any, progress: Progress | None
) -> int:
    from reconciler.controller import played

    try:
        outcomes = played.play(bench, pods, objects, start=said["start"], replace_others=said["replace"])
    finally:
        if progress:
            progress.done()
    for outcome in outcomes:
        if outcome.pod:
            click.echo(_listed(outcome))
    for outcome in outcomes:
        if outcome.ok and not outcome.steps and not said["quiet"]:
            click.echo(f"pod {outcome.key} is as the manifest says: nothing to do", err=True)
    return _complain(outcomes)


def _play_and_wait(
    bench: Bench, pods: Sequence[PodSpec], objects: Sequence[Object], said: Any, progress: Progress | None
) -> int:
    """Ctrl-C and TERM end the wait, and then what was waited for."""
    from reconciler.controller import played
    from reconciler.controller.interruption import until_interrupted

    keys = [spec.key for spec in pods]
    with until_interrupted() as stop:
        if code := _play(bench, pods, objects, said, progress):
            return code
        with played.following(bench, keys, stop):
            stop.wait()
            outcomes = _take_down(bench, keys, progress)
    return _complain(outcomes)


def _listed(outcome: Outcome) -> str:
    """As podman prints it."""
    heading = "Container:" if len(outcome.containers) == 1 else "Containers:"
    members = [heading, *outcome.containers] if outcome.containers else []
    return "\n".join(["Pod:", outcome.pod, *members, ""])


@click.command(cls=PodmanCommand, podman="kube down", context_settings=INTERSPERSED)
@FILE
@switch("--force", common=True, help="Also the volumes of claims, with all that is in them.")
@pass_options
def down(options: Options, place: str, force: bool) -> int:
    """Stop and remove the pods of a manifest, with the grace that they were played with.

    What is not there is no error. Pods that a folder owns are left alone.

    \b
    Example:  reconciler kube down web.yaml
    """
    return _down(options, place, force)


def _down(options: Options, place: str, force: bool) -> int:
    from reconciler.controller.lock import holder

    manifest = _manifest(place, "take down", strict=False)
    keys = dict.fromkeys((*(pod.spec.key for pod in manifest.pods), *manifest.keys_in_error))
    engine = options.engine()
    progress = Progress()
    outcomes = _take_down(_bench(engine, progress), list(keys), progress)
    if not holder(engine.layout.controller_lock):
        engine.retire()
    found = claimed.volumes((one.value.id for one in manifest.objects), (pod.spec for pod in manifest.pods))
    return _complain(outcomes) or (claimed.remove(engine, found) if force else 0)


def _take_down(bench: Bench, keys: Sequence[Key], progress: Progress | None) -> tuple[Outcome, ...]:
    from reconciler.controller import played

    try:
        outcomes = played.down(bench, keys)
    finally:
        if progress:
            progress.done()
    gone = [outcome.pod for outcome in outcomes if outcome.pod and outcome.ok]
    click.echo("\n".join(["Pods stopped:", *gone, "Pods removed:", *gone]))
    return outcomes


def _complain(outcomes: Iterable[Outcome]) -> int:
    code = 0
    for outcome in outcomes:
        if outcome.error:
            complain(outcome.error.message, outcome.error.hint)
        for why in outcome.why:
            complain(f"pod {outcome.key}: {why}")
        code = code if outcome.ok else FAILED_AS_PODMAN
    return code


def _bench(engine: Engine, progress: Progress | None) -> Bench:
    from reconciler.cli.converge import told_to
    from reconciler.controller.by_hand import Bench

    if progress is None:
        return Bench(engine, engine.layout)
    return Bench(engine, engine.layout, on_step=told_to(progress), on_wait=progress.say)


def _beside(said: Any) -> Beside:
    from reconciler.flags import ports, sandbox
    from reconciler.flags.beside import Beside, notes

    network = None
    if said["network"] or said["ip"] or said["mac_address"]:
        network = sandbox.network(said["network"], said["ip"], None, said["mac_address"])
    return Beside(
        network=network,
        ports=ports.bindings(said["publish"]),
        every_port=said["publish_all"],
        annotations=notes(said["annotation"]),
        no_hosts=said["no_hosts"],
        host_users=None if said["userns"] is None else sandbox.host_users(said["userns"]),
    )


def _manifest(place: str, verb: str, *, strict: bool = True, strictness: Strictness = Strictness.STRICT) -> Loaded:
    """What the file says. ``strict``: nothing may be wrong with it; else all pods that it means must be known.

    Raises InvalidInput, after all that is wrong was told.
    """
    manifest = _loaded(place, verb, strict=strict, strictness=strictness)
    if not manifest.pods and not manifest.keys_in_error:
        others = sorted({found.value.kind for found in manifest.objects})
        why = f"; a {others[0]} comes with the pods that refer to it" if others else ""
        raise InvalidInput(f"cannot {verb} {_called(place)}: there is no pod in it{why}")
    return manifest


def _loaded(place: str, verb: str, *, strict: bool = True, strictness: Strictness = Strictness.STRICT) -> Loaded:
    from reconciler.cli.converge import show
    from reconciler.kube import load

    manifest = load(_called(place), _read(place), strictness)
    show(manifest.problems)
    errors = sum(problem.is_error for problem in manifest.problems)
    if errors and (strict or not manifest.complete):
        what = "an error" if errors == 1 else f"{errors} errors"
        raise InvalidInput(f"cannot {verb} {_called(place)}: it has {what} (told above); nothing was changed")
    return manifest


def _called(place: str) -> str:
    return "(standard input)" if place == "-" else place


def _config_maps(places: Iterable[str], manifest: Loaded) -> Iterator[Object]:
    """The ConfigMaps of other files, and nothing else may be in them; several may be named with commas between.

    Raises InvalidInput, also where two define the same one.
    """
    from reconciler.model.objects import CONFIG_MAP

    known = {found.value.id: "the manifest" for found in manifest.objects}
    for place in (one for some in places for one in some.split(",")):
        loaded = _loaded(place, "use")
        others = {found.value.kind for found in loaded.objects} - {CONFIG_MAP} | ({"Pod"} if loaded.pods else set())
        if others or not loaded.objects:
            raise InvalidInput(f"cannot use --configmap {place}: it has {', '.join(sorted(others)) or 'no ConfigMap'}")
        for found in loaded.objects:
            if found.value.id in known:
                raise InvalidInput(f"cannot use {found.value} of {place}: {known[found.value.id]} has it, too")
            known[found.value.id] = place
            yield found.value


def _read(place: str) -> bytes:
    """The manifest's bytes: more than it may have are not read. Raises InvalidInput, OSError."""
    from reconciler.kube.text import MAX_BYTES

    if place.startswith(("http://", "https://")):
        raise InvalidInput(
            f"cannot read {place}: nothing is fetched here", hint="curl -fsS URL | reconciler kube play -"
        )
    if place == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    if Path(place).is_dir():
        raise InvalidInput(f"cannot read {place}: it is a directory", hint=f"try: reconciler apply {place}")
    with open(place, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _dressed(place: str, manifest: Loaded, beside: Beside) -> list[PodSpec]:
    from reconciler.flags.beside import over
    from reconciler.kube.names import label_key

    if beside.is_for_one and len(manifest.pods) > 1:
        raise InvalidInput(f"cannot give {beside.is_for_one} to each of {len(manifest.pods)} pods of {place}")
    for key, _ in beside.annotations:
        if flaw := label_key(key):
            raise InvalidInput(f"cannot use --annotation {key}: the key {flaw}")
    return [over(pod.spec, beside) for pod in manifest.pods]


def _expect_network(engine: Engine, pods: Sequence[PodSpec]) -> None:
    """Raises NotFound: a misspelt one would hold up every pod."""
    from reconciler.engine import netrecords, networks
    from reconciler.model.spec import NO_NETWORK

    for name in {spec.sandbox.network for spec in pods} - {"", NO_NETWORK}:
        if netrecords.read(engine.context, name) is None:
            raise networks.unknown(name)
