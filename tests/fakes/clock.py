"""A clock that stands still until a test moves it."""

from __future__ import annotations

from reconciler.model.observed import Instant


class FakeClock:
    """Both hands move together; only ``reboot`` sets the boot-time hand back."""

    def __init__(self, now: Instant = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> Instant:
        return self._now

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        assert seconds >= 0, "time does not run backwards"
        self._now += seconds
        self._wall += seconds

    def reboot(self, took: float = 30.0) -> None:
        """CLOCK_BOOTTIME begins anew, the wall clock goes on."""
        self._now = 5.0
        self._wall += took
