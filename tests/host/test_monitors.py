"""The monitors' client with the real zygote, the real runtimes and real containers; what dies is killed for real."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from conmon import framing
from reconciler.engine import sealed
from reconciler.engine.monitors import _PASSED, Monitors, _connected, _NoZygote
from reconciler.model.errors import RuntimeFailed
from reconciler.model.key import ContainerId
from tests.host.conmon_box import DEADLINE, RUNTIMES, Box, field, monitors_of, parent, pidfd, readable, wait_gone
from tests.host.instance import until
from tests.torture import execs

pytestmark = pytest.mark.host

CHECKOUT = Path(__file__).resolve().parents[2]
MOST_OWN = 1300
"""KiB; with modules that were not compiled before, too. Python 3.11 has 1120 (3.13 900) where they were."""


@pytest.fixture(params=RUNTIMES)
def any_box(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Box]:
    box = Box(tmp_path, request.param)
    yield box
    box.clear()


def test_a_container_is_created_runs_and_ends(any_box: Box) -> None:
    monitors = Monitors(any_box.layout, enter_cgroup=any_box.own)
    cid = any_box.container("echo out; echo err >&2; exit 7")
    pid = monitors.create(any_box.request(cid))
    assert (any_box.layout.pids / cid).read_text() == str(pid)
    assert any_box.start_and_wait(cid, pid) == "7"
    assert (any_box.output(cid), any_box.output(cid, "stderr")) == ("out\n", "err\n")


def test_one_zygote_serves_all_and_starts_once(box: Box, monitors: Monitors) -> None:
    monitors.warm()
    monitors.warm()
    pids = [monitors.create(box.request(box.container("sleep 100"))) for _ in range(2)]
    (zygote,) = box.zygotes
    assert {parent(parent(pid)) for pid in pids} == {zygote}


@pytest.mark.parametrize("by_zygote", [True, False])
def test_crun_runs_once_and_nobody_can_write_to_it(
    box: Box, monitors: Monitors, monkeypatch: pytest.MonkeyPatch, by_zygote: bool
) -> None:
    """From a sealed copy (CVE-2019-5736); its monitor does not keep that."""
    if not by_zygote:
        monkeypatch.setattr(monitors, "_by_zygote", _refuse)
    request = box.request(box.container("sleep 100"))
    with sealed.copy_of(request.runtime) as copy:
        assert copy is not None
        with execs.execs(Path(f"/proc/self/fd/{copy}")) as copied, execs.execs(request.runtime) as itself:
            pid = monitors.create(request)
            runs, others = execs.pids(copied), execs.pids(itself)
    assert len(runs) == 1
    assert runs[0] not in others
    held = Path(f"/proc/{parent(pid)}/fd")
    assert not [fd for fd in held.iterdir() if fd.readlink().name.startswith("memfd:crun")]


def _refuse(*_: object) -> None:
    raise _NoZygote("none is to be had")


def test_many_threads_at_once(box: Box, monitors: Monitors) -> None:
    cids = [box.container(f"echo {number}; exit {number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        pids = list(pool.map(lambda cid: monitors.create(box.request(cid)), cids))
        statuses = list(pool.map(box.start_and_wait, cids, pids))
    assert statuses == [str(number) for number in range(8)]
    assert [box.output(cid) for cid in cids] == [f"{number}\n" for number in range(8)]
    assert len(box.zygotes) == 1


def test_many_processes_start_one_zygote(box: Box) -> None:
    script = (
        "import sys; from pathlib import Path; from reconciler.engine.layout import Layout\n"
        "from reconciler.engine.monitors import Monitors\n"
        "Monitors(Layout.at(Path(sys.argv[1])), enter_cgroup=print).warm()"
    )
    command = [sys.executable, "-c", script, str(box.directory)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) for _ in range(4)]
    outputs = [racer.communicate(timeout=DEADLINE)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    (zygote,) = "".join(outputs).split()
    box.own(int(zygote))


def test_the_runtimes_words_are_in_the_error(any_box: Box) -> None:
    monitors = Monitors(any_box.layout, enter_cgroup=any_box.own)
    cid = any_box.container("", process={"cwd": "/", "args": ["/bin/nothing-there"], "user": {"uid": 0, "gid": 0}})
    with pytest.raises(RuntimeFailed, match=r"cannot create container box-.*nothing-there") as failed:
        monitors.create(any_box.request(cid))
    assert "\n" not in failed.value.message
    assert not (any_box.layout.exits / cid).exists()


def test_a_failed_preparation_is_named(box: Box, monitors: Monitors) -> None:
    cid = box.container("true")
    (box.layout.container(cid) / "prepare").write_text("unshare\nmount\tnone\t/nowhere/at/all\ttmpfs\t0\t\n")
    with pytest.raises(RuntimeFailed, match=r"mount none /nowhere/at/all tmpfs \(line 2\): No such file"):
        monitors.create(box.request(cid))


def test_a_bad_log_path_is_named(box: Box, monitors: Monitors) -> None:
    cid = box.container("true")
    with pytest.raises(RuntimeFailed, match="Failed to open log file: No such file or directory"):
        monitors.create(box.request(cid, log=Path("/nowhere/log")))


def test_mounts_of_a_container_are_its_own(box: Box, monitors: Monitors) -> None:
    cid = box.container("sleep 100")
    pid = monitors.create(box.request(cid))
    rootfs = str(box.layout.container(cid) / "rootfs")
    assert str(Path(f"/proc/{pid}/ns/mnt").readlink()) != str(Path("/proc/self/ns/mnt").readlink())
    for process in ("self", str(parent(pid)), str(box.zygotes[0])):
        assert rootfs not in Path(f"/proc/{process}/mountinfo").read_text()
    assert Path("/sys/fs/cgroup/unified").is_dir() == ("unified" in Path("/proc/self/mountinfo").read_text())


def test_the_output_may_be_unwanted_and_the_monitor_tells_its_pid(box: Box, monitors: Monitors) -> None:
    cid = box.container("seq 100000; exit 3")
    pidfile = box.layout.container(cid) / "monitor.pid"
    pid = monitors.create(box.request(cid, log=None, monitor_pidfile=pidfile))
    assert int(pidfile.read_text()) == parent(pid)
    assert cid.encode() in Path(f"/proc/{parent(pid)}/cmdline").read_bytes()
    assert box.start_and_wait(cid, pid) == "3"
    assert not box.log(cid).exists()


def test_monitors_outlive_the_zygote(box: Box, monitors: Monitors) -> None:
    cid = box.container("sleep 100 & wait")
    pid = monitors.create(box.request(cid))
    (zygote,) = box.zygotes
    with pidfd(zygote) as ending:
        os.kill(zygote, signal.SIGKILL)
        wait_gone(ending)
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        other = box.container("exit 4")
        assert box.start_and_wait(other, monitors.create(box.request(other))) == "4"
        os.kill(pid, signal.SIGKILL)
        wait_gone(ending)
    assert box.exit_status(cid) == "137"
    assert len(box.zygotes) == 2


def test_a_container_outlives_its_launcher(box: Box, monitors: Monitors) -> None:
    monitors.warm()
    cid = box.container("echo here; exit 6")
    child = os.fork()
    if child == 0:
        try:
            monitors.create(box.request(cid))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert box.start_and_wait(cid, int((box.layout.pids / cid).read_text())) == "6"
    assert box.output(cid) == "here\n"


def test_a_launcher_killed_after_asking_leaves_a_whole_container(box: Box, monitors: Monitors) -> None:
    """It dies between its request and the answer: the sync pipe has no reader when the pid is told."""
    monitors.warm()
    cid = box.container("exit 5")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with open("/dev/null", "wb") as null:
                monitors._launch(box.request(cid, keep_fds=(writer,)), null.fileno(), null)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(writer)
    monitor = until(lambda: _monitor(box.zygotes[0], cid), "the zygote has heard of it")
    with pidfd(monitor) as ending:
        box.start_when_created(cid)
        wait_gone(ending)
    readable(reader, "the held descriptor is still open")
    os.close(reader)
    assert box.exit_status(cid) == "5"


def test_held_descriptors_are_the_monitors_alone_and_gone_before_the_exit_is_told(box: Box, monitors: Monitors) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        reader, writer = os.pipe()
        cid = box.container("ls /proc/self/fd; cat /shared/wait")
        os.mkfifo(box.shared / "wait")
        pid = monitors.create(box.request(cid, keep_fds=(server.fileno(), writer)))
        os.close(writer)
    assert {"0", "1", "2"} <= {link.name for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert not any("socket" in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if int(link.name) < 3)
    assert not _port_is_free(port)
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        with open(box.shared / "wait", "w"):  # opens when the container does
            assert not _port_is_free(port)
            os.kill(pid, signal.SIGKILL)
        readable(reader, "the held descriptor is still open")
        wait_gone(ending)
    os.close(reader)
    assert _port_is_free(port)
    assert box.exit_status(cid) == "137"
    assert box.output(cid).split() == ["0", "1", "2", "3"]  # 3 is the directory that ls reads


def test_no_created_container_has_a_held_descriptor(any_box: Box) -> None:
    """The runtime's init process waits for start, and would keep a port taken until then."""
    monitors = Monitors(any_box.layout, enter_cgroup=any_box.own)
    reader, writer = os.pipe()
    pipe = os.fstat(writer).st_ino
    pid = monitors.create(any_box.request(any_box.container("sleep 100"), keep_fds=(writer,)))
    os.close(writer)
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert f"pipe:[{pipe}]" not in links
    with pidfd(parent(pid)) as ending:
        os.kill(pid, signal.SIGKILL)
        wait_gone(ending)
    readable(reader, "somebody else holds it")
    os.close(reader)


