"""What is between the container and its log at this moment, where it outlives us.

A monitor may be killed after it has taken output from a pipe and before that is in the log. So it takes it into memory
that the zygote keeps, too (a memfd), and notes how far it has come; its replacement finishes that. The buffer is zero
where nothing was read, by which is found what a read brought whose length could not be noted any more.

The header: phase and stream (a byte each), two spare, length (4 bytes), inode and size of the log (8 each).
"""

from __future__ import annotations

import mmap
import os
import struct

from conmon.pump import READ

_HEAD = 64
_STATE = struct.Struct("=BB2xI")
_PLACE = struct.Struct("=QQ")
_LENGTH = struct.Struct("=I")
_NOTHING, _READING, _LOGGING = 0, 1, 2
_STREAMS = (b"stdout", b"stderr")
_ZEROS = bytes(READ)


class Flight:
    """Reads for one monitor. ``fd``: what another monitor had; its last read is in ``left``."""

    def __init__(self, fd: int | None = None) -> None:
        """Raises OSError."""
        self.fd = os.memfd_create("flight", os.MFD_CLOEXEC) if fd is None else fd
        if fd is None:
            os.ftruncate(self.fd, _HEAD + READ)
        self._head = mmap.mmap(self.fd, _HEAD + READ)
        self._body = (memoryview(self._head)[_HEAD:],)
        self.left = self._found() if fd is not None else None

    def read(self, fd: int, stream: bytes) -> bytes:
        """As os.read; it is in flight until ``landed``."""
        head = self._head
        _STATE.pack_into(head, 0, _READING, stream == _STREAMS[1], 0)
        length = os.readv(fd, self._body)
        _LENGTH.pack_into(head, 4, length)
        return head[_HEAD : _HEAD + length]

    def logging(self, inode: int, size: int) -> None:
        """It is about to be appended to the log, which is now so long."""
        _PLACE.pack_into(self._head, 8, inode, size)
        self._head[0] = _LOGGING

    def landed(self, length: int) -> None:
        """It is in the log, and has this many bytes."""
        head = self._head
        head[0] = _NOTHING
        head[_HEAD : _HEAD + length] = _ZEROS if length == READ else bytes(length)

    def _found(self) -> Left | None:
        phase, stream, length = _STATE.unpack_from(self._head, 0)
        data = self._head[_HEAD:][:length] if length else self._head[_HEAD:].rstrip(b"\0")
        place = _PLACE.unpack_from(self._head, 8) if phase == _LOGGING else None
        return Left(_STREAMS[stream], data, place) if phase != _NOTHING and data else None


class Left:
    """What a monitor had read when it died. ``place``: inode and size of the log before it began to write it there."""

    def __init__(self, stream: bytes, data: bytes, place: tuple[int, int] | None) -> None:
        self.stream = stream
        self.data = data
        self.place = place
