"""Monitors that are killed: another takes over within a second, and neither container nor log can tell.

The kills are real and come at any instant of a monitor's work; at chosen ones by a copy of the package that has a line
more (``struck``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conmon import framing
from conmon.wards import _AT_ONCE
from reconciler.engine import monitors as client
from reconciler.engine.monitors import Monitors
from reconciler.linux.syscalls import KERNEL, MountFlag
from reconciler.model.errors import RuntimeFailed
from reconciler.model.key import ContainerId
from tests.host.conmon_box import Box, monitors_of, moved_into, parent, pidfd, readable, shown, wait_gone
from tests.host.instance import until
from tests.host.test_conmon_attach import connect, joined, taken
from tests.host.test_conmon_terminal import with_terminal
from tests.slowness import seconds

pytestmark = pytest.mark.host

CHECKOUT = Path(__file__).resolve().parents[2]
COUNT = "i=0; while [ $i -lt {} ]; do echo $i; i=$((i+1)); done; exit 7"
SOON = seconds(5.0)
DETACH = 2
"""MNT_DETACH."""


@pytest.fixture
def with_options(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has monitors created with more options than the engine asks for."""
    usual = client._conmon_arguments

    def add(*more: str) -> None:
        monkeypatch.setattr(client, "_conmon_arguments", lambda request, ours: [*usual(request, ours=ours), *more])

    return add


class Watched:
    """A container, and who its monitor is now, by the pid file."""

    def __init__(self, box: Box, monitors: Monitors, cid: ContainerId, **more: object) -> None:
        self.box = box
        self.cid = cid
        self.bundle = box.layout.container(cid)
        self._pidfile = self.bundle / "monitor.pid"
        self.pid = monitors.create(box.request(cid, monitor_pidfile=self._pidfile, **more))

    @property
    def monitor(self) -> int:
        return int(self._pidfile.read_text())

    def kill_monitor(self) -> None:
        """And wait until another one has said that it is there, soon."""
        old = self.monitor
        with moved_into(self.bundle) as told, pidfd(old) as ending:
            os.kill(old, signal.SIGKILL)
            begun = time.monotonic()
            wait_gone(ending)
            while self.monitor == old:
                readable(told, "no other monitor comes")
                os.read(told, 4096)
            assert time.monotonic() - begun < SOON
        assert self.monitor != old

    def end(self) -> str:
        """Wait for its exit file; the status."""
        with moved_into(self.box.layout.exits) as told:
            while not (self.box.layout.exits / self.cid).exists():
                readable(told, "nobody tells how it ended")
                os.read(told, 4096)
        return self.box.exit_status(self.cid)

    def grown(self, size: int = 0) -> int:
        """Wait until the log is longer than that; its length."""
        log = self.box.log(self.cid)
        return until(lambda: log.exists() and log.stat().st_size > size and log.stat().st_size, "the log grows")


@pytest.mark.parametrize("rotation", [(), ("--log-size-max", "300000", "--log-rotate", "--log-max-files", "100")])
def test_no_line_is_lost_or_doubled_and_the_status_is_told(
    box: Box, monitors: Monitors, with_options: Callable[..., None], rotation: tuple[str, ...]
) -> None:
    with_options(*rotation)
    lines = 200_000
    container = Watched(box, monitors, box.container(COUNT.format(lines)))
    zygote = parent(container.monitor)
    box.start(container.cid)
    for _ in range(5):
        size = box.log(container.cid).stat().st_size
        container.kill_monitor()
        until(lambda size=size: box.log(container.cid).stat().st_size != size, "the log grows")
        assert parent(container.monitor) == parent(container.pid) == zygote
    assert container.end() == "7"
    logs = sorted(box.logs.glob(f"{container.cid}.log*"), key=lambda path: -int(path.suffix[1:].replace("log", "0")))
    records = [line.split(" ", 3) for log in logs for line in log.read_text().splitlines()]
    written = "".join(text + ("\n" if tag == "F" else "") for _, _, tag, text in records)
    assert written == "".join(f"{number}\n" for number in range(lines))
    assert box.zygotes == [zygote]