def test_the_zygote_ends_when_it_is_not_needed(box: Box) -> None:
    monitors = Monitors(box.layout, enter_cgroup=box.own, idle=0.5)
    cid = box.container("exit 0")
    pid = monitors.create(box.request(cid))
    (zygote,) = box.zygotes
    with pidfd(zygote) as ending:
        assert box.start_and_wait(cid, pid) == "0"
        wait_gone(ending)
    assert not box.layout.zygote_socket.exists()


def test_a_zygote_of_an_older_version_steps_aside(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    package = box.directory / "site/conmon"
    shutil.copytree(CHECKOUT / "conmon", package, ignore=shutil.ignore_patterns("__pycache__"))
    python, *flags, _ = framing.interpreter()
    version = framing.version
    monkeypatch.setattr(framing, "interpreter", lambda: [python, *flags, str(package)])
    monkeypatch.setattr(framing, "version", lambda: version(str(package)))
    monitors = Monitors(box.layout, enter_cgroup=box.own)
    cid = box.container("exit 9")
    pid = monitors.create(box.request(cid))
    with (package / "say.py").open("a") as file:
        file.write("# newer\n")
    second = monitors.create(box.request(box.container("sleep 100")))
    old, new = box.zygotes
    assert (parent(parent(pid)), parent(parent(second))) == (old, new)
    with pidfd(old) as ending:
        assert box.start_and_wait(cid, pid) == "9"
        wait_gone(ending)
    monitors.warm()
    assert box.zygotes == [old, new]


def test_without_a_zygote_the_command_line_is_started(box: Box, monitors: Monitors) -> None:
    box.layout.zygote_socket.mkdir()
    cid = box.container("echo cold; exit 2")
    pid = monitors.create(box.request(cid))
    assert box.start_and_wait(cid, pid) == "2"
    assert box.output(cid) == "cold\n"
    box.layout.zygote_socket.rmdir()


def test_a_foreign_conmon_does_it_too(any_box: Box) -> None:
    entered: list[int] = []
    monitors = Monitors(any_box.layout, Path("/usr/bin/conmon"), entered.append)
    cid = any_box.container("echo foreign; exit 8")
    pid = monitors.create(any_box.request(cid))
    assert any_box.start_and_wait(cid, pid) == "8"
    assert any_box.output(cid) == "foreign\n"
    assert len(entered) == 1
    bad = any_box.container("", process={"cwd": "/", "args": ["/bin/nothing-there"], "user": {"uid": 0, "gid": 0}})
    with pytest.raises(RuntimeFailed, match="nothing-there"):
        monitors.create(any_box.request(bad))


def test_the_zygote_has_left_everything_of_its_callers(box: Box, monitors: Monitors) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1,))
    try:
        monitors.warm()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGUSR1,))
    os.close(writer)
    readable(reader, "the zygote keeps a descriptor of ours")
    os.close(reader)
    (zygote,) = box.zygotes
    assert os.getsid(zygote) == zygote
    assert str(Path(f"/proc/{zygote}/cwd").readlink()) == "/"
    until(lambda: int(field(zygote, "SigBlk"), 16) == 0, "none of its rehearsal's forks is under way")
    until(lambda: int(field(zygote, "SigIgn"), 16) == 0, "what it rehearses is over, which ignores SIGPIPE")
    assert field(zygote, "Umask") == "0022"
    assert field(zygote, "Threads") == "1"
    assert {str(Path(f"/proc/{zygote}/fd/{number}").readlink()) for number in range(3)} == {"/dev/null"}
    assert (box.layout.zygote_socket.stat().st_mode & 0o777) == 0o700


