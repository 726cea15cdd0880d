"""Our streams for a command: what does not arrive is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import subprocess
from reconciler.engine import relays
from reconciler.model.errors import TryLater
try:
    with relays.shielded() as (stdin, stdout, stderr):
        code = subprocess.run(["echo", "dump"], stdin=stdin, stdout=stdout, stderr=stderr).returncode
except TryLater as error:
    raise SystemExit(error.message)
raise SystemExit(code)
"""


def test_output_that_a_full_disk_swallowed_is_told() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30
        )
    assert done.returncode == 1 and done.stderr.strip() == f"cannot write the command's output: {os.strerror(28)}"


def test_output_arrives_in_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as out:
        subprocess.run([sys.executable, "-c", PROGRAM], stdout=out, check=True, timeout=30)
    assert (tmp_path / "out").read_text() == "dump\n"
