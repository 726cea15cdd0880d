from __future__ import annotations

import io
import os
import threading
from contextlib import suppress

import pytest

from reconciler.cli.terminal import RED, Progress, coloured, harmless


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain, ümläut, 漢字\tand a tab", "plain, ümläut, 漢字\tand a tab", id="text stays as it is"),
        pytest.param("\x1b[2J", "^[[2J", id="escape"),
        pytest.param("a\rb", "a^Mb", id="carriage return"),
        pytest.param("\x7f", "^?", id="delete"),
        pytest.param("\x9b31m", "\\u009b31m", id="a C1 control"),
        pytest.param("\u202etxt\u2069", "\\u202etxt\\u2069", id="a change of writing direction"),
        pytest.param("\x07", "^G", id="bell"),
        pytest.param("\x1b]52;c;AA==\x07", "^[]52;c;AA==^G", id="the clipboard"),
        pytest.param("\x1b]8;;http://a\x1b\\b", "^[]8;;http://a^[\\b", id="a link"),
        pytest.param("\x90q\x9c", "\\u0090q\\u009c", id="a C1 string"),
        pytest.param("a\u2028b\x85c", "a\\u2028b\\u0085c", id="other ends of lines"),
        pytest.param("\ud800", "\\ud800", id="half of a surrogate pair"),
        pytest.param("\U000e0041", "\\U000e0041", id="a letter that nobody sees"),
        pytest.param("12\xa0km, \u3000, \ue0b0", "12\xa0km, \u3000, \ue0b0", id="blanks and signs of fonts stay"),
        pytest.param("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e", id="Persian stays"),
        pytest.param("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680", id="emoji stay"),
    ],
)
def test_control_characters_are_made_visible(text, shown):
    assert harmless(text) == shown


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert coloured("x", RED, io.StringIO()) == "x"
    assert coloured("x", RED, Tty()) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("x", RED, Tty()) == "x"


def test_progress_is_one_line_on_a_terminal():
    stream = Tty()
    progress = Progress(stream)
    progress.say("one")
    progress.say("two")
    progress.done()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_progress_elsewhere_is_a_line_for_each_change():
    stream = io.StringIO()
    progress = Progress(stream)
    for text in ("one", "one", "two"):
        progress.say(text)
    progress.done()
    assert stream.getvalue() == "one\ntwo\n"


def test_progress_elsewhere_tells_of_mere_numbers_the_first_and_the_last():
    stream = io.StringIO()
    progress = Progress(stream)
    for text in ("got 0 of 9 MB", "got 812 kB of 9 MB", "got 4 of 9 MB", "got 9 of 9 MB", "done 1 of 2", "done 2 of 2"):
        progress.say(text)
    progress.done()
    assert stream.getvalue().splitlines() == ["got 0 of 9 MB", "got 9 of 9 MB", "done 1 of 2", "done 2 of 2"]


def test_progress_that_nobody_reads_holds_nobody_up():
    """20,000 lines are far more than a pipe takes; all are there for whoever begins to read."""
    reader, writer = os.pipe()
    with open(reader, "rb") as end, open(writer, "w") as stream:
        progress = Progress(stream)
        for step in range(20_000):
            progress.say("one" if step % 2 else "other")
        done = threading.Thread(target=progress.done)
        done.start()
        text = b""
        while text.count(b"\n") < 20_000:
            text += end.read1()
        done.join(60)
        assert not done.is_alive()


def test_progress_goes_on_where_its_reader_has_gone():
    reader, writer = os.pipe()
    os.close(reader)
    with suppress(BrokenPipeError), open(writer, "w") as stream:
        progress = Progress(stream)
        progress.say("one")
        progress.say("two")
        progress.done()
