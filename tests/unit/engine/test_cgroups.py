"""Where cgroups are, and that nothing but ours is ever named; on a plain directory tree in place of the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine import cgroups
from reconciler.engine.cgroups import Hierarchies, Hierarchy, parse
from reconciler.engine.oci.host import CgroupMode
from reconciler.model.key import PodId
from reconciler.model.spec import Resources

V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
CPU = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"
NAMED = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd"
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"
OTHER = "23 1 0:20 / /proc rw - proc proc rw"


@pytest.mark.parametrize(
    ("lines", "mode", "trees"),
    [
        pytest.param([OTHER, V2], CgroupMode.V2, {"/sys/fs/cgroup"}, id="v2 alone"),
        pytest.param(
            [CPU, NAMED], CgroupMode.V1, {"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/systemd"}, id="v1 alone"
        ),
        pytest.param(
            [CPU, UNIFIED], CgroupMode.HYBRID, {"/sys/fs/cgroup/cpu,cpuacct"}, id="hybrid: made in v1, not in unified"
        ),
    ],
)
def test_hierarchies(lines: list[str], mode: CgroupMode, trees: set[str]) -> None:
    found = parse("\n".join(lines))
    assert found.mode is mode
    assert {str(h.root) for h in found.made()} == trees


def test_controllers_are_told_from_mount_options() -> None:
    found = parse("\n".join([CPU, NAMED]))
    assert [h.controllers for h in found.all] == [{"cpu", "cpuacct"}, {"name=systemd"}]
    assert found.v1("cpuacct") is found.all[0]
    assert found.v1("memory") is None


def test_a_hierarchy_mounted_twice_counts_once() -> None:
    assert len(parse("\n".join([CPU, CPU.replace("/sys/fs/cgroup/cpu,cpuacct", "/elsewhere")])).all) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/user.slice",
        "/reconciler",
        "/reconciler-abcd1/x",
        "/x/reconciler-abcd",
        "/reconciler-abcd/../user.slice",
    ],
)
def test_what_does_not_carry_our_name_is_refused(path: str, tree: Path) -> None:
    for function in (cgroups.make_pod, cgroups.remove_pod, cgroups.pids, cgroups.kill_all):
        with pytest.raises(ValueError, match="not a cgroup of ours"):
            function(path)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that looks like v2 enough for what is asked here."""
    fake = Hierarchies(CgroupMode.V2, (Hierarchy(tmp_path, v2=True),))
    monkeypatch.setattr(cgroups, "hierarchies", lambda: fake)
    return tmp_path


def container(tree: Path, **values: str) -> str:
    path = "/reconciler-abcd/pod-1/c"
    directory = tree / path[1:]
    directory.mkdir(parents=True)
    for name in ("cpu.weight", "cpu.max", "memory.max", "memory.current"):
        (directory / name).write_text(values.get(name.replace(".", "_"), "0"))
    return path


def test_limits_are_written_and_read_back(tree: Path) -> None:
    path = container(tree, memory_current="4096")
    cgroups.update(path, Resources(cpu_limit=500, memory_limit=8192))
    directory = tree / path[1:]
    assert (directory / "cpu.max").read_text() == "50000 100000"
    assert (directory / "cpu.weight").read_text() == "20"
    assert cgroups.memory_limit(path) == 8192
    (directory / "cpu.max").write_text("")
    (directory / "memory.max").write_text("")
    cgroups.update(path, Resources())
    assert (directory / "cpu.max").read_text() == "max 100000"
    assert cgroups.memory_limit(path) is None


def test_a_limit_below_usage_changes_nothing(tree: Path) -> None:
    path = container(tree, memory_current="8192", cpu_max="before")
    with pytest.raises(cgroups.LimitBelowUsage, match="8192 are in use"):
        cgroups.update(path, Resources(cpu_limit=500, memory_limit=4096))
    assert (tree / path[1:] / "cpu.max").read_text() == "before"


def test_leaked_pods_are_those_that_nobody_knows(tree: Path) -> None:
    for name in ("pod-a", "pod-b", "monitors", "probe-1"):
        (tree / "reconciler-abcd" / name).mkdir(parents=True)
    (tree / "reconciler-efgh" / "pod-c").mkdir(parents=True)
    assert {p.name for p in cgroups.leaked("abcd", [PodId("a")])} == {"pod-b", "probe-1"}
    assert cgroups.leaked("zzzz", []) == ()


def test_a_pod_is_removed_from_the_leaves_up_and_twice_is_fine(tree: Path) -> None:
    (tree / "reconciler-abcd" / "pod-a" / "c1" / "inner").mkdir(parents=True)
    (tree / "reconciler-abcd" / "pod-b").mkdir()
    cgroups.remove_pod("/reconciler-abcd/pod-a")
    cgroups.remove_pod("/reconciler-abcd/pod-a")
    assert [p.name for p in (tree / "reconciler-abcd").iterdir()] == ["pod-b"]
    cgroups.remove_pod("/reconciler-abcd/pod-b")
    assert not list(tree.iterdir()), "with the last pod goes the instance's directory"
