"""A pod of three containers: create, edit one of the three, remove; by reconciler, by podman, by the bare runtime.

What is measured: from the rename of the manifest into the watched folder (or the start of podman's command, or of the
first runtime call) until all processes run, each having said so itself; for a removal until all of it is gone. ``gap``
is the part of an edit during which the edited container did not run. All of it in the same run, in turn.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from reconciler.model.observed import PidRef
from reconciler.sources.directory import SETTLE
from tests.bench.bare import Bare
from tests.bench.marks import EDITED, MEMBERS, End, Marks
from tests.bench.ours import READY, Ours
from tests.bench.place import Place
from tests.bench.podman import Podman
from tests.bench.rows import BARE, OURS, PODMAN, Numbers
from tests.host.instance import until, wait_for_end


class Contender(Protocol):
    """All times in seconds; ``edit`` returns the whole and the gap."""

    def create(self) -> float: ...

    def edit(self) -> tuple[float, float]: ...

    def remove(self) -> float: ...

    def end(self) -> None: ...


class Watched(Ours):
    """A controller that watches a folder, as scripts/up runs it, with the pod of three."""

    def _put(self, edition: str) -> float:
        self.marks.forget()
        return self.put({"pod": self.marks.manifest(edition)})

    def create(self) -> float:
        begun = self._put("a")
        return self.marks.wait(MEMBERS) - begun

    def edit(self) -> tuple[float, float]:
        before = self.settled()
        old = End(before[EDITED].pid)
        begun = self._put("b")
        new = self.marks.wait((EDITED,))
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
        begun = self.unlink(["pod"])
        wait_for_end(pids)
        return self.await_gone() - begun - SETTLE


def measure(work: Path, archive: Path, runtime: str, without: list[str], runs: int) -> Numbers:
    """Milliseconds of each run. ``without``: contenders that are left out."""
    with ExitStack() as stack:
        everybody = contenders(work, archive, runtime, without, stack)
        numbers: Numbers = {row: {name: [] for name in everybody} for row in ("pod3", "edit", "gap", "remove")}
        for run in range(1, runs + 1):
            for name, contender in everybody.items():
                for row, took in once(contender).items():
                    numbers[row][name].append(took)
            print(f"pod3, {runtime}: run {run} of {runs}", file=sys.stderr)
        return numbers


def contenders(work: Path, archive: Path, runtime: str, without: list[str], stack: ExitStack) -> dict[str, Contender]:
    """Everybody ready to begin, with a pod made and removed once, so that caches are warm."""
    marks = Marks(work / "marks")
    place = Place()
    stack.callback(place.end)
    ours = Watched(work / "ours", archive, marks, runtime)
    stack.callback(ours.end)
    ours.start()
    ours.ear.wait(READY)
    print(f"the first pod of this controller: {ours.create() * 1000:.0f} ms", file=sys.stderr)
    ours.settled()
    everybody: dict[str, Contender] = {OURS: ours}
    if BARE not in without:
        everybody[BARE] = Bare(work / "bare", ours.instance, marks, runtime, place)
        stack.callback(everybody[BARE].end)
    ours.remove()
    if PODMAN not in without:
        everybody[PODMAN] = Podman(work / "podman", archive, marks, runtime, place)
        stack.callback(everybody[PODMAN].end)
    for contender in everybody.values():
        once(contender)
    return everybody


def once(contender: Contender) -> dict[str, float]:
    """Milliseconds of each measure."""
    create = contender.create()
    time.sleep(0.05)  # what is still being written of the creation is no part of the edit
    edit, gap = contender.edit()
    times = {"pod3": create, "edit": edit, "gap": gap, "remove": contender.remove()}
    return {row: round(took * 1000, 1) for row, took in times.items()}
