"""Our streams for a command: what does not arrive is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import subprocess, sys
from reconciler.engine import relays
from reconciler.model.errors import TryLater
try:
    with relays.shielded(bool(sys.argv[2:])) as (stdin, stdout, stderr):
        code = subprocess.run(sys.argv[1].split(), stdin=stdin, stdout=stdout, stderr=stderr).returncode
except TryLater as error:
    raise SystemExit(error.message)
raise SystemExit(code)
"""

CALL = [sys.executable, "-c", PROGRAM]


def test_output_that_a_full_disk_swallowed_is_told() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*CALL, "echo dump"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1 and done.stderr.strip() == f"cannot write the command's output: {os.strerror(28)}"


def test_output_arrives_in_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as out:
        subprocess.run([*CALL, "echo dump"], stdout=out, check=True, timeout=30)
    assert (tmp_path / "out").read_text() == "dump\n"


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_stdin_is_read_only_where_it_is_wanted(kind: str, tmp_path: Path) -> None:
    """What is not read stays for whoever comes next."""
    for wanted, said, left in ((["stdin"], b"words", b""), ([], b"", b"words")):
        stdin, end = os.pipe()
        os.write(end, b"words")
        os.close(end)
        if kind == "file":
            (tmp_path / "file").write_bytes(b"words")
            os.close(stdin)
            stdin = os.open(tmp_path / "file", os.O_RDONLY)
        done = subprocess.run([*CALL, "cat", *wanted], stdin=stdin, capture_output=True, check=True, timeout=30)
        assert (done.stdout, os.read(stdin, 100)) == (said, left)
        os.close(stdin)


def test_terminals_and_pipes_with_a_name_are_copied_from_and_to(tmp_path: Path) -> None:
    """They have an owner, whom a runtime may change."""
    os.mkfifo(tmp_path / "named")
    named = os.open(tmp_path / "named", os.O_RDWR)
    ours, theirs = os.openpty()
    links = "readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2"
    done = subprocess.run([*CALL, links, "stdin"], stdin=named, stdout=subprocess.PIPE, stderr=theirs, timeout=30)
    assert [line.partition(b":")[0] for line in done.stdout.splitlines()] == [b"pipe"] * 3
    for fd in (named, ours, theirs):
        os.close(fd)
