"""The rootfs of infra containers: made once, and again where a power cut left a part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine.oci import infra
from reconciler.model.errors import HostUnfit


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "catatonit"
    made.write_bytes(b"\x7fELF, static")
    monkeypatch.setattr(infra, "PLACES", (tmp_path / "nowhere", made))
    return made


def test_it_is_made_once_for_each_version_of_the_program(program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = infra.infra_rootfs(cache)
    assert (first / "catatonit").read_bytes() == program.read_bytes()
    assert {entry.name for entry in first.iterdir()} == {"catatonit", *infra.MOUNT_POINTS}
    made = (first / "catatonit").stat().st_ino
    assert infra.infra_rootfs(cache) == first
    assert (first / "catatonit").stat().st_ino == made
    program.write_bytes(b"\x7fELF, newer")
    assert infra.infra_rootfs(cache) != first
    assert (first / "catatonit").is_file(), "pods run from it"


@pytest.mark.parametrize("content", [b"", b"\x7fELF"])
def test_what_lost_its_content_is_made_again(content: bytes, program: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    rootfs = infra.infra_rootfs(cache)
    (rootfs / "catatonit").write_bytes(content)
    assert infra.infra_rootfs(cache) == rootfs
    assert (rootfs / "catatonit").read_bytes() == program.read_bytes()
    assert [entry.name for entry in cache.iterdir()] == [rootfs.name]
    assert {entry.name for entry in rootfs.iterdir()} == {"catatonit", *infra.MOUNT_POINTS}


def test_without_the_program_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infra, "PLACES", ())
    with pytest.raises(HostUnfit, match="catatonit is not installed"):
        infra.infra_rootfs(tmp_path)
