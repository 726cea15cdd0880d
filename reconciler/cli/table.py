"""Tables, ages and sizes as kubectl and podman print them. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.cli.terminal import harmless

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, header: bool = True, gap: int = 3) -> str:
    """Columns padded to their widest cell, ``gap`` spaces apart (kubectl has three), no trailing blanks.

    Empty cells of a row are shown empty; the caller writes ``<none>`` where Kubernetes does.
    """
    lines = [list(headings)] if header else []
    lines += [[harmless(str(cell)) for cell in row] for row in rows]
    return _aligned(lines, gap)


def columns(text: str) -> str:
    """Lines whose cells are parted by tabs, as podman aligns them."""
    return _aligned([line.split("\t") for line in text.split("\n")], gap=2)


def elastic(text: str) -> str:
    """Lines whose cells are ended by tabs: each run of lines that have a cell at one place has it equally wide, two
    spaces apart (Go's text/tabwriter, as kubectl describes things)."""
    lines = [line.split("\t") for line in text.split("\n")]
    _widen(lines, 0, 0, len(lines))
    return "\n".join("".join(line).rstrip() for line in lines)


def _widen(lines: list[list[str]], column: int, first: int, end: int) -> None:
    """Widen the cells of a column in lines ``first`` to ``end``, run by run, and then those behind them."""
    at = first
    while at < end:
        if len(lines[at]) <= column + 1:
            at += 1
            continue
        after = next((n for n in range(at, end) if len(lines[n]) <= column + 1), end)
        width = max(len(line[column]) for line in lines[at:after]) + 2
        for line in lines[at:after]:
            line[column] = line[column].ljust(width)
        _widen(lines, column + 1, at, after)
        at = after


def _aligned(lines: Sequence[Sequence[str]], gap: int) -> str:
    """A line's last cell needs no width: nothing stands behind it."""
    most = max(map(len, lines), default=0)
    widths = [max((len(line[at]) for line in lines if len(line) > at + 1), default=0) for at in range(most)]
    between = " " * gap
    return "\n".join(between.join(map(str.ljust, line, widths)).rstrip() for line in lines)


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
    """ "5 minutes ago", "About an hour ago": one unit (go-units HumanDuration, which podman and docker show)."""
    s = max(0, int(seconds))
    hours = (s + HOUR // 2) // HOUR
    if s < 1:
        return "Less than a second ago"
    if s < MINUTE:
        return f"{s} second{'' if s == 1 else 's'} ago"
    if s < HOUR:
        return "About a minute ago" if s < 2 * MINUTE else f"{s // MINUTE} minutes ago"
    if hours < 48:
        return "About an hour ago" if hours == 1 else f"{hours} hours ago"
    for days, most, name in ((1, 14, "days"), (7, 60, "weeks"), (30, 730, "months")):
        if hours < 24 * most:
            return f"{hours // 24 // days} {name} ago"
    return f"{s // YEAR} years ago"
