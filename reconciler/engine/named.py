"""Named volumes: directories of this machine that outlive the pods that mount them, ``<state>/volumes/<name>/_data``.

A volume is made by the first container that mounts it, or by hand. What the image has at the place where it is first
mounted is copied into it (podman's way), beside its place, and renamed into it when whole: so there is never a half
filled one. Whoever makes or removes volumes holds one lock, as several pods may mount one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.engine import files, locks, recorded, records, volumes
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.oci.places import data_of
from reconciler.engine.store import pods as index
from reconciler.model.errors import InvalidInput, NotFound, TryLater
from reconciler.model.key import ContainerId, Key
from reconciler.model.spec import ContainerSpec, Mount, Pairs, Volume, VolumeKind

if TYPE_CHECKING:
    from reconciler.engine.images.image import Image
    from reconciler.engine.images.users import User
    from reconciler.engine.images.view import LayerView

RECORD = "volume.json"


ClaimOf = Callable[[Volume], Pairs | None]
"""What the claim of a volume asks for; None where no manifest defines it."""


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """``used``: a container has mounted it, so what is in it stays as it is. ``claimed``: it is a claim's.
    ``created_wall`` in seconds since the epoch. ``asked``: what that asks a cluster for, which nobody does here."""

    name: str
    created_wall: float
    anonymous: bool = False
    labels: Pairs = ()
    used: bool = False
    claimed: bool = False
    asked: Pairs = ()


def prepare(
    ctx: Context, spec: ContainerSpec, image: Image, user: User, claim_of: ClaimOf = lambda _volume: None
) -> None:
    """Have the named volumes that a container mounts, those that are new filled from its image. ``user`` runs it;
    ``claim_of`` tells what claims ask for.

    Raises TryLater.
    """
    for mount in spec.mounts:
        if mount.volume.kind is VolumeKind.NAMED:
            with _alone(ctx):
                record = _read(ctx, mount.volume.named)
                if record is None or not record.used:
                    _first_use(ctx, mount, record, image, user)
                if mount.volume.claim:
                    _note_claim(ctx, mount.volume.named, claim_of(mount.volume))
            if spec.security.fs_group is not None:
                volumes.give_to(data_of(ctx.layout.volumes, mount.volume.named), spec.security.fs_group)


def _note_claim(ctx: Context, name: str, asked: Pairs | None) -> None:
    """``asked`` None: nothing is known of that now."""
    record = _read(ctx, name)
    if record is None:
        return
    now = replace(record, claimed=True, asked=record.asked if asked is None else asked)
    if now != record:
        records.write(data_of(ctx.layout.volumes, name).parent, RECORD, now)


def create(ctx: Context, name: str, labels: Pairs = ()) -> VolumeRecord:
    """An empty volume; the first container that mounts it fills it. Raises InvalidInput where there is one."""
    with _alone(ctx):
        if _read(ctx, name) is not None:
            raise InvalidInput(f"cannot create volume {name}: there is one", hint="--ignore takes it as it is")
        record = VolumeRecord(name, ctx.clock.wall(), labels=labels)
        _put_in_place(ctx, _make(ctx, record), name)
    return record


def listed(ctx: Context) -> tuple[VolumeRecord, ...]:
    """Every volume, by name."""
    try:
        names = sorted(path.name for path in ctx.layout.volumes.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return ()
    return tuple(record for name in names if (record := _read(ctx, name)) is not None)


def find(ctx: Context, name: str) -> VolumeRecord:
    """A volume by its name, or the beginning of just one's. Raises NotFound."""
    known = {record.name: record for record in listed(ctx)}
    found = [known[name]] if name in known else [r for n, r in known.items() if n.startswith(name)]
    if len(found) != 1:
        why = f"{len(found)} begin with that" if found else "there is none of that name"
        raise NotFound(f"cannot find volume {name}: {why}", hint="see: reconciler volume ls")
    return found[0]


Member = tuple[Key, str]
"""A container by its pod and its name there."""


def users(ctx: Context) -> dict[str, tuple[Member, ...]]:
    """By volume the containers that mount it, running or not or still to be made."""
    found: dict[str, tuple[Member, ...]] = {}
    for user, mounts in sorted({**_to_be_made(ctx), **_made(ctx)}.items()):
        for name in _names(mounts):
            found[name] = (*found.get(name, ()), user)
    return found


def remove(ctx: Context, name: str) -> str:
    """Remove a volume with all that is in it; its whole name. Raises InvalidInput where a container mounts it,
    NotFound, TryLater."""
    with _alone(ctx):
        record = find(ctx, name)
        if used_by := [f"{key.name}/{member}" for key, member in users(ctx).get(record.name, ())]:
            raise InvalidInput(
                f"cannot remove volume {record.name}: {', '.join(used_by)} mount{'s' if len(used_by) == 1 else ''} it",
                hint="remove that first, or say -f, which does",
            )
        files.discard(ctx.layout.volumes / record.name, ctx.layout.trash)
        return record.name


