"""The programs that image work runs: bounded in time, dead when we die, killed when we stop.

``setpriv --pdeathsig`` has the kernel kill the program with the thread that waits for it, so that a
controller killed with -9 leaves no download behind. One ``Processes`` per ``Images``; any thread may call.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from reconciler.engine import children
from reconciler.engine.effects import effect
from reconciler.model.errors import HostUnfit, TryLater

_TICK = 0.5


class Stopped(TryLater):
    """The work was given up because we are stopping."""


class TimedOut(TryLater):
    """A program took longer than it may, or made no progress; it was killed."""


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    stdout: bytes
    stderr: str


class Processes:
    """Starts programs and can end all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def stop(self) -> None:
        """Kill what runs; whatever is started afterwards raises Stopped."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()

    @contextmanager
    def start(self, argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program for the length of a block; killed and reaped at its end, whatever happened."""
        process = self._spawn(argv, options)
        try:
            yield process
        finally:
            children.end(process)
            with self._lock:
                self._running.discard(process)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        cwd: Path | None = None,
        watch: Callable[[], None] | None = None,
        env: dict[str, str] | None = None,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.PIPE,
        pass_fds: tuple[int, ...] = (),
    ) -> Finished:
        """Run a program to its end. ``watch`` is called twice a second meanwhile and may raise to end it.

        Raises TimedOut after ``timeout`` seconds, Stopped when ``stop`` was called.
        """
        streams = {"stdin": stdin, "stdout": stdout, "stderr": subprocess.PIPE}
        with self.start(argv, cwd=cwd, env=env, pass_fds=pass_fds, **streams) as process:
            waited = 0.0
            while True:
                try:
                    out, err = process.communicate(timeout=_TICK if watch else timeout)
                    break
                except subprocess.TimeoutExpired:
                    waited += _TICK if watch else timeout
                    if waited >= timeout:
                        raise TimedOut(f"{argv[0]} took longer than {timeout:g} s") from None
                    if watch:
                        watch()
            if self._stopped and process.returncode:
                raise Stopped(f"{argv[0]} was ended: we are stopping")
            return Finished(process.returncode, out or b"", err.decode(errors="replace"))

    def check(self) -> None:
        """Raises Stopped once ``stop`` was called."""
        if self._stopped:
            raise Stopped("image work was ended: we are stopping")

    def _spawn(self, argv: Sequence[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise Stopped(f"{argv[0]} was not started: we are stopping")
            try:
                process = spawn(argv, options)
            except FileNotFoundError as error:
                raise HostUnfit(f"cannot run {argv[0]}: {error.strerror}", hint="run scripts/up") from error
            self._running.add(process)
            return process


@effect("image.spawn")
def spawn(argv: Sequence[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    guarded = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    return subprocess.Popen(guarded, umask=0o022, **options)


def plain_environment() -> dict[str, str]:
    """Ours, without what would change the programs' words or ways."""
    return {k: v for k, v in os.environ.items() if k not in ("TAR_OPTIONS", "GZIP", "ZSTD_CLEVEL")} | {"LC_ALL": "C"}
