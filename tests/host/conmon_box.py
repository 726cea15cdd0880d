"""A place for bare containers: bundles without an engine, a root directory made of the machine's busybox.

Nothing here waits by sleeping: a container's end is its monitor's end (a pidfd), and by then its exit files are there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from reconciler.engine.layout import Layout
from reconciler.engine.monitors import MonitorRequest
from reconciler.engine.oci.prepare import COVER_UNIFIED
from reconciler.model.key import ContainerId
from tests.slowness import seconds

DEADLINE = seconds(60.0)
CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = CGROUPS / "unified"
RUNTIMES = ("crun", "runc")


class Box:
    """Containers of one test, run by ``runtime`` (crun or runc)."""

    def __init__(self, directory: Path, runtime: str) -> None:
        self.directory = directory
        self.layout = Layout.at(directory)
        self.layout.make()
        self.runtime = Path("/usr/bin") / runtime
        self.runtime_args = ("--root", str(self.layout.runtime_state(runtime)))
        self.logs = directory / "box-logs"
        self.logs.mkdir()
        self.shared = directory / "shared"
        self.shared.mkdir()
        self._cgroup = f"reconciler-test-{secrets.token_hex(4)}"
        self._made: list[ContainerId] = []
        self._zygotes: dict[int, int] = {}
        self._lower = directory / "lower"
        self._make_lower()

    def container(self, script: str, *, own_pids: bool = True, **config: object) -> ContainerId:
        """A bundle whose init process is this shell script; ``config`` replaces top-level keys of config.json."""
        cid = ContainerId(secrets.token_hex(32))
        bundle = self.layout.container(cid)
        for name in ("rootfs", "upper", "work"):
            (bundle / name).mkdir(parents=True)
        (bundle / "config.json").write_text(json.dumps({**self._config(cid, script, own_pids), **config}))
        (bundle / "prepare").write_text(self._prepare(bundle))
        self._made.append(cid)
        return cid

    def request(self, cid: ContainerId, **more: object) -> MonitorRequest:
        bundle = self.layout.container(cid)
        fields: dict[str, object] = {
            "cid": cid,
            "name": f"box-{cid[:6]}",
            "bundle": bundle,
            "runtime": self.runtime,
            "runtime_args": self.runtime_args,
            "log": self.log(cid),
            "pidfile": self.layout.pids / cid,
            "exit_dir": self.layout.exits,
            "persist_dir": bundle,
            "prepare": bundle / "prepare",
        }
        return MonitorRequest(**{**fields, **more})  # type: ignore[arg-type]

    def log(self, cid: ContainerId) -> Path:
        return self.logs / f"{cid}.log"

    def start(self, cid: ContainerId) -> None:
        self.run("start", cid)

    def run(self, *words: str) -> None:
        """A command of the runtime."""
        command = [self.runtime, *self.runtime_args, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        assert done.returncode == 0, done.stderr

    def start_when_created(self, cid: ContainerId) -> None:
        """For a container whose pid nobody told: by the runtime's own word, within the deadline."""
        command = [self.runtime, *self.runtime_args, "state", cid]
        deadline = time.monotonic() + DEADLINE
        while '"created"' not in subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE).stdout:
            assert time.monotonic() < deadline, "the container is not created"
        self.start(cid)

    def start_and_wait(self, cid: ContainerId, pid: int) -> str:
        """From created to ended; the exit file's content."""
        monitor = parent(pid)
        with pidfd(monitor) as ending:
            self.start(cid)
            wait_gone(ending)
        return self.exit_status(cid)

    def exit_status(self, cid: ContainerId) -> str:
        status = (self.layout.exits / cid).read_text()
        assert (self.layout.container(cid) / "exit").read_text() == status
        return status

    def output(self, cid: ContainerId, stream: str = "stdout") -> str:
        """What the log says was written, put together again."""
        text = ""
        for line in self.log(cid).read_text().splitlines():
            _, name, tag, content = line.split(" ", 3)
            if name == stream:
                text += content + ("\n" if tag == "F" else "")
        return text

    def own(self, zygote: int) -> None:
        """Remember a zygote, to end it afterwards. Fit to be ``enter_cgroup``: counts them, too."""
        self._zygotes[zygote] = os.pidfd_open(zygote)

    @property
    def zygotes(self) -> list[int]:
        return list(self._zygotes)

    def clear(self) -> None:
        """End and remove all of it, the zygotes first: they replace monitors. Nothing may be left."""
        for ending in self._zygotes.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(ending, signal.SIGKILL)
            wait_gone(ending)
            os.close(ending)
        for monitor in monitors_of(self._made):  # one that is still creating takes its runtime along
            with contextlib.suppress(ProcessLookupError), pidfd(monitor) as ending:
                signal.pidfd_send_signal(ending, signal.SIGKILL)
                wait_gone(ending)
        for cid in self._made:
            self._kill_all(cid)
            command = [self.runtime, *self.runtime_args, "delete", "--force", cid]
            subprocess.run(command, capture_output=True, timeout=DEADLINE)
        for hierarchy in CGROUPS.iterdir():
            remove_cgroups(hierarchy / self._cgroup)
        remove_cgroups(CGROUPS / self._cgroup)

    def _kill_all(self, cid: ContainerId) -> None:
        """Orphans in a shared pid namespace outlive their container."""
        for base in (CGROUPS, *CGROUPS.iterdir()):
            with contextlib.suppress(OSError):
                for pid in (base / self._cgroup / cid / "cgroup.procs").read_text().split():
                    with pidfd(int(pid)) as ending:
                        signal.pidfd_send_signal(ending, signal.SIGKILL)
                        wait_gone(ending)

    def _make_lower(self) -> None:
        for name in ("bin", "proc", "dev", "tmp", "shared"):
            (self._lower / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self._lower / "bin/busybox")
        for name in ("sh", "cat", "echo", "grep", "head", "kill", "ls", "seq", "sleep", "tr", "yes", "wc", "true"):
            (self._lower / "bin" / name).symlink_to("busybox")

    def _config(self, cid: str, script: str, own_pids: bool) -> dict[str, object]:
        kinds = ("ipc", "uts", "mount", "network", *(("pid",) if own_pids else ()))
        return {
            "ociVersion": "1.0.0",
            "root": {"path": "rootfs"},
            "process": {
                "cwd": "/",
                "args": ["/bin/sh", "-c", script],
                "env": ["PATH=/bin"],
                "user": {"uid": 0, "gid": 0},
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/shared", "type": "bind", "source": str(self.shared), "options": ["bind"]},
            ],
            "linux": {"cgroupsPath": f"/{self._cgroup}/{cid}", "namespaces": [{"type": kind} for kind in kinds]},
        }

    def _prepare(self, bundle: Path) -> str:
        lines = ["unshare", "slave\t/"]
        if self.runtime.name == "crun" and UNIFIED.is_dir():
            lines.append("\t".join(COVER_UNIFIED))
        data = f"lowerdir=lower,upperdir={bundle}/upper,workdir={bundle}/work"
        lines += [f"chdir\t{self.directory}", f"mount\toverlay\t{bundle}/rootfs\toverlay\t0\t{data}"]
        return "\n".join(lines) + "\n"


