"""Files that are whole or not there: written beside their place and renamed into it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

from reconciler.engine.boundary import hint
from reconciler.engine.effects import effect
from reconciler.model.errors import TryLater

_PIECE = 4096
"""Bytes that are read at a time: larger buffers cost more than most of these files."""

_ESCAPE = re.compile(rb"\\([0-7]{3})")
"""How /proc writes blanks in paths."""


Stamp = tuple[int, int, int]
"""A file's inode, when it was last written (nanoseconds of the wall clock), and its size."""


def stamp(path: str | Path) -> Stamp | None:
    """What tells a file from the one that was there before, at a third of what reading it costs; None for none."""
    try:
        there = os.stat(path)  # noqa: PTH116 (a look at a pod asks a dozen times; a Path costs more than the answer)
    except OSError:
        return None
    return there.st_ino, there.st_mtime_ns, there.st_size


@effect("file.write")
def write_atomic(path: Path, data: bytes, mode: int = 0o600, *, sync: bool = False) -> None:
    """Replace ``path`` with ``data`` in one step; readers see the old file or the new one. ``sync``: also after a power
    cut, which may leave the name of a new file without its content.

    Raises TryLater when the disk refuses.
    """
    directory, _, name = str(path).rpartition("/")
    temporary = f"{directory or '.'}/.{name}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        with open(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb", buffering=0
        ) as f:
            left = memoryview(data)
            while left:
                left = left[f.write(left) :]
            if sync:
                os.fsync(f.fileno())
        os.replace(temporary, path)  # noqa: PTH105 (Path objects would cost as much as the file; a pod has dozens)
    except OSError as e:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 (as above)
        raise TryLater(f"cannot write {path}: {e.strerror}", hint=hint(e)) from e


def read_or_none(path: str | Path) -> bytes | None:
    """The file's content, or None where it is not there.

    Raises TryLater when it is there and cannot be read.
    """
    try:
        return read_small(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise TryLater(f"cannot read {path}: {e.strerror}") from e


def read_small(path: str | Path, directory: int | None = None) -> bytes:
    """A small file's content, a third of what ``Path.read_bytes`` costs: a look at a pod reads dozens. Of /proc and of
    cgroups only what is short: less than what was asked for counts as the end. ``directory``: a descriptor of the one
    where a relative path begins. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        content = piece = os.read(fd, _PIECE)
        while len(piece) == _PIECE:
            piece = os.read(fd, _PIECE)
            content += piece
        return content
    finally:
        os.close(fd)


def read_with_time(path: str | Path) -> tuple[bytes, float]:
    """The file's content and when it was last written (seconds since the epoch); empty and 0 where it is not there.

    Raises TryLater when it is there and cannot be read.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb", buffering=0) as f:
            return f.read(), os.fstat(f.fileno()).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return b"", 0.0
    except OSError as e:
        raise TryLater(f"cannot read {path}: {e.strerror}") from e


def names(directory: Path) -> list[str]:
    """What lies in a directory, at a third of what ``entries`` costs; nothing where there is none."""
    try:
        return os.listdir(directory)  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []


def entries(directory: Path) -> list[Path]:
    """What lies in a directory, sorted; nothing where there is none."""
    return [directory / name for name in sorted(names(directory))]


@effect("tree.discard")
def discard(tree: Path, trash: Path) -> None:
    """Take a file or directory out of sight in one step (rename into ``trash``, on its file system), then delete it.

    Nothing happens where it is gone already. Killed in between, the rest lies in ``trash``, which ``empty`` deletes
    some other time, perhaps while we still delete: the name there is the tree's from the moment of the rename, so
    nobody can take it away before. Raises TryLater when the disk refuses.
    """
    grave = bury(tree, trash)
    if grave is not None:
        delete(grave)


@effect("tree.bury")
def bury(tree: Path, trash: Path) -> Path | None:
    """The first half of ``discard``: where the tree lies now; None when it was gone already.

    Raises TryLater when the disk refuses.
    """
    grave = trash / os.urandom(8).hex()
    try:
        trash.mkdir(exist_ok=True, mode=0o700)
        tree.rename(grave)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise TryLater(f"cannot remove {tree}: {e.strerror}") from e
    return grave


@effect("tree.delete")
def delete(tree: Path) -> None:
    """Delete a file or directory, or as much of it as can be; somebody else may do the same at the same time.

    What is mounted below it is not ours to delete: a container was allowed to mount it (Bidirectional propagation), or
    somebody on this host did. It is detached.
    """
    if not _detach_below(tree):
        return
    if tree.is_dir() and not tree.is_symlink():
        import shutil

        shutil.rmtree(tree, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            tree.unlink()


def _detach_below(tree: Path) -> bool:
    """Whether nothing is mounted below a directory any more."""
    from reconciler.linux.syscalls import DETACH, KERNEL  # who only reads files pays for no C library

    for place in reversed(_mounted_below(tree)):
        try:
            KERNEL.umount(place, DETACH)
        except OSError as e:
            if e.errno != errno.EINVAL:  # somebody else has done it
                return False
    return not _mounted_below(tree)


def _mounted_below(tree: Path) -> list[str]:
    """In the order in which they were mounted."""
    top = os.fsencode(tree) + b"/"
    with open("/proc/self/mountinfo", "rb") as table:
        places = (_ESCAPE.sub(lambda m: bytes([int(m[1], 8)]), line.split(b" ", 5)[4]) for line in table)
        return [os.fsdecode(place) for place in places if place.startswith(top)]


def empty(trash: Path) -> None:
    """Delete what killed predecessors left in the trash, and what others are deleting just now."""
    try:
        graves = list(trash.iterdir())
    except OSError:
        return
    for grave in graves:
        delete(grave)
