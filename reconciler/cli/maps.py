"""Values that Go's templates and JSON show in ways of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


class Map(dict[str, Any]):
    """Go's map: its keys are data, such as labels, and one that is missing is no mistake."""


class Time(float):
    """Seconds since 1970; 0 for what has not happened, which Go shows as the first day of the first year."""

    def json(self) -> str:
        """As JSON has it (RFC 3339)."""
        text = self._moment.isoformat(timespec="microseconds" if self else "seconds")
        return text.replace("+00:00", "Z")

    def __str__(self) -> str:
        """As Go prints it."""
        fraction = f".{self._moment.microsecond:06d}" if self else ""
        return f"{self._moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC".rjust(len("0001-01-01 00:00:00 +0000 UTC"), "0")

    @property
    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self, UTC) if self else datetime.min.replace(tzinfo=UTC)
