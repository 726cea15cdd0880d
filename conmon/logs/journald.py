"""Lines to journald, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), with the C conmon's fields.

A datagram for each line, its newline included. What has no newline yet is held, up to HELD bytes for each stream; the
rest of a longer line, and what the end leaves, are marked as partial. Imported only by monitors with this driver.

Whoever reads the socket is not ours, and may be slow, stuck or gone. A slow one is waited for, so that no line is lost;
from one that takes nothing for PATIENCE seconds on, lines are lost until it takes one again. Both are said once.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import select
import sys
import time

from conmon import say
from conmon.logs.driver import Driver

SOCKET = "/run/systemd/journal/socket"
HELD = 8192
"""Bytes of a line that is waited for, and of a piece of a longer one."""
PATIENCE = 5.0
_PRIORITY = {b"stdout": b"6", b"stderr": b"3"}
_DIGITS = b"01234567"
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Journald(Driver):
    """``mark_partial``: whether pieces of a line say that they are."""

    def __init__(self, cid: str, name: str | None, tag: str | None, labels: list[str], *, mark_partial: bool) -> None:
        fixed = [("CONTAINER_ID_FULL", cid), ("CONTAINER_ID", cid[:12])]
        fixed += [("CONTAINER_NAME", name)] if name is not None else []
        fixed += [("CONTAINER_TAG", tag)] if tag is not None else []
        fixed += [("SYSLOG_IDENTIFIER", tag or name or cid[:12])]
        for label in labels:
            key, _, value = label.partition("=")
            fixed.append((key, value))
        self._fixed = b"".join(field(key.encode(), os.fsencode(value)) for key, value in fixed)
        self._mark_partial = mark_partial
        self._held = dict.fromkeys(_PRIORITY, b"")
        self._priority: dict[bytes, bytes] = {}
        self._mailbox = Mailbox(SOCKET)

    def write(self, stream: bytes, data: bytes) -> None:
        for start in range(0, len(data), HELD):
            *lines, rest = data[start : start + HELD].split(b"\n")
            for line in lines:
                self._send(stream, self._take(stream) + line + b"\n", whole=True)
            if len(self._held[stream]) + len(rest) >= HELD:
                self._send(stream, self._take(stream) + rest, whole=False)
            else:
                self._held[stream] += rest

    def end(self) -> None:
        for stream in self._held:
            if self._held[stream]:
                self._send(stream, self._take(stream), whole=False)

    def close(self) -> None:
        self._mailbox.close()

    def _take(self, stream: bytes) -> bytes:
        held = self._held[stream]
        self._held[stream] = b""
        return held

    def _send(self, stream: bytes, text: bytes, *, whole: bool) -> None:
        """``<N>`` at the front of a line is its priority (sd-daemon(3)), for all its pieces."""
        priority = self._priority.pop(stream, None)
        if priority is None:
            priority, text = _priority_of(text, _PRIORITY[stream])
        fields = [field(b"MESSAGE", text), self._fixed, field(b"PRIORITY", priority)]
        if not whole:
            self._priority[stream] = priority
            fields += [field(b"CONTAINER_PARTIAL_MESSAGE", b"true")] if self._mark_partial else []
        self._mailbox.send(b"".join(fields))


class Mailbox:
    """The way to journald's socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: _socket.socket | None = None
        self._lost = 0

    def send(self, message: bytes) -> None:
        """Deliver it, or lose it."""
        try:
            try:
                self._deliver(message)
            except OSError as error:
                if error.errno not in (errno.ECONNREFUSED, errno.ENOTCONN, errno.EPIPE):
                    raise
                self.close()  # another journald, at the same path
                self._deliver(message)
        except OSError as error:
            if not self._lost:
                say.warn(f"cannot write to journald: {error.strerror}; output is lost")
            self._lost += 1
            return
        if self._lost:
            say.warn(f"journald takes output again; {self._lost} lines were lost")
            self._lost = 0

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _deliver(self, message: bytes) -> None:
        """Raises OSError."""
        if self._socket is None:
            self._socket = _connected(self._path)
        deadline = time.monotonic() + (0.0 if self._lost else PATIENCE)
        while True:
            try:
                self._put(self._socket, message)
                return
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                _wait_for_room(self._socket, left)

    def _put(self, connection: _socket.socket, message: bytes) -> None:
        """As a datagram, or, if it is too large for that, in a sealed file of which a descriptor is sent."""
        try:
            connection.send(message, _socket.MSG_NOSIGNAL)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            fd = _sealed(message)
            try:
                rights = fd.to_bytes(4, sys.byteorder)
                ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
                connection.sendmsg([b""], ancillary, _socket.MSG_NOSIGNAL)
            finally:
                os.close(fd)


def field(key: bytes, value: bytes) -> bytes:
    """``KEY=VALUE``, or with its length in front, if a newline is in it."""
    if b"\n" not in value:
        return key + b"=" + value + b"\n"
    return key + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


def _priority_of(text: bytes, otherwise: bytes) -> tuple[bytes, bytes]:
    """(priority, the rest of the line)."""
    if text[:1] == b"<" and text[2:3] == b">" and text[1] in _DIGITS:
        return text[1:2], text[3:]
    return otherwise, text


def _connected(path: str) -> _socket.socket:
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        connection.setblocking(False)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _wait_for_room(connection: _socket.socket, seconds: float) -> None:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLOUT)
    poll.poll(seconds * 1000)


def _sealed(message: bytes) -> int:
    fd = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        while message:
            message = message[os.write(fd, message) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
