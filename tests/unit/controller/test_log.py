"""The controller's log: lines for people on a terminal, logfmt for everybody else."""

from __future__ import annotations

import io
import os
from pathlib import Path

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


def test_for_the_journal_a_line_has_its_level_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "stream").open("w+") as out:
        status = os.fstat(out.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log = open_log(out)
        log.warning("pod waits", pod="default/a")
        log.info("pod created")
        out.seek(0)
        assert out.read() == '<4>event="pod waits" pod=default/a\n<6>event="pod created"\n'


def test_a_terminal_is_told_nothing_that_it_would_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    try:
        raise ValueError("\x1b]0;title\x07")
    except ValueError:
        open_log(out).warning("pod waits", pod="default/a", cause="\x1b[2Ja\u202eb\x9bc\rd", exc_info=True)
    said = out.getvalue()
    assert "^[[2Ja\\u202eb\\u009bc^Md" in said
    assert "ValueError: ^[]0;title^G" in said
    assert all(line.isprintable() for line in said.split("\n"))


def test_elsewhere_a_line_is_as_it_is() -> None:
    out = io.StringIO()
    open_log(out).warning("pod waits", cause="a\u202eb")
    assert "a\u202eb" in out.getvalue()
