"""Which runtime speaks for a container: the one that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine import runtime
from reconciler.engine.runtime import Runtime
from reconciler.model.key import ContainerId

ONE = ContainerId("1" * 64)


@pytest.mark.parametrize(
    ("made_by", "installed", "speaks"),
    [
        pytest.param("crun", True, "crun", id="the chosen one made it"),
        pytest.param("runc", True, "runc", id="the other one made it"),
        pytest.param("runc", False, "crun", id="the other one made it and is gone"),
        pytest.param(None, True, "crun", id="nobody knows it"),
    ],
)
def test_a_container_belongs_to_the_runtime_that_made_it(
    made_by: str | None, installed: bool, speaks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "find", lambda name: Path(f"/usr/bin/{name}") if installed else None)
    for name in ("crun", "runc"):
        (tmp_path / name).mkdir()
    if made_by:
        (tmp_path / made_by / ONE).mkdir()
    chosen = Runtime("crun", Path("/usr/bin/crun"), "1", tmp_path / "crun")
    found = chosen.of(ONE)
    assert (found.name, found.path, found.state_dir) == (speaks, Path(f"/usr/bin/{speaks}"), tmp_path / speaks)
