"""Processes that work through inputs, each under its bounds; one that crashes or hangs is told of, and replaced.

Where a worker is stands in memory that it shares with who watches it: whatever becomes of it, the input is known.
"""

from __future__ import annotations

import mmap
import os
import pickle
import resource
import select
import shutil
import signal
import struct
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.bounds import PATIENCE, bound_memory, complaint
from tests.fuzz.cases import case
from tests.fuzz.subject import examine

_PLACE = struct.Struct("qqd")
"""Of a worker, in the shared memory: the input, how many are done, and the most memory it had (MiB)."""


@dataclass(frozen=True, slots=True)
class Finding:
    number: int
    complaint: str


class Worker:
    """A process for the inputs ``numbers``. Not shared between threads."""

    def __init__(self, seed: int, numbers: range) -> None:
        self.seed = seed
        self.numbers = numbers
        self.memory = mmap.mmap(-1, _PLACE.size)
        _PLACE.pack_into(self.memory, 0, numbers.start, 0, 0.0)
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz.", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.pipe, there = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.pipe)
                self._work(there)
            finally:
                os._exit(0)
        os.close(there)
        self.waited = 0.0
        self.moved = self._clock()
        self.last = numbers.start

    def _work(self, there: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        bound_memory()
        for done, number in enumerate(self.numbers):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            _PLACE.pack_into(self.memory, 0, number, done, peak)
            made = case(self.seed, number)
            if said := complaint(lambda made=made: examine(made, self.folder)):
                text = pickle.dumps(Finding(number, said))
                os.write(there, struct.pack("I", len(text)) + text)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        _PLACE.pack_into(self.memory, 0, self.numbers.stop, len(self.numbers), peak)

    @property
    def place(self) -> tuple[int, int, float]:
        """The input it is at, how many are done, and the most memory it had (MiB)."""
        found: tuple[int, int, float] = _PLACE.unpack_from(self.memory, 0)
        return found

    def is_stuck(self) -> bool:
        """Whether it has been at one input for longer than anybody waits."""
        at = self.place[0]
        if at != self.last:
            self.last, self.moved = at, self._clock()
        return self._clock() - self.moved > PATIENCE

    def _clock(self) -> float:
        """Seconds but for those in which it had to wait for a processor: on a busy machine those are most."""
        with suppress(OSError, IndexError):  # it has ended, or the kernel does not count
            self.waited = int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9
        return time.monotonic() - self.waited

    def read(self) -> Finding | None:
        """The next finding; None at its end. Blocks: ask only where there is something to read."""
        head = _read(self.pipe, 4)
        if len(head) < 4:
            return None
        found = pickle.loads(_read(self.pipe, struct.unpack("I", head)[0]))
        return found if isinstance(found, Finding) else None

    def end(self) -> int:
        """Kill it if it lives; its wait status."""
        os.kill(self.pid, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
        os.close(self.pipe)
        shutil.rmtree(self.folder, ignore_errors=True)
        return os.waitpid(self.pid, 0)[1]


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := os.read(descriptor, size - len(data))):
        data += piece
    return data


def work(
    seed: int, numbers: range, jobs: int, on_progress: Callable[[int, float], None], each: float = 1.0
) -> Iterator[Finding]:
    """Go through inputs with ``jobs`` processes, and yield what is found as it is. ``on_progress`` hears every ``each``
    seconds how many are done, and of the largest process (MiB)."""
    waiting = [range(numbers.start + n, numbers.stop, jobs) for n in range(jobs)]
    workers: dict[int, Worker] = {}
    finished = 0
    most = 0.0
    told = time.monotonic()
    try:
        while waiting or workers:
            while waiting:
                worker = Worker(seed, waiting.pop())
                workers[worker.pipe] = worker
            ready, _, _ = select.select(list(workers), [], [], each)
            for pipe in ready:
                worker = workers[pipe]
                if found := worker.read():
                    yield found
                else:
                    del workers[pipe]
                    finished += yield from _ended(worker, waiting)
                    most = max(most, worker.place[2])
            for pipe, worker in list(workers.items()):
                if worker.is_stuck():
                    del workers[pipe]
                    finished += yield from _ended(worker, waiting)
            if time.monotonic() - told >= each or not workers:
                told = time.monotonic()
                most = max(most, *(worker.place[2] for worker in workers.values()), 0.0)
                on_progress(finished + sum(worker.place[1] for worker in workers.values()), most)
    finally:
        for worker in workers.values():
            worker.end()


def _ended(worker: Worker, waiting: list[range]) -> Generator[Finding, None, int]:
    """What became of a worker; where it did not finish, the rest is for another. Returns how many are done."""
    at, done, _ = worker.place
    stuck = worker.is_stuck()
    status = worker.end()
    if done == len(worker.numbers):
        return done
    why = (
        "Hangs"
        if stuck
        else f"dies of {signal.Signals(os.WTERMSIG(status)).name}"
        if os.WIFSIGNALED(status)
        else "ends"
    )
    yield Finding(at, why)
    if rest := worker.numbers[done + 1 :]:
        waiting.append(rest)
    return done + 1
