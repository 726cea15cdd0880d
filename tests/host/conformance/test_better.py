"""Where ours is better than the C conmon: each case shows the difference beside it, where its fault is certain."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.host.conformance.bench import Bench, heard, idle, joined, records
from tests.host.conformance.programs import Program
from tests.host.conmon_box import readable, shown

pytestmark = pytest.mark.host

PIECE = 900_000
"""Bytes: less than ours queues for a client; two of them are more."""
A_WHILE = 1.0
"""Seconds in which nothing happens where the C conmon is stuck."""


class Syslog:
    """Plays the syslog daemon: a datagram socket that conmon, in a mount namespace of its own, has as /dev/log."""

    def __init__(self, directory: Path) -> None:
        (directory / "dev").mkdir()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(directory / "dev/log"))
        self._socket.setblocking(False)
        devices = 'for name in null zero full; do : > "$0/dev/$name"; mount --bind /dev/$name "$0/dev/$name"; done'
        script = f'{devices}; ln -s /proc/self/fd "$0/dev/fd"; mount --rbind "$0/dev" /dev; exec "$@"'
        self.via = ("unshare", "--mount", "/bin/sh", "-c", script, str(directory))

    def lines(self) -> list[str]:
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(65536).decode())
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[Syslog]:
    made = Syslog(tmp_path)
    yield made
    made.close()


def test_a_client_that_does_not_read_holds_up_nobody(bench: Bench, conmon: Program) -> None:
    """Ours queues for it, and drops it when that gets too much; the C conmon waits, and the container and others do."""
    go, written = bench.fifo("go"), bench.fifo("written")
    wait = f"until read _ < {go}; do :; done"  # whoever wrote last may not have closed it yet: that reads as an end
    piece = f"head -c {PIECE} /dev/zero | tr '\\0' x; echo > {written}; {wait}"
    told = os.open(written, os.O_RDONLY | os.O_NONBLOCK)
    launched = bench.launch(container=f"{piece}; {piece}; {piece}")
    launched.created()
    stuck, other = bench.connect(), bench.connect()
    heard(stuck)
    heard(other)
    bench.start()
    if conmon.ours:
        for _ in range(3):
            assert received(other, PIECE) == b"x" * PIECE
            readable(told, "the container cannot write")
            os.read(told, 1)
            go.write_text("\n")
        launched.done()
        assert len(joined(records(stuck))) < 3 * PIECE
        assert bench.output() == "x" * 3 * PIECE
    else:
        assert not select.select([told], [], [], A_WHILE)[0], "the container could go on"
        assert len(bench.output()) < PIECE
    os.close(told)


def received(client: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        record = client.recv(8193)
        assert record, f"the client was dropped after {len(found)} bytes"
        found += record[1:]
    return found


def test_it_is_told_that_a_client_was_dropped(bench: Bench, conmon: Program, syslog: Syslog) -> None:
    if not conmon.ours:
        return  # it never drops one
    launched = bench.launch("--syslog", container=f"head -c {3 * PIECE} /dev/zero", via=syslog.via)
    launched.created()
    heard(bench.connect())
    bench.start()
    launched.over()
    (line,) = syslog.lines()
    assert "attach client does not read" in line


def test_output_is_taken_while_the_runtime_creates(bench: Bench, conmon: Program) -> None:
    """A hook that says more than a pipe holds hangs the C conmon, the runtime and whoever waits for them."""
    launched = bench.launch(before="head -c 300000 /dev/zero | tr '\\0' y; echo", container="echo after")
    if conmon.ours:
        launched.done()
        assert bench.output() == "y" * 300_000 + "\nafter\n"
    else:
        assert not select.select([launched.sync], [], [], A_WHILE)[0], "the runtime could go on"


def test_sizes_without_a_terminal_fill_nothing(bench: Bench, conmon: Program) -> None:
    """The C conmon passes them on through a pipe that nobody reads, and then waits for somebody to do so."""
    launched = bench.launch("-i", container="read a; echo $a")
    launched.message()
    fd = os.open(bench.bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK)
    left = 40
    while left and select.select([], [fd], [], A_WHILE)[1]:
        os.write(fd, b"1 100 100\n" * 400)
        left -= 1
    os.close(fd)
    client = bench.connect()
    client.send(b"still here\n")
    if conmon.ours:
        assert joined(records(client)) == b"still here\n"
        launched.done()
    else:
        assert not select.select([client], [], [], A_WHILE)[0], "the monitor could go on"


def test_a_monitor_that_was_suspended_goes_on(bench: Bench) -> None:
    launched = bench.launch("-i", container="cat")
    launched.message()
    monitor = launched.monitor()
    client = bench.connect()
    heard(client)
    assert shown(client, b"x") == b"x"
    os.kill(monitor, signal.SIGSTOP)
    client.send(b"hello")
    os.kill(monitor, signal.SIGCONT)
    assert shown(client, b"hello") == b"hello"
    assert idle(monitor), "it spins"
    client.close()
    launched.done()


def test_it_does_not_spin_when_the_container_has_closed_its_streams(bench: Bench, conmon: Program) -> None:
    go = bench.fifo("go")
    launched = bench.launch("-i", container=f"exec >&- 2>&- <&-; read _ < {go}; exit 7")
    launched.message()
    client = bench.connect()
    client.send(b"nobody reads this")
    assert idle(launched.monitor()) or not conmon.ours, "it spins"
    go.write_text("\n")
    launched.done()
    assert bench.ended.read_text() == "7"


def test_it_does_not_spin_for_input_that_the_container_does_not_take(bench: Bench, conmon: Program) -> None:
    """Neither with its sender there nor with it gone: a hang-up is told again and again to whoever asks."""
    go = bench.fifo("go")
    launched = bench.launch("-i", container=f"read _ < {go}; wc -c")
    launched.message()
    monitor = launched.monitor()
    client = bench.connect()
    client.setblocking(False)
    sent = 0
    while select.select([], [client], [], 0.3)[1]:
        sent += client.send(b"y" * 20000)
    assert idle(monitor) or not conmon.ours, "it spins while the client is there"
    client.close()
    assert idle(monitor) or not conmon.ours, "it spins when the client is gone"
    go.write_text("\n")
    launched.done()
    if conmon.ours:
        assert int(bench.output()) == sent


def test_a_log_that_cannot_be_written_costs_lines_and_not_the_exit_code(
    bench: Bench, conmon: Program, syslog: Syslog
) -> None:
    """Which is said once."""
    if not conmon.ours:
        return  # it ends, and nobody learns how the container did
    script = "for i in 1 2 3; do echo $i; sleep 0.05; done; exit 4"
    launched = bench.launch("--syslog", "-l", "/dev/full", container=script, via=syslog.via)
    launched.over()
    assert bench.ended.read_text() == "4"
    lines = syslog.lines()
    assert [line for line in lines if "cannot write log" in line] == lines[:1]
