"""Logs with limits: what a full one becomes, and that no line is lost, doubled or cut."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conmon.logs import rotation
from conmon.logs.k8sfile import K8sFile, Limits

LINES = [f"line {number}\n".encode() for number in range(100)]
"""Records of 52 and 53 bytes: the reference says what they leave with --log-size-max 1000."""


def contents(path: Path) -> list[bytes]:
    return [line.split(b" ", 3)[3] for line in path.read_bytes().splitlines()]


def written(path: Path, limits: Limits, pieces: list[bytes]) -> K8sFile:
    log = K8sFile(str(path), limits)
    for piece in pieces:
        log.write(b"stdout", piece)
    return log


@pytest.mark.parametrize("pieces", [LINES, [b"".join(LINES)]], ids=["a read per line", "one read"])
def test_a_full_log_is_discarded(tmp_path: Path, pieces: list[bytes]) -> None:
    written(tmp_path / "log", Limits(1000), pieces).close()
    assert [len(contents(path)) for path in tmp_path.iterdir()] == [9]
    assert contents(tmp_path / "log")[-1] == b"line 99"


@pytest.mark.parametrize("pieces", [LINES, [b"".join(LINES)]], ids=["a read per line", "one read"])
def test_full_logs_are_kept(tmp_path: Path, pieces: list[bytes]) -> None:
    written(tmp_path / "log", Limits(1000, keep=3), pieces).close()
    names = ["log.3", "log.2", "log.1", "log"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert [len(contents(tmp_path / name)) for name in names] == [18, 18, 18, 9]
    found = [line + b"\n" for name in names for line in contents(tmp_path / name)]
    assert found == LINES[-63:]


@given(
    st.lists(st.lists(st.sampled_from([b"a", b"\n", b"bb\n", b"c" * 90]), max_size=6).map(b"".join), max_size=12),
    st.integers(1, 300),
)
def test_nothing_is_lost_and_no_file_is_too_large(
    tmp_path_factory: pytest.TempPathFactory, reads: list[bytes], size: int
) -> None:
    directory = tmp_path_factory.mktemp("log")
    written(directory / "log", Limits(size, keep=500), reads).close()
    files = sorted(directory.iterdir(), key=lambda path: -int(path.suffix[1:] or 0))
    joined = b""
    for path in files:
        text = path.read_bytes()
        assert text.endswith(b"\n") or not text
        assert len(text) <= size or text.count(b"\n") == 1
        for record in text.splitlines():
            _, _, tag, content = record.split(b" ", 3)
            joined += content + (b"\n" if tag == b"F" else b"")
    assert joined == b"".join(reads)


def test_what_the_log_had_before_counts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 99 + b"\n")
    written(path, Limits(120, keep=1), [b"new\n"]).close()
    assert (tmp_path / "log.1").read_bytes() == b"x" * 99 + b"\n"
    assert contents(path) == [b"new"]


def test_a_line_larger_than_a_log_is_whole(tmp_path: Path) -> None:
    written(tmp_path / "log", Limits(100, keep=2), [b"a" * 200 + b"\n", b"b\n"]).close()
    assert contents(tmp_path / "log.1") == [b"a" * 200]
    assert contents(tmp_path / "log") == [b"b"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("pieces", [LINES, [b"".join(LINES)]], ids=["a read per line", "one read"])
def test_beyond_the_total_output_is_dropped(tmp_path: Path, pieces: list[bytes]) -> None:
    written(tmp_path / "log", Limits(total=200), [*pieces, b"\n"]).close()
    assert contents(tmp_path / "log") == [b"line 0", b"line 1", b"line 2", b"line 3"]


@pytest.mark.parametrize(("total", "left"), [(1, 1), (52, 1), (53, 2), (104, 2), (105, 3)])
def test_the_record_that_reaches_the_total_is_whole(tmp_path: Path, total: int, left: int) -> None:
    written(tmp_path / "log", Limits(total=total), [b"".join(LINES[:9])]).close()
    assert len(contents(tmp_path / "log")) == left


def test_reopen_discards_or_keeps(tmp_path: Path) -> None:
    for keep, left in ((0, ["log"]), (2, ["log", "log.1"])):
        directory = tmp_path / str(keep)
        directory.mkdir()
        log = written(directory / "log", Limits(keep=keep), [b"old\n"])
        log.reopen()
        log.write(b"stdout", b"new\n")
        log.close()
        assert sorted(path.name for path in directory.iterdir()) == left
        assert contents(directory / "log") == [b"new"]
    assert (tmp_path / "2/log").stat().st_mode & 0o777 == 0o640


def test_a_log_that_was_moved_away_is_only_opened_anew(tmp_path: Path) -> None:
    log = written(tmp_path / "log", Limits(keep=2), [b"old\n"])
    (tmp_path / "log").rename(tmp_path / "elsewhere")
    log.reopen()
    log.write(b"stdout", b"new\n")
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "log"]
    assert contents(tmp_path / "elsewhere") == [b"old"]


def test_two_monitors_with_one_log_rotate_it_once(tmp_path: Path) -> None:
    first = written(tmp_path / "log", Limits(keep=3), [b"a\n"])
    second = written(tmp_path / "log", Limits(keep=3), [b"b\n"])
    first.reopen()
    second.reopen()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    second.write(b"stdout", b"c\n")
    assert contents(tmp_path / "log") == [b"c"]
    first.close()
    second.close()


def test_a_killed_rotation_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "log.new").write_text("left\n")
    (tmp_path / "log.tmp").write_text("left\n")
    for keep in (1, 0):
        log = written(tmp_path / "log", Limits(keep=keep), [b"old\n"])
        log.reopen()
        log.close()
        assert (tmp_path / "log").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]


def test_a_log_that_cannot_be_replaced_grows_and_it_is_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o777)
    written(tmp_path / "log", Limits(60, keep=1), LINES[:9]).close()
    assert contents(tmp_path / "log") == [line.strip() for line in LINES[:9]]
    assert capfd.readouterr().err == (
        f"[conmon:w]: cannot replace log {tmp_path}/log: everybody may write into its directory; it goes on growing\n"
    )


def test_places_where_logs_are_not_rotated(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    fd = os.open(tmp_path / "target", os.O_WRONLY)
    with pytest.raises(OSError, match="symbolic link"):
        rotation.rotate(str(tmp_path / "link"), fd, 1, [])
    with pytest.raises(OSError, match="log-allowlist-dir"):
        rotation.rotate(str(tmp_path / "target"), fd, 1, [f"{tmp_path}/tar", "/nowhere"])
    os.close(rotation.rotate(str(tmp_path / "target"), fd, 1, ["/nowhere", str(tmp_path)]))
    os.close(fd)


def test_a_log_that_somebody_else_holds_keeps_nobody_waiting(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = written(tmp_path / "log", Limits(keep=1), [b"a\n"])
    holds, held = os.pipe()
    waits, go = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(go)
            fcntl.lockf(os.open(tmp_path / "log", os.O_WRONLY), fcntl.LOCK_EX)
            os.write(held, b"x")
            os.read(waits, 1)
        finally:
            os._exit(0)
    assert os.read(holds, 1) == b"x"
    log.reopen()
    log.write(b"stdout", b"b\n")
    os.close(go)
    os.waitpid(child, 0)
    assert contents(tmp_path / "log") == [b"a", b"b"]
    log.reopen()
    assert contents(tmp_path / "log.1") == [b"a", b"b"]
    log.close()
    for fd in (holds, held, waits):
        os.close(fd)
    assert "cannot replace log" in capfd.readouterr().err
