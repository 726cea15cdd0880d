"""Clients of the attach socket, on real sockets and pipes, in one loop."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conmon import attach
from conmon.attach import Attach, Stdin, link_path
from conmon.framing import via_directory
from conmon.loop import Loop
from conmon.say import Fail

PIPE = 65536


class Place:
    """An attach socket in a bundle, with a pipe as the container's stdin."""

    def __init__(self, bundle: Path, *, close_at_eof: bool = True, link: str | None = None) -> None:
        self.bundle = bundle
        self.loop = Loop()
        self.container, stdin = os.pipe2(os.O_NONBLOCK)
        self.stdin = Stdin(self.loop, stdin, close_at_eof=close_at_eof)
        self.attach = Attach(self.loop, str(bundle), link, self.stdin)

    def connect(self) -> socket.socket:
        name, directory = via_directory(f"{self.bundle}/attach")
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.connect(name)
        os.close(directory)
        self.turn()
        return client

    def turn(self) -> None:
        """Whatever is ready now: each round looks, however late it is, and waits for nothing."""
        for _ in range(5):
            self.loop.later(0.0, lambda: None)
            self.until(iter([False, True]).__next__)

    def until(self, done: Callable[[], bool], seconds: float = 60.0) -> bool:
        return self.loop.run(done, time.monotonic() + seconds)

    def read(self) -> bytes | None:
        """What has come into the container; None at its end."""
        try:
            return os.read(self.container, 1 << 20) or None
        except BlockingIOError:
            return b""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.attach.close()
    place.stdin.close()
    os.close(place.container)


def test_records_go_to_all_from_the_moment_they_connect(place: Place) -> None:
    first = place.connect()
    place.attach.output(b"stdout", b"a")
    second = place.connect()
    place.attach.output(b"stderr", b"b")
    place.attach.close()
    for client, expected in ((first, [b"\2a", b"\3b", b""]), (second, [b"\3b", b""])):
        with client:
            assert [client.recv(8193) for _ in expected] == expected
    assert not (place.bundle / "attach").exists()


def test_more_than_a_record_holds_is_several(place: Place) -> None:
    client = place.connect()
    place.attach.output(b"stderr", b"x" * 8192 + b"y")
    assert client.recv(65536) == b"\3" + b"x" * 8192
    assert client.recv(65536) == b"\3y"
    client.close()


def test_a_slow_client_gets_all_in_order_and_a_stuck_one_is_dropped(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, slow = place.connect(), place.connect()
    got: list[bytes] = []
    slow.setblocking(False)
    pieces = [b"%06d" % number + b"x" * 8000 for number in range(400)]

    def take() -> None:
        try:
            while True:
                got.append(slow.recv(8193))
        except BlockingIOError:
            return

    for piece in pieces:
        place.attach.output(b"stdout", piece)
        if len(got) < 350:
            take()
            place.turn() if len(got) % 50 == 0 else None
    place.until(lambda: take() or len(got) == len(pieces))  # type: ignore[func-returns-value]
    assert got == [b"\2" + piece for piece in pieces]
    assert capfd.readouterr().err.count("attach client does not read") == 1
    stuck.settimeout(60)
    assert len(list(iter(lambda: stuck.recv(8193), b""))) < attach.QUEUE // 8000 + 100
    stuck.close()
    slow.close()


def test_at_the_end_a_client_that_does_not_read_is_not_waited_for_for_long(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "LINGER", 0.05)
    client = place.connect()
    for _ in range(100):
        place.attach.output(b"stdout", b"x" * 8192)
    started = time.monotonic()
    place.attach.close()
    assert time.monotonic() - started < 5
    client.close()


def test_at_the_end_those_who_do_not_read_are_told_last(place: Place) -> None:
    client, stuck = place.connect(), place.connect()
    for _ in range(100):
        place.attach.output(b"stdout", b"x" * 8192)
        assert client.recv(8193)
        place.turn()
    place.attach.end()
    assert client.recv(8193) == b""
    assert not (place.bundle / "attach").exists()
    place.attach.output(b"stdout", b"last")
    got: list[bytes] = []
    stuck.setblocking(False)

    def take() -> bool:
        with suppress(BlockingIOError):
            while got[-1:] != [b"\2last"]:
                got.append(stuck.recv(8193))
        return got[-1:] == [b"\2last"]

    assert place.until(take)
    place.attach.close()
    assert stuck.recv(8193) == b""
    client.close()
    stuck.close()


def test_input_and_its_end(place: Place) -> None:
    with place.connect() as client:
        client.send(b"hello")
        place.turn()
        assert place.read() == b"hello"
        client.shutdown(socket.SHUT_WR)
        place.turn()
        assert place.read() is None
        place.attach.output(b"stdout", b"still")
        assert client.recv(8193) == b"\2still"


def test_input_of_a_client_that_has_gone_is_taken_whole(place: Place) -> None:
    """The container reads late; meanwhile nothing spins, and its stdin ends after the last byte."""
    client = place.connect()
    client.setblocking(False)
    sent = 0
    try:
        while sent < 8 * PIPE:
            sent += client.send(b"z" * 30000)
            place.turn()
    except BlockingIOError:
        pass
    client.close()
    turns = 0

    def counted() -> bool:
        nonlocal turns
        turns += 1
        return False

    assert not place.until(counted, 0.2)
    assert turns < 10
    got = 0

    def ended() -> bool:
        nonlocal got
        while data := place.read():
            got += len(data)
        return data is None

    assert place.until(ended)
    assert got == sent > PIPE


def test_input_stays_open(tmp_path: Path) -> None:
    place = Place(tmp_path, close_at_eof=False)
    place.connect().close()
    place.turn()
    assert place.read() == b""
    with place.connect() as client:
        client.send(b"x")
        place.turn()
    assert place.read() == b"x"
    place.attach.close()


def test_a_container_that_has_closed_its_input(place: Place) -> None:
    reader, place.container = place.container, os.open("/dev/null", os.O_RDONLY)
    os.close(reader)
    with place.connect() as client:
        for _ in range(3):
            client.send(b"x")
            place.turn()
        place.attach.output(b"stdout", b"out")
        assert client.recv(10) == b"\2out"


def test_a_stale_socket_and_a_stale_link_are_replaced_and_a_path_may_be_long(tmp_path: Path) -> None:
    bundle = tmp_path / ("b" * 200) / ("c" * 100)
    bundle.mkdir(parents=True)
    (bundle / "attach").write_text("stale")
    (tmp_path / "link").symlink_to("/stale")
    place = Place(bundle, link=str(tmp_path / "link"))
    assert (tmp_path / "link").readlink() == bundle
    with place.connect():
        place.attach.close()
        place.attach.remove_link()
    assert list(bundle.iterdir()) == []
    assert not (tmp_path / "link").is_symlink()


def test_no_place_for_it(tmp_path: Path) -> None:
    with pytest.raises(Fail, match="Failed to create symlink for attach socket /nowhere/u: No such file"):
        Attach(Loop(), str(tmp_path), "/nowhere/u", Stdin(Loop()))
    with pytest.raises(Fail, match="Failed to bind attach socket: /nowhere/attach: No such file"):
        Attach(Loop(), "/nowhere", None, Stdin(Loop()))


@pytest.mark.parametrize(("length", "expected"), [(106, 106), (107, 106), (108, 108)])
def test_a_link_of_107_bytes_loses_one(length: int, expected: int) -> None:
    assert len(link_path("/d", "u" * (length - 3))) == expected
