"""No program is waited for longer than it was said, also not one that the kernel does not let die."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.engine import children
from tests.slowness import seconds

FOREVER = ["sleep", "1000"]


def test_a_program_reads_what_it_is_given_and_says_how_it_went() -> None:
    done = children.run(["sh", "-c", "cat; echo no >&2; exit 3"], timeout=60, given=b"yes")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"yes", b"no\n")
    assert children.run(["cat"], timeout=60).stdout == b"", "nothing by itself"


def test_one_that_takes_too_long_is_killed() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        children.run(["sh", "-c", "echo $$; exec sleep 1000"], timeout=0.01)
    assert children._left == []


@pytest.fixture
def unkillable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The pids of programs that go on when they are killed, as one does that waits for a disk."""
    pids: list[int] = []

    def kill(process: subprocess.Popen[Any]) -> None:
        pids.append(process.pid)

    with monkeypatch.context() as patched:
        patched.setattr(subprocess.Popen, "kill", kill)
        patched.setattr(children, "DYING", 0.01)
        yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + seconds(30)
    while children._left and time.monotonic() < deadline:
        children.run(["true"], timeout=60)
    assert children._left == [], "what has ended after all is forgotten"


def test_one_that_cannot_be_killed_is_left_behind(unkillable: list[int]) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        children.run(FOREVER, timeout=0.01)
    assert [process.pid for process in children._left] == unkillable


def test_the_pipes_of_one_that_is_left_behind_stay_open(unkillable: list[int]) -> None:
    """A thread may be reading there: it must not get the next file of the same number."""
    process = subprocess.Popen(FOREVER, stderr=subprocess.PIPE)
    children.end(process)
    assert process.stderr is not None
    assert not process.stderr.closed
    assert unkillable == [process.pid]
