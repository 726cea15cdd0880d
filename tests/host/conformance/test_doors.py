"""What others reach the container through: the attach socket, the pipes ctl and winsz, the streams behind them."""

from __future__ import annotations

import os
import select
import socket
import stat
from pathlib import Path

import pytest

from tests.host.conformance.bench import Bench, command, heard, idle, joined, records
from tests.host.conformance.programs import Program
from tests.host.conmon_box import shown

pytestmark = pytest.mark.host


def test_they_are_there_before_the_runtime_is(bench: Bench) -> None:
    seen = bench.directory / "seen"
    bench.launch(before=f"stat -c '%n %F %a' {bench.bundle}/* > {seen}").done()
    assert seen.read_text() == (
        f"{bench.bundle}/attach socket 700\n{bench.bundle}/ctl fifo 640\n{bench.bundle}/winsz fifo 640\n"
    )
    assert {path.name for path in bench.bundle.iterdir()} == {"ctl", "winsz"}, "the socket is gone at the end"


def test_what_an_earlier_one_left_is_replaced(bench: Bench) -> None:
    for name in ("attach", "ctl", "winsz"):
        (bench.bundle / name).write_text("")
    assert len(bench.launch().done()) == 1
    assert stat.S_ISFIFO((bench.bundle / "ctl").stat().st_mode)


def test_a_bundle_that_is_not_there(bench: Bench) -> None:
    launched = bench.launch("-b", "/nope", "--sync")
    said = launched.messages()
    code, _ = launched.left()
    assert code == 1
    assert not any('"data": 1' in line for line in said)
    assert not (bench.directory / "argv").exists()


def long_bundle(bench: Bench, length: int) -> Path:
    """A directory whose path has that many bytes."""
    path = bench.directory
    while len(str(path)) < length:
        path /= "x" * min(200, max(1, length - len(str(path)) - 1))
    path.mkdir(parents=True)
    assert len(str(path)) == length
    return path


