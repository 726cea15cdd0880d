"""Logs kept as the kubelet keeps them: names, order, packing, and a death at any step."""

from __future__ import annotations

import gzip
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conmon.logs import dated
from conmon.logs.k8sfile import K8sFile, Limits

STAMP = "20261125-120000"
NOON = time.strptime(STAMP, "%Y%m%d-%H%M%S")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packing in this process, at once: who does it is the host tests' affair."""

    def start(path: str) -> int:
        dated.pack_all(path)
        return os.pidfd_open(os.getpid())

    monkeypatch.setattr(dated, "_start", start)
    monkeypatch.setattr(dated.Keeper, "_is_packing", lambda _: False)


def opened(path: Path, *, size: int = 100, keep: int = 3) -> K8sFile:
    return K8sFile(str(path), Limits(size, keep=keep, dated=True))


def lines(path: Path) -> list[bytes]:
    """What is in all kept logs, in the order of their names, and in the log."""
    found = []
    for name in (*dated.kept(str(path)), str(path)):
        if Path(name).exists():
            raw = Path(name).read_bytes()
            raw = gzip.decompress(raw) if name.endswith(".gz") else raw
            found += [line.split(b" ", 3)[3] for line in raw.splitlines()]
    return found


def test_a_full_log_gets_a_name_with_its_time_and_older_ones_are_packed(tmp_path: Path) -> None:
    log = opened(tmp_path / "0.log")
    for number in range(12):
        log.write(b"stdout", b"line %d %s\n" % (number, b"x" * 60))
    log.close()
    kept = dated.kept(str(tmp_path / "0.log"))
    assert len(kept) == 3
    assert [Path(name).suffix == ".gz" for name in kept] == [True, True, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["0.log", *(Path(name).name for name in kept)])
    assert [line.split()[1] for line in lines(tmp_path / "0.log")] == [b"%d" % number for number in range(9, 12)]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_a_file_ends_with_the_read_that_fills_it(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", keep=9)
    log.write(b"stdout", b"a" * 200 + b"\n" + b"b\n" * 5)
    assert (tmp_path / "log").read_bytes() == b""
    log.write(b"stdout", b"c\n")
    log.close()
    assert lines(tmp_path / "log") == [b"a" * 200, *[b"b"] * 5, b"c"]


@pytest.mark.parametrize(
    ("older", "expected"),
    {
        "the first": ([], STAMP),
        "after an earlier one": (["20261125-115959"], STAMP),
        "within the same second": ([STAMP], f"{STAMP}.1"),
        "many within the same second": ([f"{STAMP}.9", f"{STAMP}.10.gz"], f"{STAMP}.11"),
        "after the clock was set back": (["20261125-130000.gz"], "20261125-130000.1"),
    }.values(),
)
def test_names(tmp_path: Path, older: list[str], expected: str) -> None:
    log = str(tmp_path / "log")
    for suffix in older:
        Path(f"{log}.{suffix}").touch()
    assert dated.name(log, NOON, dated.kept(log)) == f"{log}.{expected}"


def test_what_else_lies_there_is_no_log_of_ours(tmp_path: Path) -> None:
    strangers = [
        "log.1",
        "log.new",
        "log.tmp2",
        "log.20261125",
        "log.20261125-12000x",
        "log.gz",
        "other.20261125-120000",
    ]
    for name in strangers:
        (tmp_path / name).touch()
    assert dated.kept(str(tmp_path / "log")) == []
    log = opened(tmp_path / "log")
    log.write(b"stdout", b"x" * 100 + b"\n")
    log.close()
    assert {name for name in strangers if (tmp_path / name).exists()} == {*strangers} - {"log.new"}


def test_what_a_killed_packer_left_is_put_right(tmp_path: Path) -> None:
    for suffix in ("1", "1.77.tmp", "2"):
        (tmp_path / f"log.20260101-00000{suffix}").write_bytes(b"half")
    (tmp_path / "log.20260101-000002.gz").write_bytes(gzip.compress(b"T stdout F two\n"))
    (tmp_path / "log.20260101-000001").write_bytes(b"T stdout F one\n")
    assert lines(tmp_path / "log") == [b"one", b"two"]
    log = opened(tmp_path / "log", keep=5)
    log.write(b"stdout", b"3" * 100 + b"\n")
    log.close()
    assert lines(tmp_path / "log") == [b"one", b"two", b"3" * 100]
    assert [Path(name).name for name in dated.kept(str(tmp_path / "log"))][:2] == [
        "log.20260101-000001.gz",
        "log.20260101-000002.gz",
    ]
    assert len(list(tmp_path.iterdir())) == 4


class Killed(BaseException):
    pass


def die_at(monkeypatch: pytest.MonkeyPatch, step: int, *, after: bool) -> None:
    """From now on the ``step``-th change of a name is the last thing that is done, or is not done any more."""
    count = 0

    def dying(call: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: object) -> None:
            nonlocal count
            count += 1
            if count == step and not after:
                raise Killed
            call(*arguments)
            if count == step:
                raise Killed

        return wrapped

    monkeypatch.setattr(os, "rename", dying(os.rename))
    monkeypatch.setattr(os, "unlink", dying(os.unlink))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 8))
def test_a_death_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    path = tmp_path / "log"
    first = opened(path, keep=3)
    text = [b"%d %s" % (number, b"x" * 60) for number in range(9)]
    for line in text[:6]:
        first.write(b"stdout", line + b"\n")
    with monkeypatch.context() as patched:
        die_at(patched, step, after=after)
        try:
            for line in text[6:8]:
                first.write(b"stdout", line + b"\n")
        except Killed:
            pass
    first.close()
    written = lines(path)
    last = text.index(written[-1])
    assert last >= 6
    assert written == text[last + 1 - len(written) : last + 1], "a gap, one twice, or not in order"
    assert len(written) >= 3, "more is gone than was too old"
    second = opened(path, keep=3)
    for line in (b"new 1 " + b"y" * 60, b"new 2 " + b"y" * 60, b"new 3"):
        second.write(b"stdout", line + b"\n")
    second.close()
    assert lines(path)[-3:] == [b"new 1 " + b"y" * 60, b"new 2 " + b"y" * 60, b"new 3"]
    assert lines(path)[:-3] in (written[-1:], written[-2:])
    names = [entry.name for entry in tmp_path.iterdir()]
    assert not [name for name in names if name.endswith((".tmp", ".new"))]
    assert len(names) == 4


def test_a_packer_is_a_child_that_is_waited_for_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for second in range(3):
        (tmp_path / f"log.20260101-00000{second}").write_bytes(b"%d" % second * 100_000)
    log = opened(tmp_path / "log", keep=9)
    log.write(b"stdout", b"x" * 100 + b"\n")
    packer = log._keeper._packer if log._keeper else None
    assert packer is not None
    assert select.select([packer], [], [], 120)[0], "it does not end"
    os.waitid(os.P_PIDFD, packer, os.WEXITED)
    for second in range(3):
        packed = tmp_path / f"log.20260101-00000{second}.gz"
        assert gzip.decompress(packed.read_bytes()) == b"%d" % second * 100_000
        assert packed.stat().st_mode & 0o777 == 0o640
    assert len(list(tmp_path.iterdir())) == 5
    log.reopen()
    log.close()
