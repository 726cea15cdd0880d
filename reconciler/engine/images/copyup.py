"""What an image has in one of its directories, copied to where a volume takes that directory's place.

As podman fills a new volume: with owners, modes, times and extended attributes, never following a link of the image's.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.images.view import LayerView
from reconciler.model.errors import TryLater


@effect("volume.fill")
def fill(view: LayerView, place: str, target: Path) -> None:
    """Copy what the image has in the directory ``place`` into ``target``, an empty directory. Nothing where it has no
    such directory. Raises TryLater when the disk refuses."""
    try:
        _fill(view, place, target)
    except OSError as e:
        raise TryLater(f"cannot copy {place} of the image to {target}: {e.strerror}") from e


@effect("volume.own")
def own(view: LayerView, place: str, target: Path, owner: tuple[int, int]) -> None:
    """Give the directory ``target`` the owner and mode that the image's directory ``place`` has; ``owner`` where it has
    none. Raises TryLater."""
    like = view.resolve(place)
    try:
        if like is not None and like.is_dir():
            shutil.copystat(like, target)
            info = like.stat()
            owner = (info.st_uid, info.st_gid)
            _forget_overlay(target)
        os.chown(target, *owner)
    except OSError as e:
        raise TryLater(f"cannot make {target} as {place} of the image is: {e.strerror}") from e


def _fill(view: LayerView, place: str, target: Path) -> None:
    for name, source in view.entries(place):
        copy = target / name
        if isinstance(source, Path):
            _copy(source, copy)
        else:
            copy.mkdir()
            _fill(view, f"{place}/{name}", copy)
            shutil.copystat(source[0], copy)
            _own_like(source[0], copy)
            _forget_overlay(copy)


def _copy(source: Path, copy: Path) -> None:
    info = source.lstat()
    if stat.S_ISLNK(info.st_mode):
        copy.symlink_to(source.readlink())
    elif stat.S_ISREG(info.st_mode):
        shutil.copyfile(source, copy)
    else:
        os.mknod(copy, info.st_mode, info.st_rdev)
    _own_like(source, copy)
    shutil.copystat(source, copy, follow_symlinks=False)  # after the owner: chown drops set-user-id and capabilities


def _own_like(source: Path, copy: Path) -> None:
    info = source.lstat()
    mode = stat.S_IMODE(info.st_mode)
    os.chown(copy, info.st_uid, info.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(info.st_mode):
        copy.chmod(mode)


def _forget_overlay(copy: Path) -> None:
    """What overlayfs noted on the image's directory means nothing here."""
    for name in os.listxattr(copy, follow_symlinks=False):
        if name.startswith("trusted.overlay."):
            with suppress(OSError):
                os.removexattr(copy, name, follow_symlinks=False)
