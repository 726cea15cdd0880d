"""What is left for others to find: pid files, exit files, and what the exit command sees."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.host.conformance.bench import Bench
from tests.host.conformance.programs import Program
from tests.host.conmon_box import parent

pytestmark = pytest.mark.host


def test_the_monitors_pid_is_there_when_its_caller_is_let_go(bench: Bench) -> None:
    launched = bench.launch(container=f"read x <{bench.fifo('go')}")
    assert launched.left() == (0, "")
    monitor = bench.monitor.read_text()
    assert monitor.isdigit(), "it has a newline"
    launched.message()
    assert parent(int(bench.pidfile.read_text())) == int(monitor)
    assert os.getsid(int(monitor)) == int(monitor)
    for fd in (0, 1, 2):
        assert Path(f"/proc/{monitor}/fd/{fd}").readlink() == Path("/dev/null")
    (bench.directory / "go").write_text("\n")
    launched.messages()


def test_a_pid_file_that_cannot_be_written(bench: Bench, conmon: Program) -> None:
    launched = bench.launch("-P", "/nope/monitor")
    code, text = launched.left()
    assert (code, "conmon:e" in text) == (1, True)
    launched.messages()


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", "0"), ("exit 3", "3"), ("exit 255", "255"), ("kill -9 $$", "137"), ("kill -15 $$", "143")],
)
def test_how_it_ended(bench: Bench, script: str, status: str) -> None:
    bench.launch(container=script).done()
    for path in (bench.ended, bench.persist / "exit"):
        assert path.read_text() == status
        assert path.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in bench.exits.iterdir()] == [bench.cid], "a temporary file is left"


def test_a_container_that_takes_too_long(bench: Bench) -> None:
    launched = bench.launch("-T", "1", "--sync", container="sleep 100 & wait")
    launched.messages()
    assert launched.left()[0] == 255
    assert bench.ended.read_text() == (bench.persist / "exit").read_text() == "-1"


def test_signals_go_to_the_container(bench: Bench) -> None:
    for number, name in ((signal.SIGTERM, "TERM"), (signal.SIGINT, "INT"), (signal.SIGQUIT, "QUIT")):
        ready = bench.fifo(f"ready-{name}")
        script = f"trap 'exit 5' {name}; echo > {ready}; while :; do sleep 0.05; done"
        launched = bench.launch("--sync", container=script)
        launched.message()
        ready.read_text()
        launched.process.send_signal(number)
        assert launched.messages() == []
        assert launched.left()[0] == 5


def test_without_places_for_them_there_are_no_exit_files(bench: Bench) -> None:
    words = [
        "-c",
        bench.cid,
        "-u",
        "u",
        "-r",
        str(bench.runtime),
        "-b",
        str(bench.bundle),
        "-l",
        "none",
        "--full-attach",
    ]
    launched = bench.launch("--sync", words=words, container="exit 4")
    launched.messages()
    assert launched.left()[0] == 4
    assert list(bench.exits.iterdir()) == []


def exit_command(bench: Bench, text: str) -> list[str]:
    return ["--exit-command", str(bench.script("command", f"#!/bin/sh\n{text}\n"))]


def test_the_exit_command_comes_last_and_with_its_words(bench: Bench) -> None:
    seen = bench.directory / "seen"
    words = [word for argument in ("--root", "", "x y") for word in ("--exit-command-arg", argument)]
    command = exit_command(bench, f'{{ cat {bench.ended}; printf "|%s" "$@"; echo; ls /proc/$$/fd; }} > {seen}')
    bench.launch(*command, *words, container="exit 5").done()
    line, *fds = seen.read_text().splitlines()
    assert line == "5|--root||x y"
    assert not {*map(str, range(3, 10))} & {*fds}, "the monitor's descriptors"  # from 10 on: the shell's


def test_it_comes_after_a_runtime_that_failed(bench: Bench) -> None:
    seen = bench.directory / "seen"
    bench.launch(*exit_command(bench, f"echo > {seen}"), before="exit 1").over()
    assert seen.exists()


def test_it_comes_after_its_delay(bench: Bench) -> None:
    seen = bench.directory / "seen"
    bench.launch(*exit_command(bench, f"cat {bench.ended} > {seen}"), "--exit-delay", "1").done()
    assert seen.stat().st_mtime - bench.ended.stat().st_mtime > 0.98, "a second, by the kernel's coarse clock"
    assert time.time() - seen.stat().st_mtime < 30


@pytest.mark.since("2.2.0")
def test_its_failure_is_the_monitors(bench: Bench) -> None:
    launched = bench.launch(*exit_command(bench, "exit 9"), "--sync", container="exit 5")
    launched.messages()
    assert launched.left()[0] == 9
