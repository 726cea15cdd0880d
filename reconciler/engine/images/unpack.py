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
import re
import stat
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.engine.boundary import hint_in
from reconciler.engine.effects import effect
from reconciler.engine.images.disk import Disk, place_layer, remove_tree, short, sync_filesystem
from reconciler.engine.images.layerfilter import Found, LayerFilter
from reconciler.engine.images.lowerlinks import link_lower
from reconciler.engine.images.processes import Processes, plain_environment
from reconciler.engine.images.view import OPAQUE
from reconciler.engine.images.walk import directory
from reconciler.model.errors import ImageProblem

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
    """One layer of an image: its packed blob and the hash of its unpacked stream, both ``sha256:…``. ``chain`` is the
    hash of all diff ids up to it, where what it holds depends on the layers below (see ``lowerlinks``)."""

    blob: str
    diff_id: str
    chain: str = ""

    @property
    def key(self) -> str:
        """What its directory is named after."""
        return self.chain or self.diff_id


def unpack_layers(
    disk: Disk, layers: tuple[Layer, ...], work: Path, processes: Processes, progress: Callable[[str], None]
) -> tuple[tuple[Layer, ...], int]:
    """Have all ``layers`` unpacked in their places; returns them, and the bytes their files hold.

    Raises ImageProblem for a layer that is damaged or hostile, TryLater when it was cut short.
    """
    missing = {layer.diff_id: layer for layer in layers if not disk.layer(layer.diff_id).is_dir()}
    counter = itertools.count(1)

    def one(layer: Layer) -> Path | None:
        place = work / "layers" / short(layer.diff_id)
        try:
            made = unpack(disk.blob(layer.blob), layer.diff_id, place, processes)
        except NeedsLower:
            remove_tree(place)
            return None
        progress(f"unpacked {next(counter)} of {len(missing)} layers")
        return made

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        made = dict(zip(missing, pool.map(one, missing.values()), strict=True))
    _place(disk, work, [path for path in made.values() if path])
    needy = {diff_id for diff_id, path in made.items() if path is None}
    layers = _on_top(disk, layers, needy, work, processes) if needy else layers
    return layers, sum(_size(disk, layer) for layer in layers)


def _on_top(
    disk: Disk, layers: tuple[Layer, ...], needy: set[str], work: Path, processes: Processes
) -> tuple[Layer, ...]:
    """Unpack, from the lowest, those that need the layers below them."""
    done: list[Layer] = []
    for number, layer in enumerate(layers):
        if layer.diff_id in needy:
            below = " ".join(lower.diff_id for lower in layers[: number + 1])
            layer = replace(layer, chain=f"sha256:{hashlib.sha256(below.encode()).hexdigest()}")
            if not disk.layer(layer.key).is_dir():
                lowers = tuple(disk.layer(lower.key) / "fs" for lower in done)
                place = work / "layers" / short(layer.key)
                _place(disk, work, [unpack(disk.blob(layer.blob), layer.diff_id, place, processes, lowers)])
        done.append(layer)
    return tuple(done)


def _place(disk: Disk, work: Path, made: list[Path]) -> None:
    if made:
        sync_filesystem(work)
    for path in made:
        place_layer(path, disk.layers / path.name)


class NeedsLower(Exception):
    """The layer has hard links to files of the layers below, which were not given."""


@effect("image.unpack")
def unpack(blob: Path, diff_id: str, place: Path, processes: Processes, lowers: tuple[Path, ...] | None = None) -> Path:
    """Unpack one blob to ``place``/fs; ``place`` must not exist. ``lowers``: the layers below, lowest first.

    Raises NeedsLower, ImageProblem.
    """
    tree = place / "fs"
    tree.mkdir(parents=True, mode=0o755)
    tree.chmod(0o755)
    try:
        found, digest = _extract(blob, tree, processes)
        if digest != diff_id:
            raise ImageProblem(f"its content is {digest}, its image says {diff_id}")
        if found.lower_links and lowers is None:
            raise NeedsLower
        _mark(tree, found, lowers or ())
    except ImageProblem as error:
        processes.check()
        raise _unpackable(blob, error.message) from error
    except OSError as error:
        raise _unpackable(blob, error.strerror or str(error)) from error
    facts = {"diff_id": diff_id, "size": found.size, "entries": found.entries}
    (place / "layer.json").write_text(json.dumps(facts))
    return place


def _unpackable(blob: Path, cause: str) -> ImageProblem:
    return ImageProblem(f"cannot unpack layer {_brief(blob.name)}: {cause}", hint=hint_in(cause))


def _size(disk: Disk, layer: Layer) -> int:
    facts = json.loads((disk.layer(layer.key) / "layer.json").read_text())
    if facts["diff_id"] != layer.diff_id:
        raise ImageProblem(f"cannot use layer {_brief(layer.diff_id)}: its directory holds {facts['diff_id']}")
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


_CUT_WRITE = re.compile(r"Wrote only \d+ of \d+ bytes")
"""What tar says of a write that the last free block cut; the next one would have told why."""


class _Words:
    """Reads a program's stderr to its end, so that it never blocks on us, and keeps the first of it.

    By a descriptor of its own: who gives up closes the program's, whose number may be another file's at once.
    """

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)
        self._text = b""
        self._thread = threading.Thread(target=self._read, name="tar-stderr", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._fd, 4096):
                if len(self._text) < 4096:
                    self._text += chunk
        finally:
            os.close(self._fd)

    def said(self) -> str:
        """The first line; waits for the program to end."""
        self._thread.join()
        lines = self._text.decode(errors="replace").splitlines()
        if not lines:
            return "it failed without a word"
        return _CUT_WRITE.sub(os.strerror(errno.ENOSPC), lines[0].removeprefix("tar: "))


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


def _mark(tree: Path, found: Found, lowers: tuple[Path, ...]) -> None:
    """Make links to files below, and write whiteouts and opaque directories in overlayfs' own way (kernel:
    overlayfs.rst)."""
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if found.lower_links:
            link_lower(root, found.lower_links, lowers)
        for path in found.opaque:
            with directory(root, path) as fd:
                os.setxattr(fd, OPAQUE, b"y")
        for path in found.whiteouts:
            if _below(path, found.opaque):
                continue  # nothing shines through there, and readdir would show it
            parent, _, name = path.rpartition(b"/")
            with directory(root, parent) as fd:
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
            with directory(parent, name) as fd:
                os.setxattr(fd, OPAQUE, b"y")
    os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))


def _brief(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
