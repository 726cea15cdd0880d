"""What runs, as the kernel says it: processes by the names of their cgroups and by what stands in their environment.

Nothing here asks reconciler's store or records. Everything may change while it is looked at.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.cgroups import names
from reconciler.model.process import PidRef
from tests.torture.world import MARK, PASSWORD

_DEAD = ("Z", "X")
MONITOR = re.compile(r" -c ([0-9a-f]{64}) ")
_BELOW_SCOPE = re.compile(r"(?<=\.scope)/.*")
"""Where crun has the processes of a container to which systemd gave a scope."""
ZYGOTE = "conmon-zygote"
INFRA = "catatonit"


@dataclass(frozen=True, slots=True)
class Process:
    """``cgroup``: that of ours in which it is, "" where it is in none."""

    ref: PidRef
    name: str
    cgroup: str

    def environment(self) -> dict[str, str]:
        items = _text(self.ref.pid, "environ").rstrip("\0").split("\0")
        return dict(item.partition("=")[::2] for item in items)


@dataclass(frozen=True, slots=True)
class Running:
    """A container: ``first`` is its first process. ``mark`` is "" for an infra container, and for one that the runtime
    has not handed over to its program yet."""

    pod_id: str
    id: str
    first: Process
    mark: str
    password: str

    @property
    def is_infra(self) -> bool:
        return not self.mark and self.first.name == INFRA


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything of one instance at about one moment."""

    containers: tuple[Running, ...]
    monitors: dict[str, PidRef]
    """By container."""
    zygotes: tuple[PidRef, ...]

    def marked(self, pod: str, member: str) -> list[Running]:
        """The containers of that name, whatever their version."""
        return [c for c in self.containers if c.mark.startswith(f"{pod}/{member}/")]

    def pods(self) -> dict[str, str]:
        """Ids of the pods that have a container, with their names."""
        found: dict[str, str] = {}
        for one in self.containers:
            if one.mark:
                found[one.pod_id] = one.mark.partition("/")[0]
        for one in self.containers:
            if one.pod_id not in found:
                found[one.pod_id] = hostname(one.first.ref.pid)
        return found

    def infra(self, pod_id: str) -> list[Running]:
        return [c for c in self.containers if c.pod_id == pod_id and c.is_infra]


def look(tag: str) -> Sight:
    """All that is in cgroups of this instance."""
    inside: dict[str, list[Process]] = defaultdict(list)
    monitors, zygotes = {}, []
    for process in processes(tag):
        if _pod_of(process.cgroup):
            inside[process.cgroup].append(process)
        elif process.name == ZYGOTE:
            zygotes.append(process.ref)
        elif found := MONITOR.search(command(process.ref.pid)):
            monitors[found[1]] = process.ref
    return Sight(tuple(_running(path, crowd) for path, crowd in inside.items()), monitors, tuple(zygotes))


def _running(cgroup: str, crowd: list[Process]) -> Running:
    first = min(crowd, key=lambda p: (p.ref.start, p.ref.pid))
    environment = first.environment()
    given = environment.get(MARK, ""), environment.get(PASSWORD, "")
    return Running(_pod_of(cgroup), names.container_of(cgroup), first, *given)


def _pod_of(cgroup: str) -> str:
    """The pod to one of whose containers the cgroup belongs, or ""."""
    return names.pod_of(cgroup.rpartition("/")[0]) or ""


def processes(tag: str) -> Iterator[Process]:
    """Those that live in cgroups of the instance."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and (found := _process(int(entry.name), tag)):
            yield found


def _process(pid: int, tag: str) -> Process | None:
    lines = _text(pid, "cgroup").splitlines()
    paths = {line.split(":", 2)[2] for line in lines}
    ours = max((path for path in paths if names.is_ours(path) and names.tag_of(path) == tag), key=len, default="")
    ours = _BELOW_SCOPE.sub("", ours)
    name, _, rest = _text(pid, "stat").partition("(")[2].rpartition(")")
    fields = rest.split()
    if not ours or not fields or fields[0] in _DEAD:
        return None
    return Process(PidRef(pid, int(fields[19])), name, ours)


def command(pid: int) -> str:
    """A process's words, each followed by a space; "" when it is gone."""
    return _text(pid, "cmdline").replace("\0", " ")


def hostname(pid: int) -> str:
    """The host name that a process sees; "" when it is gone."""
    words = ["nsenter", f"--uts=/proc/{pid}/ns/uts", "hostname"]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False).stdout.strip()


def inside(pid: int, path: str) -> str:
    """A file as a process sees it; "" where there is none."""
    return _text(pid, f"root/{path.lstrip('/')}").strip()


def _text(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text(errors="replace")
    except OSError:
        return ""
