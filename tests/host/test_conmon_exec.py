"""Processes run in a container (-e): exit codes, errors, time limits, attached sessions; beside the C conmon."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from conmon.framing import via_directory
from reconciler.model.key import ContainerId
from tests.host.conformance.programs import BOTH, OURS
from tests.host.conmon_box import DEADLINE, Box, parent, pidfd, readable, wait_gone
from tests.host.instance import until
from tests.host.test_conmon import Run
from tests.host.test_conmon_attach import joined, taken

pytestmark = pytest.mark.host


RESTING = "exec sleep 1000"


def resting(box: Box, cid: ContainerId, *options: str) -> Iterator[ContainerId]:
    """The container under a monitor of ours, until it is killed at the end."""
    started = Run(box, OURS, cid, "--api-version", *options)
    pid = started.pid()
    started.daemonised()
    box.start(cid)
    with pidfd(parent(pid)) as ending:
        yield cid
        os.kill(pid, 9)
        wait_gone(ending)


@pytest.fixture
def running(box: Box) -> Iterator[ContainerId]:
    """A container that does nothing."""
    yield from resting(box, box.container(RESTING))


class Exec:
    """One session, in a directory of its own, with all three pipes."""

    def __init__(self, box: Box, program: list[str], cid: ContainerId, script: str, *more: str) -> None:
        self.directory = box.directory / "session"
        self.directory.mkdir()
        spec = {"cwd": "/", "args": ["/bin/sh", "-c", script], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
        (self.directory / "spec").write_text(json.dumps(spec))
        self.sync, sync = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.start, start = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.attach, attach = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = {"_OCI_SYNCPIPE": sync, "_OCI_STARTPIPE": start, "_OCI_ATTACHPIPE": attach}
        words = ["-e", "-c", cid, "-u", "session", "-r", str(box.runtime), "-b", str(self.directory)]
        words += ["-p", str(self.directory / "pid"), "--exec-process-spec", str(self.directory / "spec")]
        words += ["--exit-dir", str(self.directory), "-l", f"k8s-file:{self.directory}/log", "--full-attach"]
        words += [word for argument in box.runtime_args for word in ("--runtime-arg", argument)]
        self.process = subprocess.Popen(
            [*program, *words, *more],
            env={"PATH": os.environ["PATH"], **{name: str(end.fileno()) for name, end in given.items()}},
            pass_fds=[end.fileno() for end in given.values()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in given.values():
            end.close()
        self.start.send(b"x")

    def lines(self) -> list[str]:
        """All messages until the monitor has ended."""
        self.sync.settimeout(DEADLINE)
        found = []
        while line := self.sync.recv(8192):
            found.append(line.decode())
        self.process.wait(DEADLINE)
        for end in (self.sync, self.start, self.attach):
            end.close()
        return found

    def output(self) -> list[str]:
        return [line.split(" ", 1)[1] for line in (self.directory / "log").read_text().splitlines()]


LET_GO = "read _ < /shared/go"


def let_go(box: Box, session: Exec, said: str) -> None:
    """Once the session's output is logged, let it end: before it knows its pid, the C conmon takes no notice of that,
    and tells -1; and it takes output only after that."""
    log = session.directory / "log"
    until(lambda: log.exists() and said in log.read_text(), f"{said} is logged")
    (box.shared / "go").write_text("\n")


@BOTH
def test_output_and_exit_code(box: Box, running: ContainerId, program: list[str]) -> None:
    os.mkfifo(box.shared / "go")
    session = Exec(box, program, running, f"echo out; echo err >&2; {LET_GO}; exit 7", "--api-version")
    let_go(box, session, "out")
    pid, code = session.lines()
    assert json.loads(pid) == {"data": int((session.directory / "pid").read_text())}
    assert code == '{"data": 7}\n'
    assert (session.directory / running).read_text() == "7"
    assert sorted(session.output()) == ["stderr F err", "stdout F out"]


@BOTH
def test_the_old_protocol_tells_the_exit_code_only(box: Box, running: ContainerId, program: list[str]) -> None:
    os.mkfifo(box.shared / "go")
    session = Exec(box, program, running, f"echo out; {LET_GO}; kill -9 $$")
    let_go(box, session, "out")
    assert session.lines() == ['{"exit_code": 137}\n']


@BOTH
def test_a_time_limit(box: Box, running: ContainerId, program: list[str]) -> None:
    session = Exec(box, program, running, "sleep 100", "-T", "1")
    assert session.lines() == ['{"exit_code": -1, "message": "command timed out"}\n']


@BOTH
def test_a_container_that_is_not_there(box: Box, program: list[str]) -> None:
    session = Exec(box, program, ContainerId("0" * 64), "true", "--api-version")
    (line,) = session.lines()
    assert json.loads(line)["data"] == -1
    assert json.loads(line)["message"]


@BOTH
def test_a_session_begins_when_its_launcher_is_attached(box: Box, running: ContainerId, program: list[str]) -> None:
    session = Exec(box, program, running, "cat; exit 3", "--api-version", "--exec-attach", "-i")
    readable(session.attach.fileno(), "the socket is not announced")
    assert session.attach.recv(100) == b'{"data": 0}\n'
    name, directory = via_directory(f"{session.directory}/attach")
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(name)
    os.close(directory)
    assert not (session.directory / "pid").exists()
    session.start.send(b"x")
    client.send(b"hello\n")
    client.shutdown(socket.SHUT_WR)
    assert session.lines()[1:] == ['{"data": 3}\n']
    assert joined(taken(client), b"\2") == b"hello\n"


def test_the_pid_of_an_earlier_session_is_not_taken_for_this_ones(box: Box, running: ContainerId) -> None:
    (box.directory / "stale").write_text("1")
    session = Exec(box, OURS, ContainerId("0" * 64), "true", "--api-version", "-p", str(box.directory / "stale"))
    (line,) = session.lines()
    assert json.loads(line)["data"] == -1


@BOTH
def test_attaching_needs_its_pipe(program: list[str]) -> None:
    words = ["-e", "--sync", "--exec-attach", "--api-version", "-c", "c", "-u", "u", "-r", "/bin/true"]
    words += ["--exec-process-spec", "x", "-l", "none"]
    done = subprocess.run([*program, *words], capture_output=True, text=True, timeout=DEADLINE, env={})
    assert done.returncode == 1
    assert "--attach specified but _OCI_ATTACHPIPE was not" in done.stdout + done.stderr
