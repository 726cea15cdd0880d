"""Logs of limited size and logs renewed on request, with real containers; beside the C conmon where it can do it."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest

from reconciler.model.key import ContainerId
from tests.host.conformance.programs import BOTH, OURS
from tests.host.conmon_box import DEADLINE, Box, moved_into, parent, pidfd, readable, wait_gone
from tests.host.test_conmon import Run

pytestmark = pytest.mark.host
LINES = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done"


def test_the_callers_umask_is_not_the_logs(box: Box) -> None:
    """It is that of the C conmon's first log, not of those after it."""
    cid = box.container(LINES)
    old = os.umask(0o077)
    try:
        started = Run(box, OURS, cid, "--api-version")
    finally:
        os.umask(old)
    box.start_and_wait(cid, started.pid())
    started.daemonised()
    assert box.log(cid).stat().st_mode & 0o777 == 0o640


@BOTH
def test_a_full_log_is_discarded(box: Box, program: list[str]) -> None:
    cid = box.container(LINES)
    started = Run(box, program, cid, "--api-version", "--log-size-max", "1000")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    assert box.output(cid) == "".join(f"line {number}\n" for number in range(91, 100))
    assert list(box.logs.iterdir()) == [box.log(cid)]


@BOTH
def test_beyond_the_total_output_is_dropped(box: Box, program: list[str]) -> None:
    cid = box.container(LINES)
    started = Run(box, program, cid, "--api-version", "--log-global-size-max", "200")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    assert box.output(cid) == "line 0\nline 1\nline 2\nline 3\n"


@BOTH
def test_so_it_is_within_one_read(box: Box, program: list[str]) -> None:
    cid = box.container("seq 100")
    started = Run(box, program, cid, "--api-version", "--log-global-size-max", "200")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    assert box.output(cid) == "1\n2\n3\n4\n5\n"


def test_full_logs_are_kept(box: Box) -> None:
    cid = box.container(LINES)
    started = Run(box, OURS, cid, "--api-version", "--log-size-max", "1000", "--log-rotate", "--log-max-files", "3")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    assert [len(path.read_bytes().splitlines()) for path in logs(box, cid)] == [18, 18, 18, 9]


@BOTH
def test_the_logs_are_renewed_on_request(box: Box, program: list[str]) -> None:
    for name in ("said", "go"):
        os.mkfifo(box.shared / name)
    said = os.open(box.shared / "said", os.O_RDONLY | os.O_NONBLOCK)
    cid = box.container("echo before; echo > /shared/said; cat /shared/go; echo after")
    started = Run(box, program, cid, "--api-version", "--full-attach")
    pid = started.pid()
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        readable(said, "the container says nothing")
        until_it_has(box.log(cid), " before\n")
        box.log(cid).rename(box.logs / "moved")
        for line in (b"nonsense\n", b"9 1 1\n", b"2 1.5 1\n", b"2 1\n"):
            write(box, cid, line)
        renewed(box, cid)
        (box.shared / "go").write_text("")
        wait_gone(ending)
    os.close(said)
    started.daemonised()
    assert box.output(cid) == "after\n"
    assert (box.logs / "moved").read_text().endswith(" stdout F before\n")
    for name in ("ctl", "winsz"):
        assert (box.layout.container(cid) / name).is_fifo()
        assert (box.layout.container(cid) / name).stat().st_mode & 0o777 == 0o640


def test_no_line_is_lost_between_full_logs_and_renewed_ones(box: Box) -> None:
    cid = box.container("seq 100000")
    limits = ("--log-size-max", "300000", "--log-rotate", "--log-max-files", "1000")
    started = Run(box, OURS, cid, "--api-version", "--full-attach", *limits)
    pid = started.pid()
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        while not select.select([ending], [], [], 0.005)[0]:
            write(box, cid, b"2 0 0\n")
    started.daemonised()
    files = logs(box, cid)
    lines = [line.split(" ", 3)[3] for path in files for line in path.read_text().splitlines()]
    tags = [line.split(" ", 3)[2] for path in files for line in path.read_text().splitlines()]
    joined = "".join(line + ("\n" if tag == "F" else "") for line, tag in zip(lines, tags, strict=True))
    assert joined == "".join(f"{number}\n" for number in range(1, 100_001))
    assert len(files) > 20
    assert max(path.stat().st_size for path in files) <= 300_000


def test_many_sizes_without_a_terminal_do_not_stop_the_monitor(box: Box) -> None:
    """The C conmon passes each on through a pipe that nobody reads, until it is full."""
    cid = box.container("cat /shared/go; echo done")
    os.mkfifo(box.shared / "go")
    started = Run(box, OURS, cid, "--api-version", "--full-attach")
    pid = started.pid()
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        for _ in range(20):
            write(box, cid, b"1 100 100\n" * 400)
        renewed(box, cid)
        (box.shared / "go").write_text("")
        wait_gone(ending)
    started.daemonised()
    assert box.output(cid) == "done\n"


def logs(box: Box, cid: ContainerId) -> list[Path]:
    """The oldest first."""
    return sorted(box.logs.glob(f"{cid}.log*"), key=lambda path: -int(path.suffix[1:]) if path.suffix != ".log" else 0)


def write(box: Box, cid: ContainerId, text: bytes) -> None:
    """All of it at once. If the monitor has ended, nobody reads it, and nobody waits for that."""
    fd = os.open(box.layout.container(cid) / "ctl", os.O_RDWR | os.O_NONBLOCK)
    try:
        assert select.select([], [fd], [], DEADLINE)[1], "the monitor does not read"
        os.write(fd, text)
    finally:
        os.close(fd)


def renewed(box: Box, cid: ContainerId) -> None:
    """Ask for new logs until there is one: what follows a bad line in the same read is dropped."""
    deadline = time.monotonic() + DEADLINE
    with moved_into(box.logs) as moved:
        while True:
            write(box, cid, b"2 1 1\n")
            if select.select([moved], [], [], 0.2)[0]:
                return
            assert time.monotonic() < deadline, "the log is not renewed"


def until_it_has(path: Path, text: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while text not in path.read_text():
        assert time.monotonic() < deadline, f"{text!r} is not in {path}"
        select.select([], [], [], 0.01)
