"""What is measured, and what is to be reached: the rows of ``scripts/bench``, and how a number is judged.

Pure. Numbers are what a case has measured: for each measure and contender the value of each run, in the measure's unit.
``OURS`` is this program; what a contender is compared with are medians of the same run.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Numbers = dict[str, dict[str, list[float]]]
"""By measure, by contender."""

OURS, BARE, PODMAN, FEW = "reconciler", "bare", "podman", "few"
"""``FEW`` is this program with few pods, for growth."""

CRUN, RUNC = "crun", "runc"


@dataclass(frozen=True, slots=True)
class Reach:
    """What ours is to be at most: ``most`` times what ``of`` has, or ``most`` in the measure's unit where ``of`` is "".
    ``least`` instead of ``most`` for what should be large."""

    most: float | None = None
    of: str = ""
    least: float | None = None

    def told(self, unit: str) -> str:
        """As a table shows it: ``<= 1/5 podman``, ``<= 90 MiB``."""
        sign, bound = ("<=", self.most) if self.most is not None else (">=", self.least)
        assert bound is not None
        if not self.of:
            return f"{sign} {bound:g} {unit}".rstrip()
        share = f"1/{1 / bound:g}" if bound < 1 else f"{bound:g} x"
        return f"{sign} {share} {self.of}"


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that a case gives. ``short`` is for the plot, "" where it is not shown there."""

    name: str
    case: str
    what: str
    unit: str
    reaches: tuple[Reach, ...] = ()
    short: str = ""


MEASURES = (
    Measure(
        "pod3",
        "pod3",
        "pod of three, renamed in -> all run",
        "ms",
        (Reach(1 / 5, PODMAN), Reach(1.5, BARE)),
        "pod of three",
    ),
    Measure("edit", "pod3", "edit of one of three", "ms", (Reach(1 / 20, PODMAN),), "edit of one of three"),
    Measure("gap", "pod3", "of that, the edited one does not run", "ms"),
    Measure("remove", "pod3", "removal of the pod of three, settled", "ms"),
    Measure("forty", "forty", "40 pods of 2 at once", "ms", (Reach(1 / 8, PODMAN),), "40 pods of two"),
    Measure("busy", "forty", "both processors busy meanwhile", "%", (Reach(least=90),)),
    Measure("removal", "forty", "those 40 removed, grace 1 s, TERM ignored, settled", "ms", (Reach(3000),)),
    Measure("idle", "idle", "200 pods of 2, nothing changes: controller", "% of a core", (Reach(0.5),)),
    Measure("memory", "idle", "its resident memory", "MiB", (Reach(90),)),
    Measure("resync", "idle", "a full resync, CPU time", "ms", (Reach(100),)),
    Measure("adopt", "adopt", "controller restarted: all 200 adopted", "ms", (Reach(1500),)),
    Measure("touched", "adopt", "containers touched by that", "", (Reach(0),)),
    Measure("thousand", "thousand", "1,000 manifests, one edited -> action", "ms", (Reach(50),)),
    Measure("growth", "growth", "time per pod with 400 pods, and with 10", "ms", (Reach(1.5, FEW),)),
)
CASES = tuple(dict.fromkeys(measure.case for measure in MEASURES))


@dataclass(frozen=True, slots=True)
class Verdict:
    """``value``: ours, or how many times the other's it is."""

    reach: Reach
    value: float

    @property
    def passed(self) -> bool:
        return not (
            (self.reach.most is not None and self.value > self.reach.most)
            or (self.reach.least is not None and self.value < self.reach.least)
        )


def medians(numbers: Numbers) -> dict[str, dict[str, float]]:
    """Of each contender that has numbers."""
    return {
        measure: {name: statistics.median(values) for name, values in of.items() if values}
        for measure, of in numbers.items()
    }


def ratio(mine: float, other: float) -> float:
    """How many times the other's ours is; infinite where the other's is nothing."""
    return mine / other if other else float("inf")


def verdicts(measure: Measure, of: Mapping[str, float]) -> tuple[Verdict, ...]:
    """How the medians of a measure stand to what is to be reached, as far as all was measured."""
    if OURS not in of:
        return ()
    mine = of[OURS]
    judged = [reach for reach in measure.reaches if not reach.of or reach.of in of]
    return tuple(Verdict(reach, ratio(mine, of[reach.of]) if reach.of else mine) for reach in judged)


def measures_of(cases: Sequence[str]) -> tuple[Measure, ...]:
    """The measures of these cases, in the order of the table."""
    return tuple(measure for measure in MEASURES if measure.case in cases)


def merged(some: Sequence[Numbers]) -> Numbers:
    """Runs of several cases together."""
    whole: Numbers = {}
    for numbers in some:
        for measure, of in numbers.items():
            for name, values in of.items():
                whole.setdefault(measure, {}).setdefault(name, []).extend(values)
    return whole