def test_a_container_starts_with_default_signals_and_our_environment_stays_out(box: Box, monitors: Monitors) -> None:
    cid = box.container("cat /proc/self/status; ls /proc/self/environ")
    assert box.start_and_wait(cid, monitors.create(box.request(cid))) == "0"
    lines = dict(line.split(":\t", 1) for line in box.output(cid).splitlines() if ":\t" in line)
    assert {name: int(lines[name], 16) for name in ("SigBlk", "SigIgn")} == {"SigBlk": 0, "SigIgn": 0}


@pytest.mark.parametrize(("zone", "offset"), [("EAST-05:45", "+05:45"), ("WEST+3", "-03:00")])
def test_the_runtime_has_the_environment_of_the_request_and_the_log_its_time_zone(
    box: Box, monitors: Monitors, monkeypatch: pytest.MonkeyPatch, zone: str, offset: str
) -> None:
    monitors.warm()  # the zygote's environment is another
    monkeypatch.setenv("TZ", zone)
    monkeypatch.setenv("UNASKED", "for")
    runtime, environment = box.directory / "runtime", box.directory / "environment"
    runtime.write_text(f'#!/bin/sh\ncat /proc/$$/environ >{environment}\nexec {box.runtime} "$@"\n')
    runtime.chmod(0o755)
    cid = box.container("echo now")
    box.start_and_wait(cid, monitors.create(box.request(cid, runtime=runtime)))
    given = dict(line.split("=", 1) for line in environment.read_text().split("\0")[:-1])
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    assert given == {"_OCI_SYNCPIPE": "3", **passed}
    assert box.log(cid).read_text().split(" ")[0].endswith(offset)


