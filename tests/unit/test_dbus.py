"""D-Bus on the wire: whole calls against bytes from elsewhere, values there and back, and a fake systemd."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.linux.dbus import Connection, DBusError, Message, _Reader, _Writer, pack_call, split, unpack
from tests.fakes.systemd import packed

PROPERTIES = [
    ("CPUWeight", ("t", 39)),
    ("PIDs", ("au", [1, 2])),
    ("Delegate", ("b", True)),
    ("Slice", ("s", "a.slice")),
]


def test_a_call_is_what_the_specification_says() -> None:
    """Written out by hand from the D-Bus Specification, "Message Format"."""
    fields = b"".join(
        [
            b"\1\1o\0" + struct.pack("<I", 2) + b"/a\0" + b"\0" * 5,
            b"\2\1s\0" + struct.pack("<I", 3) + b"b.c\0" + b"\0" * 4,
            b"\3\1s\0" + struct.pack("<I", 1) + b"D\0" + b"\0" * 6,
            b"\x08\1g\0" + b"\1u\0",
        ]
    )
    head = b"l\1\0\1" + struct.pack("<III", 4, 7, len(fields)) + fields
    assert pack_call(7, "/a", "b.c", "D", "u", [5]) == head + b"\0" * (-len(head) % 8) + struct.pack("<I", 5)


def test_a_call_reads_back() -> None:
    packed = pack_call(3, "/p", "i.f", "StartTransientUnit", "ssa(sv)a(sa(sv))", ["u.slice", "fail", PROPERTIES, []])
    message = unpack(packed)
    assert message.member == "StartTransientUnit"
    assert message.body == ("u.slice", "fail", PROPERTIES, [])


@pytest.mark.parametrize(
    ("signature", "parts"),
    [("", []), ("s", ["s"]), ("ssa(sv)u", ["s", "s", "a(sv)", "u"]), ("a(sa(sv))aau", ["a(sa(sv))", "aau"])],
)
def test_a_signature_is_split_into_whole_types(signature: str, parts: list[str]) -> None:
    assert split(signature) == parts


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.integers(0, 2**64 - 1))))
def test_values_survive_the_way_there_and_back(values: list[tuple[str, int]]) -> None:
    writer = _Writer()
    writer.put("a(st)", values)
    assert _Reader(bytes(writer.data)).get("a(st)") == values


class Systemd:
    """The other side, as systemd speaks: answers a call with what ``answer`` makes of it."""

    def __init__(self, path: Path, answer: Callable[[Message, int], bytes]) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._answer = answer
        self.heard: list[Message] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, suppress(OSError):  # the other side may have enough of it
            said = b""
            while b"BEGIN\r\n" not in said and (piece := connection.recv(4096)):
                said += piece
            connection.sendall(b"OK 0123\r\n")
            data = said.partition(b"BEGIN\r\n")[2] or connection.recv(65536)
            message = unpack(data)
            self.heard.append(message)
            connection.sendall(self._answer(message, struct.unpack_from("<I", data, 8)[0]))

    def close(self) -> None:
        self._thread.join(60)
        self._listener.close()


def test_an_answer_is_found_behind_signals(tmp_path: Path) -> None:
    def answer(_: Message, serial: int) -> bytes:
        signal = packed(4, [(3, ("s", "JobRemoved"))], "uos", 1, "/job/1", "done")
        return signal + packed(2, [(5, ("u", serial))], "o", "/job/1")

    systemd = Systemd(tmp_path / "s", answer)
    signals: list[Message] = []
    with Connection(tmp_path / "s", 10) as connection:
        assert connection.call("/p", "i.f", "M", "s", "x", signals=signals) == ("/job/1",)
    systemd.close()
    assert [(m.member, m.body) for m in signals] == [("JobRemoved", (1, "/job/1", "done"))]
    assert systemd.heard[0].body == ("x",)


def test_a_refusal_is_told_by_name(tmp_path: Path) -> None:
    def answer(_: Message, serial: int) -> bytes:
        return packed(3, [(4, ("s", "org.x.UnitExists")), (5, ("u", serial))], "s", "it is there")

    systemd = Systemd(tmp_path / "s", answer)
    with Connection(tmp_path / "s", 10) as connection, pytest.raises(DBusError, match="it is there") as refused:
        connection.call("/p", "i.f", "M")
    systemd.close()
    assert refused.value.name == "org.x.UnitExists"


def test_one_that_hangs_up_or_is_no_dbus_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Connection(tmp_path / "nobody", 1)
    systemd = Systemd(tmp_path / "s", lambda _m, _s: b"HTTP/1.1 200 OK\r\n")
    with Connection(tmp_path / "s", 10) as connection, pytest.raises(OSError, match=r"does not speak|hung up"):
        connection.call("/p", "i.f", "M")
    systemd.close()


def signal(name: str, signature: str, body: bytes) -> bytes:
    """One whose body is these very bytes, whether they are what the signature says or not."""
    head = _Writer(bytearray(struct.pack("<cBBBII", b"l", 4, 0, 1, len(body), 1)))
    head.put("a(yv)", [(3, ("s", name)), (8, ("g", signature))])
    head.align(8)
    return bytes(head.data) + body


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        pytest.param("s", b"\xff\xff\xff\x7f", id="a text that is cut off"),
        pytest.param("a{sv}", struct.pack("<I", 1 << 30), id="an array that is cut off"),
        pytest.param("az", struct.pack("<I", 4) + b"abcd", id="a type that does not exist"),
        pytest.param("(", b"", id="no signature"),
    ],
)
def test_what_systemd_tells_others_is_not_read(signature: str, body: bytes, tmp_path: Path) -> None:
    def answer(_: Message, serial: int) -> bytes:
        return signal("PropertiesChanged", signature, body) + packed(2, [(5, ("u", serial))], "u", 7)

    systemd = Systemd(tmp_path / "s", answer)
    signals: list[Message] = []
    with Connection(tmp_path / "s", 10) as connection:
        assert connection.call("/p", "i.f", "M", signals=signals) == (7,)
    systemd.close()
    assert [one.member for one in signals] == ["PropertiesChanged"]


@pytest.mark.parametrize(("signature", "body"), [("az", struct.pack("<I", 4) + b"abcd"), ("u", b"\1"), ("(", b"")])
def test_a_body_that_cannot_be_read_is_an_os_error(signature: str, body: bytes) -> None:
    message = unpack(signal("M", signature, body))
    with pytest.raises(OSError, match="does not speak D-Bus"):
        _ = message.body


def test_every_fixed_type_is_known() -> None:
    values = (1, -2, 3, True, -5, 6, -7, 8, 0.5, 10)
    writer = _Writer()
    writer.put("(ynqbiuxtdh)", values)
    assert _Reader(bytes(writer.data)).get("(ynqbiuxtdh)") == values


class Chatty:
    """Says something that nobody asked for, again and again, and never answers."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, suppress(OSError):  # the other side has enough of it
            connection.recv(4096)
            connection.sendall(b"OK 0123\r\n")
            while True:
                connection.sendall(signal("UnitNew", "s", struct.pack("<I", 1) + b"x\0"))

    def close(self) -> None:
        self._thread.join(60)
        self._listener.close()


def test_however_much_is_told_meanwhile_a_call_has_its_time(tmp_path: Path) -> None:
    chatty = Chatty(tmp_path / "s")
    with Connection(tmp_path / "s", 0.2) as connection:
        with pytest.raises(TimeoutError):
            connection.call("/p", "i.f", "M")
        with pytest.raises(TimeoutError):
            connection.receive()
    chatty.close()
