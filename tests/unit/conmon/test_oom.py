"""The watch for OOM kills, on files in place of the kernel's (host tests have its own); and calls at a later time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conmon import oom
from conmon.loop import Loop


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A v2 tree in which the process's cgroup is ``/c``. Nothing wakes a poll on a file."""
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "memory.peak").write_text("4096\n")
    monkeypatch.setattr(oom, "ROOT", str(tmp_path))
    monkeypatch.setattr(oom, "_group", lambda _pid, _v2: "/c")
    monkeypatch.setattr(Loop, "watch", lambda *_: None)
    say(tmp_path / "c", 0)
    return tmp_path / "c"


def say(group: Path, kills: int) -> None:
    (group / "memory.events").write_text(f"low 0\nhigh 0\nmax 9\noom {kills}\noom_kill {kills}\noom_group_kill 0\n")


def test_a_rise_of_the_count_is_noted_everywhere(group: Path, tmp_path: Path) -> None:
    plain, counted = tmp_path / "oom", tmp_path / "count"
    watch = oom.Watch(Loop(), 1, [str(plain)], str(counted))
    assert not watch.look()
    assert not plain.exists()
    say(group, 2)
    assert watch.look()
    assert (plain.read_bytes(), counted.read_text()) == (b"", "2 4096")
    assert not watch.look()


@pytest.fixture
def scope(tmp_path: Path, group: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As systemd has it: the container's cgroup in a scope in a slice."""
    inside = tmp_path / "pod.slice" / "c.scope"
    inside.parent.mkdir()
    group.rename(inside)
    say(inside.parent, 3)
    monkeypatch.setattr(oom, "_group", lambda _pid, _v2: "/pod.slice/c.scope")
    return inside


def vanish(scope: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel answers ENODEV for a cgroup that is gone."""
    scope.rename(scope.with_name("gone"))
    real, gone = os.pread, (scope.with_name("gone") / "memory.events").stat().st_ino

    def pread(fd: int, size: int, offset: int) -> bytes:
        if os.fstat(fd).st_ino == gone:
            raise OSError(19, "No such device")
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", pread)


def test_a_kill_is_known_though_systemd_removed_the_scope_first(
    scope: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = oom.Watch(Loop(), 1, [str(tmp_path / "oom")], None)
    say(scope.parent, 4)
    vanish(scope, monkeypatch)
    assert not watch.look(), "it may have been another container's"
    assert watch.look(killed=True)
    assert not watch.look(killed=True)


def test_a_scope_that_went_in_peace_was_not_killed(
    scope: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = oom.Watch(Loop(), 1, [str(tmp_path / "oom")], None)
    vanish(scope, monkeypatch)
    assert not watch.look(killed=True)


def test_kills_before_its_time_are_not_its_own(group: Path, tmp_path: Path) -> None:
    say(group, 5)
    assert not oom.Watch(Loop(), 1, [str(tmp_path / "oom")], None).look()


def test_no_cgroup_is_no_reason_to_fail(group: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oom, "_group", lambda _pid, _v2: "/elsewhere")
    assert not oom.Watch(Loop(), 1, [str(tmp_path / "oom")], None).look()
    monkeypatch.setattr(oom, "_group", lambda _pid, _v2: None)
    assert not oom.Watch(Loop(), 1, [str(tmp_path / "oom")], None).look()


def test_a_processs_memory_cgroup_is_read_from_either_version() -> None:
    text = Path("/proc/self/cgroup").read_text()
    v2 = "0::" in text and ":memory:" not in text
    assert (oom._group(os.getpid(), v2) or "").startswith("/")


def test_the_loop_calls_later_and_in_time() -> None:
    called: list[str] = []
    loop = Loop()
    loop.later(0.0, lambda: called.append("replaced"))
    loop.later(0.01, lambda: called.append("once"))
    assert loop.run(lambda: bool(called))
    assert called == ["once"]
    loop.later(60.0, lambda: called.append("never"))
    import time

    assert not loop.run(lambda: False, time.monotonic() + 0.01)
    assert called == ["once"]
