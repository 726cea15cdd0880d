"""Terminals, and running out of memory: with a real runtime, which makes the one and the cgroup of the other."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.key import ContainerId
from tests.host.conformance.bench import DEADLINE, Bench, joined
from tests.host.conformance.programs import BOTH, Program
from tests.host.conmon_box import Box, parent, pidfd, shown, wait_gone
from tests.host.test_conmon import Run
from tests.host.test_conmon_attach import connect, taken
from tests.host.test_conmon_exec import RESTING, Exec, resting
from tests.host.test_conmon_logs import write
from tests.host.test_conmon_terminal import with_terminal

pytestmark = pytest.mark.host


@pytest.fixture
def running(box: Box) -> Iterator[ContainerId]:
    """A container that does nothing."""
    yield from resting(box, with_terminal(box, RESTING), "--full-attach", "-t")


@BOTH
def test_a_session_with_a_terminal(box: Box, running: ContainerId, program: list[str]) -> None:
    """As podman has it: the size is told before the command begins, which may see it a moment later."""
    script = f"ls -l /proc/self/fd/0; {until_it_is('33 77')}; read a; echo got $a; exit 3"
    session = Exec(box, program, running, script, "--api-version", "--exec-attach", "-t")
    spec = json.loads((session.directory / "spec").read_text())
    (session.directory / "spec").write_text(json.dumps({**spec, "terminal": True}))
    session.attach.settimeout(DEADLINE)
    assert session.attach.recv(100) == b'{"data": 0}\n'
    size = os.open(session.directory / "ctl", os.O_WRONLY | os.O_NONBLOCK)
    os.write(size, b"1 33 77\n")
    os.close(size)
    client = connect_to(session.directory)
    session.start.send(b"x")
    client.send(b"hello\n")
    assert session.lines()[1:] == ['{"data": 3}\n']
    shown = joined(taken(client)).decode()
    assert "/dev/pts/" in shown
    assert {"sized", "got hello"} <= set(shown.split("\r\n")), shown


def until_it_is(size: str) -> str:
    return f'until [ "$(stty size 2>/dev/null)" = "{size}" ]; do sleep 0.05; done; echo sized'


def connect_to(bundle: Path) -> socket.socket:
    here = os.open(bundle, os.O_PATH | os.O_DIRECTORY)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(DEADLINE)
    client.connect(f"/proc/self/fd/{here}/attach")
    os.close(here)
    return client


@BOTH
def test_several_clients_share_a_terminal(box: Box, program: list[str]) -> None:
    cid = with_terminal(box, "read a; read b; echo got $a $b; exit 6")
    started = Run(box, program, cid, "--api-version", "--full-attach", "-t")
    pid = started.pid()
    one, other = connect(box, cid), connect(box, cid)
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        one.send(b"1\n")
        assert shown(one, b"\n") == b"1\r\n"
        one.shutdown(socket.SHUT_WR)  # it goes on looking
        other.send(b"2\n")
        wait_gone(ending)
    started.daemonised()
    assert joined(taken(one)).endswith(b"got 1 2\r\n")
    assert joined(taken(other)).endswith(b"got 1 2\r\n")
    assert box.exit_status(cid) == "6"


@BOTH
def test_what_is_no_size_changes_nothing(box: Box, program: list[str]) -> None:
    cid = with_terminal(box, f"{until_it_is('20 60')}; read a; stty size")
    started = Run(box, program, cid, "--api-version", "--full-attach", "-t")
    pid = started.pid()
    client = connect(box, cid)
    with pidfd(parent(pid)) as ending:
        box.start(cid)
        write(box, cid, b"1 20 60\n")
        assert shown(client, b"\n") == b"sized\r\n"
        for line in (b"1 a b\n", b"3 5 5\n"):
            write(box, cid, line)
        client.send(b"\n")
        wait_gone(ending)
    started.daemonised()
    assert b"20 60\r\n" in joined(taken(client))


def test_where_the_console_socket_is(bench: Bench, conmon: Program) -> None:
    """In $TMPDIR, for root alone. A runtime that does not connect has failed."""
    place = bench.directory / "tmp"
    place.mkdir()
    seen = bench.directory / "seen"
    before = f'stat -c "%a %F %n" {place}/* > {seen}'
    failed = bench.launch("-t", before=before, env={"TMPDIR": str(place)})
    (line,) = failed.over() or [""]
    mode, kind, name = seen.read_text().split()
    assert (mode, kind, Path(name).parent) == ("700", "socket", place)
    assert Path(name).name.startswith("conmon-term.")
    assert bench.argv()[-3:] == ["--console-socket", name, bench.cid]
    if conmon.ours:  # 2.1.6 says nothing, and leaves the socket there
        assert json.loads(line) == {"data": -1, "message": "Runtime did not set up terminal"}
        assert list(place.iterdir()) == []


def test_a_console_socket_with_too_long_a_path(bench: Bench, conmon: Program) -> None:
    place = bench.directory / ("x" * 200)
    place.mkdir()
    said = bench.launch("-t", env={"TMPDIR": str(place)}).over()
    assert not bench.ended.exists()
    if conmon.ours:  # 2.1.6 starts the runtime all the same
        assert not bench.pidfile.exists()
        assert "Failed to bind to console-socket" in json.loads(said[0])["message"]
        assert "None" not in said[0]


@BOTH
def test_out_of_memory(box: Box, program: list[str]) -> None:
    """In the persist directory and in the bundle, which are one here."""
    linux = json.loads((box.layout.container(box.container("true")) / "config.json").read_text())["linux"]
    cid = box.container("exec tail -c 64m /dev/zero")
    linux["cgroupsPath"] = linux["cgroupsPath"].rpartition("/")[0] + f"/{cid}"
    linux["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    config = box.layout.container(cid) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "linux": linux}))
    (box._lower / "bin/tail").symlink_to("busybox")
    started = Run(box, program, cid, "--api-version")
    assert box.start_and_wait(cid, started.pid()) == "137"
    started.daemonised()
    assert (box.layout.container(cid) / "oom").read_bytes() == b""
