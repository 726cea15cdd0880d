"""The name server's process: aardvark-dns, one for an instance, found again from its command line alone.

It detaches itself and writes its pid into its directory; that directory is on its command line, so a stale pid file
that names somebody else's process is not believed. It is started in the monitors' cgroup, which outlives services and
logins: a shell waits at a pipe until it has been moved there, and ends if its starter dies before. Whoever starts or
ends holds the lock of ``engine/nameserver.py``; any number may look at the same time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine import children, processes
from reconciler.engine.dns.table import PID_FILE
from reconciler.engine.effects import effect
from reconciler.engine.network import sockets
from reconciler.model.errors import TryLater
from reconciler.model.observed import PidRef

PORT = 53

PLACES = (Path("/usr/lib/podman/aardvark-dns"), Path("/usr/libexec/podman/aardvark-dns"))
"""Where Debian and others put it: beside netavark, not in PATH."""

_START_TIMEOUT = 10.0
_LISTEN_TIMEOUT = 10.0
_GATE = 'read -r go && exec "$@" </dev/null'


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs. ``port`` 0: its command line says none."""

    ref: PidRef
    command: tuple[str, ...]
    port: int

    def runs(self, wanted: Sequence[str]) -> bool:
        """Whether it was started with these arguments; the program may lie elsewhere by now, or behind a loader."""
        return self.command[-len(wanted[1:]) :] == tuple(wanted[1:])


def program() -> Path | None:
    """The name server of this machine, or None."""
    for place in PLACES:
        if os.access(place, os.X_OK):
            return place
    found = shutil.which("aardvark-dns")
    return Path(found) if found else None


def command(binary: Path, directory: Path, port: int, domain: str) -> tuple[str, ...]:
    """Names below ``domain`` are never asked of others: what is not a pod's is not there (NXDOMAIN)."""
    return (str(binary), "--config", str(directory), "--port", str(port), "--filter-search-domain", f".{domain}", "run")


def find(directory: Path) -> Server | None:
    """The server that the pid file names, if that process is one of this directory."""
    try:
        pid = int((directory / PID_FILE).read_text())
    except (OSError, ValueError):
        return None
    return _server(pid, directory)


def all_of(directory: Path) -> Iterator[Server]:
    """Every server of this directory, and every shell about to become one; reads the whole of /proc."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := _server(int(entry.name), directory)):
            yield found


def _server(pid: int, directory: Path) -> Server | None:
    ref = processes.pid_ref(pid)
    try:
        words = tuple(Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1])
    except OSError:
        return None
    if ref is None or str(directory) not in words or "--config" not in words:
        return None
    port = words[words.index("--port") + 1] if "--port" in words[:-1] else ""
    return Server(ref, words, int(port) if port.isdigit() else 0)


@effect("nameserver.start")
def start(wanted: Sequence[str], log: Path, enter: Callable[[int], None]) -> None:
    """Start it, in the cgroup that ``enter`` moves a pid into; returns when it is ready.

    Raises TryLater with its own words.
    """
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, "sh", *wanted],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": os.defpath},
                start_new_session=True,
            )
    except OSError as e:
        raise TryLater(f"cannot start {wanted[0]}: {e.strerror}") from e
    try:
        enter(process.pid)
        process.communicate(b"go\n", _START_TIMEOUT)
    except BaseException as e:
        children.end(process)
        if isinstance(e, subprocess.TimeoutExpired):
            raise TryLater(f"cannot start {wanted[0]}: it is not ready after {_START_TIMEOUT:.0f} s") from None
        raise
    if process.returncode:
        said = log.read_text(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
        raise TryLater(f"cannot start {wanted[0]}: {said[-1].strip()}")


def await_listening(directory: Path, addresses: Iterable[str], port: int) -> Server:
    """The server, once it has the port at every address: it binds a moment after it said that it is ready.

    Looked up in the kernel's lists: to try the port would be in its way. Raises TryLater where it does not.
    """
    deadline = time.monotonic() + _LISTEN_TIMEOUT
    while True:
        bound = {(line.ip, line.port) for line in _udp_sockets()}
        missing = [address for address in addresses if (address, port) not in bound]
        found = find(directory)
        if found and not missing:
            return found
        if time.monotonic() > deadline:
            what = f"it does not listen at {', '.join(missing)}" if found else "it has ended"
            raise TryLater(f"cannot serve names: {what}")
        time.sleep(0.002)  # nobody tells when a socket is bound


def _udp_sockets() -> Iterator[sockets.Line]:
    for name in ("udp", "udp6"):
        with contextlib.suppress(OSError):  # a kernel without IPv6
            yield from sockets.parse(Path("/proc/thread-self/net", name).read_text())


def bind_error(address: str, port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """The errno with which the kernel refuses this address and port, 0 where it can be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind | socket.SOCK_CLOEXEC) as one:
        if kind == socket.SOCK_STREAM:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((address, port))
        except OSError as e:
            return e.errno or errno.EIO
    return 0


def is_here(address: str) -> bool:
    """Whether this host has the address."""
    return bind_error(address, 0) == 0


def is_taken(address: str, port: int) -> bool:
    """Whether somebody has the port there, for either protocol."""
    kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    return any(bind_error(address, port, kind) == errno.EADDRINUSE for kind in kinds)


def read_again(server: Server) -> None:
    """Make it read its directory."""
    processes.send_signal(server.ref, signal.SIGHUP)


def end(server: Server) -> None:
    """End that process. Raises TryLater where it does not die."""
    processes.send_signal(server.ref, signal.SIGTERM)
    if not processes.wait_gone(server.ref, 2):
        processes.send_signal(server.ref, signal.SIGKILL)
        if not processes.wait_gone(server.ref, 2):
            raise TryLater(f"cannot end the name server: process {server.ref.pid} does not die")
