"""Where podman and the bare runtime are called: a mount namespace that stays, in which Debian's crun works.

crun 1.8 refuses a cgroup2 mount beside v1 controllers, so that mount is detached there. /run, /dev/shm and CNI's
state are empty file systems of its own: podman's locks, network namespaces and addresses are never this machine's.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

READY = "ready"
CGROUPS = Path("/sys/fs/cgroup")
SCRIPT = f"""
set -e
mountpoint -q {CGROUPS}/unified && umount -l {CGROUPS}/unified
for own in /run /dev/shm /var/lib/cni; do
    [ ! -d $own ] || mount -t tmpfs -o mode=755 tmpfs $own
done
echo {READY}
exec cat
"""


class Place:
    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout
        if self._holder.stdout.readline().strip() != READY.encode():
            raise RuntimeError("cannot make the mount namespace for podman and the bare runtime")

    def run(self, *command: str | Path, environment: dict[str, str] | None = None) -> str:
        """What the command said. No pipe is inherited by what it leaves running: output goes through a file."""
        with open(os.memfd_create("output"), "w+b") as output:
            done = subprocess.run(
                ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={os.getcwd()}", *command],  # noqa: PTH109
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=120,
                check=False,
            )
            output.seek(0)
            said = output.read().decode(errors="replace")
        if done.returncode:
            raise RuntimeError(f"{command} failed: {said}")
        return said

    def end(self) -> None:
        assert self._holder.stdin
        self._holder.stdin.close()
        self._holder.wait(10)


def remove_cgroups(name: str) -> None:
    """Remove the cgroups below and including ``name`` in each hierarchy, where nothing lives in them."""
    for hierarchy in (CGROUPS, *CGROUPS.iterdir()):
        top = hierarchy / name
        if hierarchy.is_dir() and top.is_dir():
            for directory, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    os.rmdir(directory)  # noqa: PTH106
