"""Which runtime speaks for a container: the one that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine import runtime
from reconciler.engine.layout import Layout
from reconciler.model.key import ContainerId

ONE = ContainerId("1" * 64)


@pytest.mark.parametrize(
    ("made_by", "installed", "speaks"),
    [
        pytest.param("crun", True, "crun", id="crun made it"),
        pytest.param("runc", True, "runc", id="runc made it"),
        pytest.param("runc", False, None, id="the one that made it is gone"),
        pytest.param(None, True, None, id="nobody knows it"),
    ],
)
def test_a_container_belongs_to_the_runtime_that_made_it(
    made_by: str | None, installed: bool, speaks: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "find", lambda name: Path(f"/usr/bin/{name}") if installed else None)
    layout = Layout.at(tmp_path)
    if made_by:
        (layout.runtime_state(made_by) / ONE).mkdir(parents=True)
    found = runtime.maker_of(ONE, layout)
    wanted = speaks and (speaks, Path(f"/usr/bin/{speaks}"), layout.runtime_state(speaks))
    assert (found and (found.name, found.path, found.state_dir)) == wanted
