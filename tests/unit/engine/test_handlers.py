"""Handlers of probes and hooks: commands whose output is kept, connections, and where a pod is reached."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine import dialling, execute, handlers, processes, recorded, records
from reconciler.engine.context import Context, Settings
from reconciler.engine.dialling import Unreachable
from reconciler.engine.layout import Layout
from reconciler.engine.network.hostips import host_ips
from reconciler.model.key import ContainerId, Key, PodId, SourceId
from reconciler.model.probe import ExecAction, SleepAction, TcpAction
from reconciler.model.spec import ContainerSpec, PodSpec, SandboxSpec
from tests.grpc_server import deaf_port
from tests.slowness import seconds
from tests.unit.engine.test_execute import CID, Scripted
from tests.unit.engine.test_execute import scripted as scripted

TIME = seconds(20)


@pytest.mark.parametrize(
    ("body", "passed", "output"),
    [
        pytest.param("echo out; echo err >&2", True, "out\nerr\n", id="what it says on both streams, in order"),
        pytest.param("echo no; exit 1", False, "no\n", id="a code is an answer"),
        pytest.param("exit 137", False, "", id="a signal, too"),
        pytest.param("head -c 100000 /dev/zero | tr '\\0' x", True, "x" * 10240, id="much is read and cut"),
        pytest.param("printf '\\377a'", True, "\ufffda", id="what is no text"),
        pytest.param('read line; echo "[$line]"', True, "[]\n", id="it has nothing to read"),
        pytest.param("exec >&- 2>&-; sleep 0.1; exit 3", False, "", id="it closes its streams and goes on"),
    ],
)
def test_a_command_answers_with_its_code(scripted: Scripted, body: str, passed: bool, output: str) -> None:
    outcome = handlers.run(scripted(body), CID, ExecAction(("x",)), TIME, "")
    assert (outcome.passed, outcome.output, outcome.errored) == (passed, output, False)


def test_a_command_that_cannot_be_run_is_no_answer(scripted: Scripted) -> None:
    ctx = scripted("cat >$log <<'E'\nexecutable file `x` not found in $PATH\nE\nexit 1")
    outcome = handlers.run(ctx, CID, ExecAction(("x",)), TIME, "")
    assert (outcome.passed, outcome.errored) == (False, True) and "not found" in outcome.output


def test_a_command_whose_time_is_over_is_killed(scripted: Scripted, tmp_path: Path) -> None:
    ctx = scripted(f"echo begun; sleep 1000 & echo $! >{tmp_path}/pid; wait")
    outcome = handlers.run(ctx, CID, ExecAction(("sh", "-c", "x")), 0.3, "")
    assert outcome.output == 'command timed out: "sh -c x" timed out after 0.3s'
    assert (outcome.passed, outcome.errored) == (False, False)
    started = processes.pid_ref(int((tmp_path / "pid").read_text()))
    assert started is None or not processes.alive(started)


@pytest.mark.parametrize("writes", [pytest.param("", id="silent"), pytest.param("yes &", id="for ever")])
def test_what_a_command_left_running_is_not_waited_for(scripted: Scripted, tmp_path: Path, writes: str) -> None:
    """It has the pipe, and may write into it."""
    ctx = scripted(
        f"(setsid sh -c 'echo $$ >{tmp_path}/daemon; {writes} sleep 1000' &); "
        f"until test -s {tmp_path}/daemon; do :; done; echo done"
    )
    begun = time.monotonic()
    assert execute.captured(ctx, CID, ["x"], most=10, timeout=TIME)[0] == 0
    assert time.monotonic() - begun < TIME
    daemon = processes.pid_ref(int((tmp_path / "daemon").read_text()))
    assert daemon is not None
    for ref in (*processes.below(daemon.pid), daemon):
        processes.send_signal(ref, 9)


def test_a_connection_is_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert handlers.run(NOWHERE, CID, TcpAction(port), TIME, "127.0.0.1").passed
        assert handlers.run(NOWHERE, CID, TcpAction(port, "localhost"), TIME, "192.0.2.1").passed
    with deaf_port() as port:
        refused = handlers.run(NOWHERE, CID, TcpAction(port), TIME, "127.0.0.1")
    assert (refused.passed, refused.output) == (False, f"dial tcp 127.0.0.1:{port}: connect: connection refused")


def test_one_who_takes_no_connection_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = []
        for _ in range(3):  # what is in the queue fills it
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(("127.0.0.1", port))
        outcome = handlers.run(NOWHERE, CID, TcpAction(port), 0.3, "127.0.0.1")
        for connection in waiting:
            connection.close()
    assert (outcome.passed, outcome.output) == (False, f"dial tcp 127.0.0.1:{port}: i/o timeout")


def test_no_time_is_no_connection() -> None:
    with pytest.raises(Unreachable, match="i/o timeout"), dialling.dialled("127.0.0.1", 1, time.monotonic() - 1):
        pass


def test_sleep_ends_when_its_time_is_over() -> None:
    assert handlers.run(NOWHERE, CID, SleepAction(0), TIME, "").passed
    assert not handlers.run(NOWHERE, CID, SleepAction(1000), 0.01, "").passed


NOWHERE = Context(Settings(), Layout.at(Path("/nowhere")))
POD = PodId("b" * 64)


@pytest.mark.parametrize(
    ("sandbox", "own", "pod", "address"),
    [
        pytest.param(SandboxSpec(), "", ("10.1.0.2", "fd00::2"), "10.1.0.2", id="IPv4 first"),
        pytest.param(SandboxSpec(), "", ("", "fd00::2"), "fd00::2", id="IPv6 where it has no other"),
        pytest.param(SandboxSpec(), "10.1.0.9", ("10.1.0.2", ""), "10.1.0.9", id="its own"),
        pytest.param(SandboxSpec(), "", ("", ""), "127.0.0.1", id="none"),
        pytest.param(
            SandboxSpec(host_network=True), "", ("", ""), next(iter(host_ips()), "127.0.0.1"), id="the machine's"
        ),
    ],
)
def test_a_container_is_asked_where_it_is(
    tmp_path: Path, sandbox: SandboxSpec, own: str, pod: tuple[str, str], address: str
) -> None:
    ctx = Context(Settings(tmp_path), Layout.at(tmp_path))
    ctx.layout.make()
    key = Key("default", "web")
    spec = PodSpec(key, sandbox)
    ctx.layout.pod(POD).mkdir()
    records.write(
        ctx.layout.pod(POD),
        records.RECORD,
        records.PodRecord(POD, "u", key, spec, SourceId("x"), pod[0], 1.0, ip6=pod[1]),
    )
    ctx.layout.container(CID).mkdir()
    member = records.ContainerRecord(CID, POD, key, "a", 0, ContainerSpec("a", "i"), ip=own)
    records.write(ctx.layout.container(CID), records.RECORD, member)
    assert recorded.record_of(ctx, ContainerId(CID)) is not None
    assert handlers.address_of(ctx, CID) == address


def test_a_name_that_nobody_answers_for_is_not_waited_for_beyond_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the resolver takes; who asks again meanwhile waits for the same answer, and the next asks anew."""
    over, asked = threading.Event(), []

    def slow(host: str, _port: int, **_: Any) -> Any:
        asked.append(host)
        assert over.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(dialling.socket, "getaddrinfo", slow)
    for _ in range(2):
        late = pytest.raises(Unreachable, match=r"^dial tcp: lookup slow\.example: i/o timeout$")
        with late as caught, dialling.dialled("slow.example", 80, time.monotonic() + 0.05):
            pass
        assert caught.value.timed_out
    over.set()
    known = pytest.raises(Unreachable, match=r"^dial tcp: lookup slow\.example: name or service not known$")
    with known, dialling.dialled("slow.example", 80, time.monotonic() + 60):
        pass
    assert set(asked) == {"slow.example"} and len(asked) in (1, 2), "the first ended before or after the last began"
