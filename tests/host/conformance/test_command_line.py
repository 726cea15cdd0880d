"""The command line: GLib's grammar, and every wrong option or path told before anything is started."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.host.conformance.bench import DEADLINE, Bench
from tests.host.conformance.programs import Program

pytestmark = pytest.mark.host


def said(conmon: Program, words: list[str], cwd: Path) -> tuple[int, str]:
    """Exit code and words. 2.1.6 says on stdout what the parser found, and has no colon after the level."""
    done = subprocess.run([*conmon.words, *words], capture_output=True, text=True, timeout=DEADLINE, env={}, cwd=cwd)
    return done.returncode, re.sub(r"^\[conmon:(.)\]:? ", r"[conmon:\1]: ", done.stdout + done.stderr)


UNREADABLE = {
    "a long option that there is not": (["--nope"], "Unknown option --nope"),
    "with a value": (["--nope=3"], "Unknown option --nope=3"),
    "even after --version": (["--version", "--nope"], "Unknown option --nope"),
    "the beginning of a long option": (["--ci", "x"], "Unknown option --ci"),
    "a letter that there is not": (["-Z"], "Unknown option -Z"),
    "a letter with its value glued on": (["-t=3"], "Unknown option -t=3"),
    "a letter that wants a word, at the end": (["-c"], "Missing argument for -c"),
    "a bundle of letters that wants a word, at the end": (["-tib"], "Missing argument for -b"),
    "a long option that wants a word, at the end": (["--cid"], "Missing argument for --cid"),
    "-0 is an option and no number": (["-0"], "Missing argument for -0"),
    "a number that is none": (["--exit-delay", "x"], "Cannot parse integer value"),
    "a number with a rest": (["-T", "3x"], "Cannot parse integer value"),
    "an empty number": (["-T", ""], "Cannot parse integer value"),
    "more than 32 bits": (["--exit-delay", "99999999999"], "for --exit-delay out of range"),
    "more than 64 bits": (["--log-size-max", "9" * 24], "for --log-size-max out of range"),
}


@pytest.mark.parametrize(("words", "why"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_command_line_that_cannot_be_read(conmon: Program, tmp_path: Path, words: list[str], why: str) -> None:
    code, text = said(conmon, words, tmp_path)
    assert code == 1
    assert text.startswith("conmon: option parsing failed: ")
    assert why in text


UUID = ["-c", "x", "-u", "u"]
RUNTIME = [*UUID, "-r", "/bin/true"]

REFUSED = {
    "no container": ([], "conmon: Container ID not provided. Use --cid"),
    "a word left over is none": (["x"], "conmon: Container ID not provided. Use --cid"),
    "the value of --api-version is a word left over": (
        ["--api-version", "1"],
        "conmon: Container ID not provided. Use --cid",
    ),
    "two dashes end the options": (["--", "--nope"], "conmon: Container ID not provided. Use --cid"),
    "a flag takes no value, and does not mind one": (
        ["--terminal=false"],
        "conmon: Container ID not provided. Use --cid",
    ),
    "hexadecimal numbers": (["--exit-delay", "0x10"], "conmon: Container ID not provided. Use --cid"),
    "a value may look like an option": (["--cid", "--version"], "[conmon:e]: Container UUID not provided. Use --cuuid"),
    "a value may be empty": (["--cid="], "[conmon:e]: Container UUID not provided. Use --cuuid"),
    "a level that there is not": (["-c", "x", "--log-level", "nope"], "[conmon:e]: No such log level nope"),
    "exec and restore": (
        ["-c", "x", "-e", "--restore", "r"],
        "[conmon:e]: Cannot use 'exec' and 'restore' at the same time",
    ),
    "attaching to no session": (["-c", "x", "--exec-attach"], "[conmon:e]: Attach can only be specified with exec"),
    "attaching in the old protocol": (
        ["-c", "x", "-e", "--exec-attach"],
        "[conmon:e]: Attach can only be specified for a non-legacy exec session",
    ),
    "no uuid": (["-c", "x"], "[conmon:e]: Container UUID not provided. Use --cuuid"),
    "no runtime": (UUID, "[conmon:e]: Runtime path not provided. Use --runtime"),
    "an old session needs no uuid": (["-c", "x", "-e"], "[conmon:e]: Runtime path not provided. Use --runtime"),
    "a runtime that is not there": ([*UUID, "-r", "/nope"], "[conmon:e]: Runtime path /nope is not valid"),
    "a runtime that cannot be run": (
        [*UUID, "-r", "/etc/passwd"],
        "[conmon:e]: Runtime path /etc/passwd is not valid",
    ),
    "no process for a session": (
        [*RUNTIME, "-e"],
        "[conmon:e]: Exec process spec path not provided. Use --exec-process-spec",
    ),
    "a delay below zero": (
        [*RUNTIME, "--exit-delay=-1"],
        "[conmon:e]: Delay before invoking exit command must be greater than or equal to 0",
    ),
    "no log": (RUNTIME, "[conmon:e]: Log driver not provided. Use --log-path"),
    "a log without a name": ([*RUNTIME, "-l", ""], "[conmon:e]: log-path must not be empty"),
    "a colon is no name": ([*RUNTIME, "-l", ":"], "[conmon:e]: log-path must not be empty"),
    "a file without a name": ([*RUNTIME, "-l", "k8s-file"], "[conmon:e]: k8s-file requires a filename"),
    "a file with an empty name": ([*RUNTIME, "-l", "k8s-file:"], "[conmon:e]: k8s-file requires a filename"),
    "a driver that there is not": ([*RUNTIME, "-l", "foo:/x"], "[conmon:e]: No such log driver foo"),
    "a log that cannot be opened": ([*RUNTIME, "-l", "k8s-file:/nope/x"], "[conmon:e]: Failed to open log file"),
    "a tag for a file": (
        [*RUNTIME, "-l", "k8s-file:log", "--log-tag", "t"],
        "[conmon:e]: k8s-file doesn't support --log-tag",
    ),
    "a short id for the journal": (
        [*RUNTIME, "-l", "journald"],
        "[conmon:e]: Container ID must be longer than 12 characters",
    ),
}


@pytest.mark.parametrize(("words", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_command_line_that_is_refused(conmon: Program, tmp_path: Path, words: list[str], why: str) -> None:
    code, text = said(conmon, words, tmp_path)
    assert code == 1
    assert text.startswith(why)


LONG = ["-c", "x" * 13, "-u", "u", "-r", "/bin/true"]

REFUSED_SINCE_2_2 = {
    "a label for a file": (
        [*RUNTIME, "-l", "k8s-file:log", "--log-label", "A=b"],
        "k8s-file doesn't support --log-label",
    ),
    "a label without a value": (
        [*LONG, "-l", "journald", "--log-label", "A"],
        "Container labels must be in format LABEL=VALUE",
    ),
    "a label with two values": (
        [*LONG, "-l", "journald", "--log-label", "A=b=c"],
        "Container labels must be in format LABEL=VALUE",
    ),
    "a label in small letters": (
        [*LONG, "-l", "journald", "--log-label", "a=b"],
        "Container label names must contain only uppercase letters, numbers and underscore",
    ),
    "fewer old logs than none": ([*RUNTIME, "-l", "x", "--log-max-files", "-1"], "log-max-files must be non-negative"),
    "no old log, and rotation": (
        [*RUNTIME, "-l", "x", "--log-rotate", "--log-max-files", "0"],
        "log-max-files must be at least 1 when log-rotate is enabled",
    ),
}


@pytest.mark.since("2.2.0")
@pytest.mark.parametrize(("words", "why"), REFUSED_SINCE_2_2.values(), ids=REFUSED_SINCE_2_2.keys())
def test_it_is_refused_since_there_is_rotation(conmon: Program, tmp_path: Path, words: list[str], why: str) -> None:
    assert said(conmon, words, tmp_path) == (1, f"[conmon:e]: {why}\n")


def test_refusing_leaves_nothing_behind(conmon: Program, bench: Bench) -> None:
    refused = bench.launch("--log-path", "k8s-file:/nope/x")
    assert refused.message() == ""
    code, text = refused.left()
    assert (code, conmon.ours or "conmon:e" in text) == (1, True)
    for name in ("argv", "container.pid", "monitor.pid"):
        assert not (bench.directory / name).exists()
    assert list(bench.bundle.iterdir()) == list(bench.exits.iterdir()) == []


@pytest.mark.parametrize("words", [["--version"], ["--cid", "x", "--version", "word"]])
def test_the_version_as_podman_reads_it(conmon: Program, tmp_path: Path, words: list[str]) -> None:
    code, text = said(conmon, words, tmp_path)
    assert code == 0
    assert re.match(r"^(version:|conmon version)? (\d+)\.(\d+)\.(\d+)\ncommit: \S+\n$", text)


@pytest.mark.parametrize("word", ["--help", "-h", "-?", "--help-all"])
def test_help(conmon: Program, tmp_path: Path, word: str) -> None:
    code, text = said(conmon, ["--cid", "x", word, "--nope"], tmp_path)
    assert code == 0
    assert text.startswith("Usage:\n  conmon [OPTION")
    assert "--exec-process-spec" in text


def test_all_forms_of_an_option(bench: Bench) -> None:
    """The last word counts for one value, all of them for a list; a value may be empty or look like an option."""
    lists = [
        "--runtime-arg",
        "--log",
        "--runtime-arg=--a=b",
        "--runtime-arg",
        "",
        "--runtime-opt",
        "-x",
        "--restore-arg=y",
    ]
    last = [
        "--pidfile",
        "/nowhere",
        "-p",
        str(bench.pidfile),
        "-c",
        "nobody",
        f"--cid={bench.cid}",
        "-sb",
        str(bench.bundle),
    ]
    bench.launch(*lists, *last, "a word", "--", "--nope").done()
    create = ["create", "--bundle", str(bench.bundle), "--pid-file", str(bench.pidfile), "-x", "y", bench.cid]
    assert bench.argv() == ["--systemd-cgroup", "--log", "--a=b", "", *create]
