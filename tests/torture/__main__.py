"""The command line of `scripts/torture`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from types import FrameType

from reconciler.cli.terminal import Progress
from tests.torture import run
from tests.torture.churn import plan
from tests.torture.kills import POINTS
from tests.torture.lab import Lab, Wishes, lab, registry
from tests.torture.run import NOBODY, Failed, Tally

USAGE = """Kill the controller, and whatever else, again and again while pods are edited; after each kill everything
must be as if nothing had happened. A seed always plans the same edits and kills; the moment at which a kill strikes is
the machine's share."""

STEPS_TOLD = 25
"""Where there is no terminal, progress is told after so many."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/torture", description=USAGE)
    parser.add_argument("--kills", type=int, default=500, metavar="N", help="how many of the controller (default 500)")
    parser.add_argument("--seed", type=int, metavar="N", help="the plan's (default: drawn by lot, and told)")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="STEP", help="begin there (default 1)")
    parser.add_argument("--runtime", default="crun", choices=["crun", "runc"], help="(default crun)")
    parser.add_argument("--root", type=Path, default=Path("/tmp"), metavar="DIR", help="where roots are made (/tmp)")
    parser.add_argument("--keep", action="store_true", help="stop at the first failure, and leave all as it is")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where whoever started us ignores Ctrl-C
        signal.signal(number, _interrupted)
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}: {options.kills} kills of the controller, {options.runtime}", flush=True)
    return torture(seed, options)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def torture(seed: int, options: argparse.Namespace) -> int:
    """0: nothing was lost; 1: something was, and told; 130: broken off."""
    tally, began, code = Tally(), time.monotonic(), 0
    wishes = Wishes(options.root, options.runtime, options.keep)
    with tempfile.TemporaryDirectory(prefix="reconciler-t", dir="/tmp") as place:
        try:
            with registry(Path(place)) as (archive, environment):
                code = _through(seed, options, tally, lambda: lab(archive, environment, wishes))
        except KeyboardInterrupt:
            code = 130
    _tell(tally, time.monotonic() - began, code)
    return code


def _through(
    seed: int, options: argparse.Namespace, tally: Tally, fresh: Callable[[], AbstractContextManager[Lab]]
) -> int:
    """All steps, in a new lab after each failure; the exit code. Two failures in a row to begin anew are the end."""
    steps = plan(seed, options.first - 1 + options.kills, POINTS)
    last = next(islice(steps, options.first - 1, None))
    code, progress, stuck = 0, Progress(), False
    while last is not None:
        step = last
        try:
            with fresh() as made:
                run.begin(made, step.world)
                stuck = False
                for step in steps:
                    _show(progress, step.number, tally)
                    run.carry_out(made, step, last.world, tally)
                    last = step
                progress.done()
                return code
        except Failed as failed:
            progress.done()
            print(f"seed {seed}, step {failed.step}: {'; '.join(failed.faults)}", flush=True)
            print(f"  repeat: scripts/torture --seed {seed} --from {failed.step} --kills 1", flush=True)
            code = 1
            if stuck or options.keep:
                return code
            stuck, last = step is last, step
    return code


def _show(progress: Progress, step: int, tally: Tally) -> None:
    """Elsewhere than on a terminal one line of many: Progress keeps what differs in numbers alone for the end there."""
    text = f"step {step}: {_sum(tally)} killed"
    if sys.stderr.isatty():
        progress.say(text)
    elif step % STEPS_TOLD == 0:
        print(text, file=sys.stderr, flush=True)


def _sum(tally: Tally) -> int:
    return sum(n for kind, n in tally.kills.items() if NOBODY not in kind)


def _tell(tally: Tally, took: float, code: int) -> None:
    for kind, times in sorted(tally.kills.items(), key=lambda item: (NOBODY in item[0], -item[1])):
        print(f"{times:6} {kind}")
    each = took / max(1, tally.steps)
    slowest, step = tally.slowest
    mean = tally.settling / max(1, tally.steps)
    print(
        f"{_sum(tally)} kills in {tally.steps} steps, {took:.0f} s ({each:.1f} s a step); all was well after"
        f" {mean:.1f} s, {slowest:.1f} s at most (step {step})"
    )
    print({0: "nothing was lost", 1: "NOT all was well: see above", 130: "broken off"}[code])


if __name__ == "__main__":
    sys.exit(main())
