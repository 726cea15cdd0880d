"""What is left behind for others to find: pid files, exit files; and the exit command."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # why: see process.py
import os
import time

from conmon import fds, libc, process, say


def replace(path: str, text: str) -> None:
    """Write a small file so that nobody ever sees half of it. Nothing is left of one that failed. Raises OSError."""
    temporary = _temporary(path)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def overwrite(path: str, text: str) -> None:
    """Write into a small file that is there: on a full disk there is room for that. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, text.encode(), 0)
        os.ftruncate(fd, len(text))
    finally:
        os.close(fd)


def _temporary(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.{os.getpid()}")


class Reserve:
    """Room for an exit file while there is some: logs may have filled the disk by the time that it is written.

    It is a file without a name, which goes with the monitor and who keeps it for the next one. Where there can be
    none, ``replace`` must do.
    """

    def __init__(self, directory: str | None, fd: int | None = None) -> None:
        """``fd``: what another monitor had."""
        self._fd = fd
        if directory is not None and fd is None:
            try:
                self._fd = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o644)
                os.write(self._fd, b"none")
            except OSError:
                return

    @property
    def fd(self) -> int:
        """-1: there is none."""
        return -1 if self._fd is None else self._fd

    def replace(self, path: str, text: str) -> None:
        """As the function. Raises OSError."""
        if self._fd is None:
            replace(path, text)
            return
        os.pwrite(self._fd, text.encode(), 0)
        os.ftruncate(self._fd, len(text))
        temporary = _temporary(path)
        os.link(f"/proc/self/fd/{self._fd}", temporary, src_dir_fd=self._fd)  # a directory: linkat(2), which follows
        os.rename(temporary, path)
        os.close(self._fd)
        self._fd = None


def write_status(status: int, persist_dir: str | None, exit_dir: str | None, cid: str, reserve: Reserve) -> None:
    """Leave the status in ``<persist_dir>/exit`` and ``<exit_dir>/<cid>``, in that order, without a newline.

    The second one wakes whoever waits for exits; ``reserve`` is for it. Neither prevents the other.
    """
    for path in (persist_dir and f"{persist_dir}/exit", exit_dir and f"{exit_dir}/{cid}"):
        if path:
            try:
                (reserve.replace if path == f"{exit_dir}/{cid}" else replace)(path, str(status))
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
    os.execve(command, [command, *arguments], os.environ)
