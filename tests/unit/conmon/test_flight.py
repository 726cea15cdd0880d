"""Output between pipe and log, as another monitor finds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conmon.flight import Flight
from conmon.logs.k8sfile import K8sFile, Limits


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def again(flight: Flight) -> Flight:
    return Flight(os.dup(flight.fd))


def test_nothing_is_left_of_what_has_landed(pipe: tuple[int, int]) -> None:
    flight = Flight()
    assert again(flight).left is None
    os.write(pipe[1], b"hello")
    assert flight.read(pipe[0], b"stdout") == b"hello"
    flight.landed(5)
    assert again(flight).left is None


@pytest.mark.parametrize("stream", [b"stdout", b"stderr"])
def test_what_was_read_is_found(pipe: tuple[int, int], stream: bytes) -> None:
    flight = Flight()
    os.write(pipe[1], b"one\n\0two\0")
    flight.read(pipe[0], stream)
    left = again(flight).left
    assert left is not None
    assert (left.stream, left.data, left.place) == (stream, b"one\n\0two\0", None)
    flight.logging(17, 4711)
    left = again(flight).left
    assert left is not None
    assert left.place == (17, 4711)


def test_it_is_found_before_its_length_was_noted(pipe: tuple[int, int]) -> None:
    flight = Flight()
    os.write(pipe[1], b"a longer one\n")
    flight.read(pipe[0], b"stdout")
    flight.landed(13)
    os.write(pipe[1], b"short\n")
    flight.read(pipe[0], b"stdout")
    flight._head[4:8] = bytes(4)
    left = again(flight).left
    assert left is not None
    assert left.data == b"short\n"


def log(path: Path, size: int = 0, *, dated: bool = False) -> K8sFile:
    return K8sFile(str(path), Limits(size, keep=3, dated=dated), sync=False)


@pytest.mark.parametrize("half", [0, 30, 200], ids=["nothing", "a part", "all"])
def test_what_another_wrote_is_taken_back(tmp_path: Path, half: int) -> None:
    first = log(tmp_path / "log")
    first.write(b"stdout", b"before\n")
    place = first.place()
    first.write(b"stdout", b"in flight\n" * 3)
    first.close()
    size = min(place[1] + half, (tmp_path / "log").stat().st_size)
    os.truncate(tmp_path / "log", size)
    second = log(tmp_path / "log")
    assert second.cut(*place)
    second.write(b"stdout", b"in flight\n" * 3)
    second.close()
    assert [line.split(" ")[3] for line in (tmp_path / "log").read_text().splitlines()] == ["before", *["in"] * 3]


def test_also_where_the_log_was_renewed_meanwhile(tmp_path: Path) -> None:
    first = log(tmp_path / "log", 150)
    first.write(b"stdout", b"before\n")
    place = first.place()
    first.write(b"stdout", b"in flight\n" * 3)
    first.close()
    assert (tmp_path / "log.1").stat().st_size > place[1]
    second = log(tmp_path / "log", 150)
    assert second.cut(*place)
    assert second.place()[1] == 0
    assert (tmp_path / "log.1").stat().st_size == place[1]
    second.close()


def test_a_dated_log_that_was_renewed_has_all_of_it(tmp_path: Path) -> None:
    first = log(tmp_path / "log", 100, dated=True)
    place = first.place()
    first.write(b"stdout", b"in flight\n" * 3)
    first.close()
    second = log(tmp_path / "log", 100, dated=True)
    assert second.place()[0] != place[0]
    assert not second.cut(*place)
    second.close()


def test_a_log_that_is_somebody_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    one = log(tmp_path / "log")
    one.write(b"stdout", b"here\n")
    size = (tmp_path / "log").stat().st_size
    one.cut(1, 0)
    assert (tmp_path / "log").stat().st_size == size
    one.close()


def test_a_log_that_is_no_file_has_no_place(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    one = log(tmp_path / "log")
    assert one.place() == (0, 0)
    one.close()
    os.close(reader)
