"""Tables, ages and sizes as kubectl and podman print them. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.cli.terminal import harmless

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, header: bool = True) -> str:
    """Columns padded to their widest cell, three spaces apart, no trailing blanks (kubectl's look).

    Empty cells of a row are shown empty; the caller writes ``<none>`` where Kubernetes does.
    """
    lines = [list(headings)] if header else []
    lines += [[harmless(str(cell)) for cell in row] for row in rows]
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join("   ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def age(seconds: float) -> str:
    """A duration in at most two units, less exact the longer it is (k8s.io/apimachinery duration.HumanDuration)."""
    s = int(seconds)
    if s < 0:
        return "0s"
    if s < 2 * MINUTE:
        return f"{s}s"
    if s < 10 * MINUTE:
        return _two(s, MINUTE, "m", 1, "s")
    if s < 3 * HOUR:
        return f"{s // MINUTE}m"
    if s < 8 * HOUR:
        return _two(s, HOUR, "h", MINUTE, "m")
    if s < 2 * DAY:
        return f"{s // HOUR}h"
    if s < 8 * DAY:
        return _two(s, DAY, "d", HOUR, "h")
    if s < 2 * YEAR:
        return f"{s // DAY}d"
    if s < 8 * YEAR:
        return _two(s, YEAR, "y", DAY, "d")
    return f"{s // YEAR}y"


def _two(seconds: int, big: int, big_name: str, small: int, small_name: str) -> str:
    rest = seconds % big // small
    return f"{seconds // big}{big_name}" + (f"{rest}{small_name}" if rest else "")


def size(count: int) -> str:
    """Bytes for people, in powers of ten with three digits ("4.57 MB"), as podman shows image sizes."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def ago(seconds: float) -> str:
    """ "5 minutes ago": one unit, podman's way."""
    s = max(0, int(seconds))
    for length, name in (
        (YEAR, "year"),
        (30 * DAY, "month"),
        (7 * DAY, "week"),
        (DAY, "day"),
        (HOUR, "hour"),
        (60, "minute"),
    ):
        if s >= length:
            return _plural(s // length, name)
    return _plural(s, "second")


def _plural(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'} ago"
