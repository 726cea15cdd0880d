"""The OCI runtime (crun or runc): its verbs made idempotent. Which one is used is decided in ``choice``.

``create`` is not here: it runs under the container's monitor, and ``start`` seldom needs the program (see ``gate``).
Every other verb is one subprocess, bounded in time; two processes may ask for the same thing at the same time, and
"already so" is an answer, not an error.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.engine import children, gate, sealed
from reconciler.engine.effects import effect
from reconciler.engine.layout import Layout
from reconciler.model.errors import RuntimeFailed
from reconciler.model.key import ContainerId

TIMEOUT = 30.0
"""Seconds that a verb may take: ordinary ones take 5 to 20 ms, but a machine may be swapping."""

NAMES = ("crun", "runc")
"""In the order of preference."""

LIVING = ("created", "running", "paused")


@dataclass(frozen=True, slots=True)
class Runtime:
    """``state_dir`` is the runtime's ``--root``; both runtimes want it absolute."""

    name: str
    path: Path
    version: str
    state_dir: Path

    def args(self) -> tuple[str, ...]:
        """Global arguments, for us and for the monitor. Both runtimes make cgroups by themselves without more."""
        return ("--root", str(self.state_dir))

    def argv(self, *words: str) -> list[str]:
        return [str(self.path), *self.args(), *words]

    def state(self, container: ContainerId) -> dict[str, Any] | None:
        """What the runtime knows of it (OCI state: status, pid, bundle…), or None."""
        done = self._run("state", container)
        if done.returncode:
            if not self._knows(container):
                return None
            raise _failed("read the state of", container, done)
        try:
            state: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise _failed("read the state of", container, done) from None
        return state

    def start(self, container: ContainerId) -> None:
        """Start a created container; one that was started before is fine, even if it ended since.

        Raises RuntimeFailed with the runtime's words (the command is not in the image…).
        """
        if gate.open_gate(self.name, self.state_dir / container, container):
            return
        done = self._effect_start(container)
        if done.returncode and (self.state(container) or {}).get("status") not in ("running", "paused"):
            raise _failed("start", container, done)

    def kill(self, container: ContainerId, signal: int) -> None:
        """Signal the container's first process; nothing happens when it is gone."""
        done = self._effect_kill(container, signal)
        if done.returncode and (self.state(container) or {}).get("status") in LIVING:
            raise _failed("signal", container, done)

    def delete(self, container: ContainerId, force: bool = False) -> None:
        """Forget a container that does not run. With ``force`` a living one is killed first: that is slow
        (crun 16 ms, runc 107), a pidfd and a wait before it are faster."""
        done = self._effect_delete(container, ("--force",) if force else ())
        if done.returncode and self._knows(container):
            raise _failed("delete", container, done)

    def exec_argv(self, container: ContainerId, process: Path) -> list[str]:
        """The command line that runs ``process`` (a process.json) in the container; its exit code is the command's.

        All is said in the file: told by words alone, crun runs a command as root, in / and without
        no_new_privs, whoever the container's own user is."""
        return self.argv("exec", "--process", str(process), container)

    def known(self) -> tuple[ContainerId, ...]:
        """Every container in the runtime's state directory, without asking the runtime."""
        try:
            return tuple(ContainerId(p.name) for p in self.state_dir.iterdir() if p.is_dir())
        except FileNotFoundError:
            return ()

    def _knows(self, container: ContainerId) -> bool:
        return (self.state_dir / container).exists()

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        argv = self.argv(*words)
        with sealed.copy_of(self.path) as copy:
            if copy is not None:
                with contextlib.suppress(OSError):  # a policy of the host's: no program may be in memory
                    return _bounded(argv, TIMEOUT, executable=f"/proc/{os.getpid()}/fd/{copy}")
        return run(argv)

    @effect("runtime.start")
    def _effect_start(self, container: ContainerId) -> subprocess.CompletedProcess[bytes]:
        return self._run("start", container)

    @effect("runtime.kill")
    def _effect_kill(self, container: ContainerId, signal: int) -> subprocess.CompletedProcess[bytes]:
        return self._run("kill", container, str(signal))

    @effect("runtime.delete")
    def _effect_delete(self, container: ContainerId, options: Iterable[str]) -> subprocess.CompletedProcess[bytes]:
        return self._run("delete", *options, container)


def maker_of(container: ContainerId, layout: Layout) -> Runtime | None:
    """The runtime that made the container, by its own state: the choice may have changed since (``--runtime``, a
    package that came or went). None where none knows it, or the one that does is not installed any more."""
    for name in NAMES:
        state_dir = layout.runtime_state(name).absolute()
        if os.access(f"{state_dir}/{container}", os.F_OK) and (path := find(name)):  # asked at each start: no Path
            return Runtime(name, path, "", state_dir)
    return None


def find(name: str) -> Path | None:
    """The runtime's binary, or None where it is not installed. Looks where root's PATH may not lead."""
    places = os.pathsep.join((*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which(name, path=places)
    return Path(os.path.realpath(found)) if found else None


def version_of(path: Path) -> str:
    """What the binary says of itself: both print ``NAME version X`` first."""
    words = run([str(path), "--version"], timeout=10).stdout.decode(errors="replace").split()
    return words[2] if len(words) > 2 else "unknown"


def run(
    argv: Sequence[str], *, timeout: float = TIMEOUT, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """One bounded subprocess without a stdin. Raises RuntimeFailed when it cannot run or does not end."""
    try:
        return _bounded(argv, timeout, cwd=cwd)
    except OSError as e:
        raise RuntimeFailed(f"cannot run {argv[0]}: {e.strerror}") from e


def _bounded(argv: Sequence[str], timeout: float, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """``options`` as Popen has them. Raises RuntimeFailed when it does not end, OSError where it cannot be started."""
    try:
        return children.run(argv, timeout=timeout, env=environment(), **options)
    except subprocess.TimeoutExpired as e:
        raise RuntimeFailed(f"cannot run {Path(argv[0]).name}: no end after {timeout:g} s") from e


def environment() -> dict[str, str]:
    """Ours, without what leads crun 1.8 to the systemd of a user who logged in instead of the machine's."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_LOGIN}


_OF_A_LOGIN = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")


def last_line(output: bytes) -> str:
    """What the runtime said at the end, without its log decoration."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    line = lines[-1]
    if 'msg="' in line:  # runc logs in logfmt
        line = line.partition('msg="')[2].rstrip('"').replace('\\"', '"')
    return line.removeprefix("error: ")


def _failed(verb: str, container: ContainerId, done: subprocess.CompletedProcess[bytes]) -> RuntimeFailed:
    return RuntimeFailed(f"cannot {verb} container {container[:12]}: {last_line(done.stderr)}")
