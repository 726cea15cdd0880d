"""conmon beside Debian's C conmon: what a monitor costs in memory and time, and whether it rests.

    memory   PSS of each of many monitors, in MiB (ours forked from one zygote, whose own PSS is told beside it)
    create   a container's creation through the engine's client, in ms beyond the bare runtime's, in turn with it
    exec     `reconciler exec`, in ms beyond the bare runtime's, in turn with it (the C conmon has no part in it)
    idle     monitors that were on a CPU while nothing happened (by their voluntary context switches)
    cold     the program's start to its end for ``--version``, in ms, by the distribution's python3
    logs     see ``conmon_logs``

No container has mounts of its own to be prepared, so that all three do the same; and cgroup2 is not there beside v1,
which crun 1.8 refuses. For ``exec`` it is a pod of the engine's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conmon import framing
from reconciler.engine.monitors import Monitors
from reconciler.model.key import ContainerId
from tests.bench import conmon_exec, conmon_logs
from tests.bench.place import WITHOUT_UNIFIED
from tests.host.conmon_box import UNIFIED, Box, field, parent, pidfd, wait_gone

C_CONMON = Path("/usr/bin/conmon")
PYTHON = "/usr/bin/python3"
"""The distribution's: the one that everybody has."""
CASES = ("memory", "create", "exec", "idle", "cold", "logs")
CONTENDERS = ("reconciler", "conmon")
REACH = {"memory": "1.5", "create": "5", "exec": "60", "idle": "0", "cold": "40"}
UNITS = {"memory": "MiB", "create": "ms", "exec": "ms", "idle": "awake", "cold": "ms"}

Numbers = dict[str, Any]
"""case -> contender -> every single number; beside them what explains them."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Our conmon beside the C conmon.")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; repeatable")
    parser.add_argument("--monitors", type=int, default=50, help="monitors whose memory is measured (default 50)")
    parser.add_argument("--creations", type=int, default=40, help="creations, and commands, of each (default 40)")
    parser.add_argument("--idle", type=int, default=200, help="monitors that rest (default 200)")
    parser.add_argument("--seconds", type=int, default=60, help="how long they rest (default 60)")
    parser.add_argument("--runs", type=int, default=3, help="runs of the log cases (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single number there")
    options = parser.parse_args()
    run: dict[str, Callable[[], Numbers]] = {
        "memory": lambda: memory(options.monitors),
        "create": lambda: create(options.creations),
        "exec": lambda: conmon_exec.measure(options.creations),
        "idle": lambda: idle(options.idle, options.seconds),
        "cold": cold,
        "logs": lambda: conmon_logs.measure(options.runs),
    }
    cases = [case for case in CASES if case in (options.case or CASES)]
    numbers = {case: run[case]() for case in cases if case == "exec"}  # the engine knows how to do with both cgroups
    if UNIFIED.is_dir():
        subprocess.run(["sh", "-euc", WITHOUT_UNIFIED], check=True)
    numbers |= {case: run[case]() for case in cases if case != "exec"}
    if options.json:
        options.json.write_text(json.dumps({"facts": facts(), **numbers}, indent=2) + "\n")
    show(numbers)
    return 0


class Bench:
    """Containers of one contender, in a box of its own."""

    def __init__(self, box: Box, contender: str) -> None:
        self.box = box
        foreign = C_CONMON if contender == "conmon" else None
        self.monitors = Monitors(box.layout, foreign, None if foreign else box.own)
        if not foreign:
            self.monitors.warm()

    def container(self) -> ContainerId:
        """One whose root is a directory as it is."""
        root = {"path": str(self.box.directory / "lower")}
        return self.box.container("exec sleep 1000000", root=root)

    def create(self, cid: ContainerId) -> int:
        return self.monitors.create(self.box.request(cid, prepare=None))

    def bare(self, cid: ContainerId) -> int:
        """By the runtime alone."""
        box, pidfile = self.box, self.box.layout.pids / cid
        words = [str(box.runtime), *box.runtime_args, "create", "--bundle", str(box.layout.container(cid))]
        null = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in range(3)]
        pid = os.posix_spawn(words[0], [*words, "--pid-file", str(pidfile), cid], os.environ, file_actions=null)
        if os.waitpid(pid, 0)[1] != 0:
            raise RuntimeError(f"{words[0]} cannot create a container")
        return int(pidfile.read_text())

    def delete(self, cid: ContainerId, pid: int, *, monitored: bool = True) -> None:
        with pidfd(parent(pid) if monitored else pid) as ending:
            os.kill(pid, 9)
            wait_gone(ending)
        self.box.run("delete", "--force", cid)

    def running(self, count: int) -> list[int]:
        """The monitors of as many containers, all of which run."""
        pids = []
        for _ in range(count):
            cid = self.container()
            pids.append(self.create(cid))
            self.box.start(cid)
        return [parent(pid) for pid in pids]


@contextmanager
def _benches(*contenders: str) -> Iterator[dict[str, Bench]]:
    with tempfile.TemporaryDirectory(prefix="bench-conmon-", dir="/dev/shm") as directory:
        made: dict[str, Bench] = {}
        try:
            for contender in contenders:
                place = Path(directory, contender)
                place.mkdir()
                made[contender] = Bench(Box(place, "crun"), contender)
            yield made
        finally:
            for bench in made.values():
                bench.box.clear()


def memory(count: int) -> Numbers:
    """MiB of each monitor, while all of them run."""
    found: Numbers = {}
    for contender in CONTENDERS:
        with _benches(contender) as benches:
            bench = benches[contender]
            found[contender] = [_pss(pid) for pid in bench.running(count)]
            if contender == "reconciler":
                found["zygote"] = [_pss(pid) for pid in bench.box.zygotes]
    return found


def create(count: int) -> Numbers:
    """ms of each creation, beyond the median of the bare runtime's."""
    times: dict[str, list[float]] = {name: [] for name in ("bare", *CONTENDERS)}
    with _benches(*CONTENDERS) as benches:
        for number in range(count + 2):
            for name, taken in times.items():
                bench = benches["conmon" if name == "conmon" else "reconciler"]
                cid = bench.container()
                begun = time.monotonic()
                pid = bench.bare(cid) if name == "bare" else bench.create(cid)
                if number >= 2:  # the first ones find cold caches
                    taken.append(round((time.monotonic() - begun) * 1000, 2))
                bench.delete(cid, pid, monitored=name != "bare")
    bare = statistics.median(times["bare"])
    return {"bare": times["bare"], **{name: [round(t - bare, 2) for t in times[name]] for name in CONTENDERS}}


