"""conmon's own command line, with real runtimes: what its callers see on pipes, in files and in exit codes.

Where the Debian conmon can do the same, it runs through the same test: so the test is right about the protocol.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.key import ContainerId
from tests.host.conformance.programs import BOTH, C_CONMON, OURS
from tests.host.conmon_box import DEADLINE, RUNTIMES, Box, monitors_of, moved_into, parent, pidfd, readable, wait_gone

pytestmark = pytest.mark.host


class Run:
    """One start of conmon for one container, with a sync pipe."""

    def __init__(self, box: Box, program: list[str], cid: ContainerId, *more: str, fds: tuple[int, ...] = ()) -> None:
        self.box = box
        self._reader, writer = os.pipe()
        command = [*program, *self._words(program, cid), *more]
        self.process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "_OCI_SYNCPIPE": str(writer)},
            pass_fds=(writer, *fds),
            cwd=box.layout.container(cid),  # the C conmon leaves word of a kill for want of memory where it is
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writer)

    def _words(self, program: list[str], cid: ContainerId) -> list[str]:
        request = self.box.request(cid)
        wrapped = [*OURS, "--run-prepared", str(request.prepare), str(request.runtime), *request.runtime_args]
        words = ["-c", cid, "-u", cid, "-n", "box", "-b", str(request.bundle), "-p", str(request.pidfile)]
        words += ["--exit-dir", str(request.exit_dir), "--persist-dir", str(request.persist_dir)]
        words += ["-l", f"k8s-file:{request.log}", "-r", wrapped[0]]
        words += ["--full-attach"] if C_CONMON in program else []
        return words + [word for argument in wrapped[1:] for word in ("--runtime-arg", argument)]

    def daemonised(self) -> None:
        _, errors = self.process.communicate(timeout=DEADLINE)
        assert (self.process.returncode, errors) == (0, "")

    def line(self) -> str:
        """One message of the sync pipe: one read, as launchers read it."""
        readable(self._reader, "nothing comes on the sync pipe")
        return os.read(self._reader, 8192).decode()

    def pid(self) -> int:
        return int(json.loads(self.line())["data"])

    def over(self) -> None:
        """Until the monitor has closed the sync pipe: it does so by ending."""
        assert self.line() == ""
        os.close(self._reader)


@pytest.fixture
def run(box: Box) -> Callable[..., Run]:
    def started(program: list[str], cid: ContainerId, *more: str, fds: tuple[int, ...] = ()) -> Run:
        return Run(box, program, cid, *more, fds=fds)

    return started


@BOTH
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_from_create_to_exit(tmp_path: Path, program: list[str], runtime: str) -> None:
    box = Box(tmp_path, runtime)
    try:
        cid = box.container("echo out; echo err >&2; echo -n rest; exit 3")
        run = Run(box, program, cid, "--api-version", "1", "-P", str(tmp_path / "conmon.pid"))
        run.daemonised()
        pid = run.pid()
        monitor = parent(pid)
        assert (tmp_path / "conmon.pid").read_text() == str(monitor)
        assert os.getsid(monitor) == monitor
        assert box.start_and_wait(cid, pid) == "3"
        run.over()
        assert (box.output(cid), box.output(cid, "stderr")) == ("out\nrest", "err\n")
    finally:
        box.clear()


@BOTH
def test_the_old_protocol_calls_it_pid(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    cid = box.container("exit 0")
    started = run(program, cid)
    started.daemonised()
    pid = (box.layout.pids / cid, started.line())
    assert pid[1] == f'{{"pid": {pid[0].read_text()}}}\n'
    assert box.start_and_wait(cid, int(pid[0].read_text())) == "0"


@BOTH
def test_death_by_a_signal(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    cid = box.container("kill -9 $$; cat /tmp/never")
    started = run(program, cid, "--api-version")
    pid = started.pid()
    with pidfd(parent(pid)) as ending:
        os.kill(pid, signal.SIGKILL)
        wait_gone(ending)
    assert box.exit_status(cid) == "137"
    started.daemonised()


@BOTH
def test_the_monitor_forwards_sigterm(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    ready = _fifo(box, "ready")
    cid = box.container("trap 'exit 33' TERM; echo > /shared/ready; while :; do sleep 100 & wait; done")
    started = run(program, cid, "--api-version")
    pid = started.pid()
    monitor = parent(pid)
    with pidfd(monitor) as ending:
        box.start(cid)
        readable(ready, "the container does not start")
        os.kill(monitor, signal.SIGTERM)
        wait_gone(ending)
    os.close(ready)
    assert box.exit_status(cid) == "33"
    started.daemonised()


@BOTH
def test_a_runtime_that_fails(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    mark = box.directory / "ended"
    cid = box.container("true", process={"cwd": "/", "args": ["/bin/absent"], "user": {"uid": 0, "gid": 0}})
    more = ("--sync", "--exit-command", "/bin/touch", "--exit-command-arg", str(mark))
    started = run(program, cid, "--api-version", *more)
    message = json.loads(started.line())
    assert message["data"] == -1
    assert "/bin/absent" in message["message"]
    started.over()
    started.process.communicate(timeout=DEADLINE)
    assert started.process.returncode == 1
    assert mark.exists()
    assert not (box.layout.exits / cid).exists()


@BOTH
def test_sync_stays_and_exits_with_the_containers_status(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    pidfile = box.directory / "conmon.pid"
    cid = box.container("exit 42")
    started = run(program, cid, "--api-version", "--sync", "-P", str(pidfile))
    pid = started.pid()
    assert parent(pid) == started.process.pid
    assert box.start_and_wait(cid, pid) == "42"
    started.process.communicate(timeout=DEADLINE)
    assert started.process.returncode == 42
    assert not pidfile.exists()


@BOTH
def test_timeout(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    cid = box.container("sleep 100")
    started = run(program, cid, "--api-version", "--sync", "-T", "1")
    pid = started.pid()
    assert box.start_and_wait(cid, pid) == "-1"
    started.process.communicate(timeout=DEADLINE)
    assert started.process.returncode == 255


@BOTH
def test_no_line_of_much_output_is_lost(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    cid = box.container("seq 200000; seq 50000 >&2")
    started = run(program, cid, "--api-version")
    assert box.start_and_wait(cid, started.pid()) == "0"
    assert box.output(cid) == "".join(f"{number}\n" for number in range(1, 200_001))
    assert box.output(cid, "stderr") == "".join(f"{number}\n" for number in range(1, 50_001))
    started.daemonised()


@BOTH
def test_a_long_line_comes_in_pieces(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    cid = box.container("head -c 100000 /dev/zero | tr '\\0' x; echo")
    started = run(program, cid, "--api-version")
    assert box.start_and_wait(cid, started.pid()) == "0"
    assert box.output(cid) == "x" * 100_000 + "\n"
    started.daemonised()


@BOTH
def test_the_exit_command_comes_last(box: Box, run: Callable[..., Run], program: list[str]) -> None:
    seen = box.directory / "seen"
    script = box.directory / "command"
    cid = box.container("exit 5")
    script.write_text(f'#!/bin/sh\n{{ cat {box.layout.exits / cid}; printf "|%s" "$#" "$@"; }} > {seen}\nexit 9\n')
    script.chmod(0o755)
    words = [word for argument in ("--root", "", "x") for word in ("--exit-command-arg", argument)]
    started = run(program, cid, "--api-version", "--sync", "--exit-command", str(script), *words)
    assert box.start_and_wait(cid, started.pid()) == "5"
    started.process.communicate(timeout=DEADLINE)
    assert seen.read_text() == "5|3|--root||x"
    assert started.process.returncode == (9 if program == OURS else 5)  # 2.1.6 keeps the status


@BOTH
def test_the_start_pipe_is_waited_for(box: Box, program: list[str]) -> None:
    cid = box.container("exit 0")
    reader, writer = os.pipe()
    started = Run(box, ["/usr/bin/env", f"_OCI_STARTPIPE={reader}", *program], cid, "--api-version", fds=(reader,))
    os.close(reader)
    assert not select.select([started._reader], [], [], 0.3)[0]
    assert not (box.layout.pids / cid).exists()
    os.write(writer, b"x")
    os.close(writer)
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()


@BOTH
def test_held_descriptors_are_released_before_the_exit_is_told(
    box: Box, run: Callable[..., Run], program: list[str]
) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    reader, writer = os.pipe()
    cid = box.container("exit 0")
    started = run(program, cid, "--api-version", fds=(server.fileno(), writer))
    server.close()
    os.close(writer)
    pid = started.pid()
    poll = select.poll()
    poll.register(reader, 0)
    assert poll.poll(0) == []
    with moved_into(box.layout.exits) as moved, pidfd(parent(pid)) as ending:
        box.start(cid)
        readable(moved, "no exit file")
        assert poll.poll(0), "the exit is told, and the descriptor is still held"
        wait_gone(ending)
    os.close(reader)
    started.daemonised()


def test_output_is_taken_while_the_runtime_creates(box: Box, run: Callable[..., Run]) -> None:
    """A hook that says more than a pipe holds would hang the C conmon and the runtime for good."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' y; echo"]}
    cid = box.container("echo after", hooks={"prestart": [hook]}, annotations={"run.oci.hooks.stdout": "/dev/stdout"})
    started = run(OURS, cid, "--api-version")
    assert box.start_and_wait(cid, started.pid()) == "0"
    assert box.output(cid) == "y" * 300_000 + "\nafter\n"
    started.daemonised()


