"""Files of a volume that change all at once, in the layout of the kubelet's AtomicWriter (pkg/volume/util):

    ..2026_01_31_12_00_00.1234567890/   the files as they are now
    ..data -> ..2026_01_31_…            exchanged by one rename
    FILE -> ..data/FILE                 and the like for each directory

Whoever reads through ``..data`` sees all files of one version, or of the next. Everything is done by descriptors from
the volume's own directory on, through no link. What a predecessor who was killed left is taken away.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from reconciler.engine.contents import GROUP_MAY, Content
from reconciler.engine.effects import effect

DATA, BESIDE = "..data", "..data_tmp"
_GROUP_ENTERS = 0o2550
"""What the pod's fsGroup is given of a directory."""


@dataclass(frozen=True, slots=True)
class Owners:
    """``user`` and ``group`` own what is written; ``shared``: it is the pod's fsGroup, which may read."""

    user: int = 0
    group: int = 0
    shared: bool = False


@effect("files.swap")
def write(volume: int, files: Mapping[str, Content], owners: Owners) -> None:
    """Have just these files, by path, in the volume behind a descriptor. Nothing happens where they are as they should
    be. Raises OSError.

    1. the new version beside the old one    2. in its place    3. links to what is new    4. nothing of the old one
    """
    _own(volume, ".", owners)
    old = _current(volume)
    if old is None or _read(volume, old) != _wanted(files, owners):
        new = _make(volume, files, owners)
        with suppress(FileNotFoundError):
            os.unlink(BESIDE, dir_fd=volume)
        os.symlink(new, BESIDE, dir_fd=volume)
        _own_link(volume, BESIDE, owners)
        os.rename(BESIDE, DATA, src_dir_fd=volume, dst_dir_fd=volume)
        old = new
    tops = {path.partition("/")[0] for path in files}
    for name in sorted(tops):
        with suppress(FileExistsError):
            os.symlink(f"{DATA}/{name}", name, dir_fd=volume)
    for name in (DATA, *sorted(tops)):
        _own_link(volume, name, owners)
    for name in set(os.listdir(volume)) - {*tops, DATA, old}:
        _remove(volume, name)


def _wanted(files: Mapping[str, Content], owners: Owners) -> dict[str, tuple[bytes, int, int]]:
    return {path: (content.data, _mode(content.mode, owners), owners.group) for path, content in files.items()}


def _mode(mode: int, owners: Owners) -> int:
    return mode | GROUP_MAY if owners.shared else mode


def _current(volume: int) -> str | None:
    try:
        return os.readlink(DATA, dir_fd=volume)
    except FileNotFoundError:
        return None


def _read(volume: int, version: str) -> dict[str, tuple[bytes, int, int]]:
    """Of a version its files: content, mode and group."""
    found: dict[str, tuple[bytes, int, int]] = {}
    with suppress(FileNotFoundError):
        for directory, _, names, fd in os.fwalk(version, dir_fd=volume):
            for name in names:
                path = f"{directory}/{name}".removeprefix(f"{version}/")
                with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd), "rb") as f:
                    info = os.fstat(f.fileno())
                    found[path] = (f.read(), stat.S_IMODE(info.st_mode), info.st_gid)
    return found


def _make(volume: int, files: Mapping[str, Content], owners: Owners) -> str:
    """A version, in a directory of its own; its name."""
    now = time.time()
    called = time.strftime("..%Y_%m_%d_%H_%M_%S", time.gmtime(now))
    version = f"{called}.{int.from_bytes(os.urandom(4)):010}"
    _directory(volume, version, owners)
    for path, content in files.items():
        directories, _, name = path.rpartition("/")
        above, inside = version, [part for part in directories.split("/") if part]
        for part in inside:
            above = f"{above}/{part}"
            _directory(volume, above, owners)
        _file(volume, f"{above}/{name}", content, owners)
    return version


def _directory(volume: int, path: str, owners: Owners) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o755, dir_fd=volume)
        os.chown(path, owners.user, owners.group, dir_fd=volume, follow_symlinks=False)
        os.chmod(path, 0o755 | (_GROUP_ENTERS if owners.shared else 0), dir_fd=volume)


def _file(volume: int, path: str, content: Content, owners: Owners) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600, dir_fd=volume), "wb") as f:
        f.write(content.data)
        os.fchown(f.fileno(), owners.user, owners.group)
        os.fchmod(f.fileno(), _mode(content.mode, owners))


def _own(volume: int, path: str, owners: Owners) -> None:
    """The volume's top."""
    info = os.stat(path, dir_fd=volume)
    mode = stat.S_IMODE(info.st_mode)
    if owners.shared and (info.st_gid != owners.group or mode & _GROUP_ENTERS != _GROUP_ENTERS):
        os.chown(path, -1, owners.group, dir_fd=volume)
        os.chmod(path, mode | _GROUP_ENTERS, dir_fd=volume)


def _own_link(volume: int, name: str, owners: Owners) -> None:
    """Where everybody may write, as in the top, a link leads only its owner on, or whoever finds the directory's owner
    to be the link's (proc(5): protected_symlinks)."""
    if os.stat(name, dir_fd=volume, follow_symlinks=False).st_uid != owners.user:
        os.chown(name, owners.user, owners.group, dir_fd=volume, follow_symlinks=False)


def _remove(volume: int, name: str) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=volume, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=volume)
    else:
        os.unlink(name, dir_fd=volume)
