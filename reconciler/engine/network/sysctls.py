"""Kernel settings under /proc/sys, written only where they differ.

/proc/sys/net shows the network namespace of the thread that looks, so these work inside a pod's as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.engine import files
from reconciler.engine.effects import effect
from reconciler.model.errors import HostUnfit


def ensure(path: Path, value: str) -> None:
    """Make the setting ``value``. Raises HostUnfit when it cannot be."""
    ensure_all(path.parent, {path.name: value})


def ensure_all(directory: Path, settings: Mapping[str, str]) -> None:
    """Several of one directory, one after the other. Raises HostUnfit when one cannot be.

    The way there is gone once: below /proc/sys/net the kernel passes each namespace that was ever looked into (0.1 ms
    with 400 pods).
    """
    doing = f"open {directory}"
    try:
        there = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name, value in settings.items():
                doing = f"set {directory}/{name} to {value}"
                if files.read_small(name, there).decode().strip() != value:
                    _write(there, name, value)
        finally:
            os.close(there)
    except OSError as e:
        raise HostUnfit(f"cannot {doing}: {e.strerror}") from e


@effect("sysctl.set")
def _write(directory: int, name: str, value: str) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