def test_those_who_wait_for_input_get_it_from_the_next(
    box: Box, monitors: Monitors, with_options: Callable[..., None]
) -> None:
    with_options("--full-attach", "-i")
    container = Watched(box, monitors, box.container("cat; exit 3"))
    box.start(container.cid)
    with connect(box, container.cid) as first:
        first.send(b"one\n")
        assert shown(first, b"\n") == b"one\n"
        container.kill_monitor()
        assert first.recv(8193) == b""
    second = connect(box, container.cid)
    second.send(b"two\n")
    second.shutdown(socket.SHUT_WR)
    assert container.end() == "3"
    assert joined(taken(second), b"\2") == b"two\n"
    assert box.output(container.cid) == "one\ntwo\n"


def test_an_input_that_has_ended_stays_so(box: Box, monitors: Monitors, with_options: Callable[..., None]) -> None:
    """The zygote keeps no end of it open; nor does a replacement."""
    with_options("--full-attach", "-i")
    container = Watched(box, monitors, box.container("cat; echo over; read x < /shared/wait; exit 3"))
    os.mkfifo(box.shared / "wait")
    box.start(container.cid)
    with connect(box, container.cid) as attached:
        attached.shutdown(socket.SHUT_WR)
        assert shown(attached, b"\n") == b"over\n"
    container.kill_monitor()
    (box.shared / "wait").write_text("go on\n")
    assert container.end() == "3"


def test_an_input_that_ended_before_the_container_was_there(
    box: Box, monitors: Monitors, with_options: Callable[..., None]
) -> None:
    """It hurts nobody, and no other monitor opens it again."""
    with_options("--full-attach", "-i")
    slow = box.directory / "slow"
    slow.write_text(f'#!/bin/sh\ncase "$*" in *create*) cat {box.shared}/go;; esac\nexec {box.runtime} "$@"\n')
    slow.chmod(0o755)
    for name in ("go", "wait"):
        os.mkfifo(box.shared / name)
    cid = box.container("cat; echo over; cat /shared/wait; exit 3")
    with ThreadPoolExecutor() as pool:
        creating = pool.submit(Watched, box, monitors, cid, runtime=slow)
        until((box.layout.container(cid) / "monitor.pid").exists, "there is a monitor")
        monitor = int((box.layout.container(cid) / "monitor.pid").read_text())
        with (box.shared / "go").open("w"):  # once the runtime is started
            before = pipes(monitor)
            with connect(box, cid) as early:
                early.shutdown(socket.SHUT_WR)
                until(lambda: pipes(monitor) < before, "the input is closed")
        container = creating.result()
    assert container.monitor == monitor
    box.start(cid)
    container.grown()
    container.kill_monitor()
    (box.shared / "wait").write_text("go\n")
    assert container.end() == "3"
    assert box.output(cid) == "over\ngo\n"


