"""Where a member's volumes lie while it is created, and what is done in the mount namespace of that call to have them
there: operations of ``conmon/prepare.py``, each a tuple of words.

Most are bound from where they are on the host. What is not as it lies there gets a place in the bundle, a directory or
file that something is mounted on in that namespace alone:

- ``mapped-N``: the volume of the N-th mount with the pod's users as owners, or as a peer of the host's mount, or out of
  the infra container (tmpfs), or an image's layers;
- ``part-N``: a part of it (subPath), or all of it with what is below it read-only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.engine.oci.bundle import Bundle
from reconciler.model.spec import ContainerSpec, Mount, RecursiveReadOnly, VolumeKind

Step = tuple[str, ...]

SHARED, SLAVE = frozenset({"shared", "rshared"}), frozenset({"slave", "rslave"})
PROPAGATION = SHARED | SLAVE | {"private", "rprivate", "unbindable", "runbindable"}

IN_INFRA = "/dev/volumes"
"""Where the infra container has the pod's volumes that are in memory, each by its name; on a tmpfs of its own."""


def propagation(mount: Mount) -> str:
    """Which mounts made later on one side are seen on the other."""
    return next((option for option in mount.options if option in PROPAGATION), "rprivate")


def source(bundle: Bundle, mount: Mount, number: int) -> Path:
    """What the runtime is to bind."""
    return bundle.directory / f"part-{number}" if _is_part(mount) else _view(bundle, mount, number)


def before_root(bundle: Bundle, spec: ContainerSpec) -> Iterator[Step]:
    """Places for volumes that are there."""
    for number, mount in enumerate(spec.mounts):
        if mount.volume.in_memory:
            assert bundle.infra is not None, "a member has an infra container"
            yield "mkdir", str(_placed(bundle, number)), "0711"
            held, place = f"/proc/{bundle.infra.pid}/ns/mnt", f"{IN_INFRA}/{mount.volume.name}"
            yield "graft", held, place, str(_placed(bundle, number))
        elif _is_peer(bundle, mount):  # the host's mount namespace is ours: we wait for the runtime
            here = f"/proc/{os.getpid()}/ns/mnt"
            yield "peer", here, str(_origin(bundle, mount, number)), str(_placed(bundle, number))
    if bundle.users:
        yield "idmap", bundle.users, str(bundle.pod_directory), str(pod_directory(bundle))
        for number, mount in enumerate(spec.mounts):
            if (outside := _outside(bundle, mount)) is not None:
                yield "idmap", bundle.users, str(outside), str(_placed(bundle, number))


def after_root(bundle: Bundle, spec: ContainerSpec, layers: Mapping[str, tuple[str, ...]]) -> Iterator[Step]:
    """Images' ``layers`` by their reference, relative to where those of the root are, which is the working directory
    by then; and parts of volumes."""
    for number, mount in enumerate(spec.mounts):
        if mount.volume.kind is VolumeKind.IMAGE:
            yield "layers", str(_placed(bundle, number)), *layers[mount.volume.image]
    for number, mount in enumerate(spec.mounts):
        if _is_part(mount):
            part, unlock = str(source(bundle, mount, number)), mount.volume.kind is VolumeKind.PROJECTED
            places = str(_origin(bundle, mount, number)), str(_view(bundle, mount, number))
            yield "part", *places, mount.sub_path or ".", part, str(int(unlock))
            if mount.recursive is not RecursiveReadOnly.DISABLED:
                yield "seal", part, str(int(mount.recursive is RecursiveReadOnly.ENABLED))


def pod_directory(bundle: Bundle) -> Path:
    """The pod's directory as the container sees it."""
    return bundle.directory / "mapped-pod" if bundle.users else bundle.pod_directory


def data_of(volumes: Path, name: str) -> Path:
    """Where the files of a named volume lie."""
    return volumes / name / "_data"


def _is_part(mount: Mount) -> bool:
    whole = mount.volume.kind is VolumeKind.TMPFS
    return not whole and bool(mount.sub_path or mount.recursive is not RecursiveReadOnly.DISABLED)


def _is_peer(bundle: Bundle, mount: Mount) -> bool:
    """Whether it is to be mounted as the host has it, so that mounts are seen on both sides."""
    on_host = mount.volume.kind in (VolumeKind.HOST_PATH, VolumeKind.NAMED, VolumeKind.EMPTY_DIR)
    return on_host and not mount.volume.in_memory and propagation(mount) in SHARED and not bundle.users


def _view(bundle: Bundle, mount: Mount, number: int) -> Path:
    """The whole volume, as the container is to see it."""
    outside = _outside(bundle, mount)
    if _is_peer(bundle, mount) or (bundle.users and outside is not None):
        return _placed(bundle, number)
    if outside is None and not _is_made_here(mount):
        return pod_directory(bundle) / "volumes" / mount.volume.name
    return _origin(bundle, mount, number)


def _origin(bundle: Bundle, mount: Mount, number: int) -> Path:
    """The volume with its files' true owners."""
    if _is_made_here(mount):
        return _placed(bundle, number)
    return _outside(bundle, mount) or bundle.pod_directory / "volumes" / mount.volume.name


def _is_made_here(mount: Mount) -> bool:
    return mount.volume.in_memory or mount.volume.kind is VolumeKind.IMAGE


def _outside(bundle: Bundle, mount: Mount) -> Path | None:
    """The directory or file that is mounted, where it is the machine's."""
    match mount.volume.kind:
        case VolumeKind.HOST_PATH:
            return Path(mount.volume.host_path)
        case VolumeKind.NAMED:
            return data_of(bundle.volumes, mount.volume.named)
    return None


def _placed(bundle: Bundle, number: int) -> Path:
    return bundle.directory / f"mapped-{number}"
