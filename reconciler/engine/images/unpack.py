"""Layers: from a packed blob to a directory that overlayfs can stack.

    blob -> gzip -d | zstd -d -> check and filter (layerfilter) -> tar -> whiteouts as overlayfs wants them

Each layer is unpacked once, by itself, under its diff id (the hash of the unpacked stream, which is checked
on the way). Made in a work directory, put on the disk, then renamed into place: a layer that has its name
is whole. The layers of an image are unpacked side by side.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import json
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.images.disk import Disk, place_layer, short, sync_filesystem
from reconciler.engine.images.layerfilter import Found, LayerFilter
from reconciler.engine.images.processes import Processes, plain_environment
from reconciler.model.errors import ImageProblem

OPAQUE = "trusted.overlay.opaque"
_CHUNK = 1 << 18
_PIPE = 1 << 20
_WARNING = 2
"""gzip's exit code when something harmless follows the stream; the diff id decides."""
_LIMIT = 3600.0
"""Seconds that one layer may take."""

_TAR = (
    "tar", "--extract", "--file=-", "--numeric-owner", "--same-owner", "--same-permissions",
    "--delay-directory-restore", "--xattrs", "--xattrs-include=*", "--xattrs-exclude=trusted.*",
    "--warning=no-timestamp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image: its packed blob and the hash of its unpacked stream, both ``sha256:…``."""

    blob: str
    diff_id: str


def unpack_layers(
    disk: Disk, layers: tuple[Layer, ...], work: Path, processes: Processes, progress: Callable[[str], None]
) -> int:
    """Have all ``layers`` unpacked in their places; returns the bytes their files hold.

    Raises ImageProblem for a layer that is damaged or hostile, TryLater when it was cut short.
    """
    missing = {layer.diff_id: layer for layer in layers if not disk.layer(layer.diff_id).is_dir()}
    counter = itertools.count(1)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:

        def one(layer: Layer) -> Path:
            made = unpack(disk.blob(layer.blob), layer.diff_id, work / "layers" / short(layer.diff_id), processes)
            progress(f"unpacked {next(counter)} of {len(missing)} layers")
            return made

        made = list(pool.map(one, missing.values()))
    if made:
        sync_filesystem(work)
    for path in made:
        place_layer(path, disk.layers / path.name)
    return sum(_size(disk, layer.diff_id) for layer in layers)


@effect("image.unpack")
def unpack(blob: Path, diff_id: str, place: Path, processes: Processes) -> Path:
    """Unpack one blob to ``place``/fs; ``place`` must not exist."""
    tree = place / "fs"
    tree.mkdir(parents=True, mode=0o755)
    tree.chmod(0o755)
    try:
        found, digest = _extract(blob, tree, processes)
        if digest != diff_id:
            raise ImageProblem(f"its content is {digest}, its image says {diff_id}")
        _mark(tree, found)
    except ImageProblem as error:
        processes.check()
        raise ImageProblem(f"cannot unpack layer {_brief(blob.name)}: {error.message}") from error
    except OSError as error:
        raise ImageProblem(f"cannot unpack layer {_brief(blob.name)}: {error.strerror}") from error
    facts = {"diff_id": diff_id, "size": found.size, "entries": found.entries}
    (place / "layer.json").write_text(json.dumps(facts))
    return place


def _size(disk: Disk, diff_id: str) -> int:
    facts = json.loads((disk.layer(diff_id) / "layer.json").read_text())
    if facts["diff_id"] != diff_id:
        raise ImageProblem(f"cannot use layer {_brief(diff_id)}: its directory holds {facts['diff_id']}")
    return int(facts["size"])


def _extract(blob: Path, tree: Path, processes: Processes) -> tuple[Found, str]:
    hasher, layer = hashlib.sha256(), LayerFilter()
    with _unpacked(blob, processes) as source, _tar(tree, processes) as feed:
        while chunk := os.read(source, _CHUNK):
            hasher.update(chunk)
            for part in layer.feed(chunk):
                feed(part)
        feed(memoryview(layer.finish()))
    return layer.found, f"sha256:{hasher.hexdigest()}"


@contextmanager
def _tar(tree: Path, processes: Processes) -> Iterator[Callable[[memoryview], None]]:
    """tar, unpacking into ``tree`` what the given function is fed with. Raises ImageProblem with tar's words."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with processes.start(_TAR, cwd=tree, env=plain_environment(), **pipes) as process, _watchdog(process):
        assert process.stdin and process.stderr
        fd, words = process.stdin.fileno(), _Words(process.stderr.fileno())
        _widen(fd)

        def feed(part: memoryview) -> None:
            try:
                while part:
                    part = part[os.write(fd, part) :]
            except BrokenPipeError:
                raise ImageProblem(f"tar: {words.said()}") from None

        yield feed
        process.stdin.close()
        process.stdin = None
        said = words.said()
        if process.wait() != 0:
            raise ImageProblem(f"tar: {said}")


class _Words:
    """Reads a program's stderr to its end, so that it never blocks on us, and keeps the first of it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._text = b""
        self._thread = threading.Thread(target=self._read, name="tar-stderr", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while chunk := os.read(self._fd, 4096):
            if len(self._text) < 4096:
                self._text += chunk

    def said(self) -> str:
        """The first line; waits for the program to end."""
        self._thread.join()
        lines = self._text.decode(errors="replace").splitlines()
        return lines[0].removeprefix("tar: ") if lines else "it failed without a word"


@contextmanager
def _unpacked(blob: Path, processes: Processes) -> Iterator[int]:
    """A file descriptor that reads the blob's plain tar stream; told by its first bytes (media types lie)."""
    with open(blob, "rb", buffering=0) as file:
        magic = os.pread(file.fileno(), 4, 0)
        if magic[:2] == b"\x1f\x8b":
            argv = ("gzip", "-dc")
        elif magic == b"\x28\xb5\x2f\xfd":
            argv = ("zstd", "-dcq")
        else:
            yield file.fileno()
            return
        pipes = {"stdin": file, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with processes.start(argv, env=plain_environment(), **pipes) as process, _watchdog(process):
            assert process.stdout
            _widen(process.stdout.fileno())
            yield process.stdout.fileno()
            if process.wait() not in (0, _WARNING):
                raise ImageProblem(f"{argv[0]} says that it is damaged")


@contextmanager
def _watchdog(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the program when it takes too long: whoever reads or writes its pipes then sees their end."""
    timer = threading.Timer(_LIMIT, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _widen(fd: int) -> None:
    """A larger pipe means fewer switches between the programs; a user over the pipe quota keeps the small one."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE)
    except PermissionError:
        return


def _mark(tree: Path, found: Found) -> None:
    """Write whiteouts and opaque directories in overlayfs' own way (kernel: overlayfs.rst)."""
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in found.opaque:
            with _directory(root, path) as fd:
                os.setxattr(fd, OPAQUE, b"y")
        for path in found.whiteouts:
            if _below(path, found.opaque):
                continue  # nothing shines through there, and readdir would show it
            parent, _, name = path.rpartition(b"/")
            with _directory(root, parent) as fd:
                _whiteout(fd, name)
    finally:
        os.close(root)


def _below(path: bytes, directories: Iterable[bytes]) -> bool:
    return any(not directory or path.startswith(directory + b"/") for directory in directories)


def _whiteout(parent: int, name: bytes) -> None:
    """Hide ``name`` of the layers below. What this same layer brings under that name stays (OCI: layer.md)."""
    before = os.fstat(parent)
    try:
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
    except FileExistsError:
        if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            with _directory(parent, name) as fd:
                os.setxattr(fd, OPAQUE, b"y")
    os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))


@contextmanager
def _directory(root: int, path: bytes) -> Iterator[int]:
    """Open a directory of the layer, made where it is missing; never through a symbolic link."""
    fd = os.dup(root)
    try:
        for part in filter(None, path.split(b"/")):
            fd, above = _step(fd, part), fd
            os.close(above)
        yield fd
    finally:
        os.close(fd)


def _step(directory: int, name: bytes) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=directory)
        os.chmod(name, 0o755, dir_fd=directory)
        return os.open(name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise ImageProblem(f"a whiteout lies below {name.decode(errors='replace')!r}, no directory") from None
        raise


def _brief(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
