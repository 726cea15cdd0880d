"""The attach socket with real containers: output, input and its end; beside the C conmon where it can do it."""

from __future__ import annotations

import os
import socket

import pytest

from conmon.framing import via_directory
from reconciler.model.key import ContainerId
from tests.host.conformance.programs import BOTH, OURS
from tests.host.conmon_box import DEADLINE, Box, moved_into, parent, pidfd, readable, shown, wait_gone
from tests.host.test_conmon import Run

pytestmark = pytest.mark.host


@BOTH
def test_several_clients_get_the_output_and_its_end(box: Box, program: list[str]) -> None:
    cid = box.container("echo out; echo err >&2; head -c 20000 /dev/zero | tr '\\0' x")
    started = Run(box, program, cid, "--api-version", "--full-attach")
    pid = started.pid()
    clients = [connect(box, cid) for _ in range(3)]
    assert (box.layout.container(cid) / "attach").stat().st_mode & 0o777 == 0o700
    assert box.start_and_wait(cid, pid) == "0"
    started.daemonised()
    for client in clients:
        records = taken(client)
        assert {record[:1] for record in records} == {b"\2", b"\3"}
        assert joined(records, b"\2") == b"out\n" + b"x" * 20000
        assert joined(records, b"\3") == b"err\n"
        assert max(map(len, records)) <= 8193
    assert not (box.layout.container(cid) / "attach").exists()
    assert box.output(cid).startswith("out\n")


@BOTH
def test_the_end_of_a_clients_input_is_the_containers(box: Box, program: list[str]) -> None:
    cid = box.container("cat; echo end; exit 4")
    started = Run(box, program, cid, "--api-version", "--full-attach", "-i")
    pid = started.pid()
    client = connect(box, cid)
    client.send(b"hello\n")
    client.shutdown(socket.SHUT_WR)
    assert box.start_and_wait(cid, pid) == "4"
    started.daemonised()
    assert joined(taken(client), b"\2") == b"hello\nend\n"


@BOTH
def test_input_may_stay_open_when_a_client_leaves(box: Box, program: list[str]) -> None:
    cid = box.container("read a; echo $a; read b; echo $a$b")
    started = Run(box, program, cid, "--api-version", "--full-attach", "-i", "--leave-stdin-open")
    pid = started.pid()
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        with connect(box, cid) as client:
            client.send(b"one\n")
            assert shown(client, b"\n") == b"one\n"
        last = connect(box, cid)
        last.send(b"two\n")
        wait_gone(ending)
    started.daemonised()
    assert joined(taken(last), b"\2") == b"onetwo\n"


@BOTH
def test_input_without_a_stdin_is_swallowed(box: Box, program: list[str]) -> None:
    cid = box.container("cat; echo end")
    started = Run(box, program, cid, "--api-version", "--full-attach")
    pid = started.pid()
    client = connect(box, cid)
    client.send(b"hello\n")
    assert box.start_and_wait(cid, pid) == "0"
    started.daemonised()
    assert joined(taken(client), b"\2") == b"end\n"


@BOTH
def test_much_input_waits_for_the_container(box: Box, program: list[str]) -> None:
    cid = box.container("wc -c")
    started = Run(box, program, cid, "--api-version", "--full-attach", "-i")
    pid = started.pid()
    client = connect(box, cid)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(100):
                client.send(b"y" * 20000)
        finally:
            os._exit(0)
    client.close()
    assert box.start_and_wait(cid, pid) == "0"
    os.waitpid(child, 0)
    started.daemonised()
    assert box.output(cid).strip() == "2000000"


@BOTH
def test_a_short_link_leads_to_the_socket(box: Box, program: list[str]) -> None:
    cid = box.container("echo hi")
    links = box.directory / "links"
    links.mkdir()
    (links / cid).symlink_to("/stale")
    words = [str(links), "-u", cid]
    started = short(box, program, cid, words)
    pid = started.pid()
    assert (links / cid).readlink() == box.layout.container(cid)
    name, directory = via_directory(f"{links / cid}/attach")
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(name)
    os.close(directory)
    assert box.start_and_wait(cid, pid) == "0"
    started.daemonised()
    assert joined(taken(client), b"\2") == b"hi\n"
    if program == OURS:  # 2.1.6 leaves it
        assert not (links / cid).is_symlink()


def test_a_client_that_does_not_read_holds_up_nobody(box: Box) -> None:
    """The C conmon waits for it, and the container with it."""
    cid = box.container("head -c 20000000 /dev/zero | tr '\\0' x; exit 5")
    started = Run(box, OURS, cid, "--api-version", "--full-attach")
    pid = started.pid()
    stuck = connect(box, cid)
    assert box.start_and_wait(cid, pid) == "5"
    started.daemonised()
    assert len(box.output(cid)) == 20_000_000
    assert len(taken(stuck)) < 2000


def test_nor_does_it_hold_up_what_is_told_of_the_end(box: Box) -> None:
    """Those who wait for the exit file get it first; then the client gets a moment to take the rest."""
    cid = box.container("head -c 600000 /dev/zero | tr '\\0' x; exit 5")
    started = Run(box, OURS, cid, "--api-version", "--full-attach")
    pid = started.pid()
    slow = connect(box, cid)
    with moved_into(box.layout.exits) as told, pidfd(parent(pid)) as ending:
        box.start(cid)
        readable(told, "nobody tells of the end")
        assert len(joined(taken(slow), b"\2")) == 600_000
        wait_gone(ending)
    started.daemonised()
    assert box.exit_status(cid) == "5"


def test_the_socket_of_a_runtime_that_failed_is_gone(box: Box) -> None:
    cid = box.container("true", process={"cwd": "/", "args": ["/bin/absent"], "user": {"uid": 0, "gid": 0}})
    started = Run(box, OURS, cid, "--api-version", "--full-attach")
    assert '"data": -1' in started.line()
    started.over()
    started.daemonised()
    assert not (box.layout.container(cid) / "attach").exists()


def short(box: Box, program: list[str], cid: ContainerId, words: list[str]) -> Run:
    """With --socket-dir-path; the C conmon is not to get the --full-attach that Run gives it."""

    class Short(Run):
        def _words(self, program: list[str], cid: ContainerId) -> list[str]:
            return [word for word in super()._words(program, cid) if word != "--full-attach"]

    return Short(box, program, cid, "--api-version", "--socket-dir-path", *words)


def connect(box: Box, cid: ContainerId) -> socket.socket:
    name, directory = via_directory(f"{box.layout.container(cid)}/attach")
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(DEADLINE)
    client.connect(name)
    os.close(directory)
    return client


def taken(client: socket.socket) -> list[bytes]:
    """All records until the end."""
    client.settimeout(DEADLINE)
    with client:
        records = []
        while record := client.recv(8193):
            records.append(record)
        return records


def joined(records: list[bytes], kind: bytes) -> bytes:
    return b"".join(record[1:] for record in records if record[:1] == kind)
