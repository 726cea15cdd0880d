"""Processes that are asked for again and again, of real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import living, processes
from reconciler.engine.living import Living
from reconciler.model.process import PidRef


@pytest.fixture
def lives() -> Iterator[Living]:
    lives = Living()
    yield lives
    lives.close()


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started = [subprocess.Popen(["sleep", "1000"]) for _ in range(3)]
    yield started
    for one in started:
        one.kill()
        one.wait()


def reference(process: subprocess.Popen[bytes]) -> PidRef:
    ref = processes.pid_ref(process.pid)
    assert ref is not None
    return ref


def open_files() -> set[str]:
    """Of processes: others of this one come and go as an earlier test's garbage is collected."""
    links = {path.name: os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
    return {number for number, link in links.items() if "pidfd" in link}


def test_the_end_of_one_is_known_although_nobody_waited_for_it(
    lives: Living, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    refs = [reference(one) for one in sleepers]
    assert all(lives.has(ref) for ref in (*refs, *refs))
    os.kill(refs[1].pid, signal.SIGKILL)
    assert processes.wait_gone(refs[1], 60)
    assert [lives.has(ref) for ref in refs] == [True, False, True]  # a zombie, as its parent did not wait
    sleepers[1].wait()
    assert not lives.has(refs[1])


def test_another_process_of_the_same_number_is_another_one(lives: Living) -> None:
    here = processes.pid_ref(os.getpid())
    assert here is not None
    assert lives.has(here)
    assert not lives.has(PidRef(here.pid, here.start + 1))
    assert not lives.has(PidRef(0, 0))


def test_what_ended_is_not_held(
    lives: Living, sleepers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "_AT_ONCE", 1)
    here = processes.pid_ref(os.getpid())
    assert here is not None
    assert lives.has(here)
    before = open_files()
    assert all(lives.has(reference(one)) for one in sleepers)
    opened = open_files() - before
    assert len(opened) == 3
    for one in sleepers:
        one.kill()
        one.wait()
    assert lives.has(here)
    assert not open_files() & opened


def test_with_no_file_to_be_had_it_is_looked_up() -> None:
    """In a process of its own, as it opens all that it may."""
    script = """
import os, resource
from reconciler.engine import processes
from reconciler.engine.living import Living
lives, here = Living(), processes.pid_ref(os.getpid())
fds = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True: fds.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    os.close(fds.pop())  # reading /proc takes one
# one is free, but not another one beside it: opening is refused after the pidfd
assert lives.has(here)
assert not lives.has(processes.PidRef(here.pid, here.start + 1))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
