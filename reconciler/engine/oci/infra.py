"""The rootfs of every infra container: catatonit and nothing else, shared and read-only.

Its directory is named by the program's content, so that an update of catatonit makes a new one beside the
old, which running pods go on using.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from reconciler.engine import children
from reconciler.engine.effects import effect
from reconciler.engine.images.disk import sync_filesystem
from reconciler.model.errors import HostUnfit, TryLater

PLACES = (
    Path("/usr/bin/catatonit"),
    Path("/usr/libexec/podman/catatonit"),
    Path("/usr/libexec/catatonit/catatonit"),
    Path("/usr/local/bin/catatonit"),
)

MOUNT_POINTS = ("proc", "dev", "sys")
"""Made beforehand: the runtimes would make them, several at once, in a directory that is shared."""


def infra_rootfs(cache: Path) -> Path:
    """The rootfs, made now or before. Raises HostUnfit where there is no catatonit."""
    program = _find()
    data = program.read_bytes()
    directory = cache / f"infra-{hashlib.sha256(data).hexdigest()[:16]}"
    if not _is_whole(directory, data):
        _build(directory, program, data)
    return directory


def _is_whole(directory: Path, data: bytes) -> bool:
    """A power cut may have left the name and lost the content."""
    try:
        return (directory / "catatonit").read_bytes() == data
    except OSError:
        return False


def _find() -> Path:
    found = next((p for p in PLACES if p.is_file()), None)
    if found is None:
        raise HostUnfit("cannot make infra containers: catatonit is not installed", hint="install package catatonit")
    return found


@effect("infra.build")
def _build(directory: Path, program: Path, data: bytes) -> None:
    """Made beside its place and renamed: another process may do the same at this moment, and either one is good."""
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        for name in MOUNT_POINTS:
            (temporary / name).mkdir(parents=True, mode=0o755)
        temporary.chmod(0o755)
        target = temporary / "catatonit"
        target.write_bytes(data)
        target.chmod(0o755)
        if b"/ld-" in data[:4096]:  # PT_INTERP: dynamically linked
            _copy_libraries(program, temporary)
        sync_filesystem(temporary)
        if directory.exists():  # damaged; nothing can run from it
            directory.rename(temporary / "damaged")
        temporary.rename(directory)
        shutil.rmtree(directory / "damaged", ignore_errors=True)
    except OSError as e:
        shutil.rmtree(temporary, ignore_errors=True)
        if not _is_whole(directory, data):
            raise TryLater(f"cannot make the infra rootfs {directory}: {e.strerror}") from e


def _copy_libraries(program: Path, rootfs: Path) -> None:
    """Every file that the dynamic linker would map, at the place where it looks for it."""
    listing = children.run(["ldd", str(program)], timeout=10).stdout
    for word in listing.decode(errors="surrogateescape").split():
        if word.startswith("/"):
            target = rootfs / word.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, target)
