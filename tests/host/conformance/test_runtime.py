"""What the runtime and the container are given: words, streams, descriptors, environment, standing."""

from __future__ import annotations

import os
import socket

import pytest

from tests.host.conformance.bench import DEADLINE, Bench
from tests.host.conformance.programs import Program
from tests.host.conmon_box import pidfd, wait_gone

pytestmark = pytest.mark.host


def test_create(bench: Bench) -> None:
    bench.launch("--no-pivot", "--no-new-keyring", "-s", "--runtime-arg", "--x", "--runtime-opt", "--y").done()
    assert bench.argv() == [
        *("--systemd-cgroup", "--x", "create", "--bundle", str(bench.bundle), "--pid-file", str(bench.pidfile)),
        *("--no-pivot", "--no-new-keyring", "--y", bench.cid),
    ]


def test_restore(bench: Bench) -> None:
    bench.launch("--restore", "/image", "--no-pivot", "-s", "--runtime-opt", "--y").done()
    assert bench.argv() == [
        *("--systemd-cgroup", "restore", "--bundle", str(bench.bundle), "--pid-file", str(bench.pidfile)),
        *("--no-pivot", "--detach", "--image-path", "/image", "--work-path", str(bench.bundle), "--y", bench.cid),
    ]


def test_exec(bench: Bench) -> None:
    bench.launch("-e", "--exec-process-spec", "/spec", "-s", "--no-pivot", "--runtime-opt", "--y").done()
    assert bench.argv() == [
        *("exec", "--pid-file", str(bench.pidfile), "--process", "/spec", "--detach", "--y", bench.cid),
    ]


def test_bundle_and_pidfile_are_below_the_working_directory_unless_told(bench: Bench) -> None:
    words = ["-c", bench.cid, "-u", "u", "-r", str(bench.runtime), "-l", "none", "--full-attach"]
    assert len(bench.launch(words=words).done()) == 1
    here = str(bench.directory)
    assert bench.argv() == ["create", "--bundle", here, "--pid-file", f"{here}/pidfile-{bench.cid}", bench.cid]


def test_the_container_has_no_input_unless_asked_for(bench: Bench) -> None:
    bench.launch(container="wc -c").done()
    assert bench.output().strip() == "0"


@pytest.mark.since("2.2.0")
def test_all_may_open_the_containers_streams_again(bench: Bench) -> None:
    """A user without rights writes to /dev/stderr."""
    bench.launch("-i", container="for fd in 0 1 2; do stat -L -c %a /proc/self/fd/$fd; done").done()
    assert bench.output() == "777\n" * 3


def test_signals_and_mask_are_as_a_program_expects_them(bench: Bench, conmon: Program) -> None:
    bench.launch(before="grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; umask").done()
    lines = dict(line.split() for line in bench.output().splitlines() if ":" in line)
    assert int(lines["SigBlk:"], 16) == 0
    if conmon.ours:  # the C conmon leaves SIGPIPE ignored
        assert int(lines["SigIgn:"], 16) == 0
    assert bench.output().split()[-1] == "0022"


def test_it_has_the_environment_of_the_caller_and_nothing_of_conmons(bench: Bench) -> None:
    score = os.open("/proc/self/oom_score_adj", os.O_RDONLY)
    ours = os.read(score, 100).decode()
    os.close(score)
    bench.launch(before="echo $WORD; cat /proc/$$/oom_score_adj; ls /proc/$$/fd", env={"WORD": "x"}).done()
    word, adjusted, *fds = bench.output().split()
    assert (word, adjusted) == ("x", ours.strip())
    assert not {*map(str, range(3, 10))} & {*fds}, "conmon's own descriptors"  # from 10 on: the shell's scripts


@pytest.mark.parametrize("words", [[], ["--replace-listen-pid"]], ids=["not asked to", "asked to"])
def test_listen_pid_of_somebody_else(bench: Bench, words: list[str]) -> None:
    bench.launch(*words, before="echo $LISTEN_PID $$", env={"LISTEN_PID": "1"}).done()
    pid, runtime = bench.output().split()
    assert pid == (runtime if words else "1")


def test_descriptors_of_the_caller_are_preserved_as_asked_for(bench: Bench) -> None:
    here, there = os.pipe()
    words = ("--runtime-opt", "--preserve-fds", "--runtime-opt", "1")
    third = ("/bin/bash", "-c", f'exec 3>&{there} {there}>&-; exec "$@"', "bash")
    bench.launch(*words, container="echo through >&3", fds=(there,), via=third).done()
    os.close(there)
    assert os.read(here, 100) == b"through\n"
    os.close(here)


def test_those_it_holds_are_closed_before_the_exit_is_told(bench: Bench) -> None:
    """A port can be bound again by whoever hears of the end; the sync pipe is open to the very end."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    told = bench.fifo("told")
    command = bench.script("command", f"#!/bin/sh\ncat {bench.ended} > {told}\n")
    go = bench.fifo("go")
    launched = bench.launch("--exit-command", str(command), container=f"read x <{go}", fds=(server.fileno(),))
    launched.message()
    launched.left()
    server.close()
    socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    go.write_text("\n")
    assert told.read_text() == "0"
    again = socket.create_server(("127.0.0.1", port))
    again.close()
    launched.messages()


def test_it_dies_with_its_monitor(bench: Bench) -> None:
    """A monitor that is killed while it creates takes the runtime along: nobody could tell the container's pid."""
    told = bench.fifo("told")
    launched = bench.launch("--sync", before=f"echo $$ > {told}; exec sleep 1000")
    with pidfd(int(told.read_text())) as ending:
        launched.process.kill()
        wait_gone(ending)
    launched.left()
