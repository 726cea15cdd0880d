"""sd-notify: what the container tells of its state is passed on to the service manager of the host.

The socket is ``notify/notify.sock`` in the bundle; whoever made the bundle made the directory and shows it to the
container. Only lines about the container's own state go through (the reference, section 10): one that names
processes, descriptors or watchdog times would be understood as about us. Imported only with --sdnotify-socket.
"""

from __future__ import annotations

import _socket as socket  # why: see memory.py
import os

from conmon import say
from conmon.framing import via_directory
from conmon.loop import Loop
from conmon.say import Fail

_PASSED = (b"READY=1", b"RELOADING=1", b"STOPPING=1", b"WATCHDOG=1", b"WATCHDOG=trigger")
_PASSED_WITH_VALUE = (b"STATUS=", b"ERRNO=", b"BUSERROR=", b"MONOTONIC_USEC=")
_MOST = 65536
_LONGEST_NAME = 107


class Relay:
    """The container's socket, and who is told. A host that does not listen costs the message, and a warning."""

    def __init__(self, loop: Loop, bundle: str, host: str) -> None:
        """``host``: the path of the host's socket; one that begins with @ is abstract. Raises Fail."""
        if len(os.fsencode(host)) > _LONGEST_NAME:
            raise Fail(f"Path of the notify socket {host} is longer than {_LONGEST_NAME} bytes")
        self._host = "\0" + host[1:] if host.startswith("@") else host
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        path = f"{bundle}/notify/notify.sock"
        try:
            name, directory = via_directory(path)
            try:
                if os.path.lexists(name):
                    os.unlink(name)
                self._socket.bind(name)
                os.chmod(name, 0o777)
            finally:
                os.close(directory)
        except OSError as error:
            self._socket.close()
            raise Fail(f"Failed to bind notify socket {path}: {error.strerror}") from None
        loop.watch(self._socket.fileno(), self._ready)

    def _ready(self) -> None:
        try:
            told = passed(self._socket.recv(_MOST))
            if told:
                self._socket.sendto(told, self._host)
        except OSError as error:
            say.warn(f"cannot pass a message on to the notify socket: {error.strerror}")


def passed(message: bytes) -> bytes:
    """The lines of a message that go through."""
    lines = message.split(b"\n")
    return b"\n".join(line for line in lines if line in _PASSED or line.startswith(_PASSED_WITH_VALUE))
