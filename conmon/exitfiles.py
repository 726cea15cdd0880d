"""What is left behind for others to find: pid files, exit files; and the exit command."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # why: see process.py
import os
import time

from conmon import fds, libc, process, say


def replace(path: str, text: str) -> None:
    """Write a small file so that nobody ever sees half of it. Raises OSError."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
    os.rename(temporary, path)


def write_status(status: int, persist_dir: str | None, exit_dir: str | None, cid: str) -> None:
    """Leave the status in ``<persist_dir>/exit`` and ``<exit_dir>/<cid>``, in that order, without a newline.

    The second one wakes whoever waits for exits. Neither prevents the other.
    """
    for path in (persist_dir and f"{persist_dir}/exit", exit_dir and f"{exit_dir}/{cid}"):
        if path:
            try:
                replace(path, str(status))
            except OSError as error:
                say.warn(f"Failed to write {status} to exit file {path}: {error.strerror}")


def run_command(command: str, arguments: list[str], delay: int, oom_score: str | None) -> int:
    """Run the exit command and wait for it and every other child. Its failure is returned as a status, else 0."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    fds.close_all_but((0, 1, 2))
    libc.become_subreaper(False)
    pid = os.fork()
    if pid == 0:
        try:
            _exec_command(command, arguments, delay, oom_score)
        finally:
            os._exit(127)
    result = 0
    while True:
        try:
            child, status = os.wait()
        except ChildProcessError:
            return result
        if child == pid:
            result = process.exit_code(status)


def _exec_command(command: str, arguments: list[str], delay: int, oom_score: str | None) -> None:
    process.default_signals()
    if delay:
        time.sleep(delay)
    process.set_oom_score(oom_score)
    os.execv(command, [command, *arguments])