def pipes(pid: int) -> set[str]:
    """Those of which the process has an end open."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(fd.readlink()))
    return {name for name in found if name.startswith("pipe:")}


def test_a_terminal_stays_the_containers(box: Box, monitors: Monitors, with_options: Callable[..., None]) -> None:
    with_options("--full-attach", "-t")
    script = "trap 'stty size' WINCH; echo ready; while read line; do echo got $line; done; exit 5"
    container = Watched(box, monitors, with_terminal(box, script))
    box.start(container.cid)
    container.grown()
    container.kill_monitor()
    with connect(box, container.cid) as attached:
        attached.send(b"hello\n")
        shown(attached, b"got hello")
        (box.layout.container(container.cid) / "ctl").write_text("1 33 77\n")
        attached.send(b"more\n\4")
        assert container.end() == "5"
    output = box.output(container.cid)
    assert output.startswith("ready\n")
    assert "33 77" in output


def test_what_a_terminal_holds_at_the_end_is_in_the_log(
    box: Box, monitors: Monitors, with_options: Callable[..., None]
) -> None:
    with_options("-t")
    container = Watched(box, monitors, with_terminal(box, "seq 1900; exit 5"))
    os.kill(container.monitor, signal.SIGSTOP)
    box.start(container.cid)
    with pidfd(container.pid) as ending:
        wait_gone(ending)
    os.kill(container.monitor, signal.SIGKILL)
    assert container.end() == "5"
    assert box.output(container.cid).split() == [str(number) for number in range(1, 1901)]


def test_both_killed_at_once(box: Box, monitors: Monitors) -> None:
    container = Watched(box, monitors, box.container("echo here; cat /shared/wait"))
    os.mkfifo(box.shared / "wait")
    box.start(container.cid)
    container.grown()
    for pid in (container.monitor, container.pid):
        os.kill(pid, signal.SIGKILL)
    assert container.end() == "137"
    assert box.output(container.cid) == "here\n"


def test_one_that_is_killed_again_and_again(box: Box, monitors: Monitors) -> None:
    container = Watched(box, monitors, box.container("read x < /shared/wait; echo $x; exit 9"))
    os.mkfifo(box.shared / "wait")
    box.start(container.cid)
    for _ in range(5):
        container.kill_monitor()
    (box.shared / "wait").write_text("still here\n")
    assert container.end() == "9"
    assert box.output(container.cid) == "still here\n"


def test_a_full_disk_keeps_no_monitor_from_taking_over(box: Box, monitors: Monitors) -> None:
    """Nor from saying so, and nothing lies around afterwards."""
    small = mounted(box)
    pidfile = small / "monitor.pid"
    cid = box.container("cat /shared/wait; exit 9")
    os.mkfifo(box.shared / "wait")
    monitors.create(box.request(cid, monitor_pidfile=pidfile))
    first = pidfile.read_text()
    box.start(cid)
    filled(small)
    os.kill(int(first), signal.SIGKILL)
    until(lambda: pidfile.read_text() != first, "another monitor comes")
    assert parent(int(pidfile.read_text())) == box.zygotes[0]
    assert sorted(path.name for path in small.iterdir()) == ["fill", "monitor.pid"]
    with moved_into(box.layout.exits) as told:
        (box.shared / "wait").write_text("go\n")
        readable(told, "nobody tells how it ended")
    assert box.exit_status(cid) == "9"
    KERNEL.umount(str(small), DETACH)


def test_room_for_an_exit_file_is_kept_for_the_next_monitor(box: Box, monitors: Monitors) -> None:
    """Others may fill the disk while there is none."""
    small = mounted(box)
    container = Watched(box, monitors, box.container("cat /shared/wait; exit 9"), exit_dir=small)
    os.mkfifo(box.shared / "wait")
    (zygote,) = box.zygotes
    box.start(container.cid)
    filled(small)
    first = container.monitor
    with pidfd(first) as ending:
        os.kill(zygote, signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        wait_gone(ending)
        filled(small)
        os.kill(zygote, signal.SIGCONT)
    until(lambda: container.monitor != first, "another monitor comes")
    with moved_into(small) as told:
        (box.shared / "wait").write_text("go\n")
        readable(told, "nobody tells how it ended")
    assert (small / container.cid).read_text() == "9"
    KERNEL.umount(str(small), DETACH)


def mounted(box: Box) -> Path:
    """A small disk."""
    small = box.directory / "small"
    small.mkdir()
    KERNEL.mount("tmpfs", str(small), "tmpfs", MountFlag(0), "size=64k")
    return small


def filled(directory: Path) -> None:
    with (directory / "fill").open("ab", buffering=0) as fill, contextlib.suppress(OSError):
        while fill.write(b"x" * 4096):
            continue


def test_an_end_is_told_soon_however_many_monitors_have_died(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the next monitor is to wait for long: here ten minutes."""
    altered(box, monkeypatch, "wards", "_FIRST = _MOST = 600.0")
    monitors = Monitors(box.layout, enter_cgroup=box.own)
    container = Watched(box, monitors, box.container("sleep 1000"))
    box.start(container.cid)
    for _ in range(_AT_ONCE):
        container.kill_monitor()
    for pid in (container.monitor, container.pid):
        os.kill(pid, signal.SIGKILL)
    assert container.end() == "137", "within the deadline, which is shorter"


