"""Programs that we start and wait for, and never longer than we said that we would.

``subprocess.run`` kills a program whose time is over, and then waits for its end without limit. What the kernel holds
(a disk or a server of files that does not answer, a frozen cgroup) does not end before it is let go; with it would wait
whoever holds a pod's lock, and then everybody. Such a program is left behind, and forgotten when it has ended after
all. Any number of threads may call at once.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

DYING = 5.0
"""Seconds that a killed program has to be gone; usually it takes a millisecond."""

_lock = threading.Lock()
_left: list[subprocess.Popen[Any]] = []


def run(
    argv: Sequence[str], *, timeout: float, given: bytes | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end: exit code and output. ``given``: what it may read; ``options`` as Popen has them.

    Raises subprocess.TimeoutExpired after ``timeout`` seconds, when it was killed; OSError where it cannot be started.
    """
    stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
    process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        out, err = process.communicate(given, timeout)
    finally:
        end(process)
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def end(process: subprocess.Popen[Any]) -> None:
    """See a program off: killed where it still runs, waited for as long as that may take, its pipes closed."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(DYING)
    with _lock:
        _left.append(process)
        _left[:] = [one for one in _left if not _is_over(one)]


def _is_over(process: subprocess.Popen[Any]) -> bool:
    """Pipes stay open until then: somebody may still read them, and the next file would get their number."""
    if process.poll() is None:
        return False
    for stream in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):  # what could not be handed over to it any more
            if stream is not None:
                stream.close()
    return True
