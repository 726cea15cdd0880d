"""Whose umask counts for what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli import umask


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(umask, "_callers", [])
    before = os.umask(0o022)
    yield
    os.umask(before)


def made(path: Path) -> int:
    path.touch()
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("callers", [0o000, 0o027, 0o077])
def test_files_of_the_caller_have_his_umask_and_all_others_ours(callers: int, tmp_path: Path) -> None:
    os.umask(callers)
    for _ in range(2):  # a process that opens two engines
        umask.take_ours()
    assert made(tmp_path / "ours") == 0o644
    with umask.as_called():
        assert made(tmp_path / "his") == 0o666 & ~callers
    assert made(tmp_path / "ours again") == 0o644
