"""Read a million mutated manifests, and see that nothing but our own errors comes of it: scripts/fuzz.

    scripts/fuzz [--count N] [--seed S] [--jobs J] [--first N] [--save DIR]
    scripts/fuzz FILE...                      what was saved, or any other manifest, once more

Exit code 0: nothing was found; 1: something was (made smaller, and saved with what to say to see it again);
130: Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from reconciler.model.strictness import Strictness
from tests.fuzz.bounds import complaint_apart
from tests.fuzz.cases import Case, case
from tests.fuzz.corpus import CHECKOUT, seeds
from tests.fuzz.smaller import smaller
from tests.fuzz.subject import examine
from tests.fuzz.workers import Finding, work

MOST_ALIKE = 3
"""Of one mistake, what is made smaller and saved."""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description="Read mutated manifests: nothing but our own errors may come of it."
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="examine these, and mutate nothing")
    parser.add_argument("--count", type=int, default=10_000, metavar="N", help="how many inputs (10000)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, other inputs (1)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin at this number of them (0)")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 1), metavar="J", help="processes")
    parser.add_argument("--save", type=Path, default=CHECKOUT / ".cache/fuzz", metavar="DIR", help="for what is found")
    return parser


@dataclass
class Run:
    """A run so far, and how it is told."""

    said: argparse.Namespace
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    most: float = 0.0
    found: dict[str, int] = field(default_factory=dict)

    def progress(self, done: int, most: float) -> None:
        self.done, self.most = done, most
        if sys.stderr.isatty():
            print(f"\r\x1b[K{self}", end="", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
        print(text, file=sys.stderr, flush=True)

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self.began, 0.001)
        found = f"{sum(self.found.values())} findings of {len(self.found)} kinds" if self.found else "nothing found"
        rate = f"{self.done / seconds:.0f} a second, at most {self.most:.0f} MiB"
        return f"{self.done} of {self.said.count} inputs ({rate}): {found}"

    def take(self, finding: Finding) -> None:
        """Note a finding; the first ones of a kind are made smaller and saved."""
        self.found[finding.complaint] = self.found.get(finding.complaint, 0) + 1
        if self.found[finding.complaint] <= MOST_ALIKE:
            made = case(self.said.seed, finding.number)
            self.say(f"input {self.said.seed}:{finding.number}: {finding.complaint}")
            self.say(f"   saved as {save(self.said, finding, made)}")


def save(said: argparse.Namespace, finding: Finding, made: Case) -> Path:
    """Write the input, smaller, and beside it how it came."""
    least = smaller(made.data, lambda data: judge(replace(made, data=data)) == finding.complaint)
    said.save.mkdir(parents=True, exist_ok=True)
    name = f"{said.seed}-{finding.number}"
    path: Path = said.save / f"{name}{Path(made.name).suffix}"
    path.write_bytes(least)
    again = f"scripts/fuzz --seed {said.seed} --first {finding.number} --count 1"
    about = f"{finding.complaint}\n{again}\nstrictness {made.strictness}, from {made.original}, beside {made.beside}\n"
    (said.save / f"{name}.txt").write_text(about)
    return path


def judge(made: Case) -> str:
    """What is wrong with an input, found in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz."))
    try:
        return complaint_apart(lambda: examine(made, folder))
    finally:
        shutil.rmtree(folder)


def again(files: list[Path]) -> int:
    """Examine files as they are, in each strictness."""
    code = 0
    for path in files:
        for strictness in Strictness:
            made = Case(path.name, path.read_bytes(), strictness, seeds()[0].name, seeds()[0].name, in_folder=True)
            if said := judge(made):
                print(f"{path} ({strictness}): {said}")
                code = 1
    return code


def main() -> int:
    said = arguments().parse_args()
    if said.files:
        return again(said.files)
    signal.signal(signal.SIGTERM, _terminated)
    run = Run(said)
    try:
        for finding in work(said.seed, range(said.first, said.first + said.count), max(1, said.jobs), run.progress):
            run.take(finding)
    except KeyboardInterrupt:
        run.say(f"{run}; interrupted")
        return 130
    run.say(str(run))
    return 1 if run.found else 0


def _terminated(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
