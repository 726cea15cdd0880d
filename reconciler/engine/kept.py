"""The objects that a pod runs by, kept beside its record for restarts and reboots after the folder has lost them; and
the environment that comes of them.

A spec names objects and says by digests which values of them are meant. Whoever creates a container takes, of what
manifests define now and of what was kept, just those: never another version than the plan decided on. Values are
nowhere but in memory, in this file, and in the container's config.json; root alone can read both.

For holders of the pod's lock; several members of one pod may be created at the same time.
"""

from __future__ import annotations

import os
import platform
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.engine import files, records
from reconciler.engine.boundary import hint
from reconciler.engine.contents import DataOf, NotThere, of_objects
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.layout import Layout
from reconciler.engine.network.hostips import host_ips
from reconciler.engine.recorded import record_of, record_of_pod
from reconciler.engine.records import ContainerRecord, PodRecord
from reconciler.engine.store import pods as index
from reconciler.model.environment import canonical, evaluate, settled
from reconciler.model.errors import CONFIG_ERROR, InvalidInput, TryLater
from reconciler.model.key import PodId
from reconciler.model.objects import Object
from reconciler.model.references import shown_by
from reconciler.model.sources import EnvEntry, FileKey
from reconciler.model.spec import ContainerSpec, Volume

KEPT = "objects.json"
KEY_BYTES = 32
HIDDEN = "*******"
"""In place of a value, as podman has it for secrets."""
SHOWN = 32
"""Hexadecimal digits of a digest."""

ObjectName = tuple[str, str]
"""Kind and name."""

_keeping = threading.Lock()


@dataclass(frozen=True, slots=True)
class Kept:
    """The newest of a name first. ``key``: by which the pod's digests are made; empty in what older versions wrote."""

    objects: tuple[Object, ...] = ()
    key: bytes = b""


def with_environment(
    ctx: Context, pod: PodRecord, spec: ContainerSpec, read: Callable[[FileKey], str | None]
) -> ContainerSpec:
    """A member with its variables, and with command and arguments that have them; what it takes is kept before.
    ``read``: what files of the pod say.

    Raises TryLater where what is meant is not there (any more), InvalidInput where it is too long for a process.
    """
    if not spec.program:
        return spec

    def tell(entry: EnvEntry) -> str | None:
        try:
            return _tell(ctx, pod, entry) if entry.file is None else read(entry.file)
        except ValueError as e:
            text = f"cannot create container {spec.name}: variable {entry.name}: {e}"
            raise TryLater(text, reason=CONFIG_ERROR) from e

    chosen = {name: _meant(ctx, pod, spec, *name) for name in _names(spec)}
    keep(ctx, pod, spec, [one for one in chosen.values() if one is not None])
    try:
        outcome = evaluate(spec.program, lambda kind, name: chosen[kind, name], tell)
        return settled(spec, outcome.values)
    except ValueError as e:
        raise InvalidInput(f"cannot create container {spec.name}: {e}", reason=CONFIG_ERROR) from e


def as_shown(ctx: Context, record: ContainerRecord, config: dict[str, Any]) -> dict[str, Any]:
    """A container's config.json without anything of a Secret: such variables are hidden, and command and arguments as
    they were before variables were put into them. Of an infra container, or where nothing is hidden, as it is."""
    spec, pod, process = record.spec, record_of_pod(ctx, record.pod), config.get("process")
    if not spec.program or pod is None or not process:
        return config
    hidden: set[str] | None
    try:
        chosen = {name: _meant(ctx, pod, spec, *name) for name in _names(spec)}
        hidden = evaluate(spec.program, lambda kind, name: chosen[kind, name]).secret
    except (TryLater, ValueError):
        hidden = None
    env = [item if _may_be_shown(item, hidden) else f"{item.partition('=')[0]}={HIDDEN}" for item in process["env"]]
    words = [*(spec.command or ()), *(spec.args or ())]
    args = process["args"]
    return {**config, "process": {**process, "env": env, "args": [*args[: len(args) - len(words)], *words]}}


def _may_be_shown(item: str, hidden: set[str] | None) -> bool:
    """``hidden`` None: nobody knows any more in which there is what."""
    return hidden is not None and item.partition("=")[0] not in hidden


