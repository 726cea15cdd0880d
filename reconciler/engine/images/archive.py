"""Archives and directories that hold images: what they are, and which images lie in them under which names.

docker-archive is what docker save and podman save write, oci-archive a tar of an OCI layout; both may be
compressed as a whole. The archive is a stranger's: names in it are parsed, paths in it are never followed.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from reconciler.engine.effects import effect
from reconciler.engine.images.disk import remove_tree, write_file
from reconciler.engine.images.manifest import Part, document
from reconciler.engine.images.processes import Processes, plain_environment
from reconciler.engine.images.reference import LOCAL, parse
from reconciler.engine.images.transfer import Source, choose
from reconciler.model.errors import ImageProblem

_LIMIT = 1800.0
_JSON_LIMIT = 8 << 20
_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"
_UNPACKERS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"BZh": "bzip2"}


@dataclass(frozen=True, slots=True)
class Held:
    """One image in an archive, and the full names it is to have."""

    source: Source
    names: tuple[str, ...]


def images_in(archive: Path, work: Path, processes: Processes) -> Iterator[Held]:
    """Each image of an archive; its source is good until the next one is asked for. Raises ImageProblem."""
    what = "images from standard input" if archive.parent == work else f"images from {archive}"
    if archive.is_dir():
        yield from _oci(archive.resolve(), work, what)
        return
    try:
        plain = _plain(archive.resolve(), work, processes, what)
        members = _members(plain)
        if "manifest.json" in members:
            yield from _docker(_read(plain, members["manifest.json"], what), what)
        elif "index.json" in members:
            untar(plain, work, processes, what)
            yield from _oci(work / "layout", work, what)
        else:
            raise ImageProblem(f"cannot load {what}: it is neither a docker-archive nor an oci-archive")
    except tarfile.TarError as error:
        raise ImageProblem(f"cannot load {what}: it is no tar archive, or a damaged one: {error}") from error
    except OSError as error:
        raise ImageProblem(f"cannot load {what}: {error.strerror}") from error


@effect("image.spool")
def spooled(stream: BinaryIO, work: Path) -> Path:
    """A stream as a file, since an archive is read more than once. Raises ImageProblem."""
    place = work / "stream"
    try:
        with open(place, "xb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
    except OSError as error:
        raise ImageProblem(f"cannot load images from standard input: {error.strerror}") from error
    return place


def _docker(listing: Any, what: str) -> Iterator[Held]:
    source = Source("", what, "load")
    # Read as a field of an object, so that messages can say which of its items is wrong.
    items = Part({"images": listing}, "its manifest.json", source.problem).parts("images")
    if not items:
        raise source.problem("its manifest.json lists no images")
    for number, item in enumerate(items):
        names = tuple(_name(tag, source) for tag in item.texts("RepoTags"))
        yield Held(Source(f"docker-archive:archive:@{number}", what, "load"), names)


def _oci(layout: Path, work: Path, what: str) -> Iterator[Held]:
    source = Source("oci:one", what, "load")
    entries = _entries(layout / "index.json", "its index.json", source)
    if not entries:
        raise source.problem("its index.json lists no images")
    for entry in entries:
        one_image(layout, work, _for_this_machine(layout, entry, source))
        yield Held(source, _oci_names(entry.texts_by_name("annotations"), source))


def _entries(file: Path, name: str, source: Source) -> tuple[Part, ...]:
    """What a list of manifests lists. ``name`` is how messages call it."""
    try:
        return document(file.read_bytes(), name, source.problem).parts("manifests")
    except OSError as error:
        raise source.problem(f"{name} cannot be read: {error.strerror}") from None


def _for_this_machine(layout: Path, entry: Part, source: Source) -> dict[str, Any]:
    """Follow a list of manifests to the one that this machine can run."""
    media = entry.text("mediaType")
    if "index" not in media and "manifest.list" not in media:
        return entry.content
    digest = entry.digest("digest").removeprefix("sha256:")
    manifests = _entries(layout / "blobs/sha256" / digest, f"the list of manifests {digest[:12]}", source)
    chosen = choose(manifests, source)
    return next(inner.content for inner in manifests if inner.content.get("digest") == chosen)


def _oci_names(annotations: dict[str, str], source: Source) -> tuple[str, ...]:
    """A whole name, as podman and containerd write it. A mere tag (what skopeo writes) is not one."""
    text = annotations.get(_FULL_NAME) or annotations.get(_REF_NAME) or ""
    return (_name(text, source, LOCAL),) if "/" in text or ":" in text else ()


def _name(text: str, source: Source, registry: str = "") -> str:
    """The name in full; ``registry`` for one that has none, "" the default one. Raises ImageProblem."""
    try:
        reference = parse(text)
    except ImageProblem as error:
        raise source.problem(error.message) from None
    return str(replace(reference, registry=registry) if registry and not reference.registry else reference.full())


@effect("image.select-one")
def one_image(layout: Path, work: Path, entry: dict[str, Any]) -> None:
    """An OCI layout of a single image over the same blobs: skopeo selects by tag, which may be missing or odd."""
    one = work / "one"
    remove_tree(one)
    one.mkdir()
    (one / "blobs").symlink_to(layout / "blobs")
    entry = {key: value for key, value in entry.items() if key != "annotations"}
    write_file(one / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    write_file(one / "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())


def _plain(archive: Path, work: Path, processes: Processes, what: str) -> Path:
    """The archive without outer compression, as ``work``/archive."""
    with open(archive, "rb") as file:
        magic = file.read(6)
    program = next((name for start, name in _UNPACKERS.items() if magic.startswith(start)), None)
    place = work / "archive"
    if program is None:
        link_archive(archive, place)
    else:
        decompress(program, archive, place, processes, f"cannot load {what}")
    return place


@effect("image.link-archive")
def link_archive(archive: Path, place: Path) -> None:
    place.symlink_to(archive)


@effect("image.decompress-archive")
def decompress(program: str, archive: Path, place: Path, processes: Processes, failed: str) -> None:
    """``failed``: how the message begins when it cannot be done."""
    with open(archive, "rb") as source, open(place, "xb") as sink:
        code = processes.run((program, "-dc"), timeout=_LIMIT, env=plain_environment(), stdin=source, stdout=sink).code
    if code:
        raise ImageProblem(f"{failed}: {program} says that it is damaged")


@effect("image.untar-archive")
def untar(archive: Path, work: Path, processes: Processes, what: str) -> None:
    """Unpack an oci-archive beside it: plain files and directories only are any use there."""
    layout = work / "layout"
    layout.mkdir()
    argv = ("tar", "--extract", "--no-same-owner", "--no-same-permissions", "--file", str(archive))
    done = processes.run(argv, timeout=_LIMIT, cwd=layout, env=plain_environment())
    if done.code:
        raise ImageProblem(f"cannot load {what}: {(done.stderr.splitlines() or ['tar failed'])[0]}")
    for directory, _, files in os.walk(layout):
        for name in files:
            if (Path(directory) / name).is_symlink():
                raise ImageProblem(f"cannot load {what}: it holds a symbolic link, {name}")


def _members(archive: Path) -> dict[str, tarfile.TarInfo]:
    """The entries at the top of an archive."""
    with tarfile.open(archive, "r:") as tar:
        return {member.name.removeprefix("./"): member for member in tar if "/" not in member.name.removeprefix("./")}


def _read(archive: Path, member: tarfile.TarInfo, what: str) -> Any:
    with tarfile.open(archive, "r:") as tar:
        file = tar.extractfile(member)
        try:
            return json.loads(file.read(_JSON_LIMIT) if file else b"")
        except (ValueError, RecursionError):
            raise ImageProblem(f"cannot load {what}: its {member.name} is not JSON") from None
