"""A root on a small disk of its own, which can be full: an ext4 in a file, by a loop device. Its run
directory is in memory, as a machine's is, and what its controllers say goes elsewhere.

Loop devices are the machine's, not a namespace's. The kernel releases one that ``mount -o loop`` made with its last
mount; a worker's mounts are in a namespace of its own, so that is also when it is killed.
"""

from __future__ import annotations

import functools
import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.linux.syscalls import DETACH, KERNEL, MountFlag
from tests.host.instance import until

BLOCK = 4096
SIZE = 32 << 20
DEVICES = Path("/sys/block")


@dataclass(frozen=True)
class SmallDisk:
    """``root`` is where it is mounted."""

    root: Path

    @property
    def _ballast(self) -> Path:
        return self.root / "ballast"

    def fill(self, left: int = 0) -> None:
        """Take every free block but ``left`` of them; once more, also what came free meanwhile."""
        with self._ballast.open("ab") as ballast:
            taken = ballast.tell()
            for step in (1 << 20, BLOCK):
                while _takes(ballast.fileno(), taken, step):
                    taken += step
            ballast.truncate(taken - left * BLOCK)
            os.fsync(ballast.fileno())  # what is truncated comes free with the journal's next commit

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)


def _takes(fd: int, offset: int, length: int) -> bool:
    try:
        os.posix_fallocate(fd, offset, length)
    except OSError:
        return False
    return True


def mounted(root: Path, directory: Path) -> Iterator[SmallDisk]:
    """For a fixture: a small disk at ``root``, whose file is in ``directory``. Skips where there can be none."""
    if why := _why_not():
        pytest.skip(why)
    file = directory / "reconciler-disk"
    with file.open("wb") as made:
        made.truncate(SIZE)
    # No lazy tables: a kernel thread would write them later. No reserve: root is who fills it.
    options = ["-q", "-b", str(BLOCK), "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"]
    subprocess.run(["mkfs.ext4", *options, file], check=True, timeout=60)
    mode = root.stat().st_mode
    subprocess.run(["mount", "-o", "loop", file, root], check=True, timeout=30)
    device = os.minor(root.stat().st_dev)
    behind = _behind(device)
    try:
        root.chmod(mode)
        (root / "controller.log").symlink_to(directory / "controller.log")
        (root / "run").mkdir()
        KERNEL.mount("tmpfs", str(root / "run"), "tmpfs", MountFlag(0), "mode=0700")
        yield SmallDisk(root)
    finally:
        KERNEL.umount(str(root), DETACH)
        gc.collect()  # threads that ended leave database connections behind, and open files hold the disk
        until(lambda: _behind(device) != behind, "the loop device is released")


@functools.cache
def _why_not() -> str:
    """Why there can be no small disk here; "" where there can."""
    if not shutil.which("mkfs.ext4"):
        return "no small disk can be made: there is no mkfs.ext4 here"
    found = subprocess.run(["losetup", "--find"], capture_output=True, text=True, timeout=30, check=False)
    if found.returncode or not Path(found.stdout.strip()).is_block_device():
        return f"no small disk can be mounted: there is no loop device here {found.stderr.strip()}".rstrip()
    return ""


def _behind(device: int) -> str:
    """The file of a loop device, or ""."""
    try:
        return (DEVICES / f"loop{device}" / "loop/backing_file").read_text()
    except OSError:
        return ""
