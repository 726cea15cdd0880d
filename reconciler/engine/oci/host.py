"""What this machine lets us give to containers: read once, then a value that everything else works on.

Never ask for more than we have ourselves: without CAP_SYS_RESOURCE a raised rlimit or a lowered
oom_score_adj makes both runtimes fail the container.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from reconciler.engine.oci import rlimits
from reconciler.engine.oci.capabilities import ALL, names_of
from reconciler.engine.oci.rlimits import Rlimit


class CgroupMode(StrEnum):
    V2 = "v2"
    HYBRID = "hybrid"
    V1 = "v1"


@dataclass(frozen=True, slots=True)
class HostCapabilities:
    """``cache`` is where compiled seccomp programs are kept; ``infra_rootfs`` holds catatonit and nothing else.

    ``rlimits`` are what every process gets, as far as we may set it, and ``clamped`` says what is less than wanted;
    ``oom_score_adj_min`` is the lowest score that we may set; ``memory`` the machine's memory in bytes;
    ``seccomp_profile`` is None where this kernel cannot filter, and ``seccomp_root`` holds the profiles of manifests;
    ``apparmor`` is the default profile, ``selinux`` the default label, each None where the kernel has it not or off;
    ``version`` is the runtime's.
    """

    runtime: str
    cgroups: CgroupMode
    cache: Path
    infra_rootfs: Path
    capabilities: frozenset[str] = ALL
    rlimits: tuple[Rlimit, ...] = rlimits.DEFAULT
    clamped: tuple[str, ...] = ()
    oom_score_adj_min: int = -1000
    memory: int = 0
    kernel: tuple[int, int] = (5, 4)
    machine: str = "x86_64"
    hostname: str = ""
    seccomp_profile: Path | None = None
    seccomp_root: Path = Path("/var/lib/reconciler/seccomp")
    apparmor: str | None = None
    selinux: str | None = None
    version: str = ""

    @property
    def reads_joined_users(self) -> bool:
        """Whether the runtime reads the mappings of a user namespace that it joins. runc does since 1.1.11; where it is
        given them all the same, its warning comes with the container's output."""
        numbers = tuple(map(int, re.findall(r"\d+", self.version)[:3]))
        return self.runtime != "runc" or numbers >= (1, 1, 11)

    @property
    def bpf(self) -> bool:
        """Whether the runtime takes a compiled filter (crun's annotation ``run.oci.seccomp_bpf_data``)."""
        return self.runtime == "crun"

    @property
    def cover_unified(self) -> bool:
        """crun refuses hybrid hosts as long as it sees the cgroup2 mount beside the v1 hierarchies."""
        return self.cgroups is CgroupMode.HYBRID and self.runtime == "crun"


SECCOMP_PROFILES = (Path("/etc/containers/seccomp.json"), Path("/usr/share/containers/seccomp.json"))
"""containers-common's own order (containers.conf(5), seccomp_profile)."""


def probe(runtime: str, cgroups: CgroupMode, cache: Path, infra_rootfs: Path) -> HostCapabilities:
    """Read the machine as this process sees it. Cheap, but not free: do it once per process.

    What its owner decided is not in it yet (``security.settle``).
    """
    status = dict(_status())
    own = names_of(int(status.get("CapEff", "0"), 16))
    privileged = "CAP_SYS_RESOURCE" in own
    limits, clamped = settled_rlimits(rlimits.DEFAULT, own)
    release = platform.release().split(".")
    return HostCapabilities(
        runtime=runtime,
        cgroups=cgroups,
        cache=cache,
        infra_rootfs=infra_rootfs,
        capabilities=names_of(int(status.get("CapBnd", "0"), 16)) & own,
        rlimits=limits,
        clamped=clamped,
        oom_score_adj_min=-1000 if privileged else _number("/proc/self/oom_score_adj", 0),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=(int(release[0]), int("".join(c for c in release[1] if c.isdigit()) or 0)),
        machine=platform.machine(),
        hostname=platform.node(),
        seccomp_profile=_profile() if "Seccomp" in status else None,
    )


def _status() -> list[tuple[str, str]]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def settled_rlimits(
    wanted: tuple[Rlimit, ...], capabilities: frozenset[str]
) -> tuple[tuple[Rlimit, ...], tuple[str, ...]]:
    """As much of the limits as a process with ``capabilities`` may set, and what is less than wanted."""
    ceiling = _number("/proc/sys/fs/nr_open", 1048576) if "CAP_SYS_RESOURCE" in capabilities else None
    return rlimits.settle(wanted, ceiling, rlimits.own_hard)


def _number(path: str, default: int) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return default


def _profile() -> Path | None:
    return next((p for p in SECCOMP_PROFILES if p.is_file()), None)
