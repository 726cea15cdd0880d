"""How fast a conmon takes a container's output: ours beside Debian's, in turn, one container for each number.

What is measured, by the monotonic clock: from the word that lets the container write until it has written everything,
so that at most a pipe's content is still under way. ``cpu``: what the monitor itself used until then, a number that
other work on the machine disturbs less. Cases:

    lines       lines of 100 bytes to a CRI log without a limit
    rotating    the same to logs of 10 MiB, as the engine keeps them (the C conmon before 2.2 can only discard them)
    unbroken    no newline at all, to a CRI log
    single      lines of 100 bytes, each by a write of its own (as programs do that flush each), a tenth of the amount
    none        lines of 100 bytes that nobody wants

Ours is forked from the zygote, as the engine has it. The logs lie below /dev/shm: it is not the disk that is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.engine.monitors import Monitors
from tests.host.conmon_box import Box, parent, pidfd, readable, wait_gone

C_CONMON = Path("/usr/bin/conmon")
CONTENDERS = ("reconciler", "conmon")
CASES = ("lines", "rotating", "unbroken", "single", "none")
BLOCK = 10_000_000
"""Bytes of the file that the container writes again and again."""
LINE = b"x" * 99 + b"\n"
SCRIPT = "cat /shared/go; i=0; while [ $i -lt {} ]; do {}; i=$((i+1)); done; echo >/shared/done; cat /shared/end"
WRITE = "cat /shared/block"
WRITE_LINES = "busybox dd if=/shared/block bs=100 2>/shared/said"
SIZE = 10 << 20

Numbers = dict[str, dict[str, dict[str, list[float]]]]
"""case -> contender -> ``rate`` (MB/s), ``cpu`` (seconds of the monitor for a GB)."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Log throughput, beside the C conmon.")
    parser.add_argument("--runs", type=int, default=5, help="runs of each (default 5); medians are shown")
    parser.add_argument("--megabytes", type=int, default=500, help="what a container writes (default 500)")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single number there")
    options = parser.parse_args()
    numbers = measure(options.runs, options.megabytes, tuple(options.case or CASES))
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n")
    show(numbers)
    return 0


def measure(runs: int = 5, megabytes: int = 500, cases: tuple[str, ...] = CASES) -> Numbers:
    """All cases, the contenders in turn. The caller has a mount namespace of its own, and is root."""
    numbers: Numbers = {case: {name: {"rate": [], "cpu": []} for name in CONTENDERS} for case in cases}
    with _box() as box:
        for run in range(1, runs + 1):
            for case in cases:
                for name in CONTENDERS:
                    blocks = _blocks(case, megabytes)
                    seconds, cpu = pour(box, name, case, blocks)
                    amount = blocks * BLOCK / 1e6
                    numbers[case][name]["rate"].append(round(amount / seconds, 1))
                    numbers[case][name]["cpu"].append(round(cpu * 1000 / amount, 2))
            print(f"run {run} of {runs}", file=sys.stderr)
    return numbers


def _blocks(case: str, megabytes: int) -> int:
    return max(1, megabytes * 1_000_000 // BLOCK // (10 if case == "single" else 1))


def pour(box: Box, contender: str, case: str, blocks: int) -> tuple[float, float]:
    """One container: the seconds it took, and those that its monitor was on a CPU."""
    (box.shared / "block").write_bytes((b"x" * 100 if case == "unbroken" else LINE) * (BLOCK // 100))
    for name in ("go", "done", "end"):
        os.mkfifo(box.shared / name)
    cid = box.container(SCRIPT.format(blocks, WRITE_LINES if case == "single" else WRITE))
    more = {"log": None} if case == "none" else {"log_size": SIZE} if case == "rotating" else {}
    monitors = Monitors(box.layout, C_CONMON if contender == "conmon" else None, box.own)
    pid = monitors.create(box.request(cid, **more))
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        done = os.open(box.shared / "done", os.O_RDONLY | os.O_NONBLOCK)
        before, begun = _cpu(parent(pid)), time.monotonic()
        (box.shared / "go").write_text("")
        readable(done, "the container does not write")
        seconds, cpu = time.monotonic() - begun, _cpu(parent(pid)) - before
        os.close(done)
        os.kill(pid, 9)
        wait_gone(ending)
    box.run("delete", "--force", cid)
    for path in (*box.logs.iterdir(), *box.shared.iterdir()):
        path.unlink()
    return seconds, cpu


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _box() -> Iterator[Box]:
    work = Path(tempfile.mkdtemp(prefix="reconciler-bench", dir="/dev/shm"))
    box = Box(work, "crun")
    try:
        yield box
    finally:
        box.clear()
        shutil.rmtree(work, ignore_errors=True)


def show(numbers: Numbers) -> None:
    """Medians."""
    print(f"{'':10}{'reconciler':>12}{'conmon':>10}{'ratio':>8}{'cpu s/GB':>12}{'conmon':>10}")
    for case, of in numbers.items():
        rate = {name: statistics.median(values["rate"]) for name, values in of.items()}
        cpu = {name: statistics.median(values["cpu"]) for name, values in of.items()}
        mine, other = rate["reconciler"], rate["conmon"]
        print(f"{case:10}{mine:7.0f} MB/s{other:10.0f}{mine / other:8.2f}", end="")
        print(f"{cpu['reconciler']:12.2f}{cpu['conmon']:10.2f}")


if __name__ == "__main__":
    sys.exit(main())
