"""A new, empty file in the place of a log: the old one is discarded, or kept as ``.1``, ``.2`` ...

Imported only by monitors that rotate. Others may work on the same files: a second monitor with the same
log (a lock and a look at the inode tell it that it need not rotate again), readers, an external rotator
that has renamed the log away. Every step is one rename; a monitor killed in between leaves all files
there under one of their names, and the next rotation goes on from that.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

MODE = 0o640
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


def replace(path: str) -> int:
    """Put an empty file in the place of whatever is at ``path``. Its descriptor. Raises OSError."""
    new = f"{path}.tmp"
    fd = os.open(new, _FLAGS | os.O_TRUNC | os.O_NOFOLLOW, MODE)
    try:
        os.rename(new, path)
    except OSError:
        os.close(fd)
        raise
    return fd


def rotate(path: str, current: int, keep: int, allowed: list[str]) -> int:
    """Keep the log as ``.1`` and up to ``keep`` older ones; the descriptor of the new one. Raises OSError.

    ``current`` is the descriptor of the log as it was. If it is not at ``path`` any more, somebody else has
    moved it: then what is there now is opened, and nothing is moved. ``allowed``: the directories in which
    logs may be rotated; empty for all.
    """
    fd = fresh(path, current, allowed)
    if fd is None:
        return reopened(path)
    try:
        for number in range(keep - 1, 0, -1):
            _move(f"{path}.{number}", f"{path}.{number + 1}")
        os.rename(path, f"{path}.1")
        os.rename(f"{path}.new", path)
    except OSError:
        os.close(fd)
        raise
    return fd


def fresh(path: str, current: int, allowed: list[str]) -> int | None:
    """A new file ``<path>.new``, after a look at the place and with a lock that lasts until ``current`` is closed.

    None if the log is not at ``path`` any more. Raises OSError.
    """
    _check_place(path, allowed)
    fcntl.lockf(current, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return _fresh(f"{path}.new") if _is_at(current, path) else None


def reopened(path: str) -> int:
    """The descriptor of what is at ``path`` now, made if need be. Raises OSError."""
    return os.open(path, _FLAGS | os.O_NOFOLLOW, MODE)


def _check_place(path: str, allowed: list[str]) -> None:
    """No rotation where others could put a file of their choice under our names."""
    directory = os.path.dirname(path) or "."
    if os.path.islink(path):
        raise OSError(errno.ELOOP, "it is a symbolic link")
    if os.stat(directory).st_mode & stat.S_IWOTH:
        raise OSError(errno.EPERM, "everybody may write into its directory")
    real = os.path.realpath(directory)
    roots = [os.path.realpath(root).rstrip("/") for root in allowed]
    if roots and not any(f"{real}/".startswith(f"{root}/") for root in roots):
        raise OSError(errno.EPERM, "it is not in a directory of --log-allowlist-dir")


def _fresh(path: str) -> int:
    """A file nobody else has; one that a killed monitor left there is removed, for we have the lock."""
    try:
        return os.open(path, _FLAGS | os.O_EXCL, MODE)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, _FLAGS | os.O_EXCL, MODE)


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _move(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except FileNotFoundError:
        pass  # fewer files than may be kept
