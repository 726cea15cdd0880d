"""The directories of an instance are for root alone, also where an older version left them open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.engine.layout import Layout


def open_to_others(layout: Layout) -> list[Path]:
    found = [path for top in (layout.state, layout.run) for path in (top, *top.rglob("*")) if path.is_dir()]
    assert len(found) > 10
    return [path for path in found if path.stat().st_mode & 0o077]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_new_directories_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    layout = Layout.at(tmp_path / "root")
    before = os.umask(umask)
    try:
        layout.make()
    finally:
        os.umask(before)
    assert open_to_others(layout) == []
    assert layout.logs.stat().st_mode & 0o777 == 0o755


def test_directories_that_others_may_pass_are_closed_and_tighter_ones_stay(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.make()
    for path in (layout.state, layout.pods, layout.containers, layout.images, layout.run):
        path.chmod(0o711)
    layout.cache.chmod(0o500)
    layout.logs.chmod(0o775)
    layout.make()
    assert open_to_others(layout) == []
    assert layout.cache.stat().st_mode & 0o777 == 0o500
    assert layout.logs.stat().st_mode & 0o777 == 0o775, "log agents' access is not ours to take away"
