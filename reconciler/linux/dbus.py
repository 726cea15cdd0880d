"""A call to another program over D-Bus, and the signals that come with the answer: what systemd is asked through.

Just the wire format, on one connected socket (D-Bus Specification, "Message Protocol"): ``busctl`` would be a process
for each call, a library a dependency. Little-endian, one call at a time, one thread per connection.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_MOST = 1 << 27
"""Bytes that a message may have (D-Bus Specification, "Message Format"); systemd's answers to us have a few hundred."""
_PIECE = 1 << 16
_FIXED = {kind: (code, struct.calcsize("<" + code)) for kind, code in zip("ynqbiuhxtd", "BhHIiIIqQd", strict=True)}
"""Types of one size, which is their alignment: how ``struct`` has them, and bytes."""

Variant = tuple[str, Any]
"""A signature and a value of it."""


_STRANGE = "it does not speak D-Bus as we know it"
_MALFORMED = (struct.error, IndexError, ValueError, TypeError, RecursionError)
"""What reading bytes raises that are not what they should be."""


class DBusError(Exception):
    """The other side refused: ``name`` is the error's (org.freedesktop.systemd1.UnitExists)."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{message} ({name})" if message else name)
        self.name = name


@dataclass(frozen=True, slots=True)
class Message:
    """``data``: its body as it came, read when it is asked for. systemd tells everybody of all that it does: what does
    not concern us costs nothing, and cannot be in the way."""

    kind: int
    fields: dict[int, Any]
    data: bytes

    @property
    def member(self) -> str:
        return str(self.fields.get(_MEMBER, ""))

    @property
    def body(self) -> tuple[Any, ...]:
        """Raises OSError where it is not what its signature says."""
        reader = _Reader(self.data)
        try:
            return tuple(reader.get(part) for part in split(self.fields.get(_SIGNATURE, "")))
        except _MALFORMED as e:
            raise OSError(_STRANGE) from e


class Connection:
    """Connected directly to a program's own socket: there is no bus between, so nobody has a name."""

    def __init__(self, path: Path, timeout: float) -> None:
        """``timeout``: seconds for everything that is done with it, however much is told meanwhile. Raises OSError."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._serial = 0
        self._deadline = time.monotonic() + timeout
        try:
            self._hurry()
            self._socket.connect(str(path))
            self._authenticate()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *values: Any,
        signals: list[Message] | None = None,
    ) -> tuple[Any, ...]:
        """The answer's values; signals that come before it are added to ``signals``. Raises DBusError, OSError."""
        self._serial += 1
        self._hurry()
        self._socket.sendall(pack_call(self._serial, path, interface, member, signature, values))
        while True:
            message = self.receive()
            if message.kind == SIGNAL and signals is not None:
                signals.append(message)
            if message.fields.get(_REPLY_SERIAL) != self._serial:
                continue
            if message.kind == ERROR:
                said = message.body[0] if message.body else ""
                raise DBusError(str(message.fields.get(_ERROR_NAME, "")), str(said))
            return message.body

    def receive(self) -> Message:
        """The next message. Raises OSError; TimeoutError is one."""
        head = self._read(16)
        order, _kind, _flags, _version, length, _serial, fields = struct.unpack("<cBBBIII", head)
        if order != b"l" or length + fields > _MOST:
            raise OSError(_STRANGE)
        try:
            return unpack(head + self._read(_padded(fields, 8) + length))
        except _MALFORMED as e:
            raise OSError(_STRANGE) from e

    def _authenticate(self) -> None:
        """All in one piece, as sd-bus does it: systemd answers when it has read the whole of it. A call that reached it
        together with a BEGIN would wait in its buffer until more comes."""
        self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nBEGIN\r\n")
        if not self._line().startswith(b"OK "):
            raise PermissionError("it does not take us")

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._read(1)
        return line

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            self._hurry()
            piece = self._socket.recv(min(count - len(data), _PIECE))
            if not piece:
                raise ConnectionResetError("it hung up")
            data += piece
        return bytes(data)

    def _hurry(self) -> None:
        """What comes next may take the rest of the time. Raises TimeoutError where there is none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it takes too long")
        self._socket.settimeout(left)


def pack_call(serial: int, path: str, interface: str, member: str, signature: str, values: Sequence[Any]) -> bytes:
    """A method call as it goes over the wire."""
    body = _Writer()
    for kind, value in zip(split(signature), values, strict=True):
        body.put(kind, value)
    fields = [(_PATH, ("o", path)), (_INTERFACE, ("s", interface)), (_MEMBER, ("s", member))]
    if signature:
        fields.append((_SIGNATURE, ("g", signature)))
    head = _Writer(bytearray(struct.pack("<cBBBII", b"l", METHOD_CALL, 0, 1, len(body.data), serial)))
    head.put("a(yv)", fields)
    head.align(8)
    return bytes(head.data + body.data)


def unpack(data: bytes) -> Message:
    """A whole message, whose fields alone are read."""
    kind, length = data[1], struct.unpack_from("<I", data, 4)[0]
    reader = _Reader(data, 12)
    fields = {code: value for code, (_, value) in reader.get("a(yv)")}
    return Message(kind, fields, data[len(data) - length :])


def split(signature: str) -> list[str]:
    """The complete types in a signature: "sa(sv)u" is s, a(sv), u."""
    parts, position = [], 0
    while position < len(signature):
        end = _end(signature, position)
        parts.append(signature[position:end])
        position = end
    return parts


def _end(signature: str, position: int) -> int:
    if signature[position] == "a":
        return _end(signature, position + 1)
    if signature[position] not in "({":
        return position + 1
    position += 1
    while signature[position] not in ")}":
        position = _end(signature, position)
    return position + 1


def _alignment(kind: str) -> int:
    if kind[0] in _FIXED:
        return _FIXED[kind[0]][1]
    return {"s": 4, "o": 4, "a": 4, "(": 8, "{": 8}.get(kind[0], 1)


def _padded(size: int, to: int) -> int:
    return (size + to - 1) // to * to


class _Writer:
    def __init__(self, data: bytearray | None = None) -> None:
        self.data = bytearray() if data is None else data

    def align(self, to: int) -> None:
        self.data += b"\0" * (_padded(len(self.data), to) - len(self.data))

    def put(self, kind: str, value: Any) -> None:
        self.align(_alignment(kind))
        if kind in _FIXED:
            self.data += struct.pack("<" + _FIXED[kind][0], value)
        elif kind in ("s", "o", "g"):
            text = value.encode()
            self.data += struct.pack("<B" if kind == "g" else "<I", len(text)) + text + b"\0"
        elif kind == "v":
            self.put("g", value[0])
            self.put(value[0], value[1])
        elif kind[0] == "a":
            self._array(kind[1:], value)
        else:
            for part, item in zip(split(kind[1:-1]), value, strict=True):
                self.put(part, item)

    def _array(self, kind: str, values: Sequence[Any]) -> None:
        place = len(self.data)
        self.data += b"\0\0\0\0"
        self.align(_alignment(kind))
        start = len(self.data)
        for value in values:
            self.put(kind, value)
        struct.pack_into("<I", self.data, place, len(self.data) - start)


class _Reader:
    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self._position = position

    def get(self, kind: str) -> Any:
        self._position = _padded(self._position, _alignment(kind))
        if kind in _FIXED:
            code, size = _FIXED[kind]
            value = struct.unpack_from("<" + code, self._data, self._position)[0]
            self._position += size
            return bool(value) if kind == "b" else value
        if kind in ("s", "o", "g"):
            length = self.get("y" if kind == "g" else "u")
            text = self._data[self._position : self._position + length].decode(errors="replace")
            self._position += length + 1
            return text
        if kind == "v":
            signature = self.get("g")
            return signature, self.get(signature)
        if kind[0] == "a":
            return self._array(kind[1:])
        if kind[0] not in "({":
            raise ValueError(f"there is no type {kind}")
        return tuple(self.get(part) for part in split(kind[1:-1]))

    def _array(self, kind: str) -> list[Any]:
        length = self.get("u")
        self._position = _padded(self._position, _alignment(kind))
        end = self._position + length
        values = []
        while self._position < end:
            values.append(self.get(kind))
        return values