def for_volume(ctx: Context, pod: PodRecord, volume: Volume) -> DataOf:
    """What a volume's files are made of: what manifests define now, or what was kept where the digest means that; it
    is kept before. ``pod``: with the spec that it runs by from now on. Raises TryLater."""
    names = tuple(dict.fromkeys(shown_by(volume)))
    now, before = _found(ctx, pod, names), _newest(kept_by(ctx, pod.id))
    meant = dict(pod.spec.contents).get(volume.name, "")
    ways = [{name: (way[0].get(name) or way[1].get(name)) for name in names} for way in ((now, before), (before, now))]
    chosen = next((way for way in ways if _fits(ctx, volume, way, meant)), ways[0])
    keep(ctx, pod, None, [one for one in chosen.values() if one is not None])
    return _data_of(chosen)


def _found(ctx: Context, pod: PodRecord, names: Iterable[ObjectName]) -> dict[ObjectName, Object]:
    find = ctx.objects_for(pod.key, pod.owner)
    return {name: one for name in names if (one := find(*name)) is not None}


def _newest(objects: Iterable[Object]) -> dict[ObjectName, Object]:
    found: dict[ObjectName, Object] = {}
    for one in objects:
        found.setdefault((one.kind, one.name), one)
    return found


def _data_of(objects: Mapping[ObjectName, Object | None]) -> DataOf:
    def data_of(kind: str, name: str) -> Mapping[str, bytes] | None:
        one = objects.get((kind, name))
        return one.files if one else None

    return data_of


def _fits(ctx: Context, volume: Volume, objects: Mapping[ObjectName, Object | None], meant: str) -> bool:
    try:
        return meant.startswith(digest(ctx, canonical(of_objects(volume, _data_of(objects)))))
    except NotThere:
        return False


def keep(ctx: Context, pod: PodRecord, spec: ContainerSpec | None, objects: Iterable[Object]) -> None:
    """Write objects down beside those that the pod may need again: for what runs, for what was applied last, for the
    volumes that it has."""
    with _keeping:
        kept = _kept_by(ctx, pod.id)
        before = kept.objects
        specs = [*((spec,) if spec else ()), *pod.spec.everyone, *_made(ctx, pod)]
        objects = tuple(objects)
        newest = _newest((*objects, *before))
        shown = {name for volume in _volumes(pod, specs) for name in shown_by(volume)}

        def is_needed(one: Object) -> bool:
            name = (one.kind, one.name)
            return (name in shown and newest[name] is one) or _is_needed(ctx, one, specs)

        needed = tuple(dict.fromkeys((*objects, *filter(is_needed, before))))
        now = Kept(needed, _key(ctx.layout)) if needed else Kept()
        if now != kept:
            records.write(ctx.layout.pod(pod.id), KEPT, now)


def _volumes(pod: PodRecord, specs: Iterable[ContainerSpec]) -> set[Volume]:
    return {*pod.spec.volumes, *(mount.volume for spec in specs for mount in spec.mounts)}


def kept_by(ctx: Context, pod: PodId) -> tuple[Object, ...]:
    """What was written down for a pod."""
    return _kept_by(ctx, pod).objects


def _kept_by(ctx: Context, pod: PodId) -> Kept:
    return records.read(ctx.layout.pod(pod), KEPT, Kept) or Kept()


@effect("kept.inherit")
def inherit(ctx: Context, old: PodId, new: PodId) -> None:
    """What was kept for a pod that has ended is its successor's. Raises TryLater."""
    source, target = ctx.layout.pod(old) / KEPT, ctx.layout.pod(new) / KEPT
    try:
        if source.exists() and not target.exists():
            source.rename(target)
    except OSError as e:
        raise TryLater(f"cannot take over {source}: {e.strerror}") from e


def digest(ctx: Context, data: bytes) -> str:
    """A name for these bytes that tells nothing of them to who does not have this instance's key."""
    import hmac

    made: bytes = hmac.digest(_key(ctx.layout), data, "sha256")
    return made.hex()[:SHOWN]


def _key(layout: Layout) -> bytes:
    """This instance's key, made by whoever needs it first. Where its file is lost, or has another than that by which
    pods were made, it is what those have written down. Raises TryLater."""
    place = layout.digest_key
    stamp = files.stamp(place)
    known = _known.get(place)
    if known is not None and stamp is not None and known[0] == stamp:
        return known[1]
    key = _found_key(layout) or _make_key(place, None)
    if stamp is not None:
        _known[place] = stamp, key
    return key


