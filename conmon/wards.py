"""The zygote's side of the line: which monitors it has, what it keeps of each, and which are to be replaced.

A monitor that has ended without having said that its container has ended is replaced: at once, and when that goes on
not to live long, after longer and longer. Its container is the zygote's child then, so the zygote hears its status.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

from conmon import fds, framing, keeping
from conmon.keeping import Kept

LONG = 10.0
"""Seconds after which a monitor counts as one that lives."""
_AT_ONCE = 3
"""Replacements that do not live long before the next one has to wait."""
_FIRST, _MOST = 0.1, 1.0
"""Seconds between replacements that do not live. A container that ends meanwhile is not told of for so long."""


class Ward:
    """One container's monitor. ``fds`` and ``body`` are what is kept; without ``whole`` it cannot be replaced.

    ``over``: it has said that its container has ended. ``monitor`` 0: it has none, and the next is ``due``.
    """

    def __init__(self, monitor: int, line: _socket.socket) -> None:
        self.monitor = monitor
        self.line = line
        self.body = b""
        self.fds: list[int] = []
        self.whole = False
        self.over = False
        self.container = 0
        self.status: int | None = None
        self.since = time.monotonic()
        self.deaths = 0
        self.due = 0.0

    def read(self) -> bool:
        """All that its monitor has said; whether it may say more."""
        while packet := self._receive():
            kind, rest = packet[:1], packet[1:]
            if kind in (keeping.PIECE, keeping.LAST):
                self.body += rest
                self.whole = kind == keeping.LAST and self._is_complete()
            elif kind == keeping.NO_INPUT and self.whole:
                self._let_go(keeping.STDIN)
            elif kind == keeping.ENDED:
                self._end_is_known(int(rest))
                self.over = True
                self._let_go()
                _send(self.line, keeping.GONE)
        return packet is None

    def kept(self) -> Kept:
        return keeping.unpack(self.body, self.fds, self.status)

    def ended(self, status: int) -> None:
        """The container has, which was our child; its monitor, if it is a replacement, waits for this."""
        if self.status is None:
            self._end_is_known(status)
            _send(self.line, b"%b%d" % (keeping.STATUS, status))

    def _end_is_known(self, status: int) -> None:
        """Somebody waits to be told: the next monitor comes at once, however many have died."""
        if self.status is None:
            self.deaths, self.due = 0, time.monotonic()
        self.status = status

    def died(self, status: int) -> bool:
        """Its monitor has, with this wait status; whether another is to come. Then ``due`` says when."""
        self.read()
        exited = os.WIFEXITED(status)
        if not self.whole or (exited and (self.over or os.WEXITSTATUS(status) == keeping.UNWANTED)):
            return False
        now = time.monotonic()
        self.deaths = 0 if now - self.since > LONG else self.deaths + 1
        self.due = now if self.deaths <= _AT_ONCE else now + min(_FIRST * 2 ** (self.deaths - _AT_ONCE - 1), _MOST)
        self.monitor = 0
        return True

    def replaced(self, monitor: int, line: _socket.socket) -> None:
        self.monitor, self.line, self.since = monitor, line, time.monotonic()

    def close(self) -> None:
        self.line.close()
        self._let_go()

    def _receive(self) -> bytes | None:
        """One packet, its descriptors put to the others; None: there is no more now, empty: nor ever."""
        room = _socket.CMSG_SPACE(4 * framing.MOST_FDS)
        try:
            packet, ancillary, flags, _ = self.line.recvmsg(
                keeping.PACKET, room, _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError:
            return b""
        for level, kind, data in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                numbers = (data[start : start + 4] for start in range(0, len(data) - 3, 4))
                self.fds += [int.from_bytes(number, sys.byteorder) for number in numbers]
        if flags & _socket.MSG_CTRUNC:
            self.body = b""  # out of descriptors: what came is no use, and there is room for others without it
            self._let_go()
        return packet

    def _is_complete(self) -> bool:
        try:
            kept = self.kept()
        except (EOFError, TypeError, ValueError):
            self._let_go()
            return False
        self.container = kept.container
        if len(kept.roles) == len(self.fds):
            return True
        self._let_go()
        return False

    def _let_go(self, role: str | None = None) -> None:
        """Close what is kept: all, or one kind."""
        if role is None:
            fds.close_all(self.fds)
            self.fds = []
            return
        kept = self.kept()
        gone = kept.all(role)
        fds.close_all(gone)
        kept.fds, kept.roles = (
            [fd for fd in kept.fds if fd not in gone],
            [its for its in kept.roles if its != role],
        )
        self.fds, self.body = kept.fds, kept.pack()


def _send(line: _socket.socket, packet: bytes) -> None:
    try:
        line.send(packet, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
    except OSError:
        pass  # it has ended: its replacement is told
