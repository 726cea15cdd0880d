"""What the processes of a cgroup use, as its files count it: CPU time, memory, what went to and from disks, how many.

On a hybrid host v1 counts all of it; the ``unified`` tree has no controller of these.
"""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.engine.cgroups import hierarchies as hosts
from reconciler.engine.cgroups.hierarchies import Hierarchies, read_number
from reconciler.engine.cgroups.values import memory_limit
from reconciler.engine.oci.host import CgroupMode
from reconciler.model.usage import Reading

_NOWHERE = Path("/nonexistent")


def read(path: str) -> Reading:
    """Of the cgroup and all below it; empty for one that is not there."""
    where = hosts.current()
    return _of_v2(where.all[0].at(path), path) if where.mode is CgroupMode.V2 else _of_v1(where, path)


def _of_v2(directory: Path, path: str) -> Reading:
    used = counters(_text(directory / "cpu.stat") or "").get("usage_usec")
    return Reading(
        cpu=None if used is None else used / 1e6,
        memory=_without_cache(directory / "memory.current", directory / "memory.stat", "inactive_file"),
        limit=memory_limit(path),
        **_disks(_text(directory / "io.stat"), "rbytes=", "wbytes="),
        pids=read_number(directory / "pids.current"),
    )


def _of_v1(where: Hierarchies, path: str) -> Reading:
    def file(controller: str, name: str) -> Path:
        hierarchy = where.v1(controller)
        return hierarchy.at(path) / name if hierarchy else _NOWHERE

    used = read_number(file("cpuacct", "cpuacct.usage"))
    usage, statistics = file("memory", "memory.usage_in_bytes"), file("memory", "memory.stat")
    return Reading(
        cpu=None if used is None else used / 1e9,
        memory=_without_cache(usage, statistics, "total_inactive_file"),
        limit=memory_limit(path),
        **_disks(_text(file("blkio", "blkio.throttle.io_service_bytes_recursive")), "Read ", "Write "),
        pids=read_number(file("pids", "pids.current")),
    )


def _without_cache(usage: Path, statistics: Path, reclaimable: str) -> int | None:
    used = read_number(usage)
    return None if used is None else max(0, used - counters(_text(statistics) or "").get(reclaimable, 0))


def _disks(text: str | None, reads: str, writes: str) -> dict[str, int]:
    return {} if text is None else {"read": total(text, reads), "written": total(text, writes)}


def counters(text: str) -> dict[str, int]:
    """Lines ``NAME NUMBER``: memory.stat, cpu.stat."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def total(text: str, name: str) -> int:
    """Bytes of all devices together: v2 has a line for each (``MAJOR:MINOR rbytes=N wbytes=N …``), v1 several
    (``MAJOR:MINOR Read N``, ``MAJOR:MINOR Write N``)."""
    return sum(map(int, re.findall(rf"(?<= ){re.escape(name)}([0-9]+)", text)))


def _text(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None
