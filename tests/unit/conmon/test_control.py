"""Lines of ``ctl`` and ``winsz``, on real pipes."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conmon import fds
from conmon.control import MOST, Control, numbers
from conmon.loop import Loop
from conmon.say import Fail

NUMBERS = {
    "three": (b"1 24 80", [1, 24, 80]),
    "leading zeros": (b"001 024 0080", [1, 24, 80]),
    "more": (b"1 2 3 4 x", [1, 2, 3]),
    "signs": (b" -1 +2 -3", [-1, 2, -3]),
    "glued": (b"1-2-3", [1, -2, -3]),
    "a fraction": (b"1 2.5 3", [1, 2]),
    "hexadecimal": (b"1 0x10 3", [1, 0]),
    "letters after the last": (b"1 2 3abc", [1, 2, 3]),
    "words": (b"one two three", []),
    "a sign alone": (b"- 1", []),
    "nothing": (b"", []),
}


class Seen:
    """A Control in a directory, and what it was made to do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.done: list[object] = []
        self.loop = Loop()
        Control(self.loop, str(directory), lambda *size: self.done.append(size), lambda: self.done.append("reopen"))

    def after(self, name: str, text: bytes) -> list[object]:
        """What was done when all of the text has been taken."""
        fd = os.open(self.directory / name, os.O_RDWR | os.O_NONBLOCK)
        os.write(fd, text)
        assert self.loop.run(lambda: not select.select([fd], [], [], 0)[0], time.monotonic() + 10)
        os.close(fd)
        return self.done


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Seen]:
    yield Seen(tmp_path)
    fds.close_all(fd for fd in fds.opened() if Path(f"/proc/self/fd/{fd}").resolve().parent == tmp_path)


@pytest.mark.parametrize(("line", "expected"), NUMBERS.values(), ids=NUMBERS)
def test_numbers(line: bytes, expected: list[int]) -> None:
    assert numbers(line, 3) == expected


def test_the_pipes_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "ctl").write_text("stale")
    old = os.umask(0o022)
    seen = Seen(tmp_path)
    os.umask(old)
    for name in ("ctl", "winsz"):
        mode = (tmp_path / name).stat().st_mode
        assert stat.S_ISFIFO(mode)
        assert mode & 0o777 == 0o640
    assert seen.done == []


def test_no_directory_for_them() -> None:
    with pytest.raises(Fail, match="Failed to mkfifo at /nowhere/ctl: No such file or directory"):
        Control(Loop(), "/nowhere", lambda rows, columns: None, lambda: None)


def test_sizes_and_renewals(seen: Seen) -> None:
    assert seen.after("ctl", b"1 24 80\n2 1 1\n1 0 1000\n") == [(24, 80), "reopen", (0, 1000)]
    assert seen.after("winsz", b"50 60\n")[3:] == [(50, 60)]


@pytest.mark.parametrize("bad", [b"x", b"1 2", b"3 1 1", b"0 1 1", b"1 1001 1", b"1 1 -1", b"2 1 1001", b""])
def test_a_bad_line_costs_the_rest_of_its_read(seen: Seen, bad: bytes) -> None:
    assert seen.after("ctl", b"2 1 1\n" + bad + b"\n2 1 1\n1 2") == ["reopen"]
    assert seen.after("ctl", b"1 3 4\n") == ["reopen", (3, 4)]


def test_a_line_may_come_in_pieces(seen: Seen) -> None:
    assert seen.after("ctl", b"1 2") == []
    assert seen.after("ctl", b"4 80\n1") == [(24, 80)]
    assert seen.after("ctl", b" 1 1\n") == [(24, 80), (1, 1)]


def test_a_line_without_an_end_is_dropped(seen: Seen) -> None:
    assert seen.after("ctl", b"x" * MOST) == []
    assert seen.after("ctl", b"2 1 1\n") == ["reopen"]


def test_many_lines_at_once(seen: Seen) -> None:
    assert seen.after("ctl", b"1 24 80\n" * 400) == [(24, 80)] * 400
