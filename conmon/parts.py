"""A part of a volume (subPath), as a mount of its own that nothing which happens in the volume can lead elsewhere.

Containers write in volumes, also while another container is made that mounts a part of one. So no path is looked at and
used later: the kernel resolves it below the volume in one step (openat2, RESOLVE_BENEATH), and what is mounted is the
very thing that it found. What kubelet does in pkg/volume/util/subpath with a walk of its own.
"""

from __future__ import annotations

import errno
import os
import stat

from conmon import libc

OUTSIDE = "it leads out of the volume"


def mount(source: bytes, place: bytes, path: bytes, target: bytes, *, writable: bool = False) -> None:
    """At ``target``, made as needed, the file or directory ``path`` of the volume at ``source``, of which ``place`` is
    another view with other owners (or the same). Directories that are not there are made, with its owner and mode.
    ``writable``: ``source`` is shown read-only, and not to us.

    Raises OSError.
    """
    try:
        found = _find(place, path)
    except FileNotFoundError:
        _make(source, path, writable)
        found = _find(place, path)
    try:
        _attach(found, target, writable and place == source)
    finally:
        os.close(found)


def _find(volume: bytes, path: bytes) -> int:
    """What is at ``path``, where the volume is mounted. Not in a copy of that mount, which nothing would lead out of
    either: of what lies in one that is mounted nowhere, Linux before 6.15 makes no mount (open_tree: EINVAL)."""
    top = os.open(volume, os.O_PATH | os.O_CLOEXEC)
    if path == b".":
        return top
    try:
        return _beneath(top, path)
    finally:
        os.close(top)


def _make(source: bytes, path: bytes, writable: bool) -> None:
    """The directories of ``path`` that are missing. Each is entered by the descriptor of the one before, and through
    no link."""
    volume = libc.open_tree(source, deep=True)
    try:
        if writable:
            libc.set_read_only(volume, False)
        parts = path.split(b"/")
        known = len(parts) - 1
        while known and not _is_there(volume, b"/".join(parts[:known])):
            known -= 1
        top = os.stat(volume)
        here = _beneath(volume, b"/".join(parts[:known]) or b".")
        for part in parts[known:]:
            here = _enter(here, part, top)
        os.close(here)
    finally:
        os.close(volume)


def _is_there(volume: int, path: bytes) -> bool:
    try:
        os.close(_beneath(volume, path))
    except FileNotFoundError:
        return False
    return True


def _enter(above: int, name: bytes, like: os.stat_result) -> int:
    """A directory, made ``like`` the volume itself if need be; ``above`` is closed."""
    try:
        try:
            os.mkdir(name, 0o700, dir_fd=above)
        except FileExistsError:
            return _directory(above, name)
        made = _directory(above, name)
        os.chown(b"/proc/self/fd/%d" % made, like.st_uid, like.st_gid)
        os.chmod(b"/proc/self/fd/%d" % made, stat.S_IMODE(like.st_mode))  # mkdir's mode is cut by the umask
        return made
    finally:
        os.close(above)


def _directory(above: int, name: bytes) -> int:
    return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)


def seal(target: bytes, *, must: bool) -> None:
    """Make a mount and those below it read-only. ``must`` False: where the kernel can. Raises OSError."""
    fd = os.open(target, os.O_PATH | os.O_CLOEXEC)
    try:
        libc.set_read_only(fd, deep=True)
    except OSError as error:
        if must or error.errno != errno.ENOSYS:
            raise
    finally:
        os.close(fd)


def _beneath(volume: int, path: bytes) -> int:
    try:
        return libc.open_beneath(volume, path)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OSError(errno.EXDEV, OUTSIDE) from None
        raise


def _attach(found: int, target: bytes, writable: bool) -> None:
    tree = libc.open_tree_of(found, deep=True)
    try:
        if writable:
            libc.set_read_only(tree, False)
        if stat.S_ISDIR(os.stat(found).st_mode):
            os.makedirs(target, 0o711, exist_ok=True)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        libc.move_mount(tree, target)
    finally:
        os.close(tree)
