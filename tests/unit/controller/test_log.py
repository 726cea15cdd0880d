"""The controller's log: lines for people on a terminal, logfmt for everybody else."""

from __future__ import annotations

import io

import pytest

from reconciler.controller.log import open_log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_a_line_is_logfmt() -> None:
    out = io.StringIO()
    open_log(out).warning("pod waits", pod="default/a", cause="a b")
    line = out.getvalue()
    assert line.startswith("timestamp=")
    assert line.endswith('level=warning event="pod waits" pod=default/a cause="a b"\n')


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_gets_colours_unless_it_says_no(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    open_log(out).warning("pod waits", pod="default/a")
    assert ("\x1b[" in out.getvalue()) == coloured
    assert "pod waits" in out.getvalue()
