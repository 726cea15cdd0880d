"""``system reset``: nothing is left of an instance with running pods, however much of it is broken."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.controller.lock import holder
from reconciler.engine import cgroups
from reconciler.engine.network import bridge, portmap
from reconciler.engine.network import pod as links
from tests.host.instance import Instance, expect_nothing_left, processes_of, until, wait_for_end
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

PORT = 18310


@pytest.fixture
def filled(root: Path, image: str, folder: Path) -> Iterator[Instance]:
    """An instance with two running pods, one of which publishes a port and takes a while to end."""
    made = Instance(root)
    ports = [{"containerPort": 80, "hostPort": PORT}]
    slow = ["sh", "-c", "trap 'echo bye >/data/end; exit 0' TERM; echo hears; sleep 1000 & wait"]
    put(folder / "a.yaml", pod("a", container("one", image, ports=ports)))
    put(
        folder / "b.yaml",
        pod(
            "b",
            container("one", image, command=slow, volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            volumes=[{"name": "data", "hostPath": {"path": str(folder.parent)}}],
        ),
    )
    made.ok("apply", "--wait", "--timeout", 60, folder)
    until(lambda: made.ok("logs", "b/one") == "hears\n", "it hears TERM")
    assert made.engine.layout.state.exists()  # opened now: to open it makes its directories
    yield made
    made.stop_controllers()
    if made.engine.layout.database.exists():
        made.remove_everything()


def expect_nothing(instance: Instance) -> None:
    root, tag = instance.root, instance.engine.layout.tag
    until(lambda: not list(processes_of(root)), "no process is left")
    assert not [h.root for h in cgroups.current().all if (h.root / f"reconciler-{tag}").exists()]
    assert links.links(tag) == ()
    assert bridge.bridges(tag) == ()
    assert portmap.current(tag) == frozenset()
    assert {path.name for path in root.iterdir()} <= {"controller.log"}
    expect_nothing_left(root)


def test_pods_end_in_order_and_nothing_is_left(filled: Instance, folder: Path) -> None:
    mine = [*filled.running("a").values(), *filled.running("b").values()]
    assert len(mine) == 4
    assert "removed" in filled.ok("system", "reset", "--yes")
    wait_for_end(mine)
    assert (folder.parent / "end").read_text() == "bye\n", "it was asked to end, and had the time to"
    assert (folder / "a.yaml").exists()
    expect_nothing(filled)
    filled.ok("system", "check")
    assert "removed" in filled.ok("system", "reset", "--yes"), "again, where nothing is"
    expect_nothing(filled)


@pytest.mark.parametrize("broken", ["state.db", "pods/*/record.json", "containers/*/record.json"])
def test_what_is_broken_goes_as_well(broken: str, filled: Instance) -> None:
    mine = [*filled.running("a").values(), *filled.running("b").values()]
    for path in (filled.root / "state").glob(broken):
        path.write_bytes(b"not what it was")
    for path in (filled.root / "state").glob("state.db-*"):
        path.unlink()
    filled.ok("system", "reset", "--yes", "--timeout", 5)
    wait_for_end(mine)
    expect_nothing(filled)


@pytest.mark.parametrize("point", ["container.forget:after", "cgroup.remove-instance:before", "tree.delete:after:3"])
def test_killed_in_the_middle_it_is_simply_said_again(point: str, filled: Instance) -> None:
    done = filled.run("system", "reset", "--yes", env=os.environ | {"RECONCILER_FAULT": point})
    assert done.returncode == -signal.SIGKILL, f"{point} was not reached"
    filled.ok("system", "reset", "--yes")
    expect_nothing(filled)


def test_it_is_refused_while_a_controller_runs_and_asks_otherwise(filled: Instance, folder: Path) -> None:
    controller = filled.watch(folder)
    until(lambda: holder(filled.engine.layout.controller_lock), "it has begun")
    refused = filled.run("system", "reset", "--yes")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"reconciler: cannot reset: controller (pid {controller.pid}) watches {folder}")
    filled.stop_controllers()
    before = filled.running("a")
    unasked = filled.run("system", "reset", stdin=subprocess.DEVNULL)
    assert (unasked.returncode, "say --yes" in unasked.stderr) == (2, True)
    code, text = on_terminal(filled.command("system", "reset"), b"n\n")
    assert code == 1
    assert "2 (default/a, default/b)" in text
    assert f"{filled.root}/state" in text
    assert "Nothing was removed." in text
    assert filled.running("a") == before
    code, text = on_terminal(filled.command("system", "reset"), b"y\n")
    assert code == 0
    expect_nothing(filled)


def on_terminal(words: list[str], answer: bytes) -> tuple[int, str]:
    """Run a command with a terminal; it is given one answer. (exit code, what it showed)."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        os.write(ours, answer)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    return running.returncode, shown.decode()


def test_run_and_state_are_on_file_systems_of_their_own(root: Path, image: str, folder: Path) -> None:
    """As on every machine whose /run is a tmpfs: nothing can be renamed from one to the other."""
    run = Path(tempfile.mkdtemp(prefix="reconciler-t", dir="/dev/shm"))
    subprocess.run(["mount", "-t", "tmpfs", "none", run], check=True, timeout=30)
    (root / "run").symlink_to(run)
    made = Instance(root)
    put(folder / "a.yaml", pod("a", container("one", image, ports=[{"containerPort": 80, "hostPort": PORT}])))
    try:
        made.ok("apply", "--wait", "--timeout", 60, folder)
        assert (run / "dns" / "networks").is_dir(), "what the name server reads"
        made.ok("down", "--timeout", 60, folder)
        assert not (run / "dns" / "networks").exists()
        assert made.leaks() == ()
    finally:
        made.remove_everything()
        subprocess.run(["umount", "--lazy", run], check=True, timeout=30)
        run.rmdir()


def test_a_file_system_that_was_mounted_for_the_state_is_empty_and_stays(root: Path, folder: Path) -> None:
    state = root / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", state], check=True, timeout=30)
    made = Instance(root)
    try:
        made.ok("info")
        assert list(state.iterdir())
        made.ok("system", "reset", "--yes")
        assert state.is_mount()
        assert not list(state.iterdir())
    finally:
        subprocess.run(["umount", "--lazy", state], check=True, timeout=30)
