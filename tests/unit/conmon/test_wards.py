"""What the zygote keeps of a monitor: told on a line, and when another takes over. The monitor is this process."""

from __future__ import annotations

import _socket
import os
import signal
import time
from collections.abc import Iterator

import pytest

from conmon import keeping, wards
from conmon.keeping import Line
from conmon.wards import Ward

KILLED = signal.SIGKILL
EXITED = 1 << 8


class Pair:
    """A monitor's end and the zygote's."""

    def __init__(self) -> None:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.ward = Ward(100, ours)
        self.line = Line(theirs.detach(), ["-c", "x"], {"PATH": "/bin"}, "/here")

    def keep(self, *ends: tuple[str, int]) -> None:
        self.line.keep(200, None, list(ends))
        assert self.ward.read()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.ward.close()
    if pair.line.fd >= 0:
        os.close(pair.line.fd)
        pair.line._socket.detach()  # type: ignore[union-attr]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_what_is_kept_comes_with_its_descriptors(pair: Pair, pipe: tuple[int, int]) -> None:
    pair.keep((keeping.STDOUT, pipe[0]), (keeping.HELD, pipe[1]))
    kept = pair.ward.kept()
    assert (kept.container, kept.argv, kept.env, kept.cwd) == (200, ["-c", "x"], {"PATH": "/bin"}, "/here")
    assert kept.fd(keeping.STDOUT) not in (None, pipe[0])
    assert kept.fd(keeping.STDIN) is None
    os.write(kept.all(keeping.HELD)[0], b"x")
    assert os.read(pipe[0], 1) == b"x"


def test_more_descriptors_than_one_packet_takes(pair: Pair, pipe: tuple[int, int]) -> None:
    pair.keep(*[(keeping.HELD, pipe[1])] * 600)
    assert len(pair.ward.kept().all(keeping.HELD)) == 600


def test_a_closed_input_is_closed_there_too(pair: Pair, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    pair.keep((keeping.STDERR, reader), (keeping.STDIN, writer))
    os.close(writer)
    pair.line.no_input()
    assert pair.ward.read()
    assert os.read(reader, 1) == b""
    assert pair.ward.kept().roles == [keeping.STDERR]


def test_an_input_that_was_closed_before_anything_is_kept_is_no_trouble(pair: Pair, pipe: tuple[int, int]) -> None:
    pair.line.no_input()
    assert pair.ward.read()
    pair.keep((keeping.STDERR, pipe[0]))
    assert pair.ward.kept().roles == [keeping.STDERR]


def test_the_end_closes_all_and_is_answered(pair: Pair, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    pair.keep((keeping.HELD, writer))
    os.close(writer)
    pair.line.ended(7, wait=False)
    assert pair.ward.read()
    assert os.read(reader, 1) == b""
    assert pair.ward.kept().status == 7
    assert os.read(pair.line.fd, 8) == keeping.GONE


@pytest.mark.parametrize(
    ("kept", "over", "status", "replaced"),
    [
        pytest.param(True, False, KILLED, True, id="killed while the container runs"),
        pytest.param(True, True, KILLED, True, id="killed before the exit files are written"),
        pytest.param(True, False, EXITED, True, id="ended by an error of its own"),
        pytest.param(True, True, EXITED, False, id="ended, its work done"),
        pytest.param(False, False, KILLED, False, id="killed while the container is created"),
        pytest.param(True, False, keeping.UNWANTED << 8, False, id="ended because the container is removed"),
    ],
)
def test_who_is_replaced(pair: Pair, *, kept: bool, over: bool, status: int, replaced: bool) -> None:
    if kept:
        pair.line.keep(200, None, [])
    if over:
        pair.line.ended(0, wait=False)
    assert pair.ward.died(status) == replaced
    assert pair.ward.monitor == (0 if replaced else 100)


def test_one_that_keeps_dying_waits_longer_and_longer(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wards.time, "monotonic", lambda: 1000.0)
    pair.keep()
    pair.ward.since = 1000.0
    waits = []
    for _ in range(14):
        assert pair.ward.died(KILLED)
        waits.append(round(pair.ward.due - 1000.0, 1))
    assert waits[:6] == [0, 0, 0, 0.1, 0.2, 0.4]
    assert waits[-1] == 1.0
    pair.ward.since = 1000.0 - wards.LONG - 1
    assert pair.ward.died(KILLED)
    assert pair.ward.due == 1000.0


@pytest.mark.parametrize("heard_by_zygote", [True, False])
def test_a_container_that_has_ended_does_not_wait_for_a_monitor(pair: Pair, heard_by_zygote: bool) -> None:
    """However many of them have died."""
    pair.keep()
    for _ in range(9):
        assert pair.ward.died(KILLED)
    assert pair.ward.due > time.monotonic()
    if heard_by_zygote:
        pair.ward.ended(7)
    else:
        pair.line.ended(7, wait=False)
        assert pair.ward.died(KILLED)
    assert pair.ward.due <= time.monotonic()


def test_a_replacement_hears_how_the_container_ended(pair: Pair) -> None:
    pair.keep()
    pair.ward.ended(137)
    assert pair.line.status() == 137
    pair.ward.close()
    assert pair.line.status() is None


def test_without_a_zygote_nothing_is_said() -> None:
    line = Line()
    line.keep(1, None, [])
    line.no_input()
    line.ended(0, wait=True)
    assert (line.fd, line.status()) == (-1, None)


def test_a_zygote_that_was_killed_is_no_trouble(pair: Pair) -> None:
    pair.ward.line.close()
    pair.line.keep(200, None, [])
    pair.line.ended(0, wait=True)
    assert pair.line.fd == -1
