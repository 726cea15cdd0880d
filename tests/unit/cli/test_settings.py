"""How this program tells others to call it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from reconciler import __version__
from reconciler.cli.settings import Options, _program


def test_an_installed_program_is_called_by_the_link_to_the_version_of_the_day(tmp_path: Path) -> None:
    for version in ("1-aaaaaaaa", "2-bbbbbbbb"):
        (tmp_path / version).mkdir()
    (tmp_path / "current").symlink_to("2-bbbbbbbb")
    assert _program(tmp_path / "2-bbbbbbbb") == [str(tmp_path / "current/bin/reconciler")]
    assert _program(tmp_path / "1-aaaaaaaa")[0] == sys.executable, "commands of the version before go on"
    assert _program(tmp_path / "elsewhere")[0] == sys.executable


def test_a_checkout_is_called_by_its_directory_from_anywhere() -> None:
    done = subprocess.run(
        [*_program(Path("/nowhere")), "--version"],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"reconciler {__version__}\n"


def test_the_exit_command_is_of_this_instance(tmp_path: Path) -> None:
    words = Options(root=Path("here"), runtime="runc", conmon=Path("there"))._ended()
    assert words[-8:] == (
        *("--root", str(Path.cwd() / "here"), "--conmon", str(Path.cwd() / "there"), "--runtime", "runc"),
        *("system", "ended"),
    )
