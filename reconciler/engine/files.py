"""Files that are whole or not there: written beside their place and renamed into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.model.errors import TryLater


@effect("file.write")
def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` with ``data`` in one step; readers see the old file or the new one.

    Raises TryLater when the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as f:
            f.write(data)
        temporary.replace(path)
    except OSError as e:
        temporary.unlink(missing_ok=True)
        raise TryLater(f"cannot write {path}: {e.strerror}") from e


def read_or_none(path: Path) -> bytes | None:
    """The file's content, or None where it is not there."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


@effect("tree.discard")
def discard(tree: Path, trash: Path) -> None:
    """Take a directory out of sight in one step (rename into ``trash``), then delete it at leisure.

    Killed in between, the rest lies in ``trash``, which ``empty`` deletes some other time.
    """
    trash.mkdir(exist_ok=True, mode=0o700)
    grave = Path(tempfile.mkdtemp(prefix="", dir=trash))
    try:
        tree.rename(grave / tree.name)
    except FileNotFoundError:
        pass
    except OSError as e:
        raise TryLater(f"cannot remove {tree}: {e.strerror}") from e
    shutil.rmtree(grave, ignore_errors=True)


def empty(trash: Path) -> None:
    """Delete what killed predecessors left in the trash."""
    if not trash.is_dir():
        return
    for grave in trash.iterdir():
        shutil.rmtree(grave, ignore_errors=True)
