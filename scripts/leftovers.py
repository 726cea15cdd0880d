"""List what tests could leave behind: one sorted line for each process, mount, loop device, link, nft table, cgroup
(one below a hierarchy's mount, too) and directory.

Run before and after the tests in the namespaces they ran in; what is new is a leak. With ``--settle FILE`` it waits a
moment for processes that are on their way out (not in FILE). Only the standard library is used.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PREFIX = "reconciler-"
"""How everything of ours outside an instance's directories begins (and the tests' own directories)."""


MACHINES_OWN = ("/init.scope", "/system.slice/")
"""Cgroups of systemd's own services. The kernel's threads are in the root."""


def processes() -> Iterator[str]:
    """Every process but this one and those that started it, by its command line (zombies are leaks too).

    Where there is no process namespace of the tests' own, those that the machine has anyway are left out.
    """
    mine = set(ancestry(os.getpid()))
    shared = Path("/proc/1/comm").read_text().strip() == "systemd"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) in mine:
            continue
        try:
            if shared and is_the_machines((entry / "cgroup").read_text()):
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            name = (entry / "comm").read_text().strip()
        except OSError:
            continue
        yield f"process {entry.name} {command or f'[{name}]'}"


def is_the_machines(cgroups: str) -> bool:
    """``cgroups``: as /proc/PID/cgroup has them."""
    path = cgroups.strip().rpartition(":")[2]
    return path == "/" or path.startswith(MACHINES_OWN)


def ancestry(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        yield f"mount {line.split()[4]}"


def loops() -> Iterator[str]:
    """Loop devices, which are the whole machine's, with a file of ours: those that do not go with their last mount, and
    those that a process has mounted (of others' runs, whose go with their mounts, no process is seen)."""
    for device in Path("/sys/block").glob("loop*/loop"):
        name = f"/dev/{device.parent.name}"
        try:
            file = (device / "backing_file").read_text().strip()
            stays = (device / "autoclear").read_text().strip() == "0"
        except OSError:  # it has none, or none any more
            continue
        if PREFIX in file and (stays or is_mounted(name)):
            yield f"loop device {name} {file}"


def is_mounted(device: str) -> bool:
    """In any mount namespace that a process is in."""
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):
            if f" {device} " in table.read_text():
                return True
    return False


def links() -> Iterator[str]:
    for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
        yield f"link {line.partition(':')[0].strip()}"


def tables() -> Iterator[str]:
    listing = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, timeout=30, check=False)
    for line in listing.stdout.splitlines():
        yield f"nft {line}"


def cgroups() -> Iterator[str]:
    """Those of ours; one with processes of another process namespace (shown as 0) is somebody else's."""
    for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        if hierarchy.is_dir():
            ours = (*hierarchy.glob(f"{PREFIX}*"), *hierarchy.glob(f"reconciler.slice/{PREFIX}*"))
            yield from (f"cgroup {path}" for path in ours if not is_foreign(path))


def hidden() -> Iterator[str]:
    """Those in the directories that the hierarchies are mounted on: made by who did not see the mount."""
    if not Path("/sys/fs/cgroup/cgroup.procs").exists():
        script = "mount --bind /sys/fs/cgroup /sys/fs/cgroup && find /sys/fs/cgroup -mindepth 2 -maxdepth 2"
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        found = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
        yield from (f"hidden {path}" for path in found.stdout.splitlines())


def is_foreign(cgroup: Path) -> bool:
    try:
        return any("0" in (path / "cgroup.procs").read_text().split() for path in (cgroup, *cgroup.glob("**/")))
    except OSError:  # somebody removes it at this moment
        return True


def directories() -> Iterator[str]:
    for parent in (Path(tempfile.gettempdir()), Path("/run"), Path("/run/netns"), Path("/var/lib"), Path("/dev/shm")):
        if parent.is_dir():
            yield from (f"directory {path}" for path in parent.glob(f"{PREFIX.rstrip('-')}*"))


def listing() -> list[str]:
    return sorted({*processes(), *mounts(), *loops(), *links(), *tables(), *cgroups(), *hidden(), *directories()})


def main() -> None:
    parser = argparse.ArgumentParser(description="List what tests could leave behind.")
    parser.add_argument("--settle", type=Path, metavar="FILE", help="wait up to 5 s for what is not in FILE to go")
    options = parser.parse_args()
    known = set(options.settle.read_text().splitlines()) if options.settle else set()
    until = time.monotonic() + (5 if options.settle else 0)
    while True:
        found = listing()
        if set(found) <= known or time.monotonic() > until:
            break
        time.sleep(0.1)
    print("\n".join(found))


if __name__ == "__main__":
    main()