def drop_anonymous(ctx: Context, mounts: Iterable[Mount], *, of: ContainerId | None = None) -> None:
    """Remove the volumes of these mounts that go with the container that they were made for (``of``), which runs no
    more. One that another container has mounted meanwhile (its successor) stays. Raises TryLater."""
    names = _names(mount for mount in mounts if mount.volume.anonymous)
    if not names:
        return
    with _alone(ctx):
        others = (recorded.record_of(ctx, c) for c in index.all_containers(ctx.store) if c != of)
        still = {name for record in others if record is not None for name in _names(record.spec.mounts)}
        for name in names:
            if name not in still:
                files.discard(ctx.layout.volumes / name, ctx.layout.trash)


def _names(mounts: Iterable[Mount]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(m.volume.named for m in mounts if m.volume.kind is VolumeKind.NAMED))


def _made(ctx: Context) -> dict[Member, tuple[Mount, ...]]:
    """What the containers that there are mount."""
    found = (recorded.record_of(ctx, container) for container in index.all_containers(ctx.store))
    return {(record.key, record.name): record.spec.mounts for record in found if record is not None}


def _to_be_made(ctx: Context) -> dict[Member, tuple[Mount, ...]]:
    """What those mount that pods have by their specs: one may be in the making."""
    found = (recorded.record_of_pod(ctx, row.id) for row in index.all_pods(ctx.store))
    pods = [record for record in found if record is not None]
    return {(pod.key, member.name): member.mounts for pod in pods for member in pod.spec.everyone}


def _alone(ctx: Context) -> AbstractContextManager[None]:
    return locks.exclusive(ctx.layout.volumes_lock)


def _read(ctx: Context, name: str) -> VolumeRecord | None:
    """A volume whose record is lost is there all the same, and in use: nothing is done to what is in it."""
    directory = ctx.layout.volumes / name
    record = records.read(directory, RECORD, VolumeRecord)
    if record is None and directory.is_dir():
        return VolumeRecord(name, directory.stat().st_mtime, used=True)
    return record


def _first_use(ctx: Context, mount: Mount, before: VolumeRecord | None, image: Image, user: User) -> None:
    """1. what the image has there, beside the place of it    2. in its place    3. that it is used."""
    from reconciler.engine.images.view import LayerView

    name, data = mount.volume.named, data_of(ctx.layout.volumes, mount.volume.named)
    record = before or VolumeRecord(name, ctx.clock.wall(), anonymous=mount.volume.anonymous)
    record = replace(record, claimed=record.claimed or bool(mount.volume.claim))
    view = LayerView(image.layers)
    if before is None:
        made = _make(ctx, replace(record, used=True))
        _fill(view, mount, made / data.name, user)
        _put_in_place(ctx, made, name)
        return
    if not any(data.iterdir()):
        made = _make(ctx, record)
        _fill(view, mount, made / data.name, user)
        _exchange(made / data.name, data)
        files.discard(made, ctx.layout.trash)
    records.write(data.parent, RECORD, replace(record, used=True))


def _fill(view: LayerView, mount: Mount, data: Path, user: User) -> None:
    from reconciler.engine.images import copyup

    if "nocopy" not in mount.options and not mount.volume.claim:  # a claim's is empty at first
        copyup.fill(view, mount.path, data)
    copyup.own(view, mount.path, data, (user.uid, user.gid))


@effect("volume.make")
def _make(ctx: Context, record: VolumeRecord) -> Path:
    """A volume with nothing in it, beside its place; what another who was killed left there goes first."""
    beside = ctx.layout.volumes / f".{record.name}"
    files.discard(beside, ctx.layout.trash)
    try:
        ctx.layout.volumes.mkdir(mode=0o700, exist_ok=True)
        beside.mkdir(mode=0o700)
        data = beside / "_data"
        data.mkdir()
        data.chmod(0o755)
    except OSError as e:
        raise TryLater(f"cannot make volume {record.name}: {e.strerror}") from e
    records.write(beside, RECORD, record)
    return beside


@effect("volume.place")
def _put_in_place(ctx: Context, made: Path, name: str) -> None:
    try:
        made.rename(ctx.layout.volumes / name)
    except OSError as e:
        raise TryLater(f"cannot make volume {name}: {e.strerror}") from e


@effect("volume.exchange")
def _exchange(filled: Path, empty: Path) -> None:
    """One step: rename takes the place of an empty directory, and refuses one that is not empty any more."""
    try:
        os.rename(filled, empty)  # noqa: PTH104 (of rename(2) it is that this is known)
    except OSError as e:
        raise TryLater(f"cannot fill volume {empty.parent.name}: {e.strerror}") from e
