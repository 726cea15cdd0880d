"""Every process of a container frozen, and let go on, by the kernel's freezer: v1's ``freezer.state``, v2's
``cgroup.freeze``. Both runtimes look there when they are asked whether a container is paused."""

from __future__ import annotations

import os
import time
from pathlib import Path

from reconciler.engine.cgroups import hierarchies as hosts
from reconciler.engine.cgroups import values
from reconciler.engine.effects import effect
from reconciler.model.errors import RuntimeFailed

SECONDS = 2.0
"""For the last process to stand still; usually it takes a millisecond. One that waits for a disk does not."""
_LOOK = 0.001


@effect("cgroup.freeze")
def freeze(path: str) -> None:
    """Freeze all that is in the cgroup and below. Raises RuntimeFailed where that cannot be; then nothing is frozen."""
    file = _file(path)
    deadline = time.monotonic() + SECONDS
    try:
        _write(file, on=True)
        while not _stands_still(file):
            if time.monotonic() > deadline:
                _write(file, on=False)
                raise RuntimeFailed(f"cannot pause {path}: a process in it does not stand still")
            time.sleep(_LOOK)
    except OSError as e:
        raise RuntimeFailed(f"cannot pause {path}: {e.strerror}") from e


@effect("cgroup.thaw")
def thaw(path: str) -> None:
    """Let it go on; gone already is fine. Raises RuntimeFailed."""
    try:
        _write(_file(path), on=False)
    except FileNotFoundError:
        return
    except OSError as e:
        raise RuntimeFailed(f"cannot resume {path}: {e.strerror}") from e


def is_frozen(path: str) -> bool:
    """Whether it is frozen, or about to be; False where it is gone."""
    try:
        return _file(path).read_text().strip() not in ("THAWED", "0")
    except OSError:
        return False


def _file(path: str) -> Path:
    """Raises RuntimeFailed where the kernel has no freezer."""
    where = hosts.current()
    freezer = where.v1("freezer")
    if freezer is not None:
        return freezer.at(path) / "freezer.state"
    if where.all and where.all[0].v2:
        return where.all[0].at(values.leaf_of(path)) / "cgroup.freeze"
    raise RuntimeFailed(f"cannot pause {path}: no freezer is mounted on this machine")


def _stands_still(file: Path) -> bool:
    if file.name == "freezer.state":
        return file.read_text().strip() == "FROZEN"
    return "frozen 1" in (file.parent / "cgroup.events").read_text().splitlines()


def _write(file: Path, *, on: bool) -> None:
    words = ("THAWED", "FROZEN") if file.name == "freezer.state" else ("0", "1")
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, words[on].encode())
    finally:
        os.close(fd)
