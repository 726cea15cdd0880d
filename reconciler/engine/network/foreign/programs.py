"""The programs of others that we run: iptables, firewall-cmd. Callers that change something with them are marked."""

from __future__ import annotations

import subprocess

from reconciler.engine import children
from reconciler.model.errors import TryLater

PATIENCE = 30
"""Seconds. iptables waits 5 for its own lock; firewall-cmd for a daemon that may be starting."""


def run(doing: str, program: str, *arguments: str, text: str | None = None) -> str:
    """The program's output. ``doing`` completes "cannot …".

    Raises TryLater with its words where it fails.
    """
    command = [program, *arguments]
    try:
        done = children.run(command, timeout=PATIENCE, given=None if text is None else text.encode())
    except (OSError, subprocess.TimeoutExpired) as e:
        raise TryLater(f"cannot {doing}: {e}") from e
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).decode(errors="replace").split())
        raise TryLater(f"cannot {doing}: {program}: {words or f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")
