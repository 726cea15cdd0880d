"""Details: what `image inspect` tells of an image that is here, under podman's keys.

Read from the manifest and the config as their source had them, so what a user sees is what the image's maker
wrote. Only looks; whoever removes the image meanwhile makes it "not here".
"""

from __future__ import annotations

from typing import Any

from reconciler.engine.images.disk import Disk
from reconciler.engine.images.index import Record
from reconciler.engine.images.manifest import config as read_config
from reconciler.engine.images.manifest import manifest as read_manifest
from reconciler.engine.images.transfer import Source

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
    manifest = read_manifest(disk.blob(record.manifest).read_bytes(), source.problem)
    config = read_config(disk.blob(record.id).read_bytes(), source.problem)
    whole = config.content
    inner = whole.part("config").content
    return {
        "Id": record.id,
        "Digest": record.manifest,
        "RepoTags": [name.name for name in record.names if "@" not in name.name],
        "RepoDigests": list(record.digests),
        "Comment": whole.text("comment"),
        "Created": record.created,
        "Config": {key: inner[key] for key in _CONFIG if inner.get(key)},
        "Author": whole.text("author"),
        "Architecture": whole.text("architecture"),
        "Os": whole.text("os"),
        "Size": record.size,
        "RootFS": {"Type": whole.part("rootfs").text("type") or "layers", "Layers": list(config.diff_ids)},
        "Labels": config.labels or None,
        "Annotations": manifest.annotations,
        "ManifestType": manifest.media or _ANNOTATED,
        "User": record.user,
        "History": [_step(step) for step in config.history],
    }


def _step(step: dict[str, Any]) -> dict[str, Any]:
    return {key: step[key] for key in _HISTORY if step.get(key)}
