"""Where images lie, and the few ways in which anything there is written.

images/
  index/<image id>.json    what makes an image exist: written last, removed first
  layers/<short>/          one unpacked layer: fs/ and layer.json; named after its diff id, short enough that the
                           mount options of 120 layers fit one page
  blobs/sha256/<hex>       manifests, configs and packed layers as they came (an OCI blob store, shared by all images)
  temp/<random>/           work under way; everything in it can go when nobody transfers
  locks/                   transfer (shared: pull, load; exclusive: sweep), index (writers), pin (shared: a container
                           being created; exclusive: removal), pull.<hash> (one per reference)

Several processes may work here at once; flock gives each rule above, and dies with its holder.
"""

from __future__ import annotations

import base64
import ctypes
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.effects import effect

SHORT = 16
"""Characters of a layer's directory name: 80 bits of its diff id; layer.json holds all of it."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The directories of one image store."""

    root: Path

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def temp(self) -> Path:
        return self.root / "temp"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    def record(self, image_id: str) -> Path:
        return self.index / f"{image_id}.json"

    def blob(self, digest: str) -> Path:
        """The file of a blob; ``digest`` is ``sha256:`` and 64 hex digits (checked by whoever parsed it)."""
        return self.blobs / "sha256" / digest.removeprefix("sha256:")

    def layer(self, diff_id: str) -> Path:
        return self.layers / short(diff_id)

    @contextmanager
    def lock(self, name: str, *, shared: bool = False) -> Iterator[None]:
        """Hold a lock of this store; waits for it."""
        with _open_lock(self.locks, name) as fd:
            fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Hold a lock exclusively if that is possible at once; yields whether it is held."""
        with _open_lock(self.locks, name) as fd:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A directory for one transfer, gone afterwards. Whoever is killed meanwhile leaves it to the sweep."""
        with self.lock("transfer", shared=True):
            path = make_work(self.temp)
            try:
                yield path
            finally:
                remove_tree(path)


def short(diff_id: str) -> str:
    """The directory name of a layer: [a-z2-7], from its whole diff id."""
    return base64.b32encode(hashlib.sha256(diff_id.encode()).digest()).decode().lower()[:SHORT]


@contextmanager
def _open_lock(directory: Path, name: str) -> Iterator[int]:
    fd = open_lock_file(directory, name)
    try:
        yield fd
    finally:
        os.close(fd)


@effect("image.lock-file")
def open_lock_file(directory: Path, name: str) -> int:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@effect("image.make-work")
def make_work(temp: Path) -> Path:
    temp.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = temp / secrets.token_hex(6)
    path.mkdir(mode=0o700)
    return path


@effect("image.remove-tree")
def remove_tree(path: Path) -> None:
    """Remove a directory and what is in it; fine when it is not there."""
    shutil.rmtree(path, ignore_errors=True)


@effect("image.write")
def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or absent, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


@effect("image.remove-file")
def remove_file(path: Path) -> None:
    path.unlink(missing_ok=True)


@effect("image.sync")
def sync_filesystem(path: Path) -> None:
    """Put everything on the file system of ``path`` on the disk: unpacked files are written without fsync."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)


@effect("image.place-layer")
def place_layer(made: Path, place: Path) -> None:
    """Move a whole unpacked layer to its place, unless another transfer was faster."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():
            raise
    _sync_directory(place.parent)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
