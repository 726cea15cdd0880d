"""rtnetlink by pyroute2: opened where it is used, closed at once, its exceptions turned into ours.

Importing pyroute2 costs 0.1-0.3 s, so it happens at first use (``preload`` can be called from a thread at the
start); opening a socket costs 0.3 ms, so none is kept, and none can cross a fork.

The kernel puts its answer into the socket before the request returns, so nothing waits long here; but pyroute2 would
wait for ever for an answer that the kernel had to drop (it files the error under another request's number). So each
socket has a deadline.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.engine import processes
from reconciler.linux import rtchanges
from reconciler.model.errors import HostUnfit, TryLater
from reconciler.model.observed import PidRef

if TYPE_CHECKING:
    import asyncio

PATIENCE = 20.0
"""Seconds until a socket is given up, from its opening on: of what is waited for there, the longest takes 0.1 s."""

AGAIN = 0.1
"""Seconds after which who is to be given up, and goes on, is given up once more."""

Socket = Any
"""pyroute2's IPRoute, which is not typed."""


def preload() -> None:
    """Import pyroute2 now."""
    import pyroute2  # noqa: F401


@contextmanager
def here(doing: str, patience: float = PATIENCE) -> Iterator[Socket]:
    """An rtnetlink socket in the calling thread's network namespace. ``doing`` completes "cannot …".

    Raises TryLater with the kernel's words or when ``patience`` (seconds) is over, HostUnfit where a right is missing.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with refused(doing), IPRoute() as ip, bounded(ip, doing, patience):
            yield ip
    except NetlinkError as e:
        raise failure(doing, e.code) from e


@contextmanager
def bounded(one: Socket, doing: str, patience: float = PATIENCE) -> Iterator[None]:
    """Give up what is waited for at a socket of pyroute2's when ``patience`` seconds are over. Raises TryLater then."""
    import asyncio  # pyroute2 has it already; a command that opens no socket saves 25 ms

    one.asyncore.local.keep_event_loop = True  # one loop for all requests, as the deadline is the loop's
    loop: asyncio.AbstractEventLoop = one.asyncore.get_loop()

    due: asyncio.TimerHandle

    def give_up() -> None:
        nonlocal due
        for task in asyncio.all_tasks(loop):
            task.cancel()
        due = loop.call_later(AGAIN, give_up)  # pyroute2 may pass over one, and wait for something else

    due = loop.call_later(patience, give_up)
    try:
        yield
    except asyncio.CancelledError:
        raise TryLater(f"cannot {doing}: the kernel has not answered within {patience:g} s") from None
    finally:
        due.cancel()  # the socket's closing, which comes next, is not to be given up


@contextmanager
def namespace(doing: str, process: PidRef) -> Iterator[int]:
    """A descriptor of the network namespace of that very process, never the one we are in ourselves.

    Raises TryLater when the process is gone.
    """
    try:
        fd = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise TryLater(f"cannot {doing}: process {process.pid} is gone") from e
    try:
        if not processes.alive(process):  # looked at after the open: what we opened was its
            raise TryLater(f"cannot {doing}: process {process.pid} is gone")
        if os.path.samestat(os.fstat(fd), Path("/proc/thread-self/ns/net").stat()):
            raise HostUnfit(f"cannot {doing}: process {process.pid} is in the host's network namespace")
        yield fd
    finally:
        os.close(fd)


@contextmanager
def refused(doing: str) -> Iterator[None]:
    """What the kernel refuses is raised as ours: TryLater with its words, HostUnfit where a right is missing."""
    try:
        yield
    except OSError as e:
        raise failure(doing, e.errno or 0) from e


def index_here(name: str) -> int | None:
    """The index of the interface called ``name`` in the calling thread's network namespace, or None; without netlink: a
    request of pyroute2's takes 0.5 ms, this 0.01."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def remove_link(name: str) -> None:
    """Take away the interface called ``name`` in the calling thread's network namespace; nothing happens where there is
    none. Raises OSError."""
    index = index_here(name)
    if index is None:
        return
    try:
        rtchanges.make(rtchanges.no_link(index))
    except OSError as e:
        if e.errno != errno.ENODEV:
            raise


def failure(doing: str, number: int) -> TryLater | HostUnfit:
    """The error for what the kernel refused with this errno. ``doing`` completes "cannot …"."""
    message = f"cannot {doing}: {os.strerror(number)}"
    if number in (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP):
        return HostUnfit(message)
    return TryLater(message)