def test_a_monitor_that_rests_has_little_memory_of_its_own(box: Box, monitors: Monitors) -> None:
    """Of what a monitor and the zygote have written since the fork: scripts/bench conmon tells all of it."""
    cids = [box.container("sleep 1000") for _ in range(3)]
    pids = [monitors.create(box.request(cid)) for cid in cids]
    rollup = Path(f"/proc/{parent(pids[0])}/smaps_rollup").read_text()
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty:"))
    assert own < MOST_OWN


def test_a_silent_client_keeps_nobody_waiting(box: Box, monitors: Monitors) -> None:
    monitors.warm()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        name, directory = framing.via_directory(str(box.layout.zygote_socket))
        silent.connect(name)
        os.close(directory)
        cid = box.container("exit 0")
        assert box.start_and_wait(cid, monitors.create(box.request(cid))) == "0"


def test_who_comes_when_descriptors_have_run_out_is_sent_away(box: Box, monitors: Monitors) -> None:
    """A monitor and the zygote would have no rest while he waits."""
    cid = box.container("sleep 1000")
    pid = monitors.create(box.request(cid, stdin=True))
    (zygote,) = box.zygotes
    doors = {parent(pid): box.layout.container(cid) / "attach", zygote: box.layout.zygote_socket}
    for process, door in doors.items():
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        most = max(opened(process)) + 1
        resource.prlimit(process, resource.RLIMIT_NOFILE, (most, limits[1]))
        with ExitStack() as guests:
            for _ in range(most - len(opened(process))):
                guests.enter_context(connected(door))
            until(lambda process=process, most=most: len(opened(process)) == most, "no descriptor is left")
            with connected(door) as late:
                assert late.recv(1) == b""
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
    monitors.warm()
    assert box.zygotes == [zygote]


def connected(path: Path) -> socket.socket:
    connection = _connected(path)
    assert connection is not None
    connection.settimeout(DEADLINE)
    return connection


def opened(pid: int) -> list[int]:
    return [int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()]


def test_what_is_no_request_is_refused_and_the_zygote_lives(box: Box, monitors: Monitors) -> None:
    monitors.warm()
    for packets in ([b"nonsense"], [framing.greeting(framing.version(), 5), b"abcde"]):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(DEADLINE)
            name, directory = framing.via_directory(str(box.layout.zygote_socket))
            client.connect(name)
            os.close(directory)
            for packet in packets:
                client.send(packet)
            answers = [client.recv(64) for _ in range(3)]
        assert answers[0] == b"" or answers[:2] == [framing.TAKEN, b"=1 0"]
    monitors.warm()
    assert len(box.zygotes) == 1


def test_a_root_with_a_very_long_path(tmp_path: Path) -> None:
    box = Box(tmp_path / ("d" * 120) / ("e" * 120), "crun")
    try:
        monitors = Monitors(box.layout, enter_cgroup=box.own)
        cid = box.container("echo far; exit 1")
        assert box.start_and_wait(cid, monitors.create(box.request(cid))) == "1"
        assert len(box.zygotes) == 1
    finally:
        box.clear()


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _monitor(zygote: int, cid: ContainerId) -> int | None:
    """The child of the zygote that has the container's name already: others rehearse, or are its runtime."""
    children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()
    return next((pid for pid in monitors_of([cid]) if str(pid) in children), None)
