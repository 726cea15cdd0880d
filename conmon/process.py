"""This process' standing: signals, exit codes, the out-of-memory score.

What a monitor touches after its fork is its own memory, not the zygote's any more: every object that is
referred to, by the page. So we use ``_signal``, whose numbers are no enums (0.2 MiB), and plain reads and
writes instead of file objects.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # why: see process.py
import os

_SCORE = "/proc/self/oom_score_adj"

title: tuple[int, int] | None = None
"""Address and bytes of our arguments, where others read them; None: not looked for yet."""


def default_signals() -> None:
    """Undo what Python and conmon set, so that a program we exec starts with defaults and nothing blocked."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def exit_code(status: int) -> int:
    """A wait status as one number: the exit code, or 128 + signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def avoid_oom_kill() -> str | None:
    """Ask not to be chosen when memory runs out. The old score, or None if it could not be changed."""
    try:
        old = read(_SCORE).decode().strip()
    except OSError:
        return None
    return old if set_oom_score("-1000") else None


def set_oom_score(score: str | None) -> bool:
    """Set the score, if there is one to set. Failure (a missing capability) is not an error."""
    if score is None:
        return False
    try:
        write(_SCORE, score.encode())
    except OSError:
        return False
    return True


def read(path: str) -> bytes:
    """A small file's content. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def write(path: str, content: bytes, offset: int = 0) -> None:
    """Write into a file that exists. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if offset:
            os.lseek(fd, offset, os.SEEK_SET)
        os.write(fd, content)
    finally:
        os.close(fd)


def set_name(name: str) -> None:
    """The process' name (15 bytes), as in /proc/PID/comm."""
    write("/proc/self/comm", name.encode()[:15])


def find_title() -> None:
    """Learn where ``set_title`` is to write; it stays there, also in forks."""
    global title
    fields = read("/proc/self/stat").rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: fields 48 and 49 of proc(5), from 1
    title = start, end - start


def set_title(command: str) -> None:
    """The command line that others see.

    A monitor forked from the zygote would otherwise look like the zygote. The line overwrites the
    interpreter's own arguments in place, and is cut to their length (PR_SET_MM would need a capability).
    """
    if title is None:
        find_title()
    start, room = title or (0, 0)
    if start == 0 or room < 16:
        return
    text = command.encode(errors="surrogateescape")[: room - 2]
    # A last byte other than NUL tells the kernel that the line ends at the first NUL (fs/proc/base.c).
    write("/proc/self/mem", text.ljust(room - 1, b"\0") + b"\1", start)
