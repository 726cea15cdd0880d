"""What cgroups say, v1 and v2 alike, for tests."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine import cgroups
from reconciler.engine.cgroups import names
from reconciler.engine.oci.host import CgroupMode
from reconciler.engine.oci.linux import to_weight

ROOT = "/sys/fs/cgroup"


@dataclass(frozen=True)
class Values:
    """``cpu`` is shares on v1, weight on v2; None for no limit."""

    cpu: int
    quota: int | None
    memory: int | None
    pids: int | None


def wanted(shares: int, quota: int | None = None, memory: int | None = None, pids: int | None = 4096) -> Values:
    v2 = cgroups.current().mode is CgroupMode.V2
    return Values(to_weight(shares) if v2 else shares, quota, memory, pids)


def values(path: str) -> Values:
    where = cgroups.current()
    if where.mode is CgroupMode.V2:
        directory = where.all[0].root / path[1:]
        quota = (directory / "cpu.max").read_text().split()[0]
        return Values(
            int((directory / "cpu.weight").read_text()),
            None if quota == "max" else int(quota),
            cgroups.memory_limit(path),
            _number(directory / "pids.max"),
        )
    cpu, pids = where.v1("cpu"), where.v1("pids")
    assert cpu is not None
    assert pids is not None
    quota = (cpu.root / path[1:] / "cpu.cfs_quota_us").read_text().strip()
    return Values(
        int((cpu.root / path[1:] / "cpu.shares").read_text()),
        None if quota == "-1" else int(quota),
        cgroups.memory_limit(path),
        _number(pids.root / path[1:] / "pids.max"),
    )


def level_shares(path: str) -> int:
    """The CPU shares (v1) or weight (v2) of a cgroup that holds pods."""
    where = cgroups.current()
    hierarchy = where.all[0] if where.mode is CgroupMode.V2 else where.v1("cpu")
    assert hierarchy is not None
    return int((hierarchy.root / path[1:] / ("cpu.weight" if hierarchy.v2 else "cpu.shares")).read_text())


def group_of(pid: int) -> str:
    """The path of a process's cgroup where its memory is counted."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") or (number == "0" and cgroups.current().mode is CgroupMode.V2):
            return path
    raise AssertionError(f"process {pid} is in no memory cgroup")


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def pod_of(path: str) -> str:
    """The cgroup of the pod around that of a container (under systemd in a scope, in which it may have its own)."""
    while names.pod_of(path) is None:
        path = parent(path)
    return path


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def may_lower_scores() -> bool:
    """Whether this host lets us give processes a lower oom_score_adj than our own (CAP_SYS_RESOURCE)."""
    caps = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(caps.split()[1], 16) >> 24 & 1)


def machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cores() -> int:
    return os.cpu_count() or 1


def _number(file: Path) -> int | None:
    text = file.read_text().strip()
    return None if text == "max" else int(text)


def below_mounts(tag: str) -> list[str]:
    """What is called after an instance in the directories that cgroup v1's hierarchies are mounted on: nobody sees it,
    and each file there keeps alive the memory cgroup of who made it."""
    if cgroups.current().mode is CgroupMode.V2:
        return []
    script = f"mount --bind {ROOT} {ROOT} && find {ROOT} -mindepth 2 -path '*/reconciler-{tag}*'"
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