def test_what_a_monitor_can_do_without_is_no_reason_to_clean_up(
    box: Box, monitors: Monitors, with_options: Callable[..., None]
) -> None:
    """Whoever is meant by the exit command takes it for the end of the container."""
    cleaned = box.directory / "cleaned"
    cleanup = box.directory / "cleanup"
    cleanup.write_text(f"#!/bin/sh\necho cleaned >> {cleaned}\n")
    cleanup.chmod(0o755)
    cid = box.container("cat /shared/wait; exit 9")
    os.mkfifo(box.shared / "wait")
    bundle = box.layout.container(cid)
    (bundle / "notify").mkdir()
    with_options("--exit-command", str(cleanup), "--full-attach", "--sdnotify-socket", str(box.directory / "host"))
    container = Watched(box, monitors, cid)
    box.start(cid)
    shutil.rmtree(bundle / "notify")
    (bundle / "ctl").unlink()
    (bundle / "ctl").mkdir()
    for _ in range(2):
        container.kill_monitor()
        connect(box, cid).close()  # not before it is at work
    with pidfd(container.monitor) as ending:
        (box.shared / "wait").write_text("go\n")
        assert container.end() == "9"
        wait_gone(ending)
    assert cleaned.read_text() == "cleaned\n"
    assert box.output(cid) == "go\n"


def test_one_that_fails_leaves_all_to_the_next(
    box: Box, monkeypatch: pytest.MonkeyPatch, with_options: Callable[..., None]
) -> None:
    """Of the same zygote: it neither tells of an end nor waits for it."""
    cleaned = box.directory / "cleaned"
    with_options("--exit-command", "/bin/touch", "--exit-command-arg", str(cleaned), "--full-attach")
    struck(box, monkeypatch, "lifecycle", "Monitor", "_reopen_logs", "before", act=FAIL)
    container = Watched(box, Monitors(box.layout, enter_cgroup=box.own), box.container("cat /shared/wait; exit 9"))
    os.mkfifo(box.shared / "wait")
    box.start(container.cid)
    first = container.monitor
    (container.bundle / "ctl").write_text("2 0 0\n")
    until(lambda: container.monitor != first, "another monitor comes")
    assert (box.directory / "struck").exists()
    assert not cleaned.exists()
    (box.shared / "wait").write_text("go\n")
    assert container.end() == "9"
    until(cleaned.exists, "the exit command runs")


def test_held_ports_stay_held_until_the_end(box: Box, monitors: Monitors) -> None:
    reader, writer = os.pipe()
    container = Watched(box, monitors, box.container("read x < /shared/wait; exit 9"), keep_fds=(writer,))
    os.mkfifo(box.shared / "wait")
    os.close(writer)
    os.set_blocking(reader, False)
    box.start(container.cid)
    container.kill_monitor()
    with pytest.raises(BlockingIOError):  # it would be b"" if nobody held it
        os.read(reader, 1)
    (box.shared / "wait").write_text("go\n")
    assert container.end() == "9"
    assert os.read(reader, 1) == b"", "the exit was told while the port was taken"
    os.close(reader)


def test_the_zygote_is_not_needed_by_monitors(box: Box, monitors: Monitors) -> None:
    """It dies first: then a monitor has no other, the container goes on, and nobody can tell how it ends."""
    container = Watched(box, monitors, box.container("trap '' PIPE; while read x < /shared/wait; do :; done; exit 4"))
    os.mkfifo(box.shared / "wait")
    (zygote,) = box.zygotes
    box.start(container.cid)
    with pidfd(zygote) as ending, pidfd(container.monitor) as monitor:
        os.kill(zygote, signal.SIGKILL)
        wait_gone(ending)
        os.kill(container.monitor, signal.SIGKILL)
        wait_gone(monitor)
    with pidfd(container.pid) as ending:
        (box.shared / "wait").write_text("it goes on\n")
        os.kill(container.pid, signal.SIGKILL)
        wait_gone(ending)
    assert not (box.layout.exits / container.cid).exists()


def test_a_replacement_whose_zygote_dies_tells_that_the_status_is_unknown(box: Box, monitors: Monitors) -> None:
    container = Watched(box, monitors, box.container("read x < /shared/wait; echo $x; exit 9"))
    os.mkfifo(box.shared / "wait")
    (zygote,) = box.zygotes
    box.start(container.cid)
    container.kill_monitor()
    with pidfd(zygote) as ending:
        os.kill(zygote, signal.SIGKILL)
        wait_gone(ending)
    (box.shared / "wait").write_text("written\n")
    assert container.end() == "-1"
    assert box.output(container.cid) == "written\n"


