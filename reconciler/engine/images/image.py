"""Image: what containers need to know of one image that is here and unpacked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    """``id`` is the hex sha256 of the image's config (Podman's image id). ``layers`` are unpacked directories,
    lowest first, ready to be lower directories of an overlay. ``env`` holds ``NAME=value`` strings."""

    id: str
    names: tuple[str, ...]
    layers: tuple[Path, ...]
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    size: int = 0
    created: str = ""
    digest: str = ""