def parent(pid: int) -> int:
    """A container's monitor is the parent of its init process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


def field(pid: int, name: str) -> str:
    """A line of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}:")).split(None, 1)[1]


@contextlib.contextmanager
def pidfd(pid: int) -> Iterator[int]:
    """Raises ProcessLookupError where it is gone, which Linux says with EINVAL of what is a session's number still."""
    try:
        fd = os.pidfd_open(pid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ProcessLookupError(errno.ESRCH, f"process {pid} is gone") from error
    try:
        yield fd
    finally:
        os.close(fd)


def wait_gone(fd: int) -> None:
    """Until the process of a pidfd has ended."""
    readable(fd, "the process does not end")


def readable(fd: int, complaint: str) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(DEADLINE * 1000), complaint


def shown(client: socket.socket, text: bytes) -> bytes:
    """What an attach client gets of stdout until this is in it, in however many records: a terminal gives as many as it
    likes (a line and its end, for one), a pipe as many as there were writes."""
    said = b""
    while text not in said:
        record = client.recv(8193)
        assert record[:1] == b"\2", f"{record!r} came after {said!r}, and not {text!r}"
        said += record[1:]
    return said


@contextlib.contextmanager
def moved_into(directory: Path) -> Iterator[int]:
    """A descriptor that can be read as soon as a file was renamed into the directory (inotify)."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    moved_to = 0x80
    assert libc.inotify_add_watch(fd, os.fsencode(directory), moved_to) > 0
    try:
        yield fd
    finally:
        os.close(fd)


def monitors_of(containers: list[ContainerId]) -> list[int]:
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                command = (directory / "cmdline").read_bytes()
                if b"conmon" in command and any(cid.encode() in command for cid in containers):
                    found.append(int(directory.name))
    return found


def hurry_packers() -> None:
    """Who packs full logs has the lowest priority: where others are at work it would take minutes."""
    for pid in monitors_of([ContainerId("conmon gzip")]):
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, pid, 0)


def remove_cgroups(path: Path) -> None:
    if path.is_dir():
        for inside in sorted(path.rglob("*/"), reverse=True):
            inside.rmdir()
        path.rmdir()
