"""Where a created container waits, and who is not let go there. That programs run then is for the host tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import gate, processes
from reconciler.model.observed import PidRef

ID = "ab" * 32
KEYS = {
    "crun": ("status", "pid", "process-start-time"),
    "runc": ("state.json", "init_process_pid", "init_process_start"),
}


@pytest.fixture
def program() -> Iterator[PidRef]:
    """A process that is not, or no longer, a runtime's."""
    with subprocess.Popen(["cat", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"\n"  # in the midst of execve it has no command line
        ref = processes.pid_ref(process.pid)
        assert ref is not None
        yield ref
        process.kill()


def knows(directory: Path, runtime: str, process: PidRef) -> Path:
    """The FIFO of a container that the runtime knows by this process."""
    file, pid, start = KEYS[runtime]
    (directory / file).write_text(json.dumps({pid: process.pid, start: process.start}))
    os.mkfifo(directory / "exec.fifo")
    return directory / "exec.fifo"


@pytest.mark.parametrize("runtime", KEYS)
def test_who_went_on_already_leaves_an_open_gate(tmp_path: Path, runtime: str, program: PidRef) -> None:
    fifo = knows(tmp_path, runtime, program)
    assert gate.open_gate(runtime, tmp_path, ID)
    assert not fifo.exists()


@pytest.mark.parametrize("runtime", KEYS)
def test_another_process_of_the_same_number_is_not_taken_for_it(tmp_path: Path, runtime: str, program: PidRef) -> None:
    fifo = knows(tmp_path, runtime, PidRef(program.pid, program.start - 1))
    assert not gate.open_gate(runtime, tmp_path, ID)
    assert fifo.exists(), "its end is the runtime's to tell"


@pytest.mark.parametrize("runtime", KEYS)
def test_where_nobody_waits_the_runtime_is_asked(tmp_path: Path, runtime: str) -> None:
    with subprocess.Popen(["sh", "-c", "exec sleep 1000", ID], stdout=subprocess.DEVNULL) as process:
        process.kill()
        process.wait()
        fifo = knows(tmp_path, runtime, PidRef(process.pid, 1))
        assert not gate.open_gate(runtime, tmp_path, ID)
        assert fifo.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": "x", "process-start-time": 1}', "{}"])
def test_a_state_file_of_another_shape_is_left_to_the_runtime(tmp_path: Path, content: str) -> None:
    os.mkfifo(tmp_path / "exec.fifo")
    (tmp_path / "status").write_text(content)
    assert not gate.open_gate("crun", tmp_path, ID)
    assert (tmp_path / "exec.fifo").exists()


def test_without_a_gate_nothing_is_done(tmp_path: Path) -> None:
    assert not gate.open_gate("crun", tmp_path, ID)
    assert not gate.open_gate("runc", tmp_path / "nowhere", ID)
