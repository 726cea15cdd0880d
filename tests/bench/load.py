"""How busy this machine is, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path

IDLE = (3, 4)
"""The columns of /proc/stat in which nothing is done: idle, iowait (proc_stat(5))."""


class Processors:
    """All of them together, from now on; whoever is at work on the machine counts."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._before = self._read()

    def busy(self) -> float:
        """Percent of their time since this was made."""
        return busy_part(self._before, self._read())

    def _read(self) -> list[int]:
        return [int(word) for word in self._stat.read_text().partition("\n")[0].split()[1:9]]


def busy_part(before: list[int], after: list[int]) -> float:
    """Percent between two readings of the first line of /proc/stat; 0 where no time has passed."""
    spent = [b - a for a, b in zip(before, after, strict=True)]
    whole = sum(spent)
    return 100 * (whole - sum(spent[column] for column in IDLE)) / whole if whole else 0.0
