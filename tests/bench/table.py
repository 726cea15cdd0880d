"""The numbers of ``scripts/bench`` as text: for a terminal, and as the table of README.md. Pure.

A result is what ``--json`` writes: ``facts`` about the machine, and for each OCI runtime ``medians`` by measure and
contender.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench.rows import BARE, CRUN, FEW, MEASURES, OURS, PODMAN, Measure, Verdict, ratio, verdicts

Result = Mapping[str, Any]
OTHERS = (BARE, PODMAN, FEW)
BEGIN, END = "<!-- scripts/bench plot writes this -->", "<!-- until here -->"


def shown(value: float, unit: str) -> str:
    """A value with as many digits as it deserves: ``132 ms``, ``2.41 s``, ``0.21 %``."""
    if unit == "ms" and value >= 10_000:
        return f"{value / 1000:.1f} s"
    if unit == "ms" and value >= 1000:
        return f"{value / 1000:.2f} s"
    digits = 0 if value >= 20 or value == int(value) else 1 if value >= 2 else 2
    return f"{value:.{digits}f} {unit}".rstrip()


def judged(measure: Measure, verdict: Verdict) -> str:
    """``0.28 of podman (<= 1/5): MISS``."""
    word = "pass" if verdict.passed else "MISS"
    if not verdict.reach.of:
        return f"{verdict.reach.told(measure.unit)}: {word}"
    return f"{verdict.value:.2f} x {verdict.reach.of} ({verdict.reach.told('').rpartition(' ')[0]}): {word}"


def terminal(result: Result) -> str:
    """The final table, a line for each measure and runtime."""
    lines = [headline(result["facts"])]
    for runtime, of in result["medians"].items():
        lines += ["", f"{runtime:50}{OURS:>14}{BARE:>12}{PODMAN:>12}  reach"]
        lines += [_line(measure, of[measure.name]) for measure in MEASURES if measure.name in of]
    missed = [judged(m, v) for m, v in _all_verdicts(result) if not v.passed]
    lines += ["", f"{len(missed)} missed" if missed else "all reached"]
    return "\n".join(lines) + "\n"


def headline(facts: Mapping[str, Any]) -> str:
    return (
        f"medians; {facts['crun']}, {facts['runc']}, {facts['podman']}, Linux {facts['kernel']},"
        f" Python {facts['python']}, {facts['cpus']} CPUs, load {facts['load_before']} to {facts['load_after']},"
        f" {facts['seconds']:.0f} s"
    )


def _line(measure: Measure, of: Mapping[str, float]) -> str:
    cells = [shown(of[OURS], measure.unit)]
    cells += [shown(of[name], measure.unit) if name in of else "" for name in (BARE, PODMAN)]
    told = "; ".join(judged(measure, verdict) for verdict in verdicts(measure, of))
    if FEW in of:
        told = f"{shown(of[FEW], measure.unit)} with few; {told}"
    elif not told and PODMAN in of:
        told = f"{ratio(of[OURS], of[PODMAN]):.2f} x podman"
    return f"{measure.what:50}{cells[0]:>14}{cells[1]:>12}{cells[2]:>12}  {told}".rstrip()


def _all_verdicts(result: Result) -> list[tuple[Measure, Verdict]]:
    """Reaches are for crun on both sides."""
    of = result["medians"].get(CRUN, {})
    return [(measure, v) for measure in MEASURES for v in verdicts(measure, of.get(measure.name, {}))]


def markdown(result: Result) -> str:
    """The table of README.md: no figure without its ratio, where there is another to compare with."""
    of = result["medians"][CRUN]
    rows = [
        f"Medians of one run ({headline(result['facts']).removeprefix('medians; ')}):",
        "",
        "| | reconciler | bare runtime | `podman kube play` | of podman's | to reach |",
        "|---|---|---|---|---|---|",
    ]
    for measure in MEASURES:
        if measure.name in of and measure.name != "touched":
            rows.append(_row(measure, of[measure.name]))
    return "\n".join(rows) + "\n"


def _row(measure: Measure, of: Mapping[str, float]) -> str:
    others = [shown(of[name], measure.unit) if name in of else "" for name in (BARE, PODMAN)]
    part = f"**{ratio(of[OURS], of[PODMAN]):.2f}**" if PODMAN in of else ""
    reach = "; ".join(
        f"{v.reach.told(measure.unit).replace('<=', '≤').replace('>=', '≥')}" + ("" if v.passed else " (missed)")
        for v in verdicts(measure, of)
    )
    if FEW in of:
        part = f"{ratio(of[OURS], of[FEW]):.2f} times that with few"
    what = measure.what.replace("->", "→")
    return f"| {what} | {shown(of[OURS], measure.unit)} | {others[0]} | {others[1]} | {part} | {reach} |"


def put_in(page: str, text: str) -> str:
    """The page with ``text`` between its two marks. Raises ValueError where it has not both."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"
