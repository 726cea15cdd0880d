"""The runtime's program as a sealed copy in memory: when there is one, and what it is."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import sealed

SEALED = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""Exactly what crun's cloned_binary.c wants to find."""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "crun"
    shutil.copy(shutil.which("echo") or "", made)
    yield made
    if made in sealed._copies:
        os.close(sealed._copies.pop(made)[1])


def identity(program: Path) -> int | None:
    with sealed.copy_of(program) as copy:
        return None if copy is None else os.fstat(copy).st_ino


def test_it_runs_is_sealed_and_the_same(program: Path) -> None:
    with sealed.copy_of(program) as copy:
        assert copy is not None
        assert fcntl.fcntl(copy, fcntl.F_GET_SEALS) == SEALED
        assert os.pread(copy, 1 << 24, 0) == program.read_bytes()
        assert not os.get_inheritable(copy)
        words = subprocess.run(["crun", "yes"], executable=f"/proc/{os.getpid()}/fd/{copy}", stdout=-1, check=True)
    assert words.stdout == b"yes\n"
    with pytest.raises(OSError):
        os.fstat(copy)


def test_there_is_one_as_long_as_the_program_stays(program: Path) -> None:
    first = identity(program)
    assert first is not None
    assert identity(program) == first
    new = program.with_name("new")
    shutil.copy(program, new)
    new.replace(program)
    assert identity(program) not in (first, None)
    held = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
    assert len([path for path in held if "memfd:crun" in path]) == 1, "the old one is closed"


def test_none_of_a_script_of_another_runtime_or_of_nothing(program: Path, tmp_path: Path) -> None:
    other = program.rename(tmp_path / "runc")
    assert identity(other) is None
    assert identity(program) is None, "it has gone"
    program.write_text("#!/bin/sh\n")
    assert identity(program) is None


def test_none_where_a_label_leads_into_a_domain(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = tmp_path / "enforce"
    on.touch()
    monkeypatch.setattr(sealed, "_SELINUX_ON", on)
    assert identity(program) is None


def test_none_where_there_is_no_descriptor(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert identity(program) is None


@pytest.mark.parametrize("may_run", [True, False])
def test_the_program_itself_where_its_copy_may_not_be_run(program: Path, may_run: bool) -> None:
    """As with vm.memfd_noexec: here by a descriptor of no program."""
    copy = shutil.which("true") if may_run else "/etc/passwd"
    script = "import os, sys; from conmon.runtime import _execute; _execute(sys.argv[2:], os.open(sys.argv[1], 0))"
    words = [sys.executable, "-c", script, str(copy), str(program), "itself"]
    done = subprocess.run(words, stdout=-1, check=True, cwd=Path(__file__).parents[3])
    assert done.stdout == (b"" if may_run else b"itself\n")
