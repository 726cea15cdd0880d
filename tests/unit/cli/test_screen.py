"""One table after the other, on a terminal and elsewhere."""

from __future__ import annotations

import io
import os

import pytest

from reconciler.cli import screen
from reconciler.cli.screen import Screen, fitting


class Terminal(io.StringIO):
    """Remembers what was written in one piece."""

    def __init__(self, *, tty: bool = True) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


@pytest.fixture(autouse=True)
def a_terminal_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_is_written_over_in_one_piece_and_cleared_only_at_first() -> None:
    terminal = Terminal()
    shown = Screen(terminal)
    shown.show("one\ntwo\n")
    shown.show("three")
    assert terminal.pieces == ["\x1b[2J\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J", "\x1b[Hthree\x1b[K\n\x1b[J"]


def test_a_terminal_of_another_size_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([os.terminal_size((20, 9)), os.terminal_size((10, 9)), os.terminal_size((10, 9))])
    monkeypatch.setattr(screen, "_size", lambda stream: next(sizes))
    terminal = Terminal()
    shown = Screen(terminal)
    for _ in range(3):
        shown.show("x" * 15)
    assert [piece.startswith("\x1b[2J") for piece in terminal.pieces] == [True, True, False]
    assert [piece.count("x") for piece in terminal.pieces] == [15, 10, 10]


@pytest.mark.parametrize(
    "made", [lambda t: Screen(t), lambda t: Screen(t, repaint=False)], ids=["a pipe", "a terminal, --no-reset"]
)
def test_elsewhere_each_stands_below_the_other(made, request: pytest.FixtureRequest) -> None:
    terminal = Terminal(tty="terminal" in request.node.name)
    shown = made(terminal)
    shown.show("one\ntwo\n")
    shown.show("")
    shown.show("three")
    assert terminal.getvalue() == "one\ntwo\nthree\n"


def test_a_terminal_that_can_do_nothing_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    Screen(terminal).show("one")
    assert terminal.getvalue() == "one\n"


def test_nothing_of_others_steers_a_terminal() -> None:
    for repaint in (True, False):
        terminal = Terminal()
        Screen(terminal, repaint=repaint).show("a\x1b[31mb")
        assert "a^[[31mb" in terminal.getvalue()
    pipe = Terminal(tty=False)
    Screen(pipe).show("a\x1b[31mb")
    assert pipe.getvalue() == "a\x1b[31mb\n"


@pytest.mark.parametrize(
    ("lines", "height", "expected"),
    [
        (["a", "b"], 3, ["a", "b"]),
        (["a", "b", "c"], 3, ["a", "(2 more lines)"]),
        (["a", "b", "c", "d"], 4, ["a", "b", "(2 more lines)"]),
        (["a", "b"], 1, ["(2 more lines)"]),
        (["a" * 30], 3, ["a" * 20]),
    ],
)
def test_what_does_not_fit_is_counted(lines: list[str], height: int, expected: list[str]) -> None:
    assert fitting(lines, os.terminal_size((20, height))) == expected
