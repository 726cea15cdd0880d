"""The runtime's command line, and which descriptors it may pass on."""

from __future__ import annotations

import pytest

from conmon import runtime
from conmon.options import parse
from conmon.settings import Settings

BASE = ["-c", "CID", "-r", "/rt", "-b", "/b", "-p", "/p"]

ARGV = {
    "create": (["--runtime-arg", "--log", "--runtime-arg", "x"], "/rt --log x create --bundle /b --pid-file /p CID"),
    "create with everything": (
        ["-s", "--no-pivot", "--no-new-keyring", "--runtime-opt", "--preserve-fds", "--runtime-opt", "2"],
        "/rt --systemd-cgroup create --bundle /b --pid-file /p --no-pivot --no-new-keyring --preserve-fds 2 CID",
    ),
    "restore": (
        ["--restore", "/i", "--runtime-opt", "--tcp"],
        "/rt restore --bundle /b --pid-file /p --detach --image-path /i --work-path /b --tcp CID",
    ),
    "exec": (
        ["-e", "-s", "--no-pivot", "--exec-process-spec", "/s"],
        "/rt exec --pid-file /p --process /s --detach CID",
    ),
}

PRESERVED = {
    "nothing": ([], {}, 0),
    "as one word": (["--runtime-opt=--preserve-fds=3"], {}, 3),
    "as two words": (["--runtime-opt=--preserve-fds", "--runtime-opt", "2"], {}, 2),
    "by socket activation": ([], {"LISTEN_FDS": "4"}, 4),
    "not a number": (["--runtime-opt=--preserve-fds=x"], {"LISTEN_FDS": "-1"}, 0),
}


@pytest.mark.parametrize(("words", "expected"), ARGV.values(), ids=ARGV)
def test_arguments(words: list[str], expected: str) -> None:
    assert runtime.arguments(Settings(parse([*BASE, *words]), [], [])) == expected.split()


def test_console() -> None:
    argv = runtime.arguments(Settings(parse(BASE), [], []), console="/c")
    assert argv[-3:] == ["--console-socket", "/c", "CID"]


@pytest.mark.parametrize(("words", "environment", "count"), PRESERVED.values(), ids=PRESERVED)
def test_preserved(words: list[str], environment: dict[str, str], count: int) -> None:
    assert runtime.preserved(parse([*BASE, *words]), environment) == count
