"""How much of the disk an emptyDir takes."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.engine.eviction import usage
from reconciler.model.key import Key
from reconciler.model.observed import Eviction
from reconciler.model.spec import ContainerSpec, PodSpec, Volume, VolumeKind

KIB = 1024


def test_blocks_are_counted_once_and_holes_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    empty = usage(tmp_path)
    (tmp_path / "d" / "file").write_bytes(b"x" * 64 * KIB)
    (tmp_path / "d" / "again").hardlink_to(tmp_path / "d" / "file")
    with (tmp_path / "hole").open("wb") as f:
        os.ftruncate(f.fileno(), 1 << 40)
    (tmp_path / "link").symlink_to("/etc")
    assert 64 * KIB <= usage(tmp_path) - empty < 80 * KIB


def test_it_holds_until_the_limit_is_another() -> None:
    found = Eviction("v", 5, "too much")

    def pod(**fields: object) -> PodSpec:
        return PodSpec(Key("default", "web"), volumes=(Volume("v", VolumeKind.EMPTY_DIR, **fields),))  # type: ignore[arg-type]

    assert found.holds(pod(size_limit=5))
    assert not found.holds(pod(size_limit=6))
    assert not found.holds(pod(size_limit=5, memory=True))
    assert not found.holds(pod())


def test_one_of_a_container_holds_until_its_limit_is_another() -> None:
    found = Eviction("", 5, "too much", "app")

    def pod(limit: int | None) -> PodSpec:
        return PodSpec(Key("default", "web"), containers=(ContainerSpec("app", "b:1", storage_limit=limit),))

    assert found.holds(pod(5))
    assert not found.holds(pod(6))
    assert not found.holds(pod(None))
    assert not found.holds(PodSpec(Key("default", "web")))
