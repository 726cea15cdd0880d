"""This process' standing: signals, exit codes, the out-of-memory score."""

from __future__ import annotations

import os
import signal

_SCORE = "/proc/self/oom_score_adj"


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
        with open(_SCORE) as file:
            old = file.read().strip()
    except OSError:
        return None
    return old if set_oom_score("-1000") else None


def set_oom_score(score: str | None) -> bool:
    """Set the score, if there is one to set. Failure (a missing capability) is not an error."""
    if score is None:
        return False
    try:
        with open(_SCORE, "w") as file:
            file.write(score)
    except OSError:
        return False
    return True
