"""The other log drivers, logs kept as the kubelet keeps them, and a full disk, with real containers."""

from __future__ import annotations

import contextlib
import gzip
import os
import select
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conmon.logs import dated
from reconciler.engine.monitors import Monitors
from reconciler.linux.syscalls import KERNEL, MountFlag
from reconciler.model.key import ContainerId
from tests.host.conmon_box import DEADLINE, Box, hurry_packers, monitors_of, parent, pidfd, readable, wait_gone
from tests.host.instance import until
from tests.host.test_conmon import BOTH, OURS, Run
from tests.host.test_replacement import Watched
from tests.unit.conmon.test_journald import Journal

pytestmark = pytest.mark.host
DETACH = 2
"""MNT_DETACH."""
JOURNAL = Path("/run/systemd/journal")


class Logged(Run):
    """Its log is what ``more`` says."""

    def _words(self, program: list[str], cid: ContainerId) -> list[str]:
        words = super()._words(program, cid)
        log = words.index("-l")
        return words[:log] + words[log + 2 :]


@pytest.fixture
def journal() -> Iterator[Journal]:
    """A journald of this test alone, at the place of the machine's (seen by this worker's mount namespace alone)."""
    place = next(path for path in (JOURNAL, *JOURNAL.parents) if path.is_dir())
    KERNEL.mount("tmpfs", str(place), "tmpfs", MountFlag(0), "size=1m")
    JOURNAL.mkdir(parents=True, exist_ok=True)
    journal = Journal(JOURNAL / "socket")
    yield journal
    journal.socket.close()
    KERNEL.umount(str(place), DETACH)


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[socket.socket]:
    """A /dev/log of this test alone, in a /dev that holds nothing else but what containers need."""
    place = Path("/dev")
    nodes = {name: (place / name).stat().st_rdev for name in ("null", "zero", "full", "random", "urandom", "tty")}
    KERNEL.mount("tmpfs", str(place), "tmpfs", MountFlag(0), "size=1m,mode=755")
    for name, device in nodes.items():
        os.mknod(place / name, 0o666 | stat.S_IFCHR, device)
        (place / name).chmod(0o666)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(place / "log"))
        yield syslog
    KERNEL.umount(str(place), DETACH)


@BOTH
def test_lines_go_to_journald(box: Box, program: list[str], journal: Journal) -> None:
    cid = box.container("echo out; echo -n rest; echo err >&2; exit 3")
    started = Logged(box, program, cid, "--api-version", "-l", "journald", "--log-tag", "shop")
    assert box.start_and_wait(cid, started.pid()) == "3"
    started.daemonised()
    common = {
        "CONTAINER_ID_FULL": cid.encode(),
        "CONTAINER_ID": cid[:12].encode(),
        "CONTAINER_NAME": b"box",
        "CONTAINER_TAG": b"shop",
        "SYSLOG_IDENTIFIER": b"shop",
    }
    got = [{key: value for key, value in found.items() if not key.startswith("CODE_")} for found in journal.got()]
    assert sorted(got, key=lambda found: found["MESSAGE"]) == [
        {**common, "PRIORITY": b"3", "MESSAGE": b"err\n"},
        {**common, "PRIORITY": b"6", "MESSAGE": b"out\n"},
        {**common, "PRIORITY": b"6", "MESSAGE": b"rest", "CONTAINER_PARTIAL_MESSAGE": b"true"},
    ]


@BOTH
def test_lines_go_to_both(box: Box, program: list[str], journal: Journal) -> None:
    cid = box.container("seq 10")
    started = Run(box, program, cid, "--api-version", "-l", "journald")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    text = "".join(f"{number}\n" for number in range(1, 11))
    assert box.output(cid) == text
    assert b"".join(found["MESSAGE"] for found in journal.got()) == text.encode()


def test_a_journald_that_reads_nothing_does_not_keep_the_exit_code(box: Box, journal: Journal) -> None:
    cid = box.container("seq 100000; exit 4")
    started = Logged(box, OURS, cid, "--api-version", "-l", "journald")
    assert box.start_and_wait(cid, started.pid()) == "4"
    started.daemonised()
    got = [found["MESSAGE"] for found in journal.got()]
    assert got == [b"%d\n" % number for number in range(1, len(got) + 1)]


