"""One text after the other: on a terminal each in the place of the one before, anywhere else below it.

A terminal is written over line by line, in one piece: nothing is ever empty in between, so nothing flickers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from reconciler.cli.terminal import harmless

_HOME, _CLEAR, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[J"


class Screen:
    """``repaint`` False: also on a terminal one below the other."""

    def __init__(self, stream: TextIO | None = None, *, repaint: bool = True) -> None:
        self._stream = stream or sys.stdout
        self._tty = self._stream.isatty()
        self._repaint = repaint and self._tty and os.environ.get("TERM") != "dumb"
        self._shown: os.terminal_size | None = None

    def show(self, text: str) -> None:
        lines = text.rstrip("\n").split("\n")
        if self._tty:
            lines = list(map(harmless, lines))
        if self._repaint:
            size = _size(self._stream)
            begin = _HOME if size == self._shown else _CLEAR + _HOME  # lines of another width have wrapped
            self._shown = size
            self._stream.write(begin + "".join(f"{line}{_REST_OF_LINE}\n" for line in fitting(lines, size)) + _REST)
        elif text:
            self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()


def fitting(lines: Sequence[str], size: os.terminal_size) -> list[str]:
    """As much of the lines as a terminal can show without scrolling; the last one says how many more there are."""
    most = max(1, size.lines - 1)
    shown = list(lines)
    if len(shown) > most:
        shown = [*shown[: most - 1], f"({len(shown) - most + 1} more lines)"]
    return [line[: size.columns] for line in shown]


def _size(stream: TextIO) -> os.terminal_size:
    try:
        size = os.get_terminal_size(stream.fileno())
    except OSError:
        return os.terminal_size((80, 24))
    return os.terminal_size((size.columns or 80, size.lines or 24))
