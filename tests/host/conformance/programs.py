"""The conmons that the cases run against.

Ours, as the command line starts it, and the distribution's where it is installed; or, alone, the one that the variable
CONMON_BINARY names:  CONMON_BINARY=/opt/conmon scripts/test host -m conformance
A case that needs a younger protocol than a conmon speaks says so (``since``), and does not run with it.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from conmon import framing

C_CONMON = "/usr/bin/conmon"
OURS = framing.interpreter()

CONMONS = [
    pytest.param((), id="ours"),
    pytest.param(
        ("--conmon", C_CONMON),
        id="the C conmon",
        marks=pytest.mark.skipif(not os.access(C_CONMON, os.X_OK), reason="it is not installed"),
    ),
]
"""Options of our command line, for tests of the whole with either monitor."""


@dataclass(frozen=True)
class Program:
    """``words`` start it."""

    name: str
    words: tuple[str, ...]

    @property
    def ours(self) -> bool:
        return list(self.words) == OURS

    @cached_property
    def version(self) -> tuple[int, ...]:
        said = subprocess.run([*self.words, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        return numbers(said.split()[2])


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split("."))


def chosen() -> list[Program]:
    """What the cases run against here."""
    if binary := os.environ.get("CONMON_BINARY"):
        return [Program(Path(binary).name, (binary,))]
    programs = [Program("ours", tuple(OURS))]
    if os.access(C_CONMON, os.X_OK):
        programs.append(Program("the C conmon", (C_CONMON,)))
    return programs


CHOSEN = chosen()

BOTH = pytest.mark.parametrize(
    "program",
    [pytest.param(list(each.words), id=each.name, marks=pytest.mark.conformance) for each in CHOSEN],
)
"""For a test that takes the words that start a conmon."""
