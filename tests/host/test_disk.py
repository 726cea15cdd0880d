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