def _found_key(layout: Layout) -> bytes | None:
    """The file's where a pod confirms it or none knows better; otherwise that of most pods, which the file gets."""
    key = files.read_or_none(layout.digest_key)
    told: Counter[bytes] = Counter()
    for path in layout.pods.glob(f"*/{KEPT}"):
        kept = records.read(path.parent, KEPT, Kept)
        if kept is None or len(kept.key) != KEY_BYTES:
            continue
        if kept.key == key:
            return key
        told[kept.key] += 1
    if told:
        return _make_key(layout.digest_key, told.most_common(1)[0][0])
    return key if key is not None and len(key) == KEY_BYTES else None


_known: dict[Path, tuple[files.Stamp, bytes]] = {}
"""Keys that were compared with those of pods, with their files' stamps. Any thread may write: they agree."""


@effect("digest.key")
def _make_key(place: Path, known: bytes | None) -> bytes:
    """Write the known key in place of whatever is there, or else a new one: two who make it at the same time agree, as
    the first link stays."""
    own = place.with_name(f".{place.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        own.touch(0o600, exist_ok=False)
        own.write_bytes(known or os.urandom(KEY_BYTES))
        if known or (place.exists() and place.stat().st_size != KEY_BYTES):
            own.replace(place)
        else:
            with suppress(FileExistsError):
                place.hardlink_to(own)
        return place.read_bytes()
    except OSError as e:
        raise TryLater(f"cannot write {place}: {e.strerror}", hint=hint(e)) from e
    finally:
        own.unlink(missing_ok=True)


def _names(spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    return ((step.source.kind, step.source.name) for step in spec.program if step.source is not None)


def _meant(ctx: Context, pod: PodRecord, spec: ContainerSpec, kind: str, name: str) -> Object | None:
    """The version of an object that the member's digest means; None where nothing of it is meant."""
    meant = dict(spec.env_digest).get(f"{kind} {name}")
    if meant is None:
        return None
    now: Object | None = ctx.objects_for(pod.key, pod.owner)(kind, name)
    versions = [now, *(one for one in kept_by(ctx, pod.id) if (one.kind, one.name) == (kind, name))]
    for version in versions:
        if version is not None and _digest_of(ctx, version, spec) == meant:
            return version
    raise TryLater(f"cannot create container {spec.name}: {kind} {name} is not as it was when this was decided")


def _digest_of(ctx: Context, one: Object, spec: ContainerSpec) -> str | None:
    """What the member's digest is where it takes its variables from this version."""
    used = evaluate(_steps(spec, one), lambda _kind, _name: one).used.get((one.kind, one.name))
    return None if used is None else digest(ctx, canonical(used))


def _steps(spec: ContainerSpec, one: Object) -> list[EnvEntry]:
    return [s for s in spec.program if s.source is not None and (s.source.kind, s.source.name) == (one.kind, one.name)]


def _is_needed(ctx: Context, one: Object, specs: Iterable[ContainerSpec]) -> bool:
    label = f"{one.kind} {one.name}"
    return any(
        (meant := dict(spec.env_digest).get(label)) is not None and _digest_of(ctx, one, spec) == meant
        for spec in specs
    )


def _made(ctx: Context, pod: PodRecord) -> list[ContainerSpec]:
    """The members that there are containers of."""
    made = (record_of(ctx, container) for container in index.containers_of(ctx.store, pod.id))
    return [record.spec for record in made if record is not None]


def _tell(ctx: Context, pod: PodRecord, entry: EnvEntry) -> str:
    """What a field says of this life of the pod (kubelet: podFieldSelectorRuntimeValue)."""
    match entry.field:
        case "metadata.uid":
            return pod.uid
        case "spec.nodeName":
            return platform.node()
        case "status.hostIP" | "status.podIP":
            return next(iter(_addresses(pod, entry.field)), "")
        case "status.hostIPs" | "status.podIPs":
            return ",".join(_addresses(pod, entry.field))
        case "node.cpu":
            return str(-(-1000 * (os.cpu_count() or 1) // entry.divisor))
        case "node.memory":
            return str(-(-ctx.facts.memory // entry.divisor))
    raise InvalidInput(f"cannot tell {entry.field} of pod {pod.key}")


def _addresses(pod: PodRecord, field: str) -> tuple[str, ...]:
    of_host = field.startswith("status.host") or pod.spec.sandbox.host_network
    return host_ips() if of_host else pod.ips
