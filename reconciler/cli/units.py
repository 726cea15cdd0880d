"""Amounts as Go's programs print them, and so podman: sizes, percents, durations. Pure."""

from __future__ import annotations


def size(count: int) -> str:
    """Bytes in powers of ten, with four digits: 4.57MB (docker/go-units, HumanSize)."""
    return _scaled(count, 1000, ("B", "kB", "MB", "GB", "TB", "PB"))


def binary_size(count: int) -> str:
    """Bytes in powers of two: 4.358MiB (docker/go-units, BytesSize)."""
    return _scaled(count, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def _scaled(count: int, base: int, units: tuple[str, ...]) -> str:
    value, place = float(count), 0
    while value >= base and place < len(units) - 1:
        value, place = value / base, place + 1
    return f"{value:.4g}{units[place]}"


def percent(value: float) -> str:
    return f"{value:.2f}%"


def duration(seconds: float) -> str:
    """``1h2m3.5s``, ``350ms``, ``0s``: time.Duration's own form, to the millisecond."""
    thousandths = round(seconds * 1000)
    if thousandths < 1000:
        return f"{thousandths}ms" if thousandths else "0s"
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    before = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{before}{rest / 1000:g}s"
