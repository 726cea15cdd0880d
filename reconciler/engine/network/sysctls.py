"""Kernel settings under /proc/sys, written only where they differ.

/proc/sys/net shows the network namespace of the thread that looks, so these work inside a pod's as well.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.files import read_small
from reconciler.model.errors import HostUnfit


def ensure(path: Path, value: str) -> None:
    """Make the setting ``value``. Raises HostUnfit when it cannot be."""
    try:
        if read_small(path).decode().strip() != value:
            _write(path, value)
    except OSError as e:
        raise HostUnfit(f"cannot set {path} to {value}: {e.strerror}") from e


@effect("sysctl.set")
def _write(path: Path, value: str) -> None:
    path.write_text(value)
