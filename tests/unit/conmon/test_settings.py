"""The checks before anything is daemonised: their order and their words."""

from __future__ import annotations

from pathlib import Path

import pytest

from conmon import lifecycle
from conmon.logs import split
from conmon.options import parse
from conmon.say import Fail
from conmon.settings import check

ID = ["-c", "0123456789abcdef"]
NAMED = [*ID, "-u", "u"]
RUN = [*NAMED, "-r", "/bin/true"]
LOG = ["-l", "{log}"]

# In the order of the checks: each command line breaks its own rule and all those after it that it can.
REFUSED = {
    "no id": (["-r", "/nowhere"], "conmon: Container ID not provided. Use --cid"),
    "an unknown log level": ([*ID, "--log-level", "loud"], "[conmon:e]: No such log level loud"),
    "exec and restore": ([*ID, "-e", "--restore", "x"], "[conmon:e]: Cannot use 'exec' and 'restore' at the same time"),
    "attach without exec": ([*ID, "--exec-attach"], "[conmon:e]: Attach can only be specified with exec"),
    "attach in the old protocol": (
        [*ID, "-e", "--exec-attach"],
        "[conmon:e]: Attach can only be specified for a non-legacy exec session",
    ),
    "no uuid": (ID, "[conmon:e]: Container UUID not provided. Use --cuuid"),
    "no runtime": (NAMED, "[conmon:e]: Runtime path not provided. Use --runtime"),
    "a runtime that is not there": (
        [*NAMED, "-r", "/nowhere/crun"],
        "[conmon:e]: Runtime path /nowhere/crun is not valid: No such file or directory",
    ),
    "exec without a process": (
        [*RUN, "-e"],
        "[conmon:e]: Exec process spec path not provided. Use --exec-process-spec",
    ),
    "a negative delay": (
        [*RUN, "--exit-delay", "-1"],
        "[conmon:e]: Delay before invoking exit command must be greater than or equal to 0",
    ),
    "a negative number of files": ([*RUN, "--log-max-files", "-1"], "[conmon:e]: log-max-files must be non-negative"),
    "rotation into nothing": (
        [*RUN, "--log-rotate", "--log-max-files", "0"],
        "[conmon:e]: log-max-files must be at least 1 when log-rotate is enabled",
    ),
    "no log": (RUN, "[conmon:e]: Log driver not provided. Use --log-path"),
    "an empty log": ([*RUN, "-l", ""], "[conmon:e]: log-path must not be empty"),
    "a colon alone": ([*RUN, "-l", ":"], "[conmon:e]: log-path must not be empty"),
    "k8s-file without a file": ([*RUN, "-l", "k8s-file:"], "[conmon:e]: k8s-file requires a filename"),
    "an unknown driver": ([*RUN, "-l", "foo:bar"], "[conmon:e]: No such log driver foo"),
    "a log in no directory": (
        [*RUN, "-l", "/nowhere/log"],
        "[conmon:e]: Failed to open log file: No such file or directory: /nowhere/log",
    ),
    "a tag for a file": ([*RUN, *LOG, "--log-tag", "x"], "[conmon:e]: k8s-file doesn't support --log-tag"),
    "a label for a file": ([*RUN, *LOG, "--log-label", "A=b"], "[conmon:e]: k8s-file doesn't support --log-label"),
    "a short id for journald": (
        ["-c", "short", "-u", "u", "-r", "/bin/true", "-l", "journald"],
        "[conmon:e]: Container ID must be longer than 12 characters",
    ),
    "a label without a value": (
        [*RUN, "-l", "journald", "--log-label", "A"],
        "[conmon:e]: Container labels must be in format LABEL=VALUE",
    ),
    "a label in small letters": (
        [*RUN, "-l", "journald", "--log-label", "a=b"],
        "[conmon:e]: Container label names must contain only uppercase letters, numbers and underscore",
    ),
    "no file of operations": (
        [*RUN, *LOG, "--prepare", "/nowhere"],
        "[conmon:e]: cannot read prepare file /nowhere: No such file or directory",
    ),
}

SPLIT = {
    "/a/b": ("k8s-file", "/a/b"),
    "k8s-file:/a/b": ("k8s-file", "/a/b"),
    ":/a/b": ("k8s-file", "/a/b"),
    ":journald": ("k8s-file", "journald"),
    "journald": ("journald", ""),
    "journald:": ("journald", ""),
    "none": ("none", ""),
    "null": ("null", ""),
    "off": ("off", ""),
    "passthrough": ("passthrough", ""),
    "k8s-file:/a:b": ("k8s-file", "/a"),
}


def _never(_settings: object) -> None:
    raise AssertionError("daemonised")


@pytest.mark.parametrize(("argv", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(argv: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = str(tmp_path / "log")
    assert lifecycle.main([word.replace("{log}", log) for word in argv], _never, []) == 1
    assert capfd.readouterr().err == words + "\n"


def test_a_useless_option_is_only_warned_about(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = [*RUN, "-l", str(tmp_path / "log"), "--no-container-partial-message", "--prepare", "/nowhere"]
    assert lifecycle.main(argv, _never, []) == 1
    assert capfd.readouterr().err.startswith(
        "[conmon:w]: --no-container-partial-message has no effect without journald log driver\n"
    )


@pytest.mark.parametrize(("text", "expected"), SPLIT.items(), ids=SPLIT)
def test_log_path(text: str, expected: tuple[str, str]) -> None:
    assert split(text) == expected


def test_a_log_path_of_colons_only() -> None:
    with pytest.raises(Fail, match="must not be empty"):
        split("::")


@pytest.mark.parametrize(
    ("more", "reachable"),
    [
        ([], False),
        (["--full-attach"], True),
        (["--socket-dir-path", "/s"], True),
        (["-e", "--exec-process-spec", "x", "--full-attach"], False),
        (["-e", "--exec-process-spec", "x", "-b", "/b", "--full-attach"], True),
        (["--full-attach", "-l", "passthrough"], False),
    ],
)
def test_who_has_an_attach_socket(more: list[str], reachable: bool) -> None:
    assert check(parse([*RUN, "-l", "none", *more])).reachable is reachable
