"""Many pods: how growth, rest, a restart of the controller and an edit among 1,000 manifests cost. No contender has
anything like it but for growth, so what is to be reached is absolute.

One crowd is grown for all that is asked for: by ten pods of two at a time to 200, which rest and are adopted, then to
400, beside which 600 more manifests lie whose image is not here.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Collection
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from reconciler.linux.inotify import Inotify, Mask
from reconciler.model.key import Key
from reconciler.model.observed import ContainerState
from tests.bench.marks import DEAF, Marks
from tests.bench.ours import READY, Ours
from tests.bench.rows import FEW, OURS, Numbers
from tests.host.instance import until
from tests.host.manifests import Manifest

BATCH, RESTING, MOST, MANIFESTS = 10, 200, 400, 1000
MEMBERS = ("one", "two")
SAMPLES = 5
"""Batches at either end of the growth, after the first; restarts, edits and resyncs."""

QUIET = 0.5
"""Seconds without any work of the controller's after which something counts as done."""


class Crowd:
    def __init__(self, ours: Ours, marks: Marks, seconds: float, scale: float) -> None:
        """``seconds``: how long it is watched at rest. ``scale``: of all sizes, to try it out."""
        self.ours = ours
        self.marks = marks
        self.seconds = seconds
        self.resting, self.most, self.manifests = (int(n * scale) for n in (RESTING, MOST, MANIFESTS))
        self.size = 0
        self.per_pod: list[float] = []
        self._edition = 0

    def manifest(self, number: int, edition: str = "") -> Manifest:
        name = _name(number)
        return self.marks.pod(name, MEMBERS, DEAF, grace=0, edition=edition, edited=MEMBERS[0])

    def grow(self, to: int) -> None:
        """By one batch after the other, each timed."""
        while self.size < to:
            batch = range(self.size, self.size + BATCH)
            self.marks.forget()
            begun = self.ours.put({_name(n): self.manifest(n) for n in batch})
            run = self.marks.wait([f"{_name(n)}-{member}" for n in batch for member in MEMBERS])
            self.per_pod.append(round((run - begun) / BATCH * 1000, 2))
            self.size += BATCH
            self.ours.await_converged(self.size)
        print(f"a crowd of {self.size}", file=sys.stderr)

    def growth(self) -> Numbers:
        few, many = self.per_pod[1 : 1 + SAMPLES], self.per_pod[-SAMPLES:]
        return {"growth": {OURS: many, FEW: few}}

    def rest(self) -> Numbers:
        """The controller's part of a core, with the resyncs that come by themselves; its memory; a resync's cost."""
        self.await_quiet()
        before, begun = self.ours.cpu(), time.monotonic()
        time.sleep(self.seconds)  # a measurement, not a test: what is measured is that nothing happens
        part = 100 * (self.ours.cpu() - before) / (time.monotonic() - begun)
        resyncs = [self._resync() for _ in range(SAMPLES)]
        return {
            "idle": {OURS: [round(part, 3)]},
            "memory": {OURS: [round(self.ours.memory(), 1)]},
            "resync": {OURS: resyncs},
        }

    def _resync(self) -> float:
        """Milliseconds of processor time."""
        self.await_quiet()
        before = self.ours.cpu()
        self.ours.process.send_signal(signal.SIGHUP)
        until(lambda: self.ours.cpu() > before + 0.001, "the resync begins")
        return round((self.await_quiet() - before) * 1000, 1)

    def await_quiet(self) -> float:
        """Until the controller has done nothing for a while; the processor time that it has had."""
        while True:
            before = self.ours.cpu()
            time.sleep(QUIET)  # a measurement: see above
            if (now := self.ours.cpu()) - before < 0.002:
                return now

    def restart(self) -> Numbers:
        """From the start of the program until it says that all pods are as wanted."""
        before, took, touched = self.ours.pids(), [], []
        for _ in range(SAMPLES):
            self.ours.stop()
            begun = self.ours.start()
            took.append(round((self.ours.await_converged(self.size) - begun) * 1000, 1))
            after = self.ours.pids()
            touched.append(
                float(sum(after.get(one) != pid for one, pid in before.items()) + len(after.keys() - before))
            )
        return {"adopt": {OURS: took}, "touched": {OURS: touched}}

    def edit_among_many(self) -> Numbers:
        """From the rename until the directory of the new container appears: the first effect that there is."""
        self.ours.put({_name(n): _waiting(self.manifest(n)) for n in range(self.size, self.manifests)})
        self.await_quiet()
        took = [self._edit(number) for number in range(0, self.size, max(1, self.size // (2 * SAMPLES)))]
        return {"thousand": {OURS: took}}

    def _edit(self, number: int) -> float:
        self._edition += 1
        with closing(Inotify()) as inotify:
            inotify.add(str(self.ours.instance.engine.layout.containers), Mask.CREATE)
            begun = self.ours.put({_name(number): self.manifest(number, str(self._edition))})
            ready, _, _ = select.select([inotify], [], [], 60)
            took = time.monotonic() - begun
        assert ready, "nothing was done about an edit"
        until(lambda: self._is_as_edited(number), "the edit is done")
        self.await_quiet()
        return round(took * 1000, 1)

    def _is_as_edited(self, number: int) -> bool:
        have = self.ours.instance.engine.observe(Key("default", _name(number)), None)
        mine = [c for c in have.containers if c.name == MEMBERS[0]]
        edited = [c for c in mine if str(self._edition) in (c.spec.args or ())]  # none: its record is not there yet
        return len(mine) == 1 and bool(edited) and edited[0].state is ContainerState.RUNNING


def _name(number: int) -> str:
    return f"crowd-{number:04}"


def _waiting(manifest: Manifest) -> Manifest:
    """The same, of an image that is not here and not to be had."""
    for container in manifest["spec"]["containers"]:
        container["image"], container["imagePullPolicy"] = "localhost/nobody/has:this", "Never"
    return manifest


def measure(
    work: Path, archive: Path, runtime: str, cases: Collection[str], seconds: float, scale: float = 1.0
) -> Numbers:
    """What the ``cases`` ask for (growth, idle, adopt, thousand)."""
    numbers: Numbers = {}
    with ExitStack() as stack:
        marks = Marks(work / "marks")
        ours = Ours(work / "ours", archive, marks, runtime)
        stack.callback(_clear, ours)
        ours.start()
        ours.ear.wait(READY)
        crowd = Crowd(ours, marks, seconds, scale)
        crowd.grow(crowd.resting)
        if "idle" in cases:
            numbers |= crowd.rest()
        if "adopt" in cases:
            numbers |= crowd.restart()
        if {"growth", "thousand"} & {*cases}:
            crowd.grow(crowd.most)
        if "growth" in cases:
            numbers |= crowd.growth()
        if "thousand" in cases:
            numbers |= crowd.edit_among_many()
    return numbers


def _clear(ours: Ours) -> None:
    """All processes at once: their monitors need not be asked, pod after pod."""
    ours.instance.stop_controllers()
    for ref in ours.pids().values():
        with suppress(ProcessLookupError):
            os.kill(ref.pid, signal.SIGKILL)
    ours.end()