def test_an_orphan_that_keeps_the_pipe_does_not_keep_the_monitor(box: Box, run: Callable[..., Run]) -> None:
    cid = box.container("sleep 100 & echo done; exit 1", own_pids=False)
    started = run(OURS, cid, "--api-version")
    assert box.start_and_wait(cid, started.pid()) == "1"
    assert box.output(cid) == "done\n"
    started.daemonised()


def test_the_launcher_may_leave_before_the_container_is_there(box: Box, run: Callable[..., Run]) -> None:
    cid = box.container("exit 11")
    started = run(OURS, cid, "--api-version")
    os.close(started._reader)
    started.daemonised()
    found = monitors_of([cid])
    monitor = next(pid for pid in found if parent(pid) not in found)  # not the runtime below it
    with pidfd(monitor) as ending:
        box.start_when_created(cid)
        wait_gone(ending)
    assert box.exit_status(cid) == "11"


def test_a_program_that_only_prints_is_quick_and_leaves_nothing() -> None:
    done = subprocess.run([*OURS, "--version"], capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("conmon version ")


def test_run_prepared_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("unshare\ndetach\t/nowhere\n")
    command = [*OURS, "--run-prepared", str(tmp_path / "p"), "/bin/true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 127
    assert "detach /nowhere (line 2): No such file or directory" in done.stderr


def test_graft_takes_a_mount_of_another_namespace(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    make = f"unshare\nslave\t/\nmount\ttmpfs\t{tmp_path}/there\ttmpfs\t0\tsize=64k\n"
    (tmp_path / "make").write_text(make)
    words = [*OURS, "--run-prepared", str(tmp_path / "make"), "/bin/sh", "-c", f"echo x > {tmp_path}/there/file; cat"]
    with subprocess.Popen(["/bin/sh", "-c", 'echo; exec "$@"', "-", *words], stdin=-1, stdout=-1) as owner:
        assert owner.stdin and owner.stdout
        owner.stdin.write(b"ready\n")
        owner.stdin.flush()
        assert owner.stdout.readline() + owner.stdout.readline() == b"\nready\n"
        graft = f"unshare\nslave\t/\ngraft\t/proc/{owner.pid}/ns/mnt\t{tmp_path}/there\t{tmp_path}/here\n"
        (tmp_path / "graft").write_text(graft)
        command = [*OURS, "--run-prepared", str(tmp_path / "graft"), "/bin/cat", str(tmp_path / "here/file")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        assert (done.stdout, done.stderr) == ("x\n", "")
        owner.stdin.close()
    assert list((tmp_path / "there").iterdir()) == list((tmp_path / "here").iterdir()) == []


def _fifo(box: Box, name: str) -> int:
    """A pipe that containers see as /shared/NAME; our end of it."""
    os.mkfifo(box.shared / name)
    return os.open(box.shared / name, os.O_RDONLY | os.O_NONBLOCK)


def test_the_machines_null_device_is_not_given_to_a_prepared_runtime(tmp_path: Path) -> None:
    """crun gives the stdin of a container that it creates to the container's user; the C conmon's is /dev/null."""
    (tmp_path / "p").write_text("")
    command = [*OURS, "--run-prepared", str(tmp_path / "p"), "/bin/sh", "-c", "readlink /proc/self/fd/0; wc -c"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL)
    assert done.stdout.splitlines()[1] == "0"
    assert "/dev/null" not in done.stdout
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, input="four")
    assert done.stdout.splitlines()[1] == "4", "any other stdin is the container's"
