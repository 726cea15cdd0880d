"""From the container's pipes to its logs."""

from __future__ import annotations

import os

from conmon.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from conmon.flight import Flight

READ = 16384
"""Bytes per read, and so the most of a line that one record of a log holds (as containerd's). The C conmon's 8192 cost
a third more time where much is written; more than this costs memory in each monitor."""

_TURNS = 32
"""Reads before others get their turn."""
_LEFT = 2 << 20
"""Bytes that are taken at the end, at most: more than a pipe (fs.pipe-max-size: 1 MiB) or a terminal holds. Orphans of
the container may go on writing for ever."""


class Stream:
    """The reading end of a container's stdout or stderr. ``sink`` gets (name, data) of each read, which is in
    ``flight`` until then."""

    def __init__(
        self, loop: Loop, fd: int, name: bytes, sink: Callable[[bytes, bytes], None], flight: Flight | None = None
    ) -> None:
        self._loop = loop
        self._fd: int | None = fd
        self._name = name
        self.sink = sink
        self._flight = flight
        os.set_blocking(fd, False)
        loop.watch(fd, self._ready)

    @property
    def fd(self) -> int:
        """-1: it has ended."""
        return -1 if self._fd is None else self._fd

    def drain(self) -> None:
        """Take all that is there now; does not wait for more.

        Until there is nothing: a terminal gives 4095 bytes per read, however much it holds (n_tty).
        """
        left = _LEFT
        while left > 0 and (taken := self._take()):
            left -= taken

    def _ready(self) -> None:
        for _ in range(_TURNS):
            if self._take() < READ:
                return

    def _take(self) -> int:
        """One read; its bytes. 0: there is nothing now, or nothing more."""
        if self._fd is None:
            return 0
        try:
            data = os.read(self._fd, READ) if self._flight is None else self._flight.read(self._fd, self._name)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self._loop.forget(self._fd)
            os.close(self._fd)
            self._fd = None
            return 0
        self.sink(self._name, data)
        if self._flight is not None:
            self._flight.landed(len(data))
        return len(data)


class Held:
    """Holds what comes on stderr while the runtime works: its words if it fails, output if not.

    Beyond ``limit`` bytes it can be no error message: then all of it goes on to ``sink`` at once.
    """

    def __init__(self, sink: Callable[[bytes, bytes], None], limit: int = 8191) -> None:
        self._sink = sink
        self._limit = limit
        self._kept: list[tuple[bytes, bytes]] | None = []
        self.text = b""

    def __call__(self, name: bytes, data: bytes) -> None:
        if self._kept is None:
            self._sink(name, data)
            return
        self._kept.append((name, data))
        self.text = (self.text + data)[: self._limit]
        if len(self.text) == self._limit:
            self.release()

    def release(self) -> None:
        """Pass on what was held, and hold nothing from now on."""
        kept, self._kept = self._kept or [], None
        for name, data in kept:
            self._sink(name, data)
