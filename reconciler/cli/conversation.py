"""Our terminal and a container's: what is typed goes there, what comes from there is shown, until one of them ends it.

Single-threaded, one select loop. Our terminal is raw as long as the container has one of its own, and is as it was when
this is over, however it ends; it is made raw again when we were suspended and go on.
"""

from __future__ import annotations

import os
import select
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

from reconciler.engine.sessions import RECORD, STDERR, Session
from reconciler.model.errors import InvalidInput

PIECE = 32768
"""Bytes of input that a monitor takes at once."""


TYPED_AHEAD = 65536
"""Bytes typed that wait for a container which does not read; what is typed beyond them is lost, as in a terminal."""


class Ended(Enum):
    """How a conversation ended."""

    BY_THE_CONTAINER = auto()
    DETACHED = auto()


class Keys:
    """Looks for the keys that detach in what is typed; the beginning of them is held back until it is clear."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._held = b""

    def typed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be passed on, and whether the keys came; what was typed after them is dropped."""
        if not self._sequence:
            return data, False
        text = self._held + data
        before, found, _ = text.partition(self._sequence)
        if found:
            return before, True
        most = min(len(text), len(self._sequence) - 1)
        kept = next((n for n in range(most, 0, -1) if self._sequence.startswith(text[-n:])), 0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], False


def keys_named(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as bytes: ``ctrl-`` with a letter or one of @[\\]^_, or single characters; "" for none.

    Raises InvalidInput.
    """
    return b"".join(_key(name) for name in text.split(",")) if text else b""


def _key(name: str) -> bytes:
    letter = name.removeprefix("ctrl-").upper()
    if name.startswith("ctrl-") and len(letter) == 1 and "@" <= letter <= "_":
        return bytes([ord(letter) - 64])
    if len(name) == 1 and name.isascii() and name.isprintable():
        return name.encode()
    raise InvalidInput(f"cannot use {name!r} as a key to detach by: write ctrl-X or a single character")


PROXIED = tuple(
    number
    for number in signal.Signals
    if number
    not in (
        *(signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
        *(signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH, signal.SIGPIPE, signal.SIGURG),
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS),
    )
)
"""Signals to us that are for a container which we stand for (podman: sig-proxy). Not those that are about ourselves:
our children, our terminal, our mistakes."""


class Conversation:
    """``stdin`` is the descriptor that input is read from, None for no input. ``forward`` is given the signals that
    are meant for the container (None: they end the conversation)."""

    def __init__(
        self, session: Session, stdin: int | None, keys: bytes, forward: Callable[[int], None] | None = None
    ) -> None:
        self._session = session
        self._forward = forward
        self._stdin = stdin
        self._is_typed = stdin is not None and os.isatty(stdin)
        self._keys = Keys(keys if self._is_typed else b"")
        self._waiting = b""
        self._raw = session.tty and self._is_typed

    def hold(self) -> Ended:
        """Until it ends. Raises BrokenPipeError where nobody reads our output."""
        with _woken(self._forward) as wakeup, self._raw_terminal():
            self._follow_size()
            self._session.connection.setblocking(False)
            while True:
                ended = self._turn(wakeup)
                if ended is not None:
                    return ended

    def _turn(self, wakeup: int) -> Ended | None:
        connection = self._session.connection.fileno()
        sources = [wakeup, connection, *([self._stdin] if self._stdin is not None and self._hears() else [])]
        ready, writable, _ = select.select(sources, [connection] if self._waiting else [], [])
        if wakeup in ready:
            os.read(wakeup, 4096)
            self._make_raw()
            self._follow_size()
        if connection in ready and not self._show():
            return Ended.BY_THE_CONTAINER
        if writable:
            self._pass_on()
        if self._stdin in ready and self._read():
            return Ended.DETACHED
        return None

    def _hears(self) -> bool:
        """Whether input is read now. A pipe waits for its reader; typed text is looked at even then, or the keys that
        detach would not be seen, and a raw terminal has no other way out."""
        return not self._waiting or self._is_typed

    def _show(self) -> bool:
        """A record of output; False at the end."""
        try:
            record = self._session.connection.recv(RECORD)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        _write(2 if record[:1] == bytes([STDERR]) else 1, record[1:])
        return bool(record)

    def _read(self) -> bool:
        """What was typed; whether that was to detach."""
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, PIECE)
        except OSError:  # a terminal that hung up
            data = b""
        if not data:
            self._stdin = None
            with suppress(OSError):
                self._session.connection.shutdown(1)
            return False
        text, over = self._keys.typed(data)
        if len(self._waiting) < TYPED_AHEAD:
            self._waiting += text
        self._pass_on()
        return over

    def _pass_on(self) -> None:
        while self._waiting:
            try:
                sent = self._session.connection.send(self._waiting[:PIECE])
            except BlockingIOError:
                return
            except OSError:  # the container has ended; its last words come
                sent = len(self._waiting)
            self._waiting = self._waiting[sent:]

    def _follow_size(self) -> None:
        if self._raw and self._stdin is not None:
            with suppress(OSError):
                columns, rows = os.get_terminal_size(self._stdin)
                self._session.resize(rows, columns)

    @contextmanager
    def _raw_terminal(self) -> Iterator[None]:
        if not self._raw:
            yield
            return
        assert self._stdin is not None
        terminal = self._stdin
        before = termios.tcgetattr(terminal)
        try:
            self._make_raw()
            yield
        finally:
            with suppress(termios.error):  # it hung up
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    def _make_raw(self) -> None:
        if self._raw and self._stdin is not None:
            with suppress(termios.error):
                tty.setraw(self._stdin, termios.TCSADRAIN)


@contextmanager
def _woken(forward: Callable[[int], None] | None) -> Iterator[int]:
    """A descriptor that can be read when our terminal has another size, or when we go on after a stop. Meanwhile
    signals that would end us at once are passed on, or raise KeyboardInterrupt, so that the terminal is put back."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    ours: dict[int, Callable[[int, object], None]] = {signal.SIGWINCH: _noted, signal.SIGCONT: _noted}
    if forward is None:
        ours |= {signal.SIGTERM: _interrupted, signal.SIGHUP: _interrupted}
    else:
        ours |= {number: lambda number, _: forward(number) for number in PROXIED}
    old = {number: signal.signal(number, handler) for number, handler in ours.items()}
    try:
        yield reader
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def _noted(_number: int, _frame: object) -> None:
    """The wakeup descriptor has it already."""


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
