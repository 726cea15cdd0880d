"""What goes to a terminal: colour (sparingly), one updating line of progress, and nothing that a container could
use to steer the reader's terminal.

A Progress may be called from several threads; everything else is for the main thread.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TextIO

from reconciler.model.harmless import harmless

__all__ = ["GREEN", "RED", "YELLOW", "Progress", "coloured", "complain", "harmless", "show"]

RED, GREEN, YELLOW = "31", "32", "33"


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """``text`` in a colour where the stream is a terminal and NO_COLOR is not set (no-color.org)."""
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def show(text: str) -> None:
    """Print lines that others may have had a say in: to a terminal made harmless, and as they are to anything else (as
    kubectl and podman do). Without a line's end behind them they get one."""
    if sys.stdout.isatty():
        text = "\n".join(map(harmless, text.split("\n")))
    sys.stdout.write(text if not text or text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def complain(message: str, hint: str = "") -> None:
    """One clear line on standard error, and a second one that says what to do."""
    one_line = harmless(" ".join(message.split()))
    print(f"{coloured('reconciler:', RED, sys.stderr)} {one_line}", file=sys.stderr)
    if hint:
        print(f"{coloured('hint:', YELLOW, sys.stderr)} {harmless(hint)}", file=sys.stderr)


class Progress:
    """One line on standard error that is written over on a terminal; elsewhere a plain line for each change of more
    than numbers, and one with the last numbers.

    A thread writes: who has something to say holds a pod's lock, and a terminal that was stopped (Ctrl-S) or a pipe
    that nobody reads must not make others wait for it.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._shown = ""
        self._unsaid = ""
        self._said: SimpleQueue[str | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Show ``text``; the same text again is not repeated. Returns at once."""
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="progress", daemon=True)
                self._writer.start()
            self._said.put(text)

    def done(self) -> None:
        """Wait until all is written, and leave a terminal's line empty for what comes next."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None:
                self._said.put(None)
        if writer is not None:
            writer.join()

    def _write(self) -> None:
        while (text := self._said.get()) is not None:
            with suppress(OSError, ValueError):  # nobody reads it any more
                self._show(text)
        with suppress(OSError, ValueError):
            self._end()

    def _show(self, text: str) -> None:
        if text == self._shown:
            return
        before, self._shown = self._shown, text
        if self._tty:
            width = _width(self._stream)
            self._stream.write("\r\x1b[2K" + harmless(text)[: width - 1])
        elif _words(before) == _words(text):
            self._unsaid = text
            return
        else:
            self._say_rest()
            self._stream.write(harmless(text) + "\n")
        self._stream.flush()

    def _say_rest(self) -> None:
        if self._unsaid:
            self._stream.write(harmless(self._unsaid) + "\n")
        self._unsaid = ""

    def _end(self) -> None:
        if self._tty and self._shown:
            self._stream.write("\r\x1b[2K")
        self._say_rest()
        self._stream.flush()
        self._shown = ""


def _words(text: str) -> str:
    return re.sub(r"[\d.]+(?: ?[kMG]?B\b)?", "#", text)


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80
