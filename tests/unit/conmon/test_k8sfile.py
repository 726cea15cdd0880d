"""CRI records: what one read of output becomes."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conmon.logs.k8sfile import Clock, K8sFile, records

CASES = {
    "a line": (b"hi\n", b"T stdout F hi\n"),
    "an empty line": (b"\n", b"T stdout F \n"),
    "two lines": (b"a\nb\n", b"T stdout F a\nT stdout F b\n"),
    "a line without an end": (b"a", b"T stdout P a\n"),
    "a line and the beginning of another": (b"a\nb", b"T stdout F a\nT stdout P b\n"),
    "empty lines": (b"\n\nx", b"T stdout F \nT stdout F \nT stdout P x\n"),
    "nothing": (b"", b""),
    "any bytes": (b"\xff\0\r\n", b"T stdout F \xff\0\r\n"),
}


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("data", "expected"), CASES.values(), ids=CASES)
def test_records(data: bytes, expected: bytes) -> None:
    assert records(data, b"T", b"stdout") == expected


@given(st.lists(st.text(alphabet="ab\n", max_size=20).map(str.encode), max_size=8))
def test_contents_joined_by_their_tags_are_the_output(reads: list[bytes]) -> None:
    log = b"".join(records(read, b"T", b"stderr") for read in reads)
    joined = b""
    for record in log.splitlines():
        _, stream, tag, content = record.split(b" ", 3)
        assert stream == b"stderr"
        joined += content + (b"\n" if tag == b"F" else b"")
    assert joined == b"".join(reads)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("UTC", b"2024-02-29T12:00:00.000000007+00:00"),
        ("XXX-05:30", b"2024-02-29T17:30:00.000000007+05:30"),
        ("XXX+03:30", b"2024-02-29T08:30:00.000000007-03:30"),
    ],
    indirect=["zone"],
)
def test_stamp_is_local_with_a_numeric_offset(zone: None, expected: bytes) -> None:
    assert Clock().stamp(1709208000 * 10**9 + 7) == expected


@pytest.mark.parametrize("zone", ["UTC"], indirect=True)
def test_stamp_goes_on_over_seconds(zone: None) -> None:
    clock = Clock()
    stamps = [clock.stamp(1709207999 * 10**9 + fraction) for fraction in (0, 999_999_999, 1_000_000_000)]
    assert [stamp[17:29] for stamp in stamps] == [b"59.000000000", b"59.999999999", b"00.000000000"]


def test_the_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    log = K8sFile(str(path))
    log.write(b"stdout", b"new\n")
    log.sync()
    log.close()
    old, new = path.read_bytes().splitlines()
    assert old == b"old"
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d stdout F new", new)


def test_a_full_disk_loses_lines_and_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    log = K8sFile("/dev/full")
    log.write(b"stdout", b"a\n")
    log.write(b"stdout", b"b\n")
    log.close()
    assert capfd.readouterr().err == "[conmon:w]: cannot write log /dev/full: No space left on device; output is lost\n"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """``small(room)``: from now on a disk with room for so many bytes."""
    real = os.write
    left = 1 << 60

    def write(fd: int, data: bytes) -> int:
        nonlocal left
        if fd == 2:
            return real(fd, data)
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = real(fd, data[:left])
        left -= done
        return done

    def have(room: int) -> None:
        nonlocal left
        left = room

    monkeypatch.setattr(os, "write", write)
    yield have
    monkeypatch.undo()


def test_a_disk_with_space_again_has_whole_records_only_and_it_is_told(
    tmp_path: Path, small: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    log = K8sFile(str(path))
    log.write(b"stdout", b"before\n")
    small(80)
    log.write(b"stdout", b"one\ntwo\nthree\n")
    log.write(b"stdout", b"four\n")
    small(1 << 60)
    log.write(b"stdout", b"after\n")
    log.close()
    assert [line.split(b" ", 3)[3] for line in path.read_bytes().splitlines()] == [
        b"before",
        b"one",
        b"[conmon: 3 lines were lost here: No space left on device]",
        b"after",
    ]
    assert path.read_bytes().splitlines()[2].split(b" ")[1:3] == [b"stderr", b"F"]
    assert capfd.readouterr().err == (
        f"[conmon:w]: cannot write log {path}: No space left on device; output is lost\n"
        f"[conmon:w]: log {path} can be written again; 3 records were lost\n"
    )


def test_where_there_is_room_for_half_of_that_there_is_none_of_it(tmp_path: Path, small: Callable[[int], None]) -> None:
    path = tmp_path / "log"
    log = K8sFile(str(path))
    small(0)
    log.write(b"stdout", b"one\n")
    small(50)
    log.write(b"stdout", b"two\n")
    assert path.read_bytes() == b""
    small(1 << 60)
    log.write(b"stdout", b"after\n")
    log.close()
    said = [line.split(b" ", 3)[3] for line in path.read_bytes().splitlines()]
    assert said == [b"[conmon: 2 lines were lost here: No space left on device]", b"after"]


def test_a_record_that_a_killed_monitor_left_half_written_ends_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"T stdout F whole\nT stdout F ha")
    log = K8sFile(str(path))
    log.write(b"stdout", b"new\n")
    log.close()
    assert [line.split(b" ", 3)[3] for line in path.read_bytes().splitlines()] == [b"whole", b"ha", b"new"]
