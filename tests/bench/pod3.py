"""A pod of three containers: create, edit one of the three, remove; by reconciler, by podman, by the bare runtime.

What is measured: from the rename of the manifest into the watched folder (or the start of podman's command, or of the
first runtime call) until all processes run, each having said so itself; for a removal until all of it is gone. ``gap``
is the part of an edit during which the edited container did not run. All of it in the same run, in turn; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from reconciler.model.observed import PidRef
from reconciler.sources.directory import SETTLE
from tests.bench.bare import Bare
from tests.bench.marks import EDITED, MEMBERS, End, Marks
from tests.bench.place import Place, end_instance
from tests.bench.podman import Podman
from tests.host.instance import Instance, until, wait_for_end

CHECKOUT = Path(__file__).resolve().parents[2]
ROWS = ("create", "edit", "gap", "remove")

Numbers = dict[str, dict[str, list[float]]]


class Contender(Protocol):
    """All times in seconds; ``edit`` returns the whole and the gap."""

    def create(self) -> float: ...

    def edit(self) -> tuple[float, float]: ...

    def remove(self) -> float: ...

    def end(self) -> None: ...


class Ours:
    """A controller that watches a folder, as scripts/up runs it."""

    def __init__(self, work: Path, archive: Path, marks: Marks, runtime: str) -> None:
        self.instance = Instance(work / "root", "--runtime", runtime)
        self._folder = work / "pods"
        self._folder.mkdir()
        self._marks = marks
        self.instance.ok("image", "load", "--input", archive)
        self.instance.watch(self._folder)
        log = self.instance.root / "controller.log"
        until(lambda: "controller starts" in log.read_text(), "the controller runs")

    def _put(self, edition: str) -> float:
        self._marks.forget()
        beside = self._folder / ".pod.json.tmp"
        beside.write_text(json.dumps(self._marks.manifest(edition)))
        begun = time.monotonic()
        beside.rename(self._folder / "pod.json")
        return begun

    def create(self) -> float:
        begun = self._put("a")
        return self._marks.wait(MEMBERS) - begun

    def edit(self) -> tuple[float, float]:
        before = self.settled()
        old = End(before[EDITED].pid)
        begun = self._put("b")
        new = self._marks.wait((EDITED,))
        after = self.settled()
        assert after[EDITED] != before[EDITED]
        assert all(before[name] == after[name] for name in ("infra", "one", "three")), "a sibling was touched"
        return new - begun, new - old.at()

    def settled(self) -> dict[str, PidRef]:
        """The pod's processes, once all are recorded: a mark comes before the record of a start."""

        def all_run() -> dict[str, PidRef]:
            running = self.instance.running("bench")
            return running if len(running) == 1 + len(MEMBERS) else {}

        return until(all_run, "the pod is recorded")

    def remove(self) -> float:
        """Less the settle time: a folder must have been quiet for that long before anything is removed."""
        pids = list(self.settled().values())
        pods = self.instance.engine.layout.pods
        begun = time.monotonic()
        (self._folder / "pod.json").unlink()
        wait_for_end(pids)
        while any(pods.iterdir()):
            time.sleep(0.001)  # a measurement, not a test: what is waited for is the end of an unlink
        return time.monotonic() - begun - SETTLE

    def end(self) -> None:
        end_instance(self.instance)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench pod3", description="A pod of three, beside podman.")
    parser.add_argument("--runs", type=int, default=7, help="runs of each (default 7); medians are shown")
    parser.add_argument("--runtime", default="crun", choices=["crun", "runc"])
    parser.add_argument("--without", action="append", default=[], choices=["podman", "bare"], help="leave one out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single number there")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="reconciler-bench", dir="/tmp"))
    try:
        with ExitStack() as stack:
            numbers = measure(contenders(work, options.runtime, options.without, stack), options.runs)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    result = {**facts(options.runtime, options.runs), "medians": medians(numbers), "numbers": numbers}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    show(result)
    return 0


def contenders(work: Path, runtime: str, without: list[str], stack: ExitStack) -> dict[str, Contender]:
    """Everybody ready to begin, with a pod made and removed once, so that caches are warm."""
    archive = work / "busybox.tar"
    subprocess.run([sys.executable, CHECKOUT / "scripts/example-image", archive], check=True, stdout=subprocess.DEVNULL)
    marks = Marks(work / "marks")
    place = Place()
    stack.callback(place.end)
    ours = Ours(work, archive, marks, runtime)
    stack.callback(ours.end)
    print(f"the first pod of this controller: {ours.create() * 1000:.0f} ms", file=sys.stderr)
    ours.settled()
    everybody: dict[str, Contender] = {"reconciler": ours}
    if "bare" not in without:
        everybody["bare"] = Bare(work / "bare", ours.instance, marks, runtime, place)
        stack.callback(everybody["bare"].end)
    ours.remove()
    if "podman" not in without:
        everybody["podman"] = Podman(work / "podman", archive, marks, runtime, place)
        stack.callback(everybody["podman"].end)
    for contender in everybody.values():
        once(contender)
    return everybody


def once(contender: Contender) -> dict[str, float]:
    """Milliseconds of each row."""
    create = contender.create()
    edit, gap = contender.edit()
    times = {"create": create, "edit": edit, "gap": gap, "remove": contender.remove()}
    return {row: round(took * 1000, 1) for row, took in times.items()}


def measure(everybody: dict[str, Contender], runs: int) -> Numbers:
    numbers: Numbers = {name: {row: [] for row in ROWS} for name in everybody}
    for run in range(1, runs + 1):
        for name, contender in everybody.items():
            for row, took in once(contender).items():
                numbers[name][row].append(took)
        print(f"run {run} of {runs}", file=sys.stderr)
    return numbers


def medians(numbers: Numbers) -> dict[str, dict[str, float]]:
    return {name: {row: statistics.median(times) for row, times in rows.items()} for name, rows in numbers.items()}


def facts(runtime: str, runs: int) -> dict[str, Any]:
    return {
        "what": "a pod of three containers, milliseconds",
        "runs": runs,
        "runtime": _first_line(runtime, "--version"),
        "podman": _first_line("podman", "--version"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "settle_not_included_in_remove": SETTLE,
    }


def _first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def show(result: dict[str, Any]) -> None:
    of: dict[str, dict[str, float]] = result["medians"]
    others = [name for name in of if name != "reconciler"]
    print(f"A pod of three containers, medians of {result['runs']} runs, milliseconds")
    print(f"{result['runtime']}, {result['podman']}, Linux {result['kernel']}, Python {result['python']},", end=" ")
    print(f"{result['cpus']} CPUs, load {result['load']}")
    print(f"{'':8}{'reconciler':>12}" + "".join(f"{name:>10}{'ratio':>8}" for name in others))
    for row in ROWS:
        mine = of["reconciler"][row]
        print(f"{row:8}{mine:12.0f}" + "".join(f"{of[n][row]:10.0f}{mine / of[n][row]:8.2f}" for n in others))
    whole = of["reconciler"]["remove"] + SETTLE * 1000
    print(f"remove: a folder must be quiet for {SETTLE:g} s first, which is not included; with it {whole:.0f}")


if __name__ == "__main__":
    sys.exit(main())
