"""Streams into logs, on real pipes; and what is kept of the runtime's words."""

from __future__ import annotations

import os
import tty
from pathlib import Path

from conmon.loop import Loop
from conmon.pump import READ, Held, Stream


def test_a_stream_is_read_to_its_end_and_no_further() -> None:
    got: list[bytes] = []
    reader, writer = os.pipe()
    loop = Loop()
    Stream(loop, reader, b"stdout", lambda name, data: got.append(data))
    os.write(writer, b"x" * (READ + 1))
    loop.run(lambda: sum(map(len, got)) == READ + 1)
    os.close(writer)
    assert loop.run(lambda: not Path(f"/proc/self/fd/{reader}").exists())
    assert [len(piece) for piece in got] == [READ, 1]


def test_drain_takes_what_is_there_and_does_not_wait() -> None:
    got: list[bytes] = []
    reader, writer = os.pipe()
    stream = Stream(Loop(), reader, b"stdout", lambda name, data: got.append(data))
    os.write(writer, b"y" * 3 * READ)
    stream.drain()
    assert b"".join(got) == b"y" * 3 * READ
    stream.drain()
    os.close(writer)
    stream.drain()
    assert len(got) == 3


def test_drain_takes_all_of_a_terminal() -> None:
    """Which gives less per read than it holds."""
    got: list[bytes] = []
    master, other_end = os.openpty()
    tty.setraw(other_end)
    stream = Stream(Loop(), master, b"stdout", lambda name, data: got.append(data))
    os.write(other_end, b"z" * 10_000)
    stream.drain()
    assert b"".join(got) == b"z" * 10_000
    os.close(other_end)
    stream.drain()
    assert stream.fd == -1


def test_drain_ends_though_somebody_goes_on_writing() -> None:
    reader, writer = os.pipe()
    stream = Stream(Loop(), reader, b"stdout", lambda name, data: os.write(writer, data) and None)
    os.write(writer, b"y" * READ)
    stream.drain()
    os.close(writer)
    os.close(reader)


def test_words_are_held_until_released() -> None:
    got: list[tuple[bytes, bytes]] = []
    held = Held(lambda name, data: got.append((name, data)))
    held(b"stderr", b"a")
    held(b"stderr", b"b")
    assert (held.text, got) == (b"ab", [])
    held.release()
    held(b"stderr", b"c")
    assert got == [(b"stderr", b"a"), (b"stderr", b"b"), (b"stderr", b"c")]


def test_too_many_words_are_output() -> None:
    got: list[bytes] = []
    held = Held(lambda name, data: got.append(data), limit=4)
    held(b"stderr", b"abc")
    held(b"stderr", b"def")
    held(b"stderr", b"g")
    assert held.text == b"abcd"
    assert b"".join(got) == b"abcdefg"


def test_the_loop_ends_at_its_deadline() -> None:
    assert Loop().run(lambda: False, deadline=0.0) is False