def test_a_container_that_is_being_removed_gets_no_other(box: Box) -> None:
    monitors = Monitors(box.layout, enter_cgroup=box.own, idle=0.5)
    container = Watched(box, monitors, box.container("sleep 1000"))
    (zygote,) = box.zygotes
    container.bundle.rename(box.directory / "grave")
    with pidfd(zygote) as ending:
        os.kill(int((box.directory / "grave/monitor.pid").read_text()), signal.SIGKILL)
        os.kill(container.pid, signal.SIGKILL)
        wait_gone(ending)
    assert not (box.layout.exits / container.cid).exists()
    assert not monitors_of([container.cid])


STRIKES = {
    "before the pid is told": ("lifecycle", "Monitor", "_keep", "before"),
    "when it has just been kept": ("lifecycle", "Monitor", "_keep", "after"),
    "before output is in the log": ("logs.k8sfile", "K8sFile", "write", "before"),
    "after output is in the log": ("logs.k8sfile", "K8sFile", "write", "after"),
    "when it has heard of the end": ("lifecycle", "Monitor", "_end", "before"),
    "before the zygote hears of the end": ("keeping", "Line", "ended", "before"),
    "after the zygote heard of the end": ("keeping", "Line", "ended", "after"),
    "before the exit files": ("exitfiles", "", "write_status", "before"),
    "between the exit files": ("exitfiles", "", "replace", "after", "/exit'"),
    "after the exit files": ("exitfiles", "", "write_status", "after"),
}
"""Where a monitor kills itself, once."""


@pytest.mark.parametrize("where", STRIKES)
def test_killed_at(where: str, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    struck(box, monkeypatch, *STRIKES[where])
    monitors = Monitors(box.layout, enter_cgroup=box.own)
    cid = box.container("echo out; echo err >&2; exit 7")
    if "pid" in where or "kept" in where:
        with pytest.raises(RuntimeFailed, match="its monitor ended without a word"):
            Watched(box, monitors, cid)
        assert (box.directory / "struck").exists()
        return
    container = Watched(box, monitors, cid)
    box.start(cid)
    assert container.end() == "7"
    assert (box.output(cid), box.output(cid, "stderr")) == ("out\n", "err\n")
    until((box.directory / "struck").exists, "the monitor came to that place")  # perhaps after the end was told


STRIKE = """

def _strike(function, when, word):
    def struck(*arguments, **options):
        meant = word in repr(arguments)
        if meant and when == "before":
            _once()
        result = function(*arguments, **options)
        if meant and when == "after":
            _once()
        return result

    return struck


def _once():
    import os

    with open("/proc/self/cmdline", "rb") as file:
        if b"--zygote" in file.read():  # it only rehearses; a monitor has its own words there
            return
    try:
        os.close(os.open(_MARK, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    _act()

"""
KILL = "os.kill(os.getpid(), 9)"
FAIL = "raise OSError(5, 'struck')"


def struck(
    box: Box,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    owner: str,
    name: str,
    when: str,
    word: str = "",
    act: str = KILL,
) -> None:
    """The first monitor from now on that calls this, ``word`` among the arguments, kills itself there (or ``act``)."""
    target = f"{owner}.{name}" if owner else name
    mark = f"_MARK = {str(box.directory / 'struck')!r}\n"
    acting = f"def _act():\n    import os\n\n    {act}\n"
    altered(box, monkeypatch, module, f"{mark}{STRIKE}\n{acting}\n{target} = _strike({target}, {when!r}, {word!r})")


def altered(box: Box, monkeypatch: pytest.MonkeyPatch, module: str, lines: str) -> None:
    """Monitors from now on are of a copy of the package in which the module ends with these lines."""
    package = box.directory / "site/conmon"
    shutil.copytree(CHECKOUT / "conmon", package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / f"{module.replace('.', '/')}.py").open("a") as file:
        file.write(f"{lines}\n")
    python, *flags, _ = framing.interpreter()
    version = framing.version
    monkeypatch.setattr(framing, "interpreter", lambda: [python, *flags, str(package)])
    monkeypatch.setattr(framing, "version", lambda: version(str(package)))
