"""Which cgroup trees are mounted on this host, and how their files are read and written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler.engine.cgroups.names import check
from reconciler.engine.files import read_small
from reconciler.engine.oci.host import CgroupMode


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted cgroup tree. ``controllers`` are v1's names (``name=systemd`` for a bare one); empty for v2."""

    root: Path
    v2: bool
    controllers: frozenset[str] = frozenset()

    def at(self, path: str) -> Path:
        """Where ``path`` lies here. Refuses whatever does not carry our name: a bug, not an input."""
        return self.root / check(path).lstrip("/")


@dataclass(frozen=True, slots=True)
class Hierarchies:
    mode: CgroupMode
    all: tuple[Hierarchy, ...]

    def v1(self, controller: str) -> Hierarchy | None:
        return next((h for h in self.all if controller in h.controllers), None)

    @property
    def unified(self) -> Hierarchy | None:
        return next((h for h in self.all if h.v2), None)

    def made(self) -> tuple[Hierarchy, ...]:
        """Where cgroups are made: all of v1, or v2. The ``unified`` tree of a hybrid host is only cleaned."""
        return self.all if self.mode is CgroupMode.V2 else tuple(h for h in self.all if not h.v2)


@cache
def current() -> Hierarchies:
    """Those of this process's mount namespace, read once."""
    return parse(Path("/proc/self/mountinfo").read_text())


def parse(mountinfo: str) -> Hierarchies:
    """From the text of /proc/PID/mountinfo. A hierarchy that is mounted twice counts once, where it came first."""
    found: dict[tuple[bool, frozenset[str]], Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ")[:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        root = Path(left.split(" ")[4])
        names = (
            frozenset(o for o in options.split(",") if o not in _NOT_CONTROLLERS) if kind == "cgroup" else frozenset()
        )
        hierarchy = Hierarchy(root, kind == "cgroup2", names)
        found.setdefault((hierarchy.v2, names), hierarchy)
    trees = tuple(found.values())
    v1, v2 = any(not h.v2 for h in trees), any(h.v2 for h in trees)
    return Hierarchies(CgroupMode.HYBRID if v1 and v2 else CgroupMode.V1 if v1 else CgroupMode.V2, trees)


_NOT_CONTROLLERS = frozenset({"rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode"})


def tree(directory: Path) -> Iterator[Path]:
    """The directory and all below it, leaves first."""
    for child in children(directory):
        yield from tree(child)
    if directory.is_dir():
        yield directory


def children(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_number(file: Path) -> int | None:
    """None for "max", and where it cannot be read."""
    try:
        text = read_small(file).decode().strip()
    except OSError:
        return None
    return None if text == "max" else int(text)
