"""Containers with a terminal: input, sizes, the end; beside the C conmon."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from reconciler.model.key import ContainerId
from tests.host.conformance.programs import BOTH, OURS
from tests.host.conmon_box import Box, parent, pidfd, shown, wait_gone
from tests.host.test_conmon import Run
from tests.host.test_conmon_attach import connect, joined, taken
from tests.host.test_conmon_logs import write

pytestmark = pytest.mark.host


def with_terminal(box: Box, script: str) -> ContainerId:
    (box._lower / "bin/stty").unlink(missing_ok=True)
    (box._lower / "bin/stty").symlink_to("busybox")
    process = {
        "terminal": True,
        "cwd": "/",
        "args": ["/bin/sh", "-c", script],
        "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0},
    }
    options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options},
        {"destination": "/shared", "type": "bind", "source": str(box.shared), "options": ["bind"]},
    ]
    return box.container(script, process=process, mounts=mounts)


@BOTH
def test_a_session_on_a_terminal(box: Box, program: list[str]) -> None:
    cid = with_terminal(box, "echo err >&2; read line; echo got $line; stty size; exit 6")
    started = Run(box, program, cid, "--api-version", "--full-attach", "-t")
    pid = started.pid()
    client = connect(box, cid)
    write(box, cid, b"1 33 77\n")
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        assert shown(client, b"\n") == b"err\r\n"
        client.send(b"hello\n")
        wait_gone(ending)
    started.daemonised()
    assert joined(taken(client), b"\2") == b"hello\r\ngot hello\r\n33 77\r\n"
    assert box.exit_status(cid) == "6"
    assert box.output(cid).splitlines()[-1] == "33 77"


@BOTH
def test_a_size_while_it_runs(box: Box, program: list[str]) -> None:
    cid = with_terminal(box, "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.1; done")
    started = Run(box, program, cid, "--api-version", "--full-attach", "-t")
    pid = started.pid()
    client = connect(box, cid)
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        assert shown(client, b"\n") == b"ready\r\n"
        write(box, cid, b"1 40 100\n")
        wait_gone(ending)
    started.daemonised()
    assert joined(taken(client), b"\2") == b"40 100\r\n"


@BOTH
def test_nothing_of_much_output_is_lost(box: Box, program: list[str]) -> None:
    cid = with_terminal(box, "seq 20000")
    started = Run(box, program, cid, "--api-version", "-t")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    assert box.output(cid).split() == [str(number) for number in range(1, 20001)]


@BOTH
def test_nothing_is_lost_of_what_a_terminal_holds_at_the_end(box: Box, program: list[str]) -> None:
    """The monitor gets no turn before the container has ended, and a terminal gives less per read than it holds."""
    cid = with_terminal(box, "seq 1900; exit 3")
    started = Run(box, program, cid, "--api-version", "-t")
    pid = started.pid()
    monitor = parent(pid)
    with pidfd(monitor) as ending, pidfd(pid) as container:
        os.kill(monitor, signal.SIGSTOP)
        box.start(cid)
        wait_gone(container)
        os.kill(monitor, signal.SIGCONT)
        wait_gone(ending)
    started.daemonised()
    assert box.exit_status(cid) == "3"
    assert box.output(cid).split() == [str(number) for number in range(1, 1901)]


@BOTH
def test_a_runtime_that_fails_with_a_terminal(box: Box, program: list[str], tmp_path: Path) -> None:
    cid = box.container("true", process={"cwd": "/", "args": ["/bin/absent"], "user": {"uid": 0, "gid": 0}})
    started = Run(box, ["/usr/bin/env", f"TMPDIR={tmp_path}", *program], cid, "--api-version", "-t")
    assert '"data": -1' in started.line()
    started.over()
    started.daemonised()
    if program == OURS:  # the C conmon leaks it
        assert list(tmp_path.glob("conmon-term.*")) == []


def test_a_terminal_that_nobody_has_open_for_a_while(box: Box) -> None:
    cid = with_terminal(box, "echo one; exec </dev/null >/dev/null 2>&1; sleep 0.3; echo two > /dev/console")
    started = Run(box, OURS, cid, "--api-version", "-t")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    assert box.output(cid).split() == ["one", "two"]
