"""Bounds of time and memory for one input, and a process of its own for those that may break them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

SECONDS = 2.0
"""Of the processor's time, for one input."""
MEMORY = 256 << 20
"""Bytes that a process may grow by over one input."""
ADDRESS_SPACE = 2 << 30
"""Bytes, for the whole process: a bomb ends here, and not with the machine's memory."""
PATIENCE = 60.0
"""Seconds, but for those in which a processor is waited for: whoever waits for anything else, or is in C, is killed by
then."""


class TooSlow(BaseException):
    """Not an Exception: nobody who reads may take it for his own."""


class TooMuch(BaseException):
    """Memory."""


def bound_memory() -> None:
    """For this process, from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    least = ADDRESS_SPACE if hard == resource.RLIM_INFINITY else min(hard, ADDRESS_SPACE)
    resource.setrlimit(resource.RLIMIT_AS, (least, hard))


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Raises TooSlow in the middle of what takes too long, and TooMuch after what takes too much. Main thread only."""

    def alarm(signum: int, frame: FrameType | None) -> None:
        raise TooSlow(f"more than {SECONDS:g} s of the processor's time")

    before = signal.signal(signal.SIGPROF, alarm)
    memory = _peak()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    if (grown := _peak() - memory) > MEMORY:
        raise TooMuch(f"{grown >> 20} MiB more than before")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def complaint(work: Callable[[], None]) -> str:
    """What goes wrong in ``work``, in one line that is the same for the same mistake; "" for nothing."""
    try:
        with bounded():
            work()
    except (TooSlow, TooMuch) as error:
        return type(error).__name__
    except Exception as error:
        return _told(error)
    return ""


def _told(error: Exception) -> str:
    """What, and where: numbers and quoted words differ from input to input, places do not."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/fuzz/bounds" not in frame.filename
    ]
    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].name}" if frames else "?"  # noqa: PTH119 (text alone)
    return f"{type(error).__name__} in {where}: {' '.join(str(error).split())[:300]}"


def complaint_apart(work: Callable[[], None]) -> str:
    """The same from a child of this process: it may crash, hang or fill its memory."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(here)
            signal.alarm(int(10 * PATIENCE))  # by the clock on the wall: the machine may be busy
            bound_memory()
            os.write(there, complaint(work).encode(errors="replace")[:4000])
        finally:
            os._exit(0)
    os.close(there)
    with open(here, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "Hangs" if number == signal.SIGALRM else f"dies of {signal.Signals(number).name}"
    return said
