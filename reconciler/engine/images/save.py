"""Save: images out of the blob store into an archive, by skopeo.

The archive is written under a hidden name beside its place and renamed when it is whole: somebody who is
killed leaves the hidden file, never half an archive under the name that was asked for.
"""

from __future__ import annotations

import io
import json
import secrets
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

from reconciler.engine.effects import effect
from reconciler.engine.images.archive import decompress, one_image
from reconciler.engine.images.disk import Disk, remove_file, remove_tree
from reconciler.engine.images.index import Record
from reconciler.engine.images.manifest import Blob, Manifest
from reconciler.engine.images.manifest import manifest as read_manifest
from reconciler.engine.images.processes import Processes
from reconciler.engine.images.transfer import Skopeo, Source, digest_of

ArchiveForm = Literal["docker-archive", "oci-archive"]
Chosen = tuple[Record, str]
"""An image, and the name that it is to have in the archive ("": none)."""

_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def save_images(
    images: tuple[Chosen, ...], to: Path | BinaryIO, form: ArchiveForm, disk: Disk, work: Path, processes: Processes
) -> None:
    """Write ``images`` to a file or a stream. Raises ImageProblem."""
    told = ", ".join(name or record.id[:12] for record, name in images)
    source = Source("oci:one", f"image {told}", "save")
    if len(images) > 1 and form != "docker-archive":
        raise source.problem("an oci-archive holds one image", hint="--format docker-archive holds several")
    if not isinstance(to, Path):
        _stream(images, to, form, disk, work, processes, source)
        return
    if to.exists() and not to.is_file():
        raise source.problem(f"{to} is no plain file")
    hidden = to.with_name(f".{secrets.token_hex(6)}.part")
    try:
        link_directory(to, work)
        _write(images, hidden.name, form, disk, work, processes)
        put_archive(hidden, to)
    except OSError as error:
        raise source.problem(f"{error.filename or to}: {error.strerror}") from error
    finally:
        remove_file(hidden)


def _stream(
    images: tuple[Chosen, ...],
    to: BinaryIO,
    form: ArchiveForm,
    disk: Disk,
    work: Path,
    processes: Processes,
    what: Source,
) -> None:
    try:
        link_directory(work / "whole", work)
        _write(images, "whole", form, disk, work, processes)
        put_stream(work / "whole", to)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise what.problem(f"{error.filename or 'standard output'}: {error.strerror}") from error


def _write(
    images: tuple[Chosen, ...], file: str, form: ArchiveForm, disk: Disk, work: Path, processes: Processes
) -> None:
    """As ``work``/out/``file``; of several images skopeo writes one each, which are put together."""
    if len(images) == 1:
        _write_one(images[0], file, form, disk, work, processes)
        return
    parts = [f"{file}.{number}" for number in range(len(images))]
    try:
        for image, part in zip(images, parts, strict=True):
            _write_one(image, part, form, disk, work, processes)
        join_archives([work / "out" / part for part in parts], work / "out" / file)
    finally:
        for part in parts:
            remove_file(work / "out" / part)


def _write_one(image: Chosen, file: str, form: ArchiveForm, disk: Disk, work: Path, processes: Processes) -> None:
    record, name = image
    source = Source("oci:one", f"image {name or record.id[:12]}", "save")
    raw = disk.blob(record.manifest).read_bytes()
    manifest, layout = read_manifest(raw, source.problem), disk.root
    if form == "docker-archive" and any(map(_is_zstd, manifest.layers)):
        layout = work / "plain"
        remove_tree(layout)
        raw = unpacked_layout(record, manifest, layout, disk, processes, source)
    media = manifest.media or _OCI_MANIFEST
    one_image(layout, work, {"mediaType": media, "digest": digest_of(raw), "size": len(raw)})
    tag = f":{name}" if name and "@" not in name else ""
    Skopeo(source, disk, work, processes).write(f"{form}:out/{file}{tag}")


@effect("image.put-stream")
def put_stream(made: Path, to: BinaryIO) -> None:
    with open(made, "rb") as file:
        shutil.copyfileobj(file, to, 1 << 20)
    to.flush()


@effect("image.join-archives")
def join_archives(parts: Iterable[Path], file: Path) -> None:
    """One docker-archive out of several: what they share is in it once, their lists of images follow each other."""
    listing: list[Any] = []
    repositories: dict[str, Any] = {}
    seen: set[str] = set()
    with tarfile.open(file, "w") as whole:
        for part in parts:
            with tarfile.open(part, "r:") as tar:
                for member in tar:
                    content = tar.extractfile(member) if member.isfile() else None
                    if member.name == "manifest.json" and content:
                        listing += json.load(content)
                    elif member.name == "repositories" and content:
                        for name, tags in json.load(content).items():
                            repositories.setdefault(name, {}).update(tags)
                    elif member.name not in seen:
                        seen.add(member.name)
                        whole.addfile(member, content)
        for name, said in (("manifest.json", listing), ("repositories", repositories)):
            raw = json.dumps(said).encode()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(raw), 0o644
            whole.addfile(info, io.BytesIO(raw))


def _is_zstd(layer: Blob) -> bool:
    return layer.media.endswith("+zstd")


@effect("image.unpacked-layout")
def unpacked_layout(
    record: Record, manifest: Manifest, layout: Path, disk: Disk, processes: Processes, source: Source
) -> bytes:
    """A layout of the same image with its zstd layers uncompressed, for docker's archives have no zstd.

    Returns its manifest.
    """
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    (blobs / record.id).symlink_to(disk.blob(record.id).absolute())
    layers = []
    for layer, known in zip(manifest.layers, record.layers, strict=True):
        digest = known.diff_id if _is_zstd(layer) else known.blob
        place = blobs / digest.removeprefix("sha256:")
        if not place.exists():
            if _is_zstd(layer):
                decompress("zstd", disk.blob(known.blob), place, processes, f"cannot save {source.what}")
            else:
                place.symlink_to(disk.blob(known.blob).absolute())
        media = layer.media.removesuffix("+zstd")
        layers.append({"mediaType": media, "digest": digest, "size": place.stat().st_size})
    raw = json.dumps({**manifest.content, "layers": layers}).encode()
    (blobs / digest_of(raw).removeprefix("sha256:")).write_bytes(raw)
    return raw


@effect("image.link-out")
def link_directory(file: Path, work: Path) -> None:
    """``work``/out: skopeo's references cannot hold a path with a colon."""
    (work / "out").symlink_to(file.absolute().parent)


@effect("image.put-archive")
def put_archive(made: Path, file: Path) -> None:
    made.replace(file)
