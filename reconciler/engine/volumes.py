"""Volumes of a member before it is created: what is missing of them, and what is made for it.

Kinds: emptyDir is a directory of the pod and goes with it; hostPath is the host's and is never removed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.model.errors import TryLater
from reconciler.model.observed import Problem
from reconciler.model.spec import ContainerSpec, Volume, VolumeKind

REASON = "CreateContainerConfigError"

_TYPES: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}
_CREATED = frozenset({"DirectoryOrCreate", "FileOrCreate"})


def problems(spec: ContainerSpec) -> tuple[Problem, ...]:
    """Why the container's volumes cannot be mounted as things stand. Looks at the host, changes nothing.

    Types are those of Kubernetes' hostPath (kubelet: pkg/volume/hostpath). With no type the path must exist:
    a directory that nobody asked for hides a typing mistake.
    """
    found = (_wrong(volume) for volume in _volumes(spec) if volume.kind is VolumeKind.HOST_PATH)
    return tuple(Problem(REASON, f"cannot mount volume {name}: {why}", spec.name) for name, why in found if why)


def _wrong(volume: Volume) -> tuple[str, str]:
    kind = volume.host_path_type
    shown = f"hostPath {volume.host_path}"
    try:
        mode = os.stat(volume.host_path).st_mode  # noqa: PTH116 (a path as the user wrote it)
    except FileNotFoundError:
        return volume.name, "" if kind in _CREATED else f"{shown} does not exist{f' (type {kind})' if kind else ''}"
    except OSError as e:
        return volume.name, f"{shown}: {e.strerror}"
    if kind in _TYPES and not _TYPES[kind][0](mode):
        return volume.name, f"{shown} is not {_TYPES[kind][1]} (type {kind})"
    return volume.name, ""


@effect("volumes.prepare")
def prepare(spec: ContainerSpec, pod_directory: Path) -> None:
    """Make what is to be made: emptyDirs, and hostPaths of the types ...OrCreate. Raises TryLater."""
    for volume in _volumes(spec):
        try:
            if volume.kind is VolumeKind.EMPTY_DIR:
                _empty_dir(pod_directory / "volumes" / volume.name)
            elif volume.host_path_type == "DirectoryOrCreate":
                Path(volume.host_path).mkdir(parents=True, exist_ok=True, mode=0o755)
            elif volume.host_path_type == "FileOrCreate":
                _file(Path(volume.host_path))
        except OSError as e:
            raise TryLater(f"cannot make volume {volume.name}: {e.filename}: {e.strerror}") from e


def _empty_dir(path: Path) -> None:
    """0777 as the kubelet's (pkg/volume/emptydir), there at once with that mode: an existing one is as its
    containers made it, and is left so."""
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    temporary = path.with_name(f".{path.name}.new")
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o777)  # mkdir's mode is cut by the umask
    temporary.rename(path)


def _file(path: Path) -> None:
    """The parent is not made: Kubernetes does not either (FileOrCreate needs an existing directory)."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        if path.is_dir():
            raise


def _volumes(spec: ContainerSpec) -> tuple[Volume, ...]:
    """Each once, however often it is mounted."""
    return tuple({m.volume.name: m.volume for m in spec.mounts}.values())
