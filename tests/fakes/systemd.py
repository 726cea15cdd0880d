"""A systemd that keeps units in memory, asked over its socket as the real one (org.freedesktop.systemd1(5))."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from reconciler.linux.dbus import ERROR, METHOD_RETURN, SIGNAL, Message, _padded, _Writer, split, unpack

Fields = list[tuple[int, tuple[str, object]]]


def packed(kind: int, fields: Fields, signature: str, *values: object) -> bytes:
    """A message as it goes over the wire."""
    body = _Writer()
    for part, value in zip(split(signature), values, strict=True):
        body.put(part, value)
    head = _Writer(bytearray(struct.pack("<cBBBII", b"l", kind, 0, 1, len(body.data), 1)))
    head.put("a(yv)", [*fields, (8, ("g", signature))])
    head.align(8)
    return bytes(head.data + body.data)


class Refusal(Exception):
    """An error's name and what is said."""


class FakeSystemd:
    """``units``: what systemd knows, by name; whether it is active. ``heard``: each call and its unit.

    ``on_call`` is called with each before it is answered. Scopes in ``closed`` are not delegated: nobody may join.
    """

    def __init__(self, path: Path) -> None:
        self.units: dict[str, bool] = {}
        self.properties: dict[str, dict[str, object]] = {}
        self.closed: set[str] = set()
        self._asked = ""
        self.heard: list[tuple[str, str]] = []
        self.on_call: Callable[[str, str], None] = lambda _member, _unit: None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError, EOFError):  # it has hung up
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while (line := stream.readline()) != b"BEGIN\r\n":
            if not line:
                raise EOFError
        connection.sendall(b"OK 0123\r\n")
        while head := stream.read(16):
            length, serial, fields = struct.unpack_from("<III", head, 4)
            message = unpack(head + stream.read(_padded(fields, 8) + length))
            connection.sendall(self._answer(message, serial))

    def _answer(self, message: Message, serial: int) -> bytes:
        member, unit = message.member, str(message.body[0])
        self.on_call(member, unit)
        self.heard.append((member, unit))
        to: Fields = [(5, ("u", serial))]
        try:
            answer = getattr(self, f"_{member}")(*message.body)
        except Refusal as refusal:
            name, said = refusal.args
            return packed(ERROR, [(4, ("s", f"org.freedesktop.{name}")), *to], "s", said)
        if isinstance(answer, tuple):
            return packed(METHOD_RETURN, to, *answer)
        if not answer:
            return packed(METHOD_RETURN, to, "")
        told = packed(SIGNAL, [(3, ("s", "JobRemoved"))], "uoss", 1, "/job/1", unit, "done")
        return packed(METHOD_RETURN, to, "o", "/job/1") + told

    def _StartTransientUnit(  # noqa: N802 (its name there)
        self, unit: str, _mode: str, properties: list[tuple[str, tuple[str, object]]], _others: object
    ) -> bool:
        if unit in self.units:
            raise Refusal("systemd1.UnitExists", f"Unit {unit} was already loaded or has a fragment file.")
        self.units[unit] = True
        self._SetUnitProperties(unit, True, properties)
        return True

    def _StartUnit(self, unit: str, _mode: str) -> bool:  # noqa: N802
        self.units[unit] = True
        return True

    def _StopUnit(self, unit: str, _mode: str) -> bool:  # noqa: N802
        if unit not in self.units:
            raise Refusal("systemd1.NoSuchUnit", f"Unit {unit} not loaded.")
        del self.units[unit]
        return True

    def _SetUnitProperties(  # noqa: N802
        self, unit: str, _runtime: bool, properties: list[tuple[str, tuple[str, object]]]
    ) -> bool:
        self.properties.setdefault(unit, {}).update({name: value for name, (_, value) in properties})
        return False

    def _AttachProcessesToUnit(self, unit: str, _below: str, _pids: list[int]) -> bool:  # noqa: N802
        if unit not in self.units:
            raise Refusal("systemd1.NoSuchUnit", f"Unit {unit} not loaded.")
        if unit in self.closed:
            text = "Process migration not available on non-delegated units."
            raise Refusal("DBus.Error.InvalidArgs", text)
        if not self.units[unit]:
            raise Refusal("DBus.Error.InvalidArgs", "Unit is not active, refusing.")
        return False

    def _GetUnit(self, unit: str) -> tuple[str, str]:  # noqa: N802
        if unit not in self.units:
            raise Refusal("systemd1.NoSuchUnit", f"Unit {unit} not loaded.")
        self._asked = unit
        return "o", "/unit/1"

    def _Get(self, _interface: str, _property: str) -> tuple[str, tuple[str, str]]:  # noqa: N802
        return "v", ("s", "active" if self.units[self._asked] else "activating")

    def _ResetFailedUnit(self, unit: str) -> bool:  # noqa: N802
        if not self.units.get(unit, True):
            del self.units[unit]
        return False
