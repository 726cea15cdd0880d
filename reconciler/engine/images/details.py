"""Details: what `image inspect` tells of an image that is here, under podman's keys.

Read from the manifest and the config as their source had them, so what a user sees is what the image's maker
wrote. Only looks; whoever removes the image meanwhile makes it "not here".
"""

from __future__ import annotations

from typing import Any

from reconciler.engine.images.disk import Disk
from reconciler.engine.images.index import Record
from reconciler.engine.images.transfer import Source, parsed

_ANNOTATED = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck",
)  # fmt: skip
_HISTORY = ("created", "created_by", "author", "comment", "empty_layer")


def details(record: Record, disk: Disk) -> dict[str, Any]:
    """As ``podman image inspect`` has it (containers/common libimage, ImageData); empty parts of Config are left out,
    ``Size`` is in bytes of unpacked files. Raises ImageProblem where the manifest or config is damaged, OSError
    where it is gone."""
    source = Source("", f"image {record.id[:12]}", "inspect")
    manifest = parsed(disk.blob(record.manifest).read_bytes(), source)
    config = parsed(disk.blob(record.id).read_bytes(), source)
    inner: dict[str, Any] = config.get("config") or {}
    rootfs: dict[str, Any] = config.get("rootfs") or {}
    return {
        "Id": record.id,
        "Digest": record.manifest,
        "RepoTags": [name.name for name in record.names if "@" not in name.name],
        "RepoDigests": list(record.digests),
        "Comment": str(config.get("comment") or ""),
        "Created": record.created,
        "Config": {key: inner[key] for key in _CONFIG if inner.get(key)},
        "Author": str(config.get("author") or ""),
        "Architecture": str(config.get("architecture") or ""),
        "Os": str(config.get("os") or ""),
        "Size": record.size,
        "RootFS": {"Type": str(rootfs.get("type") or "layers"), "Layers": list(rootfs.get("diff_ids") or [])},
        "Labels": inner.get("Labels"),
        "Annotations": manifest.get("annotations") or {},
        "ManifestType": str(manifest.get("mediaType") or _ANNOTATED),
        "User": record.user,
        "History": [_step(step) for step in config.get("history") or [] if isinstance(step, dict)],
    }


def _step(step: dict[str, Any]) -> dict[str, Any]:
    return {key: step[key] for key in _HISTORY if step.get(key)}
