"""Log drivers that are no file of conmon's: the caller's own streams, and the journal."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conformance.bench import Bench
from tests.host.conformance.test_logs import without_log

pytestmark = pytest.mark.host


def test_the_callers_own_streams(bench: Bench) -> None:
    launched = bench.launch(
        "-l", "passthrough", "--sync", words=without_log(bench), container="echo out; echo err >&2; cat"
    )
    launched.messages()
    code, said = launched.left()
    assert (code, sorted(said.split())) == (0, ["err", "out"])
    assert list(bench.bundle.iterdir()) == [], "there are a socket and pipes"


class Journal:
    """Plays journald: a datagram socket; in a mount namespace of its own, conmon finds it at the journal's address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "journal"
        self._directory.mkdir()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(str(self._directory / "socket"))

        mount = "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/journal"
        script = f'{mount} && mount --bind "$0" /run/systemd/journal && exec "$@"'
        self.via = ("unshare", "--mount", "/bin/sh", "-c", script, str(self._directory))

    def entries(self) -> list[dict[str, bytes]]:
        """All that has come, without what says where in conmon it was logged."""
        found = []
        self._socket.setblocking(False)
        while True:
            try:
                packet = self._socket.recv(1 << 20)
            except BlockingIOError:
                return found
            found.append({key: value for key, value in fields(packet).items() if not key.startswith("CODE_")})

    def close(self) -> None:
        self._socket.close()


def fields(packet: bytes) -> dict[str, bytes]:
    """journald's native protocol: NAME=value, or NAME, length, value where the value has a newline."""
    found = {}
    while packet:
        line, _, rest = packet.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        found[name.decode()] = value
        packet = rest
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path)
    yield made
    made.close()


def test_the_journal(bench: Bench, journal: Journal) -> None:
    words = ("-l", "journald", "-n", "web", "--log-tag", "blue")
    launched = bench.launch(*words, words=without_log(bench), container="echo out; echo err >&2", via=journal.via)
    launched.done()
    out, err = sorted(journal.entries(), key=lambda entry: entry["MESSAGE"], reverse=True)
    ids = {"CONTAINER_ID_FULL": bench.cid.encode(), "CONTAINER_ID": bench.cid[:12].encode()}
    about = {**ids, "CONTAINER_NAME": b"web", "CONTAINER_TAG": b"blue", "SYSLOG_IDENTIFIER": b"blue"}
    assert out.pop("MESSAGE").rstrip(b"\n") == b"out"
    assert err.pop("MESSAGE").rstrip(b"\n") == b"err"
    assert out == {**about, "PRIORITY": b"6"}
    assert err == {**about, "PRIORITY": b"3"}


@pytest.mark.parametrize(("words", "identifier"), [((), None), (("-n", "web"), b"web")])
def test_who_it_is_in_the_journal(
    bench: Bench, journal: Journal, words: tuple[str, ...], identifier: bytes | None
) -> None:
    bench.launch("-l", "journald:", *words, words=without_log(bench), container="echo x", via=journal.via).done()
    (entry,) = journal.entries()
    assert entry.get("SYSLOG_IDENTIFIER", bench.cid[:12].encode()) == identifier or bench.cid[:12].encode()
    assert entry.get("CONTAINER_NAME") == identifier


def test_a_long_line_in_the_journal(bench: Bench, journal: Journal) -> None:
    script = "head -c 40000 /dev/zero | tr '\\0' x; echo; printf rest"
    bench.launch("-l", "journald", words=without_log(bench), container=script, via=journal.via).done()
    entries = journal.entries()
    text = b"".join(entry["MESSAGE"] for entry in entries)
    assert text.replace(b"\n", b"") == b"x" * 40000 + b"rest"
    assert entries[0]["CONTAINER_PARTIAL_MESSAGE"] == b"true"
    assert entries[-1]["MESSAGE"] == b"rest"


@pytest.mark.since("2.2.0")
def test_labels_and_priorities_in_the_journal(bench: Bench, journal: Journal) -> None:
    words = ("-l", "journald", "--log-label", "COLOUR=blue", "--log-label", "SIZE=")
    bench.launch(*words, words=without_log(bench), container="echo '<4>careful'", via=journal.via).done()
    (entry,) = journal.entries()
    assert (entry["COLOUR"], entry["SIZE"], entry["PRIORITY"]) == (b"blue", b"", b"4")
    assert entry["MESSAGE"].rstrip(b"\n") == b"careful"


@pytest.mark.since("2.2.0")
def test_pieces_that_are_not_told_to_be_pieces(bench: Bench, journal: Journal) -> None:
    words = ("-l", "journald", "--no-container-partial-message")
    bench.launch(*words, words=without_log(bench), container="printf rest", via=journal.via).done()
    assert "CONTAINER_PARTIAL_MESSAGE" not in journal.entries()[-1]


def test_file_and_journal(bench: Bench, journal: Journal) -> None:
    bench.launch("-l", "journald", container="echo x", via=journal.via).done()
    assert bench.output() == "x\n"
    assert len(journal.entries()) == 1


def test_a_journal_that_is_not_there(bench: Bench) -> None:
    via = (
        "unshare",
        "--mount",
        "/bin/sh",
        "-c",
        'mkdir -p /run/systemd; mount -t tmpfs none /run/systemd; exec "$@"',
        "-",
    )
    launched = bench.launch("-l", "journald", words=without_log(bench), container="echo x; exit 3", via=via)
    launched.over()
    assert bench.ended.read_text() == "3"
