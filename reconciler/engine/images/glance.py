"""What an image runs by itself, for who shows many containers: one small file is read, and no image is looked into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from reconciler.engine.images.disk import Disk
from reconciler.model.typed import decoder


@dataclass(frozen=True, slots=True)
class Runs:
    """As in the image's record (``index.Record``), of which the rest is passed over."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()


def runs(images: Path, image_id: str) -> Runs:
    """Of the image in the store at ``images``; nothing for one that is not there (any more)."""
    try:
        return decoder(Runs).decode(Disk(images).record(image_id).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return Runs()
