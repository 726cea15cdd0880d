"""A full disk under a live controller: a clear error, nothing half made, what runs goes on; then it heals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.linux.syscalls import KERNEL, MountFlag
from tests.host.instance import Instance, until
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

SIZE = "size=16m"
DETACH = 2
"""MNT_DETACH."""


@pytest.fixture
def small(root: Path) -> Iterator[Path]:
    """The root on a file system of its own (seen by this worker's mount namespace alone)."""
    KERNEL.mount("tmpfs", str(root), "tmpfs", MountFlag(0), SIZE)
    yield root
    KERNEL.umount(str(root), DETACH)


def test_a_pod_on_a_full_disk_is_a_clear_error_and_comes_up_when_there_is_space(
    small: Path, archive: Path, folder: Path
) -> None:
    instance = Instance(small)
    try:
        instance.ok("image", "load", "-i", archive)
        image = "localhost/reconciler/busybox:1"
        put(folder / "old.yaml", pod("old", container("app", image)))
        instance.watch(folder)
        before = until(lambda: _running(instance, "old"), "the first pod runs")
        _fill(small / "ballast")
        put(folder / "new.yaml", pod("new", container("app", image)))
        done = instance.run("apply", folder)  # while the folder is watched, and the disk is full
        assert done.returncode == 1
        assert "full" in done.stdout + done.stderr, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert _running(instance, "old") == before
        (small / "ballast").unlink()
        until(lambda: _running(instance, "new"), "the second pod runs", 60)
        assert _running(instance, "old") == before
    finally:
        (small / "ballast").unlink(missing_ok=True)
        instance.stop_controllers()
        leaks = instance.leaks()
        instance.remove_everything()
    assert leaks == ()
    assert instance.leaks() == ()


COUNT = "i=0; while :; do i=$((i+1)); echo line $i; echo $i >/dev/shm/n; usleep 5000; done"


def test_what_runs_and_writes_on_a_full_disk_goes_on_and_its_log_says_what_is_missing(
    small: Path, archive: Path, folder: Path
) -> None:
    """And each command that would write says in a line what cannot be, with the hint; nothing half made is left."""
    instance = Instance(small)
    try:
        instance.ok("image", "load", "-i", archive)
        image = "localhost/reconciler/busybox:1"
        put(folder / "talks.yaml", pod("talks", container("app", image, command=["sh", "-c", COUNT])))
        instance.ok("apply", "--wait", "--timeout", 60, folder)
        before = _running(instance, "talks")
        log = next(instance.engine.layout.logs.glob("default_talks_*/app/0.log"))
        until(lambda: log.stat().st_size, "it has written")
        _fill(small / "ballast")
        full = _count(instance)
        until(lambda: _count(instance) > full + 50, "it goes on with a full disk")
        commands = (("run", "-d", "--name", "own", image, "true"), ("volume", "create", "data"))
        for number, words in enumerate((*commands, ("image", "load", "-i", archive))):
            _fill(small / f"ballast-{number}")  # what came free meanwhile
            done = instance.run(*words)
            assert done.returncode in (1, 125), (words, done.stdout)
            said = [line for line in done.stderr.splitlines() if line.startswith(("reconciler: ", "hint: "))]
            assert "no space left on device" in said[0].lower(), done.stderr
            assert "Traceback" not in done.stderr
        assert _running(instance, "talks") == before
        _make_room(small)
        lines = until(lambda: _whole_log(instance), "the gap is told")
        assert _running(instance, "talks") == before
        for before_it, said, after_it in zip(lines, lines[1:], lines[2:], strict=False):
            if not (said.startswith("[conmon: ") and before_it.startswith("line ") and after_it.startswith("line ")):
                continue
            lost = int(after_it.split()[1]) - int(before_it.split()[1]) - 1
            what = "1 line was" if lost == 1 else f"{lost} lines were"
            assert said == f"[conmon: {what} lost here: No space left on device]"
        instance.ok("volume", "create", "data")
    finally:
        _make_room(small)
        leaks = instance.engine.check()
        instance.remove_everything()
    assert leaks == ()
    assert instance.engine.check() == ()


def _count(instance: Instance) -> int:
    return int(instance.ok("exec", "talks", "--", "cat", "/dev/shm/n").strip() or 0)


def _make_room(small: Path) -> None:
    for ballast in small.glob("ballast*"):
        ballast.unlink()


def _whole_log(instance: Instance) -> list[str]:
    """Its lines, when what is lost has been told, and the container has written since then."""
    lines = instance.ok("logs", "talks").splitlines()
    told = any(line.startswith("[conmon: ") for line in lines)
    return lines if told and lines[-1].startswith("line ") else []


def _running(instance: Instance, name: str) -> dict[str, object]:
    running = instance.running(name)
    return dict(running) if "app" in running else {}


def _fill(ballast: Path) -> None:
    """Leave less than a page."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