@pytest.mark.parametrize("length", [100, 107, 108, 300])
def test_a_bundle_whose_path_is_longer_than_a_sockets_name(bench: Bench, length: int) -> None:
    bundle = long_bundle(bench, max(length, len(str(bench.directory)) + 2))
    launched = bench.launch("-b", str(bundle), "-i", container="cat")
    launched.created()
    with bench.connect(bundle) as client:
        bench.start()
        client.send(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert shown(client, b"hello") == b"hello"
    launched.messages()


@pytest.mark.parametrize("length", [60, 106, 107, 108, 250])
def test_a_short_link_leads_there(bench: Bench, conmon: Program, length: int) -> None:
    """Of 107 bytes the last is dropped; longer ones are cut to that by nobody."""
    bundle = long_bundle(bench, 300)
    links = bench.directory / "l"
    links.mkdir()
    uuid = "u" * max(1, length - len(str(links)) - 1)
    whole = links / uuid
    is_cut = len(str(whole)) == 107
    link = Path(str(whole)[:-1]) if is_cut else whole
    link.symlink_to("/stale")
    words = [word for word in bench.words() if word != "--full-attach"]
    launched = bench.launch("-b", str(bundle), "-u", uuid, "--socket-dir-path", str(links), words=words)
    launched.created()
    assert link.readlink() == bundle
    client = bench.connect(link)
    bench.start()
    assert records(client) == []
    launched.over()
    if conmon.ours or (conmon.version >= (2, 1, 7) and not is_cut):  # 2.1.12 removes what has the whole name
        assert not link.is_symlink()


def test_all_clients_get_all_output_from_when_they_came(bench: Bench) -> None:
    go = bench.fifo("go")
    launched = bench.launch(container=f"echo before; read _ < {go}; echo out; echo err >&2; head -c 20000 /dev/zero")
    launched.created()
    first = bench.connect()
    bench.start()
    assert shown(first, b"\n") == b"before\n"
    second, third = bench.connect(), bench.connect()
    second.shutdown(socket.SHUT_WR)  # it goes on listening
    heard(third)
    go.write_text("\n")
    for client in (first, second, third):
        taken = records(client)
        assert joined(taken) == b"out\n" + bytes(20000)
        assert joined(taken, b"\3") == b"err\n"
        assert max(map(len, taken)) <= 8193
    launched.done()


def test_the_end_of_input_is_passed_on(bench: Bench) -> None:
    launched = bench.launch("-i", container="cat; echo end")
    launched.created()
    client = bench.connect()
    bench.start()
    client.send(b"hello\n")
    client.shutdown(socket.SHUT_WR)
    assert joined(records(client)) == b"hello\nend\n"
    launched.done()


def test_a_client_that_goes_ends_it_too(bench: Bench) -> None:
    launched = bench.launch("-i", container="cat; echo end")
    launched.message()
    with bench.connect() as client:
        client.send(b"hello\n")
        assert shown(client, b"\n") == b"hello\n"
    launched.done()
    assert bench.output() == "hello\nend\n"


def test_unless_it_is_to_stay_open(bench: Bench) -> None:
    launched = bench.launch("-i", "--leave-stdin-open", container="read a; echo $a; read b; echo $a$b")
    launched.message()
    with bench.connect() as client:
        client.send(b"one\n")
        assert shown(client, b"\n") == b"one\n"
    last = bench.connect()
    last.send(b"two\n")
    assert joined(records(last)) == b"onetwo\n"
    launched.done()


def test_what_nobody_wants_to_read_is_swallowed(bench: Bench) -> None:
    launched = bench.launch(container="cat; echo end")
    launched.created()
    client = bench.connect()
    heard(client)
    bench.start()
    assert joined(records(client)) == b"end\n"
    launched.done()


def test_what_is_sent_before_the_start_is_kept(bench: Bench) -> None:
    launched = bench.launch("-i", container="read a; echo got $a")
    launched.created()
    client = bench.connect()
    client.send(b"early\n")
    bench.start()
    assert joined(records(client)) == b"got early\n"
    launched.done()


def test_a_container_that_is_slow_to_read_slows_its_client(bench: Bench) -> None:
    go = bench.fifo("go")
    launched = bench.launch("-i", container=f"read _ < {go}; wc -c")
    launched.message()
    client = bench.connect()
    client.setblocking(False)
    sent, much = 0, b"y" * 20000
    while select.select([], [client], [], 0.5)[1]:
        sent += client.send(much)
        assert sent < 10_000_000, "the monitor takes everything"
    client.setblocking(True)
    go.write_text("\n")
    for _ in range(50):
        sent += client.send(much)
    client.shutdown(socket.SHUT_WR)
    assert int(joined(records(client))) == sent
    launched.done()


def test_the_log_is_renewed_on_request(bench: Bench) -> None:
    """Bad lines cost what was written with them, and nothing else. The numbers must be there, and do not matter."""
    go = bench.fifo("go")
    launched = bench.launch("-i", container=f"echo before; read _ < {go}; echo after")
    launched.created()
    client = bench.connect()
    bench.start()
    assert shown(client, b"\n") == b"before\n"
    moved = bench.log.rename(bench.directory / "moved")
    for line in (b"nonsense\n", b"9 1 1\n", b"2 1.5 1\n", b"2 1\n", b"\n"):
        command(bench, line)
        heard(client)
    for piece in (b"2 0", b"1 1", b"\n"):  # a line may come in pieces, and 01 is a number
        command(bench, piece)
        heard(client)
    assert bench.log.exists()
    go.write_text("\n")
    launched.done()
    assert (moved.read_text().split()[-1], bench.output()) == ("before", "after\n")


def test_others_may_come_and_go_at_the_pipes(bench: Bench) -> None:
    launched = bench.launch(container=f"read _ < {bench.fifo('go')}")
    launched.message()
    for _ in range(5):
        for name in ("ctl", "winsz"):
            os.close(os.open(bench.bundle / name, os.O_WRONLY | os.O_NONBLOCK))
    monitor = launched.monitor()
    assert idle(monitor), "it spins"
    (bench.directory / "go").write_text("\n")
    launched.done()
