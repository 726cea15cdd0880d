"""Where podman and the bare runtime are called: a mount namespace that stays, in which Debian's crun works.

crun 1.8 refuses a cgroup2 mount beside v1 controllers, so that mount is detached there. /run, /dev/shm and CNI's
state are empty file systems of its own: podman's locks, network namespaces and addresses are never this machine's.
So is /dev/null, which `podman exec` gives away to the user of a container (crun before 1.24). Systemd and its journal,
which podman insists on where there is one, stay in sight.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from reconciler.engine import processes
from reconciler.linux.syscalls import DETACH, KERNEL, MountFlag, Namespace
from tests.host.instance import Instance, expect_nothing_left

READY = "ready"
CGROUPS = Path("/sys/fs/cgroup")
VOLATILE = Path("/run/bench")
"""A directory on a tmpfs, there."""
WITHOUT_UNIFIED = """
mount -t tmpfs -o mode=755 tmpfs /mnt
for hierarchy in /sys/fs/cgroup/*; do
    [ "$hierarchy" != /sys/fs/cgroup/unified ] && mountpoint -q "$hierarchy" || continue
    mkdir "/mnt/${hierarchy##*/}"
    mount --bind "$hierarchy" "/mnt/${hierarchy##*/}"
done
mount --move /mnt /sys/fs/cgroup
"""
"""The v1 hierarchies alone, for a mount namespace. crun refuses where it sees cgroup2 beside them; an empty directory
in its place it fills, and whatever is in there keeps a memory cgroup alive."""
SCRIPT = f"""
set -e
if mountpoint -q {CGROUPS}/unified; then {WITHOUT_UNIFIED} fi
aside=$(mktemp -d)
for kept in systemd dbus; do
    [ ! -d /run/$kept ] || {{ mkdir $aside/$kept; mount --bind /run/$kept $aside/$kept; }}
done
for own in /run /dev/shm /var/lib/cni; do
    [ ! -d $own ] || mount -t tmpfs -o mode=755 tmpfs $own
done
for kept in systemd dbus; do
    [ ! -d $aside/$kept ] || {{ mkdir /run/$kept; mount --move $aside/$kept /run/$kept; rmdir $aside/$kept; }}
done
rmdir $aside
mkdir {VOLATILE}
mknod -m 666 /run/null c 1 3
mount --bind /run/null /dev/null
echo {READY}
exec cat
"""


class Place:
    """Its threads live in the namespace, so that what they start is there without another program in between."""

    def __init__(self, threads: int = 3) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout
        if self._holder.stdout.readline().strip() != READY.encode():
            raise RuntimeError("cannot make the mount namespace for podman and the bare runtime")
        self._threads = ThreadPoolExecutor(threads, initializer=self._enter)

    def _enter(self) -> None:
        namespace = os.open(f"/proc/{self._holder.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            KERNEL.unshare(Namespace.FS)
            KERNEL.setns(namespace, Namespace.MOUNT)
        finally:
            os.close(namespace)

    def run(self, *command: str | Path, environment: dict[str, str] | None = None) -> str:
        """What the command said, once it has ended."""
        return self._threads.submit(_run, command, environment).result()

    def end(self) -> None:
        self._threads.shutdown()
        assert self._holder.stdin and self._holder.stdout
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait(10)


def _run(command: tuple[str | Path, ...], environment: dict[str, str] | None) -> str:
    """No pipe is inherited by what the command leaves running: output goes through a file."""
    with open(os.memfd_create("output"), "w+b") as output:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=120, check=False
        )
        output.seek(0)
        said = output.read().decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{command} failed: {said}")
    return said


def end_instance(instance: Instance) -> None:
    """End an instance that was measured; its cgroups, which would outlive it empty, go too."""
    instance.stop_controllers()
    instance.remove_everything()
    run = instance.root / "run"
    if run.is_mount():
        KERNEL.umount(str(run), DETACH)
    expect_nothing_left(instance.root)


def make_volatile(run: Path) -> None:
    """What does not outlive a reboot is on a tmpfs, as /run is on every machine; so are podman's and the bare runtime's
    own (``VOLATILE``)."""
    run.mkdir(parents=True)
    KERNEL.mount("tmpfs", str(run), "tmpfs", MountFlag.NOSUID, "mode=755")


def pids_in(name: str) -> set[int]:
    """Every process in the cgroup ``name`` or below, in any hierarchy."""
    found: set[int] = set()
    for hierarchy in (CGROUPS, *CGROUPS.iterdir()):
        for directory, _, files in os.walk(hierarchy / name):
            if "cgroup.procs" in files:
                with suppress(OSError):
                    found.update(map(int, (Path(directory) / "cgroup.procs").read_text().split()))
    return found - {0}


def kill_all(pids: Iterable[int]) -> None:
    """Kill these, and wait until they are gone."""
    refs = [ref for ref in map(processes.pid_ref, pids) if ref is not None]
    for ref in refs:
        with suppress(ProcessLookupError):
            os.kill(ref.pid, signal.SIGKILL)
    for ref in refs:
        processes.wait_gone(ref, 30)


def remove_cgroups(name: str) -> None:
    """Remove the cgroups below and including ``name`` in each hierarchy, where nothing lives in them."""
    for hierarchy in (CGROUPS, *CGROUPS.iterdir()):
        top = hierarchy / name
        if hierarchy.is_dir() and top.is_dir():
            for directory, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    os.rmdir(directory)  # noqa: PTH106
