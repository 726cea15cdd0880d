"""``scripts/bench``: the rows of what is to be fast, ours and others in the same run; ``all`` of them; and the plot.

Nothing but this is to run on the machine meanwhile: what others do is in every number.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tests.bench import crowd, forty, pod3
from tests.bench.plot import svg
from tests.bench.rows import BARE, CRUN, PODMAN, RUNC, Numbers, medians, merged
from tests.bench.table import markdown, put_in, terminal

CHECKOUT = Path(__file__).resolve().parents[2]
PLOT = CHECKOUT / "docs" / "speed.svg"
README = CHECKOUT / "README.md"

CROWD = frozenset({"growth", "idle", "adopt", "thousand"})
NAMES = {"edit": "pod3", "removal": "forty"}
"""Rows that come out of another's case."""

RUNC_RUNS, FORTY_RUNS = 3, 3
"""Runs beside runc, which is printed only; and of forty pods, as podman takes 20 s for them."""


def main() -> int:
    options = _parser().parse_args()
    if options.case == "plot":
        draw(json.loads(options.file.read_text()))
        return 0
    cases = {"pod3", "forty", *CROWD} if options.case == "all" else {NAMES.get(options.case, options.case)}
    load, begun = os.getloadavg()[0], time.monotonic()
    numbers = measure(cases, options)
    result = {
        "facts": facts(load, time.monotonic() - begun),
        "medians": {runtime: medians(of) for runtime, of in numbers.items()},
        "numbers": numbers,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(terminal(result), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="How fast, beside others.")
    commands = parser.add_subparsers(dest="case", required=True, metavar="CASE")
    for name in ("all", "pod3", "edit", "forty", "removal", *sorted(CROWD)):
        one = commands.add_parser(name)
        one.add_argument("--runs", type=int, default=7, help="runs of each (default 7); of forty pods at most 3")
        one.add_argument("--runtime", choices=[CRUN, RUNC], help="this one only (default: crun; all: runc's, too)")
        one.add_argument("--without", action="append", default=[], choices=[PODMAN, BARE], help="leave one out")
        one.add_argument("--seconds", type=float, default=60, help="how long 200 pods are watched at rest (default 60)")
        one.add_argument("--scale", type=float, default=1.0, help="of the crowd's sizes, to try it out (default 1)")
        one.add_argument("--json", type=Path, metavar="FILE", help="also write every single number there")
    plot = commands.add_parser("plot", help="docs/speed.svg and README.md's table from what --json wrote")
    plot.add_argument("file", type=Path)
    return parser


def measure(cases: Collection[str], options: argparse.Namespace) -> dict[str, Numbers]:
    """By OCI runtime."""
    work = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))  # podman wants a short name
    work.chmod(0o711)
    runtime, found = options.runtime or CRUN, []

    def case(measured: Callable[[], Numbers]) -> None:
        """Of several, one that fails is told, and is no reason to lose the others."""
        try:
            found.append(measured())
        except Exception:
            if options.case != "all":
                raise
            traceback.print_exc()

    try:
        archive = work / "busybox.tar"
        line = [sys.executable, CHECKOUT / "scripts/example-image", archive]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        if "pod3" in cases:
            case(lambda: pod3.measure(_room(work, "pod3"), archive, runtime, options.without, options.runs))
        if "forty" in cases:
            runs = min(options.runs, FORTY_RUNS)
            case(lambda: forty.measure(_room(work, "forty"), archive, runtime, options.without, runs))
        if CROWD & {*cases}:
            room = _room(work, "crowd")
            case(lambda: crowd.measure(room, archive, runtime, cases, options.seconds, options.scale))
        by_runtime = {runtime: merged(found)}
        if options.case == "all" and not options.runtime:
            room, runs = _room(work, "runc"), min(options.runs, RUNC_RUNS)
            by_runtime[RUNC] = pod3.measure(room, archive, RUNC, options.without, runs)
        return by_runtime
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _room(work: Path, name: str) -> Path:
    room = work / name
    room.mkdir(mode=0o711)
    return room


def draw(result: dict[str, Any]) -> None:
    """The plot and the table that README.md shows."""
    PLOT.write_text(svg(result["medians"][CRUN]))
    README.write_text(put_in(README.read_text(), markdown(result)))


def facts(load: float, seconds: float) -> dict[str, Any]:
    """About this machine, and how busy it was with others' work when this began."""
    return {
        "crun": _first_line(CRUN, "--version"),
        "runc": _first_line(RUNC, "--version"),
        "podman": _first_line(PODMAN, "--version"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "seconds": round(seconds),
    }


def _first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
