"""The keys that detach: how they are named, and how they are found in what is typed."""

from __future__ import annotations

import os
import pty
import socket
import threading
import tty
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.conversation import Conversation, Ended, Keys, keys_named
from reconciler.engine.sessions import Session
from reconciler.model.errors import InvalidInput

NAMED = {
    "the usual ones": ("ctrl-p,ctrl-q", b"\x10\x11"),
    "letters of either case": ("ctrl-A,ctrl-z", b"\x01\x1a"),
    "other characters with ctrl": ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\0\x1b\x1c\x1d\x1e\x1f"),
    "plain characters": ("~,.", b"~."),
    "none": ("", b""),
}


@pytest.mark.parametrize(("text", "keys"), NAMED.values(), ids=NAMED.keys())
def test_names(text: str, keys: bytes) -> None:
    assert keys_named(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ctrl-pq", "alt-p", "ctrl-p,", "ä", "\n"])
def test_no_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="as a key to detach by"):
        keys_named(text)


def test_the_first_key_waits_for_the_second() -> None:
    keys = Keys(b"\x10\x11")
    assert keys.typed(b"ab\x10") == (b"ab", False)
    assert keys.typed(b"c") == (b"\x10c", False)
    assert keys.typed(b"\x10") == (b"", False)
    assert keys.typed(b"\x11x") == (b"", True)


def test_what_is_typed_before_them_arrives() -> None:
    assert Keys(b"\x10\x11").typed(b"\x10\x10ab\x10\x11cd") == (b"\x10\x10ab", True)


def test_without_keys_everything_arrives() -> None:
    assert Keys(b"").typed(b"\x10\x11") == (b"\x10\x11", False)


@given(st.lists(st.binary(max_size=4)), st.binary(min_size=1, max_size=3))
def test_nothing_is_lost_and_the_keys_are_found_however_it_is_cut(pieces: list[bytes], sequence: bytes) -> None:
    keys, passed, over = Keys(sequence), b"", False
    for piece in pieces:
        if not over:
            some, over = keys.typed(piece)
            passed += some
    text = b"".join(pieces)
    assert over == (sequence in text)
    if over:
        assert passed == text.partition(sequence)[0]
    else:
        assert text.startswith(passed)
        assert len(text) - len(passed) < len(sequence)


def test_a_terminal_is_left_even_while_the_container_does_not_read(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    master, slave = pty.openpty()
    tty.setraw(slave)  # as it will be: what is typed before that is not edited away
    with ours, theirs:
        session = Session(ours, tmp_path, stdin=True, tty=True)

        def type_ahead() -> None:
            for _ in range(300):
                os.write(master, b"x" * 1000)
            os.write(master, b"\x10\x11")

        typist = threading.Thread(target=type_ahead)
        typist.start()
        assert Conversation(session, slave, b"\x10\x11").hold() is Ended.DETACHED
        typist.join(60)
    os.close(master)
    os.close(slave)
