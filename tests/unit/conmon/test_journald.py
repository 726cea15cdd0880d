"""Lines to journald: the datagrams, and a journald that is slow, away or replaced. A socket plays it."""

from __future__ import annotations

import array
import mmap
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conmon.logs import journald
from conmon.logs.journald import HELD, Journald

CID = "0123456789abcdef"


def fields(message: bytes) -> dict[str, bytes]:
    """As journald takes a datagram apart."""
    found: dict[str, bytes] = {}
    while message:
        line, _, rest = message.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        assert key.decode() not in found
        found[key.decode()] = value
        message = rest
    return found


class Journal:
    """Plays journald."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def got(self) -> list[dict[str, bytes]]:
        found = []
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return found
            for _, _, rights in ancillary:
                fd = array.array("i", rights)[0]
                data = mmap.mmap(fd, 0, prot=mmap.PROT_READ)[:]
                os.close(fd)
            found.append(fields(data))


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setattr(journald, "SOCKET", str(tmp_path / "socket"))
    monkeypatch.setattr(journald, "PATIENCE", 0.01)
    journal = Journal(tmp_path / "socket")
    yield journal
    journal.socket.close()


def opened(
    name: str | None = "web", tag: str | None = None, labels: tuple[str, ...] = (), *, mark: bool = True
) -> Journald:
    return Journald(CID, name, tag, list(labels), mark_partial=mark)


def test_fields(journal: Journal) -> None:
    log = opened(tag="v1", labels=("APP=shop", "EMPTY="))
    log.write(b"stdout", b"hello\n")
    log.write(b"stderr", b"no\n")
    log.close()
    common = {
        "CONTAINER_ID_FULL": CID.encode(),
        "CONTAINER_ID": b"0123456789ab",
        "CONTAINER_NAME": b"web",
        "CONTAINER_TAG": b"v1",
        "SYSLOG_IDENTIFIER": b"v1",
        "APP": b"shop",
        "EMPTY": b"",
    }
    assert journal.got() == [
        {**common, "MESSAGE": b"hello\n", "PRIORITY": b"6"},
        {**common, "MESSAGE": b"no\n", "PRIORITY": b"3"},
    ]


@pytest.mark.parametrize(
    ("name", "tag", "expected"), [("web", None, b"web"), (None, None, b"0123456789ab"), (None, "t", b"t")]
)
def test_identifier(journal: Journal, name: str | None, tag: str | None, expected: bytes) -> None:
    log = opened(name, tag)
    log.write(b"stdout", b"\n")
    log.close()
    assert [found["SYSLOG_IDENTIFIER"] for found in journal.got()] == [expected]


def test_a_line_in_pieces_is_one_and_streams_are_apart(journal: Journal) -> None:
    log = opened()
    for stream, data in ((b"stdout", b"a"), (b"stderr", b"x\ny"), (b"stdout", b"b\nc"), (b"stderr", b"z\n")):
        log.write(stream, data)
    assert [found["MESSAGE"] for found in journal.got()] == [b"x\n", b"ab\n", b"yz\n"]
    log.end()
    assert [(found["MESSAGE"], found["CONTAINER_PARTIAL_MESSAGE"]) for found in journal.got()] == [(b"c", b"true")]
    log.end()
    assert journal.got() == []
    log.close()


@pytest.mark.parametrize("mark", [True, False])
def test_a_long_line_comes_in_pieces_that_say_so(journal: Journal, mark: bool) -> None:
    log = opened(mark=mark)
    log.write(b"stdout", b"<4>" + b"x" * 3 * HELD)
    log.write(b"stdout", b"end\n<5>next\n")
    got = journal.got()
    log.close()
    assert b"".join(found["MESSAGE"] for found in got) == b"x" * 3 * HELD + b"end\nnext\n"
    partial = [found.get("CONTAINER_PARTIAL_MESSAGE") for found in got]
    assert partial == [b"true" if mark else None] * (len(got) - 2) + [None, None]
    assert len(got) >= 4
    assert max(len(found["MESSAGE"]) for found in got) < 2 * HELD
    assert [found["PRIORITY"] for found in got] == [b"4"] * (len(got) - 1) + [b"5"]


@pytest.mark.parametrize(
    ("line", "priority", "message"),
    [
        (b"<0>a", b"0", b"a\n"),
        (b"<7>", b"7", b"\n"),
        (b"<8>a", b"6", b"<8>a\n"),
        (b"<3", b"6", b"<3\n"),
        (b"<>a", b"6", b"<>a\n"),
        (b"", b"6", b"\n"),
    ],
)
def test_a_priority_in_front(journal: Journal, line: bytes, priority: bytes, message: bytes) -> None:
    log = opened()
    log.write(b"stdout", line + b"\n")
    log.close()
    assert [(found["PRIORITY"], found["MESSAGE"]) for found in journal.got()] == [(priority, message)]


def test_what_is_too_large_for_a_datagram_goes_in_a_file(journal: Journal) -> None:
    label = "x" * 400_000
    log = opened(labels=(f"LARGE={label}",))
    log.write(b"stdout", b"a\n")
    log.close()
    assert [(found["MESSAGE"], found["LARGE"]) for found in journal.got()] == [(b"a\n", label.encode())]


def test_nobody_there_is_told_once_and_again_when_there_is(
    journal: Journal, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    journal.socket.close()
    log = opened()
    for _ in range(3):
        log.write(b"stdout", b"lost\n")
    assert capfd.readouterr().err == "[conmon:w]: cannot write to journald: Connection refused; output is lost\n"
    successor = Journal(tmp_path / "socket")
    log.write(b"stdout", b"found\n")
    assert [found["MESSAGE"] for found in successor.got()] == [b"found\n"]
    assert capfd.readouterr().err == "[conmon:w]: journald takes output again; 3 lines were lost\n"
    successor.socket.close()
    third = Journal(tmp_path / "socket")
    log.write(b"stdout", b"no line is lost where one follows the other\n")
    assert len(third.got()) == 1
    third.socket.close()
    log.close()


def test_one_that_is_stuck_does_not_hold_up_the_container(journal: Journal, capfd: pytest.CaptureFixture[str]) -> None:
    log = opened()
    sent = 0
    while not (said := capfd.readouterr().err):
        log.write(b"stdout", b"%d\n" % sent)
        sent += 1
    assert said == "[conmon:w]: cannot write to journald: Resource temporarily unavailable; output is lost\n"
    assert [found["MESSAGE"] for found in journal.got()] == [b"%d\n" % number for number in range(sent - 1)]
    log.write(b"stdout", b"again\n")
    assert [found["MESSAGE"] for found in journal.got()] == [b"again\n"]
    assert capfd.readouterr().err == "[conmon:w]: journald takes output again; 1 lines were lost\n"
    log.close()
