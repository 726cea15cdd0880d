"""A command's terminal, which the runtime makes and shows on ours while the command runs."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STDIN = 0


@contextmanager
def shown(pidfile: int) -> Iterator[None]:
    """Our terminal is as it was at the end, also where the runtime was killed while it had it raw; meanwhile the
    command's follows its size. For the main thread.

    ``pidfile`` is the descriptor of a file in which the runtime writes the command's pid.
    """
    before = termios.tcgetattr(STDIN)
    old = signal.signal(signal.SIGWINCH, lambda _number, _frame: _resize(pidfile))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, old)
        with suppress(termios.error):  # it hung up
            termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


def _resize(pidfile: int) -> None:
    """crun (1.8) leaves the command's terminal as large as it was. The command's stdin is that terminal, or whatever
    the command has put there since: what is no terminal has no size."""
    with suppress(OSError, ValueError):
        pid = int(os.pread(pidfile, 20, 0))
        size = fcntl.ioctl(STDIN, termios.TIOCGWINSZ, bytes(8))
        fd = os.open(f"/proc/{pid}/fd/0", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, termios.TIOCSWINSZ, size)
        finally:
            os.close(fd)
