"""Volumes of a member before it is created: what is missing of them, and what is made for it.

Kinds: emptyDir is a directory of the pod, or a tmpfs (``memory``), and goes with it; hostPath is the host's and is
never removed; what is written into projected ones is in ``contents``, and ``swap`` writes it.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from reconciler.engine import memory, owners, swap
from reconciler.engine.contents import Files
from reconciler.engine.effects import effect
from reconciler.engine.memory import Keeper
from reconciler.model.errors import CONFIG_ERROR, TryLater
from reconciler.model.observed import Problem
from reconciler.model.spec import ContainerSpec, PodSpec, Volume, VolumeKind

FilesOf = Callable[[Volume], Files]
"""What is to stand in a projected volume."""


def no_files(_volume: Volume) -> Files:
    """Of a pod that has no such volume."""
    return {}


_TYPES: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}
_OWNED_FILE = 0o660
_OWNED_DIRECTORY = 0o2770
"""What the group is given (kubelet: changeFilePermission)."""

_making = threading.Lock()
"""Members of one pod are created at the same time, by threads of whoever has the pod's lock."""

_MADE = {"DirectoryOrCreate": stat.S_IFDIR, "FileOrCreate": stat.S_IFREG}
"""What comes to be where nothing is."""


def problems(spec: ContainerSpec, *, own_users: bool = False) -> tuple[Problem, ...]:
    """Why the container's volumes cannot be mounted as things stand. Looks at the host, changes nothing. ``own_users``:
    they are to be shown with other owners.

    Types are those of Kubernetes' hostPath (kubelet: pkg/volume/hostpath). With no type the path must exist:
    a directory that nobody asked for hides a typing mistake.
    """
    found = (_wrong(volume, own_users) for volume in _volumes(spec) if volume.kind is VolumeKind.HOST_PATH)
    return tuple(Problem(CONFIG_ERROR, f"cannot mount volume {name}: {why}", spec.name) for name, why in found if why)


def _wrong(volume: Volume, own_users: bool) -> tuple[str, str]:
    kind = volume.host_path_type
    shown = f"hostPath {volume.host_path}"
    try:
        mode = os.stat(volume.host_path).st_mode  # noqa: PTH116 (a path as the user wrote it)
    except FileNotFoundError:
        if kind not in _MADE:
            return volume.name, f"{shown} does not exist{f' (type {kind})' if kind else ''}"
        mode = _MADE[kind]
    except OSError as e:
        return volume.name, f"{shown}: {e.strerror}"
    if kind in _TYPES and not _TYPES[kind][0](mode):
        return volume.name, f"hostPath type check failed: {volume.host_path} is not {_TYPES[kind][1]}"
    if own_users and owners.refused(volume.host_path):
        return volume.name, f"{shown}: a file system there cannot show its files with other owners (hostUsers: false)"
    return volume.name, ""


@effect("volumes.prepare")
def prepare(
    spec: ContainerSpec, pod_directory: Path, keeper: Keeper | None = None, files_of: FilesOf = no_files
) -> None:
    """Make what is to be made: emptyDirs, projected volumes, and hostPaths of the types ...OrCreate. What is the pod's
    is given to its fsGroup, hostPaths never (Kubernetes: they are the host's). ``keeper`` holds what is in memory.

    Raises TryLater; what ``files_of`` raises.
    """
    for volume in _volumes(spec):
        try:
            if volume.in_memory:
                assert keeper is not None, "only a pod without volumes in memory needs no keeper"
                _in_memory(volume, spec.security.fs_group, keeper, files_of)
            elif volume.kind is VolumeKind.EMPTY_DIR:
                path = pod_directory / "volumes" / volume.name
                _empty_dir(path)
                if spec.security.fs_group is not None:
                    give_to(path, spec.security.fs_group)
            elif volume.host_path_type == "DirectoryOrCreate":
                Path(volume.host_path).mkdir(parents=True, exist_ok=True, mode=0o755)
            elif volume.host_path_type == "FileOrCreate":
                _file(Path(volume.host_path))
        except OSError as e:
            raise TryLater(f"cannot make volume {volume.name}: {e.filename}: {e.strerror}") from e


def rewrite(pod: PodSpec, keeper: Keeper, files_of: FilesOf) -> None:
    """Have in each projected volume of a pod that is mounted what should be there now. Raises TryLater; what
    ``files_of`` raises."""
    mounted = {m.volume.name: (m.volume, c.security.fs_group) for c in pod.containers for m in c.mounts}
    for volume, group in mounted.values():
        if volume.kind is VolumeKind.PROJECTED:
            files, owners = files_of(volume), _owners(group, keeper)
            memory.refill(keeper, volume.name, partial(swap.write, files=files, owners=owners))


def _in_memory(volume: Volume, group: int | None, keeper: Keeper, files_of: FilesOf) -> None:
    if volume.kind is VolumeKind.PROJECTED:
        files, owners = files_of(volume), _owners(group, keeper)
        memory.ensure_files(keeper, volume.name, partial(swap.write, files=files, owners=owners))
        return
    memory.ensure(keeper, volume.name, volume.size_limit)
    if group is not None:
        with memory.opened(keeper, volume.name) as top:
            _give(top, keeper.ids + group)


def _owners(group: int | None, keeper: Keeper) -> swap.Owners:
    return swap.Owners(keeper.ids, keeper.ids + (group or 0), group is not None)


def _empty_dir(path: Path) -> None:
    """0777 as the kubelet's (pkg/volume/emptydir), there at once with that mode: an existing one is as its
    containers made it, and is left so."""
    with _making:
        if path.is_dir():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        temporary = path.with_name(f".{path.name}.new")
        temporary.mkdir(exist_ok=True)
        temporary.chmod(0o777)  # mkdir's mode is cut by the umask
        temporary.rename(path)


@effect("volume.give")
def give_to(top: Path, group: int) -> None:
    """The kubelet's SetVolumeOwnership: all of it belongs to the group, which may write, and what is made in it will.

    The top comes last: once it is as wanted, all of it is, and is not looked at again, however often containers begin.
    Raises OSError.
    """
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _give(fd, group)
    finally:
        os.close(fd)


def _give(top: int, group: int) -> None:
    info = os.stat(top)
    if info.st_gid == group and info.st_mode & _OWNED_DIRECTORY == _OWNED_DIRECTORY:
        return
    for _, names, files, directory in os.fwalk(".", topdown=False, dir_fd=top):
        for name in (*names, *files):
            _change(name, group, directory)
    _change(".", group, top)


def _change(name: str, group: int, directory: int) -> None:
    """By a descriptor of the very thing that was looked at: a container may write here, and could put a link to a file
    of the host in its place. Links themselves are given to the group, what it removes meanwhile is fine."""
    try:
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISLNK(mode):
            os.chown(name, -1, group, dir_fd=directory, follow_symlinks=False)
            return
        this = f"/proc/self/fd/{fd}"
        os.chown(this, -1, group)
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            more = _OWNED_DIRECTORY if stat.S_ISDIR(mode) else _OWNED_FILE
            os.chmod(this, stat.S_IMODE(mode) | more)  # noqa: PTH101 (no Path: a descriptor)
    finally:
        os.close(fd)


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