def idle(count: int, seconds: int) -> Numbers:
    """For each monitor, how often it gave a CPU away while it had nothing to do."""
    with _benches(*CONTENDERS) as benches:
        pids = {name: bench.running(count) for name, bench in benches.items()}
        pids["zygote"] = benches["reconciler"].box.zygotes
        time.sleep(2)  # the last one's start is over
        before = {name: [_switches(pid) for pid in of] for name, of in pids.items()}
        time.sleep(seconds)
        return {
            name: [_switches(pid) - was for pid, was in zip(of, before[name], strict=True)] for name, of in pids.items()
        }


def cold(runs: int = 21) -> Numbers:
    """ms of ``--version``, the contenders in turn."""
    commands = {"reconciler": [PYTHON, *framing.interpreter()[1:]], "conmon": [str(C_CONMON)]}
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(runs):
        for name, command in commands.items():
            begun = time.monotonic()
            subprocess.run([*command, "--version"], check=True, stdout=subprocess.DEVNULL)
            times[name].append(round((time.monotonic() - begun) * 1000, 2))
    return times


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024, 3)


def _switches(pid: int) -> int:
    return int(field(pid, "voluntary_ctxt_switches"))


def facts() -> dict[str, object]:
    version = subprocess.check_output([C_CONMON, "--version"], text=True).split("\n")[0]
    python = subprocess.check_output([PYTHON, "--version"], text=True).strip()
    return {"conmon": version, "python": python, "kernel": platform.release(), "cpus": os.cpu_count()}


def show(numbers: Numbers) -> None:
    print(f"{'':10}{'reconciler':>12}{'conmon':>10}{'reach':>8}")
    for case in (case for case in numbers if case != "logs"):
        mine, theirs = (_told(case, numbers[case].get(name, [])) for name in CONTENDERS)
        print(f"{case:10}{mine:>12}{theirs:>10}{REACH[case]:>8} {UNITS[case]}{_beside(case, numbers[case])}")
    if "logs" in numbers:
        conmon_logs.show(numbers["logs"])


def _told(case: str, values: list[float]) -> str:
    if not values:
        return "-"
    if case == "idle":
        return str(sum(1 for value in values if value))
    return f"{statistics.mean(values) if case == 'memory' else statistics.median(values):.2f}"


def _beside(case: str, found: Numbers) -> str:
    if case == "memory":
        return f"  (the zygote {sum(found['zygote']):.2f})"
    if case in ("create", "exec"):
        return f"  (bare {statistics.median(found['bare']):.1f})"
    return f"  (of {len(found['reconciler'])})" if case == "idle" else ""


if __name__ == "__main__":
    sys.exit(main())
