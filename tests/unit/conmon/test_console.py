"""The console socket, with a real terminal sent over it as runtimes do."""

from __future__ import annotations

import array
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conmon.console import Console
from conmon.loop import Loop
from conmon.say import Fail


class Place:
    def __init__(self) -> None:
        self.loop = Loop()
        self.arrived: list[int] = []
        self.console = Console(self.loop, self.arrived.append)
        self.master, self.slave = os.openpty()

    def hand_over(self, payload: bytes = b"/dev/ptmx") -> None:
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.connect(self.console.path)
            rights = array.array("i", [self.master])
            runtime.sendmsg([payload], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def size(self) -> tuple[int, int]:
        size = os.get_terminal_size(self.slave)
        return size.lines, size.columns


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    place = Place()
    yield place
    place.console.finish()
    for fd in (place.master, place.slave, *place.arrived):
        os.close(fd)
    assert list(tmp_path.iterdir()) == []


def test_the_terminal_arrives_and_the_socket_goes(place: Place) -> None:
    assert Path(place.console.path).stat().st_mode & 0o777 == 0o700
    place.hand_over()
    assert place.loop.run(lambda: bool(place.arrived), time.monotonic() + 60)
    assert not Path(place.console.path).exists()
    os.write(place.slave, b"a\n")
    said = b""
    while not said.endswith(b"\n"):  # a line and its end may come in two reads
        said += os.read(place.arrived[0], 10)
    assert said == b"a\r\n"
    assert place.console.finish()


def test_a_runtime_that_was_quicker_than_the_loop(place: Place) -> None:
    place.hand_over()
    assert place.console.finish()
    assert len(place.arrived) == 1


def test_a_runtime_that_never_came(place: Place) -> None:
    assert not place.console.finish()
    assert not place.console.finish()


def test_a_runtime_that_sent_nothing(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.connect(place.console.path)
    assert not place.console.finish()
    assert place.arrived == []


def test_sizes_before_and_after(place: Place) -> None:
    place.console.resize(1, 2)
    place.console.resize(24, 80)
    place.hand_over()
    assert place.console.finish()
    assert place.size() == (24, 80)
    place.console.resize(50, 1000)
    assert place.size() == (50, 1000)


def test_the_other_end_may_be_closed_and_opened(place: Place) -> None:
    place.hand_over()
    place.console.finish()
    name = os.ttyname(place.slave)
    os.close(place.slave)
    os.set_blocking(place.arrived[0], False)
    with pytest.raises(BlockingIOError):  # not the EIO of a hang-up
        os.read(place.arrived[0], 10)
    place.slave = os.open(name, os.O_RDWR | os.O_NOCTTY)


def test_no_place_for_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    with pytest.raises(Fail, match=r"Failed to bind to console-socket /nowhere/conmon-term\.\w+: No such file"):
        Console(Loop(), lambda master: None)
