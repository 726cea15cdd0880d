"""Where the errors of the operating system become ours: whoever calls the engine need know no others.

What lies below wraps what it expects, with better words; this is for the rest, the disk that is full in some other
place than usual. Errors of this program itself (TypeError, AssertionError…) are let through: they are to be seen.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.model.errors import TryLater

_HINTS = {
    errno.ENOSPC: "free some space on that file system",
    errno.EDQUOT: "free some space on that file system",
    errno.EROFS: "mount that file system read-write, or give another --root",
    errno.EACCES: "run as root, or give --root",
    errno.EPERM: "run as root, or give --root",
    errno.EMFILE: "raise the limit of open files",
    errno.ENFILE: "raise the limit of open files",
}


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turn errors of the system into TryLater("cannot ``doing``: cause")."""
    try:
        yield
    except OSError as e:
        raise TryLater(f"cannot {doing}: {cause(e)}", hint=hint(e)) from e
    except Exception as e:
        if not _is_of_the_system(e):
            raise
        raise TryLater(f"cannot {doing}: {' '.join(str(e).split())}") from e


def _is_of_the_system(error: Exception) -> bool:
    import sqlite3
    import subprocess

    import msgspec  # here: most of who calls the engine meets no such error, and would pay for all three

    return isinstance(error, (sqlite3.Error, subprocess.SubprocessError, msgspec.MsgspecError))


def cause(error: OSError) -> str:
    """The file, where there is one, and what the kernel said."""
    said = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {said}" if error.filename else said


def hint(error: OSError) -> str:
    """What to do about it, or ""."""
    return _HINTS.get(error.errno or 0, "")


def hint_in(said: str) -> str:
    """The same where another program said it."""
    disk = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return next((_HINTS[number] for number in disk if os.strerror(number).lower() in said.lower()), "")
