"""The clock that everything is given, so that tests can hold time in their hands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from reconciler.model.observed import Instant


class Clock(Protocol):
    def now(self) -> Instant:
        """Seconds of CLOCK_BOOTTIME: for deadlines and backoff; goes on during suspend, never jumps."""

    def wall(self) -> float:
        """Seconds since the epoch: for people to read."""


class SystemClock:
    def now(self) -> Instant:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()
