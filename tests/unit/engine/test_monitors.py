"""What a monitor is asked for on its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.monitors import MonitorRequest, _conmon_arguments
from reconciler.model.key import ContainerId


def words(ours: bool, **more: Any) -> list[str]:
    here = Path("/b")
    request = MonitorRequest(ContainerId("c" * 64), "n", here, here / "rt", (), None, here / "pid", here, here, **more)
    return _conmon_arguments(request, ours=ours)


STREAMS: dict[str, tuple[dict[str, bool], list[str]]] = {
    "none": ({}, []),
    "an input": ({"stdin": True}, ["-i", "--leave-stdin-open"]),
    "an input for once": ({"stdin": True, "stdin_once": True}, ["-i"]),
    "a terminal": ({"terminal": True}, ["-t"]),
    "both": ({"stdin": True, "terminal": True}, ["-t", "-i", "--leave-stdin-open"]),
}


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "the C conmon"])
@pytest.mark.parametrize(("streams", "wanted"), STREAMS.values(), ids=STREAMS.keys())
def test_streams(ours: bool, streams: dict[str, bool], wanted: list[str]) -> None:
    said = words(ours, **streams)
    assert [word for word in said if word in ("-i", "-t", "--leave-stdin-open")] == wanted
    assert ("--full-attach" in said) == (bool(wanted) or not ours)
