"""Points in time as people write them on a command line, and as logs do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

import click

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def moment(text: str) -> float:
    """A duration before now (``90s``, ``1h30m``), an RFC 3339 time, or seconds since 1970; as seconds since 1970.

    For an option's ``type``. Raises click.BadParameter.
    """
    found = read(text, datetime.now(UTC).timestamp())
    if found is None:
        raise click.BadParameter(f"{text!r} is neither a duration such as 10m nor a time such as 2026-01-02T15:04:05Z")
    return found


def read(text: str, now: float) -> float | None:
    """Seconds since 1970; None for what is none of the forms."""
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - sum(float(number) * _UNITS[unit] for number, unit in parts)
    return of_stamp(text) if text[:1].isdigit() else None


def of_stamp(stamp: str) -> float | None:
    """Of an RFC 3339 time, to the nanosecond; without a zone it is local time. None for anything else."""
    second, point, rest = stamp.partition(".")
    if not point:
        return _whole(stamp)
    zone = rest.lstrip("0123456789")
    fraction = rest[: len(rest) - len(zone)]
    whole = _whole(second + zone)
    return None if whole is None or not fraction else whole + float(f"0.{fraction}")


@lru_cache(maxsize=16)
def _whole(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
