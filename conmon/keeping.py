"""What the zygote keeps of a monitor so that another can take its place, and the line on which it learns of it.

Each monitor that the zygote forks has one end of a SOCK_SEQPACKET pair, the zygote the other. What a monitor says:

    K…, L…   what is kept: pieces of one message, descriptors with them; L is the last piece
    I        the container's stdin was closed: there must not be another end of it (nothing, before L)
    E STATUS the container has ended, its output is in the log: nothing of what is kept is needed any more

What the zygote says: ``+`` to E, once all is closed (sockets that hold ports among it); ``S STATUS`` to a replacement,
whose container is the zygote's child, when that has ended. A monitor never waits for the zygote, but for that one
answer, and not long: a zygote that was killed is no trouble of its.
"""

from __future__ import annotations

import _socket
import marshal
import select
import sys

from conmon import framing

STDOUT, STDERR, STDIN, TERMINAL, PEER = "stdout", "stderr", "stdin", "terminal", "peer"
ATTACH, HELD, FLIGHT, RESERVE = "attach", "held", "flight", "reserve"
"""What a kept descriptor is; ``peer`` is the container's end of the terminal, ``held`` were given to us to hold,
``reserve`` is room on a disk that may be full by now."""

PIECE, LAST, NO_INPUT, ENDED, GONE, STATUS = b"K", b"L", b"I", b"E", b"+", b"S"
PACKET = framing.PACKET + 16
UNWANTED = 75
"""The exit status of a replacement that finds nothing to go on with: its bundle is gone. No other comes after it."""
PATIENCE = 1.0
"""Seconds that a monitor waits until the zygote has let go of what it kept."""


class Kept:
    """A monitor, as another can go on with it.

    ``deadline``: of --timeout, on the monotonic clock; None: there is none. ``roles`` say what the descriptors ``fds``
    are; there are none after the end. ``status``: how the container ended, if that is known.
    """

    def __init__(
        self,
        container: int,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        deadline: float | None,
        roles: list[str],
        fds: list[int],
        status: int | None = None,
    ) -> None:
        self.container = container
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.deadline = deadline
        self.roles = roles
        self.fds = fds
        self.status = status

    def fd(self, role: str) -> int | None:
        """The first descriptor of this kind."""
        return next(iter(self.all(role)), None)

    def all(self, role: str) -> list[int]:
        return [fd for fd, its in zip(self.fds, self.roles, strict=False) if its == role]

    def pack(self) -> bytes:
        """All but the descriptors and the status."""
        return marshal.dumps((self.container, self.argv, self.env, self.cwd, self.deadline, self.roles))


def unpack(body: bytes, fds: list[int], status: int | None) -> Kept:
    """The reverse of ``Kept.pack``. The sender is a fork of ours."""
    container, argv, env, cwd, deadline, roles = marshal.loads(body)
    return Kept(container, argv, env, cwd, deadline, roles, fds, status)


class Line:
    """A monitor's end. ``fd`` None: it was not forked by a zygote, so nobody keeps anything.

    The rest is what the monitor was asked for, so that another can be.
    """

    def __init__(
        self, fd: int | None = None, argv: list[str] | None = None, env: dict[str, str] | None = None, cwd: str = "/"
    ) -> None:
        self._socket = None if fd is None else _socket.socket(fileno=fd)
        self._argv = argv or []
        self._env = env or {}
        self._cwd = cwd

    @property
    def fd(self) -> int:
        """-1: there is none, or no more."""
        return -1 if self._socket is None else self._socket.fileno()

    def keep(self, container: int, deadline: float | None, ends: list[tuple[str, int]]) -> None:
        """From now on another monitor can take our place. ``ends``: what is kept, by role."""
        roles, fds = [role for role, _ in ends], [fd for _, fd in ends]
        kept = Kept(container, self._argv, self._env, self._cwd, deadline, roles, fds)
        pieces = framing.packets(kept.pack(), kept.fds)
        for number, (piece, some) in enumerate(pieces, 1):
            self._say(LAST + piece if number == len(pieces) else PIECE + piece, some)

    def no_input(self) -> None:
        self._say(NO_INPUT)

    def ended(self, status: int, *, wait: bool) -> None:
        """``wait``: until nothing is kept any more."""
        self._say(b"%b%d" % (ENDED, status))
        if wait and self._socket is not None:
            poll = select.poll()
            poll.register(self._socket.fileno(), select.POLLIN)
            poll.poll(PATIENCE * 1000)

    def status(self) -> int | None:
        """How the container ended, when the line can be read; None: nobody will tell, the zygote has ended."""
        try:
            said = self._socket.recv(64) if self._socket is not None else b""
        except OSError:
            said = b""
        return int(said[1:]) if said[:1] == STATUS else None

    def _say(self, packet: bytes, fds: list[int] | None = None) -> None:
        if self._socket is None:
            return
        rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds or ())
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
        try:
            self._socket.sendmsg([packet], ancillary, _socket.MSG_DONTWAIT)
        except OSError:  # the zygote was killed, or hangs
            self._socket.close()
            self._socket = None
