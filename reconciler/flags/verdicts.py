"""How tables of podman's options are written: of each option whether it is the same here, different, or left out."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    SAME = "same"
    DIFFERENT = "different"
    LEFT_OUT = "left out"


SAME, DIFFERENT, LEFT_OUT = Verdict

Table = dict[str, tuple[Verdict, str]]
"""By option: the verdict, and for the other two than SAME how or why."""


def same(names: str) -> Table:
    """Options, by their words without dashes, that mean here what they mean there."""
    return {f"--{name}": (SAME, "") for name in names.split()}


def different(**notes: str) -> Table:
    """Options that mean something else, and what."""
    return {f"--{name.replace('_', '-')}": (DIFFERENT, note) for name, note in notes.items()}


def left_out(names: str, why: str) -> Table:
    """Options that are not here, and the reason."""
    return {f"--{name}": (LEFT_OUT, why) for name in names.split()}


def table(*parts: Table) -> Table:
    """All of them, by name."""
    return dict(sorted((option, found) for part in parts for option, found in part.items()))