@BOTH
def test_passthrough_is_the_callers_own_stdio(box: Box, program: list[str]) -> None:
    cid = box.container("cat; echo err >&2; exit 5")
    words = [*program, *Logged._words(_Named(box), program, cid), "-l", "passthrough", "--api-version"]
    reader, writer = os.pipe()
    process = subprocess.Popen(
        words,
        env={"PATH": os.environ["PATH"], "_OCI_SYNCPIPE": str(writer)},
        pass_fds=(writer,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    readable(reader, "nothing comes on the sync pipe")
    pid = int(os.read(reader, 8192).decode().rpartition(":")[2].strip(" }\n"))
    os.close(reader)
    monitor = parent(pid)
    with pidfd(monitor) as ending:
        assert [str(Path(f"/proc/{monitor}/fd/{fd}").readlink()) for fd in range(3)] == ["/dev/null"] * 3
        box.start(cid)
        said, errors = process.communicate(b"through\n", timeout=DEADLINE)
        wait_gone(ending)
    assert (said, errors) == (b"through\n", b"err\n")
    assert box.exit_status(cid) == "5"


class _Named(Logged):
    """Its words only."""

    def __init__(self, box: Box) -> None:
        self.box = box


DATED = ("--api-version", "--no-sync-log", "--log-rotate", "--log-dated")


def numbers(box: Box, cid: ContainerId) -> list[int]:
    """What the logs of ``seq`` say: its whole lines."""
    return [int(line) for line in output(box, cid).split(b"\n")[:-1]]


def output(box: Box, cid: ContainerId) -> bytes:
    """What all logs say, the oldest first, pieces put together."""
    pieces: list[bytes] = []
    for name in (*dated.kept(str(box.log(cid))), str(box.log(cid))):
        if Path(name).exists():
            raw = Path(name).read_bytes()
            raw = gzip.decompress(raw) if name.endswith(".gz") else raw
            for line in raw.split(b"\n")[:-1]:  # behind the last: nothing, or what a killed monitor left half written
                _, _, tag, content = line.split(b" ", 3)
                pieces += [content, b"\n"] if tag == b"F" else [content]
    return b"".join(pieces)


def test_full_logs_are_kept_as_the_kubelet_does(box: Box) -> None:
    cid = box.container("seq 300000")
    started = Run(box, OURS, cid, *DATED, "--log-size-max", "4000000", "--log-max-files", "10")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    packers_ended(cid)
    assert numbers(box, cid) == list(range(1, 300_001))
    kept = dated.kept(str(box.log(cid)))
    assert len(kept) >= 3
    assert any(name.endswith(".gz") for name in kept)
    assert not kept[-1].endswith(".gz")


def test_what_is_too_old_goes(box: Box) -> None:
    cid = box.container("seq 300000")
    started = Run(box, OURS, cid, *DATED, "--log-size-max", "500000", "--log-max-files", "4")
    assert box.start_and_wait(cid, started.pid()) == "0"
    started.daemonised()
    packers_ended(cid)
    kept = dated.kept(str(box.log(cid)))
    assert len(kept) in (4, 5)  # 5: a packer ended after the last rotation
    lines = output(box, cid).split(b"\n")
    found = [int(line) for line in lines[1:-1]]  # the first may be the end, or nothing, of a line that is gone
    assert found == list(range(found[0], 300_001))


@pytest.mark.parametrize("after", [3, 10, 20])
def test_a_monitor_killed_while_it_rotates_loses_and_doubles_no_line(box: Box, after: int) -> None:
    """All that it wrote is there once, in order, but for what it had in hand at that moment, which comes last."""
    cid = box.container("seq 3000000")
    started = Run(box, OURS, cid, *DATED, "--log-size-max", "20000", "--log-max-files", "100000")
    pid = started.pid()
    monitor = parent(pid)
    with pidfd(monitor) as ending:
        box.start(cid)
        deadline = time.monotonic() + DEADLINE
        while len(dated.kept(str(box.log(cid)))) < after:
            assert time.monotonic() < deadline, "it does not rotate"
            select.select([], [], [], 0.001)
        signal.pidfd_send_signal(ending, signal.SIGKILL)
        wait_gone(ending)
    started.daemonised()
    packers_ended(cid)
    found = numbers(box, cid)
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 1000


def test_monitors_killed_while_they_rotate_are_replaced_and_all_is_there(box: Box) -> None:
    cid = box.container("seq 200000; read _ < /shared/go; exit 6")
    os.mkfifo(box.shared / "go")
    monitors = Monitors(box.layout, None, box.own)
    pid = monitors.create(box.request(cid, log_size=500_000, log_files=1000))
    with pidfd(pid) as ending:
        box.start(cid)
        killed = 0
        while killed < 5:
            select.select([], [], [], 0.02)
            for monitor in monitors_of([cid]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(monitor, signal.SIGKILL)
                    killed += 1
        (box.shared / "go").write_text("\n")
        wait_gone(ending)
    exits = box.layout.exits / cid
    deadline = time.monotonic() + DEADLINE
    while not exits.exists():
        assert time.monotonic() < deadline, "nobody tells how it ended"
        select.select([], [], [], 0.01)
    assert exits.read_text() == "6"
    packers_ended(cid)
    assert numbers(box, cid) == list(range(1, 200_001))


def test_a_full_disk_loses_lines_and_not_the_exit_code(tmp_path: Path) -> None:
    """Everything lies on one small disk, exit files too."""
    KERNEL.mount("tmpfs", str(tmp_path), "tmpfs", MountFlag(0), "size=8m")
    try:
        box = Box(tmp_path, "crun")
        cid = box.container("seq 1000000; echo > /shared/written; cat /shared/go; echo last; exit 9")
        for name in ("written", "go"):
            os.mkfifo(box.shared / name)
        written = os.open(box.shared / "written", os.O_RDONLY | os.O_NONBLOCK)
        started = Run(box, OURS, cid, "--api-version", "--no-sync-log")
        pid = started.pid()
        with pidfd(parent(pid)) as ending:
            box.start(cid)
            readable(written, "the container does not come so far")
            assert os.statvfs(tmp_path).f_bavail == 0
            (box.shared / "go").write_text("")
            wait_gone(ending)
        os.close(written)
        assert (box.layout.exits / cid).read_text() == "9"
        lines = box.log(cid).read_bytes().splitlines()
        assert all(len(line.split(b" ", 3)) == 4 for line in lines)
        assert output(box, cid).startswith(b"".join(b"%d\n" % number for number in range(1, 1001)))
        started.daemonised()
        box.clear()
    finally:
        KERNEL.umount(str(tmp_path), DETACH)


def test_a_syslog_that_is_stuck_holds_up_nothing(box: Box, syslog: socket.socket) -> None:
    """What a monitor has to say while nobody takes it is lost; its container is told of all the same."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others, contextlib.suppress(BlockingIOError):
        others.setblocking(False)
        while True:
            others.sendto(b"x", "/dev/log")
    cid = box.container("cat /shared/wait; exit 6")
    os.mkfifo(box.shared / "wait")
    started = Run(box, OURS, cid, "--api-version", "--full-attach", "--syslog")
    pid = started.pid()
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        (box.layout.container(cid) / "ctl").write_text("nonsense\n")
        (box.shared / "wait").write_text("go\n")
        wait_gone(ending)
    started.daemonised()
    assert box.exit_status(cid) == "6"
    assert syslog.recv(64) == b"x"


def test_a_monitor_that_takes_anothers_place_says_so(box: Box, syslog: socket.socket) -> None:
    """To the same as the other: nobody else knows that one was killed."""
    container = Watched(box, Monitors(box.layout, enter_cgroup=box.own), box.container("cat /shared/wait; exit 6"))
    os.mkfifo(box.shared / "wait")
    box.start(container.cid)
    container.kill_monitor()
    syslog.settimeout(DEADLINE)
    said = f"conmon[{container.monitor}]: conmon {container.cid[:20]}: took the place of a monitor that was killed"
    assert syslog.recv(4096).decode().endswith(said)
    (box.shared / "wait").write_text("go\n")
    assert container.end() == "6"


def packers_ended(cid: ContainerId) -> None:
    """Until nobody changes the logs any more. A packer has its monitor's name at first."""
    until(lambda: not monitors_of([cid]), "the monitor has ended, and its packers have names of their own")
    hurry_packers()
    for pid in monitors_of([ContainerId("conmon gzip")]):
        with contextlib.suppress(ProcessLookupError), pidfd(pid) as ending:  # it has ended already
            wait_gone(ending)
