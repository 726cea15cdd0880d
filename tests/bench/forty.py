"""Forty pods of two containers, dropped at once and removed at once; by podman one file after the other, as it is made
to be used; by the bare runtime as many pods at the same time as our controller has workers.

The containers do not hear TERM and have one second of grace. Podman's removal is not measured (it waits for some
seconds for each pod on hosts with cgroup v1): its processes are killed and its store is left behind.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from reconciler.sources.directory import SETTLE
from tests.bench.bare import Bare
from tests.bench.load import Processors
from tests.bench.marks import DEAF, Marks
from tests.bench.ours import READY, Ours
from tests.bench.place import Place
from tests.bench.podman import Podman
from tests.bench.rows import BARE, OURS, PODMAN, Numbers
from tests.host.manifests import Manifest

MEMBERS = ("one", "two")
GRACE = 1


def names(count: int) -> list[str]:
    return [f"many-{number}" for number in range(count)]


def manifest(marks: Marks, name: str) -> Manifest:
    return marks.pod(name, MEMBERS, DEAF, grace=GRACE)


def signs(pods: list[str]) -> list[str]:
    """The marks of all their containers."""
    return [f"{pod}-{member}" for pod in pods for member in MEMBERS]


def measure(work: Path, archive: Path, runtime: str, without: list[str], runs: int, count: int = 40) -> Numbers:
    """Milliseconds, and the busy part of the processors' time in percent."""
    pods, marks = names(count), Marks(work / "marks")
    numbers: Numbers = {"forty": {OURS: [], BARE: [], PODMAN: []}, "busy": {OURS: []}, "removal": {OURS: []}}
    with ExitStack() as stack:
        place = Place(threads=16)
        stack.callback(place.end)
        ours = Ours(work / "ours", archive, marks, runtime, "--yes-prune")
        stack.callback(ours.end)
        ours.start()
        ours.ear.wait(READY)
        bare = _bare(work / "bare", ours, marks, runtime, place, stack) if BARE not in without else None
        _once(ours, marks, pods[:4])
        for run in range(1, runs + 1):
            create, busy, removal = _once(ours, marks, pods)
            numbers["forty"][OURS].append(create)
            numbers["busy"][OURS].append(busy)
            numbers["removal"][OURS].append(removal)
            if bare is not None:
                numbers["forty"][BARE].append(round(bare.create_many(count) * 1000, 1))
            if PODMAN not in without:
                numbers["forty"][PODMAN].append(_podman(work / f"podman-{run}", archive, marks, runtime, place, pods))
            print(f"forty: run {run} of {runs}", file=sys.stderr)
    return numbers


def _once(ours: Ours, marks: Marks, pods: list[str]) -> tuple[float, float, float]:
    """Milliseconds until all run; how busy the processors were meanwhile, percent; milliseconds until all are gone,
    without the settle time."""
    marks.forget()
    processors = Processors()
    begun = ours.put({name: manifest(marks, name) for name in pods})
    create = marks.wait(signs(pods)) - begun
    busy = processors.busy()
    ours.await_converged(len(pods))
    removal = -ours.unlink(pods) + ours.await_gone() - SETTLE
    ours.ear.wait("STATUS=0 pods")
    return round(create * 1000, 1), round(busy, 1), round(removal * 1000, 1)


def _bare(work: Path, ours: Ours, marks: Marks, runtime: str, place: Place, stack: ExitStack) -> Bare:
    """With the bundles of a pod of ours, which is removed again."""
    ours.put({"bench": manifest(marks, "bench")})
    ours.await_converged(1)
    bare = Bare(work, ours.instance, marks, runtime, place)
    stack.callback(bare.end)
    ours.unlink(["bench"])
    ours.ear.wait("STATUS=0 pods")
    return bare


def _podman(work: Path, archive: Path, marks: Marks, runtime: str, place: Place, pods: list[str]) -> float:
    podman = Podman(work, archive, marks, runtime, place)
    try:
        took = podman.create_each({name: manifest(marks, name) for name in pods}, signs(pods))
    finally:
        podman.abandon()
    return round(took * 1000, 1)
