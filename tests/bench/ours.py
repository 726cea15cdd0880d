"""Our controller as the benchmarks handle it: a process that watches a folder, and says how things stand.

It believes that a service manager has started it, so it tells how many pods are as wanted (``StatusLine``), and reads
everything again on SIGHUP.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from reconciler.model.observed import PidRef
from tests.bench.marks import Marks
from tests.bench.place import end_instance, make_volatile
from tests.host.instance import Instance
from tests.host.manifests import Manifest

READY = "READY=1"
END = "END=1"


class Ear:
    """Where the controller's service manager would listen: all the time, or what is said would be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(path))
        self._told: list[tuple[float, str]] = []
        self._heard = 0
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while (told := self._socket.recv(65536).decode()) != END:
            with self._news:
                self._told.append((time.monotonic(), told))
                self._news.notify_all()

    def wait(self, words: str, deadline: float = 300) -> float:
        """The monotonic time at which it was told something with these words in it, after what was waited for last."""
        end = time.monotonic() + deadline
        with self._news:
            while True:
                while self._heard < len(self._told):
                    at, told = self._told[self._heard]
                    self._heard += 1
                    if words in told:
                        return at
                if not self._news.wait(max(0.0, end - time.monotonic())) and time.monotonic() > end:
                    raise TimeoutError(f"not told within {deadline} s: {words}; at last: {self._told[-1:]}")

    def close(self) -> None:
        self._socket.sendto(END.encode(), str(self.path))
        self._thread.join()
        self._socket.close()


class Ours:
    """``work`` is a directory of its own. ``options`` are ``watch``'s."""

    def __init__(self, work: Path, archive: Path, marks: Marks, runtime: str, *options: str) -> None:
        work.mkdir(mode=0o711, exist_ok=True)
        make_volatile(work / "root/run")
        self.instance = Instance(work / "root", "--runtime", runtime)
        self.folder = work / "pods"
        self.folder.mkdir()
        self.marks = marks
        self.ear = Ear(work / "ear")
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.instance.ok("image", "load", "--input", archive)

    def start(self) -> float:
        """Start the controller; the monotonic time at which that began. It is ready when it has said so."""
        begun = time.monotonic()
        with _environment(NOTIFY_SOCKET=str(self.ear.path)):
            self._process = self.instance.watch(*self._options, self.folder)
        return begun

    def stop(self) -> None:
        """As a service manager does; whatever was told is heard, and forgotten."""
        self.process.send_signal(signal.SIGTERM)
        self.ear.wait("STOPPING=1")
        self.process.wait(60)

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "it was not started"
        return self._process

    def put(self, manifests: Mapping[str, Manifest]) -> float:
        """Rename files of these names into the folder, all at once; the monotonic time at which that began."""
        for name, manifest in manifests.items():
            self._beside(name).write_text(json.dumps(manifest))
        begun = time.monotonic()
        for name in manifests:
            self._beside(name).rename(self.folder / f"{name}.json")
        return begun

    def _beside(self, name: str) -> Path:
        return self.folder / f".{name}.json.tmp"

    def unlink(self, names: Iterable[str]) -> float:
        """Remove these files; the monotonic time at which that began."""
        begun = time.monotonic()
        for name in names:
            (self.folder / f"{name}.json").unlink()
        return begun

    def await_converged(self, pods: int) -> float:
        """The monotonic time at which it said that it has this many pods, all as wanted."""
        return self.ear.wait(f"STATUS={pods} pod{'' if pods == 1 else 's'}, {pods} as wanted")

    def await_gone(self) -> float:
        """The monotonic time at which nothing is left of any pod."""
        while any(self.instance.engine.layout.pods.iterdir()):
            time.sleep(0.001)  # a measurement, not a test: what is waited for is the end of an unlink
        return time.monotonic()

    def pids(self) -> dict[str, PidRef]:
        """Every process of every container, by the container's id."""
        found: dict[str, PidRef] = {}
        for key in self.instance.engine.keys():  # noqa: SIM118 (no dict)
            have = self.instance.engine.observe(key, None)
            infra = have.sandbox.infra if have.sandbox else None
            found |= {c.id: c.pid for c in (*have.containers, *((infra,) if infra else ())) if c.pid}
        return found

    def cpu(self) -> float:
        """Seconds of processor time that the controller itself has had, to the nanosecond (clock_getcpuclockid(3))."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def memory(self) -> float:
        """Its resident memory, MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found, "a process without memory"
        return int(found[1]) / 1024

    def end(self) -> None:
        end_instance(self.instance)
        self.ear.close()


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """For children that are started meanwhile."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
