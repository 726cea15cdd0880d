"""How each host test ended in the machine, kept on the host: what an interruption cannot take away.

One JSON line for each end that pytest told; the last one counts. Read from pytest's own lines (``-v`` with xdist), so
nothing has to be fetched out of a machine that may be gone.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path

LINE = re.compile(r"\[gw\d+\] \[ *\d+%\] ([A-Z]+) (tests/.+?)\s*")
GOOD = ("PASSED", "SKIPPED", "XFAIL")
WORDS = {"PASSED": "passed", "FAILED": "failed", "ERROR": "failed", "SKIPPED": "skipped", "XFAIL": "xfailed"}


class Results:
    def __init__(self, file: Path, *, go_on: bool) -> None:
        """``go_on``: with what ``file`` has; otherwise from the beginning."""
        self._file = file
        self._ends: dict[str, str] = {}
        self._seconds = 0.0
        if not go_on:
            file.unlink(missing_ok=True)
        for line in file.read_text().splitlines() if file.exists() else ():
            self._take(json.loads(line))

    def hear(self, line: str) -> None:
        """A line of pytest's output; most tell of no end."""
        if match := LINE.fullmatch(line.rstrip("\n")):
            outcome, test = match.groups()
            # A test whose fixture fails afterwards is told twice: passed, then ERROR.
            self._write({"test": test, "outcome": outcome, "at": time.strftime("%F %T")})

    def spent(self, seconds: float) -> None:
        """A run, or what there was of it before it was interrupted."""
        self._write({"seconds": round(seconds)})

    @property
    def done(self) -> list[str]:
        """The tests that need not be run again."""
        return [test for test, outcome in self._ends.items() if outcome in GOOD]

    @property
    def failed(self) -> list[str]:
        return [test for test, outcome in self._ends.items() if outcome not in GOOD]

    def __str__(self) -> str:
        counts = Counter(WORDS.get(outcome, outcome.lower()) for outcome in self._ends.values())
        told = [f"{counts[word]} {word}" for word in dict.fromkeys(WORDS.values()) if counts[word] or word != "xfailed"]
        return f"{', '.join(told)}; {self._seconds / 60:.0f} min"

    def _write(self, record: dict[str, str | int]) -> None:
        with self._file.open("a") as out:
            out.write(json.dumps(record) + "\n")
        self._take(record)

    def _take(self, record: dict[str, str | int]) -> None:
        if "test" in record:
            self._ends[str(record["test"])] = str(record["outcome"])
        else:
            self._seconds += float(record["seconds"])
