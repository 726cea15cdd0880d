"""Opening directories of a layer by name, never through a symbolic link: for what tar does not do for us."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.engine.effects import effect
from reconciler.engine.images.view import LayerView
from reconciler.model.errors import ImageProblem


@contextmanager
def directory(root: int, path: bytes, *, like: LayerView | None = None) -> Iterator[int]:
    """Open a directory of the layer that is open at ``root``; made where it is missing, with the owner and mode that it
    has in ``like``, the layers below."""
    fd, so_far = os.dup(root), b""
    try:
        for part in filter(None, path.split(b"/")):
            so_far = so_far + b"/" + part
            fd, above = _step(fd, part, so_far, like), fd
            os.close(above)
        yield fd
    finally:
        os.close(fd)


@effect("image.make-directory")
def make_directory(parent: int, name: bytes, like: os.stat_result | None) -> None:
    os.mkdir(name, 0o755, dir_fd=parent)
    os.chmod(name, stat.S_IMODE(like.st_mode) if like else 0o755, dir_fd=parent)
    if like:
        os.chown(name, like.st_uid, like.st_gid, dir_fd=parent, follow_symlinks=False)


def _step(parent: int, name: bytes, path: bytes, like: LayerView | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        known = like.resolve(os.fsdecode(path), follow=False) if like else None
        make_directory(parent, name, known.lstat() if known else None)
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise ImageProblem(
                f"a whiteout or link lies below {name.decode(errors='replace')!r}, no directory"
            ) from None
        raise
