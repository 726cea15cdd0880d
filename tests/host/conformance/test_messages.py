"""The pipes between conmon and its caller: sync, start, attach."""

from __future__ import annotations

import json
import os
import select
import socket

import pytest

from tests.host.conformance.bench import DEADLINE, Bench, Launched, joined, records
from tests.host.conformance.programs import Program
from tests.host.conmon_box import moved_into, readable

pytestmark = pytest.mark.host

SESSION = ["-e", "--exec-process-spec", "spec"]


def old(bench: Bench) -> list[str]:
    return [word for word in bench.words() if word != "--api-version"]


def test_the_pid_of_a_new_container(bench: Bench) -> None:
    assert bench.launch().done() == [f'{{"data": {bench.pidfile.read_text()}}}\n']


def test_in_the_old_protocol(bench: Bench) -> None:
    assert bench.launch(words=old(bench)).done() == [f'{{"pid": {bench.pidfile.read_text()}}}\n']


def test_pid_and_exit_code_of_a_session(bench: Bench) -> None:
    pid, code = bench.launch(*SESSION, container=f"{bench.noted()}; exit 7").done()
    assert (pid, code) == (f'{{"data": {bench.pidfile.read_text()}}}\n', '{"data": 7}\n')


def test_the_old_protocol_tells_the_code_alone(bench: Bench) -> None:
    killed = bench.launch(*SESSION, words=old(bench), container=f"{bench.noted()}; kill -9 $$")
    assert killed.done() == ['{"exit_code": 137}\n']


def test_a_runtime_that_fails_is_quoted(bench: Bench, conmon: Program) -> None:
    text = 'say "no" \\ \t to/of\n\x01\x7fä'
    (bench.directory / "text").write_text(text)
    failed = bench.launch(before=f"cat {bench.directory}/text >&2; exit 3")
    (line,) = failed.messages()
    quoted = 'say \\"no\\" \\\\ \\t to\\/of\\n\\u0001\\u007fä'
    if not conmon.ours:  # 2.1.6 leaves the slash as it is
        line = line.replace("to/of", "to\\/of")
    assert line == f'{{"data": -1, "message": "{quoted}"}}\n'
    assert failed.left() == (0, ""), "the caller was let go before"
    assert not bench.ended.exists()
    assert not (bench.persist / "exit").exists()


def test_in_the_old_protocol_too(bench: Bench) -> None:
    (line,) = bench.launch(words=old(bench), before="echo sorry >&2; exit 3").messages()
    assert json.loads(line) == {"pid": -1, "message": "sorry\n"}


@pytest.mark.parametrize("how", ["it says nothing", "it leaves no pid"])
def test_a_runtime_that_fails_without_words(bench: Bench, conmon: Program, how: str) -> None:
    """The C conmon just ends, and its caller has to make do with that."""
    failed = (
        bench.launch(before="kill -9 $$") if how == "it says nothing" else bench.launch(after=f"rm {bench.pidfile}")
    )
    said = failed.over()
    assert not bench.ended.exists()
    if conmon.ours:
        (line,) = said
        assert json.loads(line)["data"] == -1
        assert json.loads(line)["message"]


def test_a_session_that_the_runtime_refuses(bench: Bench) -> None:
    (line,) = bench.launch(*SESSION, before="echo no such command >&2; exit 1").messages()
    assert json.loads(line) == {"data": -1, "message": "no such command\n"}


def test_a_session_whose_time_is_over(bench: Bench) -> None:
    (line,) = bench.launch(*SESSION, "-T", "1", words=old(bench), container="exec sleep 100").messages()
    assert line == '{"exit_code": -1, "message": "command timed out"}\n'


def test_a_message_is_shorter_than_the_buffer_of_its_reader(bench: Bench, conmon: Program) -> None:
    (line,) = bench.launch(before="head -c 8000 /dev/zero | tr '\\0' '\\1' >&2; exit 1").messages() or [""]
    if conmon.ours:  # the C conmon sends more, which podman cannot read
        assert len(line) < 4096
        assert json.loads(line)["data"] == -1


def test_nobody_needs_to_listen(bench: Bench, conmon: Program) -> None:
    """2.1.6 ends when it cannot tell the pid, and the container has no monitor."""
    go, over = bench.fifo("go"), bench.fifo("over")
    launched = bench.launch(before=f"read _ < {go}", container=f"echo over > {over}; exit 6")
    launched.left()
    launched.sync.close()
    with moved_into(bench.exits) as moved:
        go.write_text("\n")
        bench.start()
        assert over.read_text() == "over\n"
        if conmon.ours:
            readable(moved, "no exit file")
            assert bench.ended.read_text() == "6"


def test_sync_stays_with_the_caller(bench: Bench) -> None:
    launched = bench.launch("--sync", container="exit 42")
    assert len(launched.messages()) == 1
    assert launched.left()[0] == 42
    assert not bench.monitor.exists()


@pytest.mark.parametrize("how", ["a byte", "its end"])
def test_nothing_begins_before_the_start_pipe_says_so(bench: Bench, how: str) -> None:
    theirs, ours = os.pipe()
    launched = bench.launch(env={"_OCI_STARTPIPE": str(theirs)}, fds=(theirs,))
    os.close(theirs)
    assert not select.select([launched.sync], [], [], 0.2)[0]
    assert launched.process.poll() is None, "it is not in its place yet, and has left its caller"
    assert not (bench.directory / "argv").exists()
    if how == "a byte":
        os.write(ours, b"x")
    os.close(ours)
    launched.done()


class Session:
    """An attached session as podman starts it: three packet sockets."""

    def __init__(self, bench: Bench, *more: str, container: str) -> None:
        self.start, start = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.attach, attach = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {"_OCI_STARTPIPE": str(start.fileno()), "_OCI_ATTACHPIPE": str(attach.fileno())}
        words = [*SESSION, "--exec-attach", *more]
        self.launched: Launched = bench.launch(
            *words, container=container, env=env, fds=(start.fileno(), attach.fileno())
        )
        start.close()
        attach.close()
        self.attach.settimeout(DEADLINE)


def test_an_attached_session_begins_when_it_is_attached(bench: Bench) -> None:
    session = Session(bench, "-i", container="cat; exit 3")
    session.start.send(b"x")
    assert session.attach.recv(4096) == b'{"data": 0}\n'
    client = bench.connect()
    assert not select.select([session.launched.sync], [], [], 0.2)[0]
    assert not (bench.directory / "argv").exists()
    session.start.send(b"x")
    client.send(b"hello")
    client.shutdown(socket.SHUT_WR)
    assert session.launched.done()[1:] == ['{"data": 3}\n']
    assert joined(records(client)) == b"hello"
    for end in (session.start, session.attach):
        end.close()


def test_an_attached_session_needs_its_pipe(bench: Bench) -> None:
    refused = bench.launch(*SESSION, "--exec-attach", "--sync")
    refused.messages()
    code, text = refused.left()
    assert code == 1
    assert "--attach specified but _OCI_ATTACHPIPE was not" in text
