"""Our cgroups among the machine's own: made, entered, emptied and removed in every hierarchy."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import cgroups, processes
from reconciler.engine.cgroups import moves
from reconciler.engine.layout import Layout
from reconciler.model.errors import Busy
from reconciler.model.key import PodId
from tests.host.oci_pod import DEADLINE, left_cgroups, new_id

pytestmark = pytest.mark.host


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout.at(tmp_path)
    yield made
    assert not list(left_cgroups(made.tag))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as child:
        yield child
        child.kill()


def places(path: str) -> list[Path]:
    return [h.root / path[1:] for h in cgroups.current().made()]


def put_in(parent: str, pid: int) -> None:
    """Where containers' processes are. cpuset refuses them until it has CPUs and memory nodes."""
    for path in places(parent):
        target = path / "c" if cgroups.current().all[0].v2 else path
        target.mkdir(exist_ok=True)
        (target / "cgroup.procs").write_text(str(pid))


def wait_for(child: subprocess.Popen[bytes]) -> int:
    return child.wait(DEADLINE)


def test_a_pods_cgroup_is_in_every_hierarchy_and_usable(layout: Layout, sleeper: subprocess.Popen[bytes]) -> None:
    parent = layout.cgroup_parent(PodId(new_id()))
    for _ in range(2):
        cgroups.make_pod(parent)
    assert all(path.is_dir() for path in places(parent))
    put_in(parent, sleeper.pid)
    assert cgroups.pids(parent) == {sleeper.pid}
    with pytest.raises(Busy, match=f"pid {sleeper.pid} in it"):
        cgroups.remove_pod(parent)
    cgroups.kill_all(parent)
    assert wait_for(sleeper) == -9
    for _ in range(2):
        cgroups.remove_pod(parent)
    assert not any(path.exists() for path in places(parent))


def test_what_lies_above_was_made_by_somebody_who_was_killed(layout: Layout, sleeper: subprocess.Popen[bytes]) -> None:
    """Before he had seen to it that it can be used: v1's cpuset begins without CPUs."""
    parent = layout.cgroup_parent(PodId(new_id()))
    for path in places(parent):
        path.parent.mkdir(parents=True)
    cgroups.make_pod(parent)
    put_in(parent, sleeper.pid)
    cgroups.kill_all(parent)
    assert wait_for(sleeper) == -9
    cgroups.remove_pod(parent)
    assert not any(path.exists() for path in places(parent))


def test_what_is_made_in_a_pods_cgroup_has_cpus_at_once(layout: Layout) -> None:
    cpuset = cgroups.current().v1("cpuset")
    if cpuset is None:
        pytest.skip("this host has no cpuset of cgroup v1")
    parent = layout.cgroup_parent(PodId(new_id()))
    cgroups.make_pod(parent)
    child = cpuset.at(f"{parent}/c")
    child.mkdir()
    assert [(child / f"cpuset.{name}").read_text().strip() != "" for name in ("cpus", "mems")] == [True, True]
    cgroups.remove_pod(parent)
    assert not child.exists()


def test_everything_that_forks_in_a_cgroup_is_killed(layout: Layout) -> None:
    parent = layout.cgroup_parent(PodId(new_id()))
    cgroups.make_pod(parent)
    ours, theirs = os.pipe()
    path = places(f"{parent}/c")[0]
    path.mkdir()
    children = "sleep 1000 & sleep 1000 & sh -c 'sleep 1000 & sleep 1000' &"
    script = f"echo $$ >{path}/cgroup.procs; {children} echo up; wait; exec sleep 1000"
    with subprocess.Popen(["sh", "-c", script], stdout=theirs) as child:
        os.close(theirs)
        assert os.read(ours, 16) == b"up\n"
        refs = [processes.pid_ref(pid) for pid in cgroups.pids(parent)]
        assert len(refs) >= 3
        cgroups.kill_all(parent)
        assert wait_for(child) == -9
        while os.read(ours, 16):  # until all that held the pipe are gone
            pass
    os.close(ours)
    assert all(processes.wait_gone(ref, DEADLINE) for ref in refs if ref), "files are closed a moment before the end"
    cgroups.remove_pod(parent)


def test_what_is_frozen_is_killed_as_well(layout: Layout, sleeper: subprocess.Popen[bytes]) -> None:
    """v1 keeps a frozen process from dying until somebody lets it go on."""
    freezer = cgroups.current().v1("freezer")
    parent = layout.cgroup_parent(PodId(new_id()))
    cgroups.make_pod(parent)
    inner = f"{parent}/c/deeper"
    directory = freezer.root / inner[1:] if freezer else places(inner)[0]
    directory.mkdir(parents=True)
    (directory / "cgroup.procs").write_text(str(sleeper.pid))
    if freezer:
        (directory / "freezer.state").write_text("FROZEN")
    else:
        (directory / "cgroup.freeze").write_text("1")
    cgroups.kill_all(f"{parent}/c")
    assert wait_for(sleeper) == -9
    cgroups.remove_pod(parent)


def test_a_monitor_leaves_the_cgroup_that_it_was_started_in(layout: Layout, sleeper: subprocess.Popen[bytes]) -> None:
    cgroups.enter_monitors(layout.tag, sleeper.pid)
    lines = Path(f"/proc/{sleeper.pid}/cgroup").read_text().splitlines()
    wanted = f"/reconciler-{layout.tag}/monitors"
    there = {line.split(":")[1] for line in lines if line.endswith(wanted)}
    assert {name for h in cgroups.current().made() for name in h.controllers or {""}} == {
        name for names in there for name in names.split(",")
    }
    assert wanted not in Path("/proc/self/cgroup").read_text()
    assert cgroups.leaked(layout.tag, []) == ()
    with pytest.raises(Busy):
        cgroups.remove_instance(layout.tag)
    sleeper.kill()
    wait_for(sleeper)
    cgroups.remove_instance(layout.tag)


def test_a_process_that_is_gone_cannot_be_moved_and_that_is_fine(layout: Layout) -> None:
    with subprocess.Popen(["true"]) as child:
        wait_for(child)
    cgroups.enter_monitors(layout.tag, child.pid)
    cgroups.remove_instance(layout.tag)


def test_leaked_cgroups_are_found_by_name_alone(layout: Layout) -> None:
    known, lost = PodId(new_id()), PodId(new_id())
    for pod in (known, lost):
        cgroups.make_pod(layout.cgroup_parent(pod))
    assert set(cgroups.leaked(layout.tag, [known])) == set(places(layout.cgroup_parent(lost)))
    cgroups.remove_instance(layout.tag)
    assert cgroups.leaked(layout.tag, [known]) == ()


def test_what_runs_at_the_same_time_does_not_trip_over_the_other(layout: Layout) -> None:
    """Many make and remove pods of one instance at once: its own directory comes and goes with the last."""
    from concurrent.futures import ThreadPoolExecutor

    def live() -> None:
        for _ in range(20):
            parent = layout.cgroup_parent(PodId(new_id()))
            cgroups.make_pod(parent)
            cgroups.remove_pod(parent)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(live) for _ in range(4)]:
            future.result(DEADLINE)


def test_who_expects_moves_stays_in_its_cgroup() -> None:
    before = Path("/proc/self/cgroup").read_text()
    assert moves._own(before) is not None, "this host's tree is what the kernel speaks of"
    cgroups.expect_moves()
    moves._stay()
    assert Path("/proc/self/cgroup").read_text() == before
