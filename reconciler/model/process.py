"""A process that cannot be confused with a later one of the same number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PidRef:
    """``start`` is field 22 of /proc/PID/stat (clock ticks since boot)."""

    pid: int
    start: int
