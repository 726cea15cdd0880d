from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from reconciler.cli.crilog import Line, Reader, read

T = "2026-01-02T03:04:05.000000006Z"


def records(*lines: str) -> bytes:
    return "".join(f"{T} {line}\n" for line in lines).encode()


def texts(lines) -> list[bytes]:
    return [line.text for line in lines]


def test_pieces_are_joined_each_stream_by_itself(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout P one, ", "stderr F oops", "stdout P two, ", "stdout F three", "stdout F "))
    assert texts(read(log, None)) == [b"oops", b"one, two, three", b""]


def test_a_line_that_never_ended_is_shown_without_a_newline(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F whole", "stdout P prompt> "))
    assert list(read(log, None)) == [Line(T, b"whole"), Line(T, b"prompt> ", whole=False)]


def test_tail_counts_lines_not_records(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F one", "stdout P tw", "stdout F o", "stdout F three"))
    assert texts(read(log, 2)) == [b"two", b"three"]
    assert texts(read(log, 0)) == []


def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert list(read(tmp_path / "0.log", None)) == []


def test_what_is_no_record_is_passed_on(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(b"garbage\n" + records("stdout F fine"))
    assert texts(read(log, None)) == [b"garbage", b"fine"]


def test_a_record_written_in_two_writes_is_one_line(tmp_path):
    log = tmp_path / "0.log"
    whole = records("stdout F hello")
    log.write_bytes(whole[:20])
    reader = Reader(log)
    assert list(reader.new()) == []
    with log.open("ab") as file:
        file.write(whole[20:])
    assert texts(reader.new()) == [b"hello"]
    reader.close()


def test_a_rotated_log_is_read_on_in_its_new_file(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F old"))
    reader = Reader(log)
    assert texts(reader.new()) == [b"old"]
    with log.open("ab") as file:
        file.write(records("stdout F last of old"))
    log.rename(tmp_path / "0.log.1")
    log.write_bytes(records("stdout F new"))
    assert texts(reader.new()) == [b"last of old", b"new"]
    reader.close()


STAMPS = ("20260101-000001.gz", "20260101-000002.gz", "20260101-000002.1", "20260101-000003")
"""The ends of kept logs' names, in their order."""


def kept(log: Path, stamp: str, *lines: str) -> Path:
    path = log.with_name(f"{log.name}.{stamp}")
    path.write_bytes(gzip.compress(records(*lines)) if stamp.endswith(".gz") else records(*lines))
    return path


def rotate(log: Path, stamp: str) -> None:
    log.rename(f"{log}.{stamp}")
    log.touch()


def pack(path: Path) -> None:
    """As the packer does: the copy has the time of what it was made of."""
    status = path.stat()
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Five files of two lines each; a line goes on from one to the next."""
    log = tmp_path / "0.log"
    for number, stamp in enumerate(STAMPS):
        kept(log, stamp, f"stdout F a{number}", f"stdout F b{number}", f"stdout P c{number}")
    log.write_bytes(records("stdout F a4", "stdout F b4"))
    (tmp_path / "0.log.20260101-000002").write_bytes(b"half gone")
    (tmp_path / "0.log.20260101-000009.77.tmp").write_bytes(b"half made")
    return log


ALL = ["a0", "b0", "c0a1", "b1", "c1a2", "b2", "c2a3", "b3", "c3a4", "b4"]


def test_kept_logs_are_read_too_the_packed_ones_once(log):
    assert texts(read(log, None)) == [text.encode() for text in ALL]


@pytest.mark.parametrize("count", range(12))
def test_tail_goes_back_over_rotations(log, count):
    assert texts(read(log, count)) == [text.encode() for text in ALL[len(ALL) - min(count, len(ALL)) :]]


def test_tail_of_a_large_file_reads_its_end_only(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records(*(f"stdout F {number} {'x' * 80}" for number in range(5000))))
    reader = Reader(log, near=3)
    lines = list(reader.new())
    reader.close()
    assert [int(line.text.split()[0]) for line in lines[-3:]] == [4997, 4998, 4999]
    assert len(lines) < 1000


def test_files_from_before_are_passed_over(log):
    for path in log.parent.iterdir():
        os.utime(path, (1000, 1000) if "000001" in path.name else (2000, 2000))
    assert texts(read(log, None, since=1500))[0] == b"a1"


def test_a_log_whose_newest_file_is_not_there_yet(log):
    log.unlink()
    assert texts(read(log, 2)) == [b"b3", b"c3"]


@pytest.mark.parametrize("packed", [0, 1, 3])
def test_reading_on_over_many_rotations(tmp_path, packed):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F 0"))
    reader = Reader(log)
    assert texts(reader.new()) == [b"0"]
    for number in range(1, 4):
        with log.open("ab") as file:
            file.write(records(f"stdout F {number}"))
        rotate(log, f"20260101-00000{number}")
    for number in range(1, packed + 1):
        pack(tmp_path / f"0.log.20260101-00000{number}")
    with log.open("ab") as file:
        file.write(records("stdout F 4"))
    assert texts(reader.new()) == [b"1", b"2", b"3", b"4"]
    assert texts(reader.new()) == []
    reader.close()


def test_what_was_removed_while_we_looked_away_is_all_that_is_missing(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F 0"))
    reader = Reader(log)
    assert texts(reader.new()) == [b"0"]
    for number in range(1, 5):
        rotate(log, f"20260101-00000{number}")
        log.write_bytes(records(f"stdout F {number}"))
    for number in (1, 2):
        (tmp_path / f"0.log.20260101-00000{number}").unlink()
    assert texts(reader.new()) == [b"2", b"3", b"4"]
    reader.close()


def test_half_a_record_of_a_killed_writer_does_not_spoil_the_next_file(tmp_path):
    log = tmp_path / "0.log"
    log.write_bytes(records("stdout F one") + b"2026-01-02T03")
    reader = Reader(log)
    assert texts(reader.new()) == [b"one"]
    rotate(log, "20260101-000001")
    log.write_bytes(records("stdout F two"))
    assert texts(reader.new()) == [b"2026-01-02T03", b"two"]
    reader.close()
