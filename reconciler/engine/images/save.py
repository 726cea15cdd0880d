"""Save: one image out of the blob store into an archive, by skopeo.

The archive is written under a hidden name beside its place and renamed when it is whole: somebody who is
killed leaves the hidden file, never half an archive under the name that was asked for.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any, Literal

from reconciler.engine.effects import effect
from reconciler.engine.images.archive import decompress, one_image
from reconciler.engine.images.disk import Disk, remove_file
from reconciler.engine.images.index import Record
from reconciler.engine.images.processes import Processes
from reconciler.engine.images.transfer import Skopeo, Source, digest_of, parsed

ArchiveForm = Literal["docker-archive", "oci-archive"]

_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def save_image(
    record: Record, name: str, file: Path, form: ArchiveForm, disk: Disk, work: Path, processes: Processes
) -> None:
    """Write ``record`` to ``file`` under ``name`` ("": none). Raises ImageProblem."""
    source = Source("oci:one", f"image {name or record.id[:12]}", "save")
    if file.exists() and not file.is_file():
        raise source.problem(f"{file} is no plain file")
    try:
        raw = disk.blob(record.manifest).read_bytes()
        manifest, layout = parsed(raw, source), disk.root
        if form == "docker-archive" and any(_is_zstd(layer) for layer in manifest["layers"]):
            layout = work / "plain"
            raw = unpacked_layout(record, manifest, layout, disk, processes, source)
        media = str(manifest.get("mediaType") or _OCI_MANIFEST)
        one_image(layout, work, {"mediaType": media, "digest": digest_of(raw), "size": len(raw)})
        hidden = f".{secrets.token_hex(6)}.part"
        link_directory(file, work)
        tag = f":{name}" if name and "@" not in name else ""
        try:
            Skopeo(source, disk, work, processes).write(f"{form}:out/{hidden}{tag}")
            put_archive(file.with_name(hidden), file)
        finally:
            remove_file(file.with_name(hidden))
    except OSError as error:
        raise source.problem(f"{error.filename or file}: {error.strerror}") from error


def _is_zstd(layer: dict[str, Any]) -> bool:
    return str(layer.get("mediaType")).endswith("+zstd")


@effect("image.unpacked-layout")
def unpacked_layout(
    record: Record, manifest: dict[str, Any], layout: Path, disk: Disk, processes: Processes, source: Source
) -> bytes:
    """A layout of the same image with its zstd layers uncompressed, for docker's archives have no zstd.

    Returns its manifest.
    """
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)
    (blobs / record.id).symlink_to(disk.blob(record.id).absolute())
    layers = []
    for layer, known in zip(manifest["layers"], record.layers, strict=True):
        digest = known.diff_id if _is_zstd(layer) else known.blob
        place = blobs / digest.removeprefix("sha256:")
        if not place.exists():
            if _is_zstd(layer):
                decompress("zstd", disk.blob(known.blob), place, processes, f"cannot save {source.what}")
            else:
                place.symlink_to(disk.blob(known.blob).absolute())
        media = str(layer["mediaType"]).removesuffix("+zstd")
        layers.append({"mediaType": media, "digest": digest, "size": place.stat().st_size})
    raw = json.dumps({**manifest, "layers": layers}).encode()
    (blobs / digest_of(raw).removeprefix("sha256:")).write_bytes(raw)
    return raw


@effect("image.link-out")
def link_directory(file: Path, work: Path) -> None:
    """``work``/out: skopeo's references cannot hold a path with a colon."""
    (work / "out").symlink_to(file.absolute().parent)


@effect("image.put-archive")
def put_archive(made: Path, file: Path) -> None:
    made.replace(file)
