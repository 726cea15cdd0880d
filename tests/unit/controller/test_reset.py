"""When an instance may not be reset: its controller would bring everything back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.controller import reset
from reconciler.engine.layout import STATE, Layout
from reconciler.model.errors import Busy


@pytest.mark.parametrize(
    ("ours", "state", "refused"),
    [
        pytest.param(True, "activating", True, id="the service waits to be started again"),
        pytest.param(True, "active", True, id="the service has just been started"),
        pytest.param(True, "inactive", False, id="the service was stopped"),
        pytest.param(True, "failed", False, id="the service has given up"),
        pytest.param(True, "", False, id="there is no systemd, or no service"),
        pytest.param(False, "activating", False, id="the service is another instance's"),
    ],
)
def test_a_service_that_comes_back_is_stopped_first(
    ours: bool, state: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout.at(tmp_path)
    layout.make()
    engine: Any = SimpleNamespace(layout=replace(layout, state=STATE) if ours else layout)
    monkeypatch.setattr(reset, "active_state", lambda _unit: state)
    if refused:
        with pytest.raises(Busy, match=f"cannot reset: .*reconciler.service is {state}"):
            reset.refuse_reset(engine)
    else:
        reset.refuse_reset(engine)
