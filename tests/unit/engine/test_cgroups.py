"""Where cgroups are, and that nothing but ours is ever named; on a plain directory tree in place of the kernel's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from reconciler.engine import cgroups
from reconciler.engine.cgroups import Hierarchies, Hierarchy, hierarchies, moves, names, parse, systemd
from reconciler.engine.cgroups import values as cgroup_values
from reconciler.engine.cgroups.driver import Wish, choose
from reconciler.engine.cgroups.names import Driver
from reconciler.engine.oci.host import CgroupMode
from reconciler.model.errors import HostUnfit
from reconciler.model.key import ContainerId, PodId
from reconciler.model.qos import Qos
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
    monkeypatch.setattr(hierarchies, "current", lambda: fake)
    monkeypatch.setattr(cgroup_values, "_write", lambda file, value: file.write_text(value))  # as a whole, as there
    return tmp_path


def container(tree: Path, **values: str) -> str:
    path = "/reconciler-abcd/pod-1/c"
    directory = tree / path[1:]
    directory.mkdir(parents=True)
    defaults = {"memory_max": "max", "memory_high": "max"}
    for name in ("cpu.weight", "cpu.max", "memory.max", "memory.high", "memory.current", "pids.max"):
        (directory / name).write_text((defaults | values).get(name.replace(".", "_"), "0"))
    return path


def test_limits_are_written_and_read_back(tree: Path) -> None:
    path = container(tree, memory_current="4096")
    cgroups.update(path, Resources(cpu_limit=500, memory_limit=8192, pids_limit=7))
    assert values(tree, path) == {
        "cpu.max": "50000 100000",
        "cpu.weight": "20",
        "memory.max": "8192",
        "memory.high": "max",
        "pids.max": "7",
    }
    assert cgroups.memory_limit(path) == 8192
    for name in ("cpu.max", "memory.max", "pids.max"):  # the kernel forgets what was there
        (tree / path[1:] / name).write_text("0")
    cgroups.update(path, Resources())
    assert values(tree, path) == {
        "cpu.max": "max 100000",
        "cpu.weight": "1",
        "memory.max": "max",
        "memory.high": "max",
        "pids.max": "max",
    }
    assert cgroups.memory_limit(path) is None


def values(tree: Path, path: str) -> dict[str, str]:
    directory = tree / path[1:]
    return {
        name: (directory / name).read_text()
        for name in ("cpu.max", "cpu.weight", "memory.max", "memory.high", "pids.max")
    }


def test_a_limit_below_usage_changes_nothing(tree: Path) -> None:
    path = container(tree, memory_current="8192", cpu_max="before")
    with pytest.raises(cgroups.LimitBelowUsage, match="8192 are in use"):
        cgroups.update(path, Resources(cpu_limit=500, memory_limit=4096))
    found = values(tree, path)
    assert (found["cpu.max"], found["memory.max"], found["memory.high"]) == ("before", "max", "max")


def test_what_can_be_reclaimed_does_not_stand_in_the_way_of_a_limit(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is asked for as ``memory.high`` first, which v2 answers by reclaiming, never by killing."""
    path = container(tree, memory_current="8192")
    asked: list[tuple[str, str]] = []

    def kernel(file: Path, value: str) -> None:
        asked.append((file.name, value))
        file.write_text(value)
        if asked[-1] == ("memory.high", "4096"):
            (file.parent / "memory.current").write_text("4096")

    monkeypatch.setattr(cgroup_values, "_set", kernel)
    cgroups.update(path, Resources(memory_limit=4096))
    assert asked[:3] == [("memory.high", "4096"), ("memory.max", "4096"), ("memory.high", "max")]


def test_a_pod_gets_what_this_host_hands_down(tree: Path) -> None:
    path = "/reconciler-abcd/pod-1"
    (tree / path[1:]).mkdir(parents=True)
    (tree / path[1:] / "cpu.weight").write_text("100")
    cgroups.update_pod(path, Resources(cpu_request=1000, cpu_limit=2000, memory_limit=1 << 30))
    assert [(f.name, f.read_text()) for f in (tree / path[1:]).iterdir()] == [("cpu.weight", "39")]


@pytest.fixture
def v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that looks like v1 enough."""
    trees = [Hierarchy(tmp_path / name, v2=False, controllers=frozenset({name})) for name in ("cpu", "memory", "pids")]
    monkeypatch.setattr(hierarchies, "current", lambda: Hierarchies(CgroupMode.V1, tuple(trees)))
    monkeypatch.setattr(cgroup_values, "_write", lambda file, value: file.write_text(value))
    return tmp_path


def test_v1_has_each_controller_in_a_tree_of_its_own(v1: Path) -> None:
    path = "/reconciler-abcd/burstable/pod-1"
    files = {
        "cpu/cpu.shares": "512",
        "cpu/cpu.cfs_quota_us": "100000",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "8192",
        "pids/pids.max": "9",
    }
    for name in (*files, "memory/memory.usage_in_bytes"):
        file = v1 / name.replace("/", f"{path}/", 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("0")
    cgroups.update_pod(path, Resources(cpu_request=500, cpu_limit=1000, memory_limit=8192, pids_limit=9))
    assert {name: (v1 / name.replace("/", f"{path}/", 1)).read_text() for name in files} == files
    before = {file: file.stat().st_mtime_ns for file in (v1 / f"cpu{path}").iterdir()}
    cgroups.update_pod(path, Resources(cpu_request=1000, cpu_limit=1000, memory_limit=8192, pids_limit=9))
    written = {file.name for file, then in before.items() if file.stat().st_mtime_ns != then}
    assert written == {"cpu.shares"}, "v1 goes through all cgroups for a quota, even if it is the one that is set"
    cgroups.set_level("/reconciler-abcd/burstable", 512)
    assert not (v1 / "cpu/reconciler-abcd/burstable/cpu.shares").exists(), "a level that went meanwhile is let go"


def test_pods_are_found_below_every_level(tree: Path) -> None:
    for path in ("pod-a/c1", "besteffort/pod-b/c2", "burstable/pod-c", "burstable/pod-a", "monitors/x"):
        (tree / "reconciler-abcd" / path).mkdir(parents=True)
    assert cgroups.pods("abcd") == {
        "a": ("/reconciler-abcd/burstable/pod-a", "/reconciler-abcd/pod-a"),
        "b": ("/reconciler-abcd/besteffort/pod-b",),
        "c": ("/reconciler-abcd/burstable/pod-c",),
    }
    assert cgroups.find("abcd", PodId("a")) == ("/reconciler-abcd/pod-a", "/reconciler-abcd/burstable/pod-a")
    assert [cgroups.container_of(p) for p in cgroups.containers("/reconciler-abcd/besteffort/pod-b")] == ["c2"]
    assert {p.name for p in cgroups.leaked("abcd", [PodId("a"), PodId("b")])} == {"pod-c"}


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
    (tree / "reconciler-abcd" / "burstable" / "pod-c").mkdir(parents=True)
    cgroups.remove_pod("/reconciler-abcd/pod-b")
    assert [p.name for p in (tree / "reconciler-abcd").iterdir()] == ["burstable"]
    cgroups.remove_pod("/reconciler-abcd/burstable/pod-c")
    assert not list(tree.iterdir()), "with the last pod goes the instance's directory"


POD = PodId("e" * 64)


def test_names_under_systemd_say_where_a_slice_lies() -> None:
    for qos, word in ((Qos.BEST_EFFORT, "-besteffort"), (Qos.BURSTABLE, "-burstable"), (Qos.GUARANTEED, "")):
        path = names.pod_path("abcd", POD, qos, Driver.SYSTEMD)
        assert names.unit(path) == f"reconciler-abcd{word}-pod{POD}.slice"
        expected = [""]
        for part in names.unit(path).removesuffix(".slice").split("-"):  # as systemd reads a slice's name
            expected.append(f"{expected[-1]}-{part}".removeprefix("-"))
        assert path == "".join(f"/{name}.slice" for name in expected[1:])
        assert names.parents(path) == tuple("/" + "/".join(path.split("/")[1:n]) for n in range(2, path.count("/") + 1))
        assert (names.pod_of(path), names.tag_of(path), names.driver_of(path)) == (POD, "abcd", Driver.SYSTEMD)
        scope = names.container_path(path, ContainerId("f" * 64))
        assert names.container_of(scope) == "f" * 64
        assert names.pod_of(scope) is None


def test_names_of_either_driver_lead_back_to_the_pod() -> None:
    places = names.pod_places("abcd", POD)
    assert len(set(places)) == 6
    assert {names.pod_of(path) for path in places} == {POD}
    assert {names.tag_of(path) for path in places} == {"abcd"}
    assert names.pod_of(names.level("abcd", Qos.BURSTABLE, Driver.SYSTEMD)) is None
    assert names.pod_of(names.monitors("abcd", Driver.SYSTEMD)) is None


@pytest.mark.parametrize(
    ("wish", "mode", "obstacle", "driver", "why"),
    [
        pytest.param("auto", CgroupMode.V2, "", Driver.SYSTEMD, "systemd runs here, and cgroups are v2", id="auto, v2"),
        pytest.param("auto", CgroupMode.V2, "no systemd", Driver.CGROUPFS, "no systemd", id="auto, nobody to ask"),
        pytest.param("auto", CgroupMode.HYBRID, "", Driver.CGROUPFS, "hybrid", id="auto, hybrid"),
        pytest.param("cgroupfs", CgroupMode.V2, "", Driver.CGROUPFS, "the configuration says so", id="wished: ours"),
        pytest.param("systemd", CgroupMode.V2, "", Driver.SYSTEMD, "the configuration says so", id="wished: systemd"),
    ],
)
def test_who_makes_cgroups(
    wish: Wish, mode: CgroupMode, obstacle: str, driver: Driver, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hierarchies, "current", lambda: Hierarchies(mode, ()))
    monkeypatch.setattr(systemd, "why_not", lambda: obstacle)
    chosen, said = choose(wish)
    assert chosen is driver
    assert why in said


def test_systemd_that_is_wished_for_and_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchies, "current", lambda: Hierarchies(CgroupMode.V1, ()))
    with pytest.raises(HostUnfit, match="cannot make cgroups through systemd: cgroups are v1"):
        choose("systemd")


def test_what_is_above_pods_goes_where_nothing_is_in_it(tree: Path) -> None:
    pod = tree / "reconciler-abcd" / "burstable" / "pod-a"
    pod.mkdir(parents=True)
    (tree / "reconciler-abcd" / "besteffort").mkdir()
    cgroups.tidy("abcd")
    assert [p.name for p in (tree / "reconciler-abcd").iterdir()] == ["burstable"]
    cgroups.remove_pod("/reconciler-abcd/burstable/pod-a", above=False)
    assert pod.parent.is_dir()
    cgroups.tidy("abcd")
    assert not list(tree.iterdir())


class FakeSystemd:
    """Starts, sets and stops units on a tree of directories."""

    def __init__(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tree, self.said = tree, []
        for name in ("start", "set_properties", "stop", "enter"):
            monkeypatch.setattr(systemd, name, getattr(self, name))

    tree: Path
    said: list[tuple[str, str]]

    def start(self, path: str, properties: systemd.Properties) -> None:
        (self.tree / path[1:]).mkdir()
        self.set_properties(path, properties)
        self.said[-1] = ("start", names.unit(path))

    def set_properties(self, path: str, properties: systemd.Properties) -> None:
        self.said.append(("set", names.unit(path)))
        for name, (_, value) in properties:
            file = {"CPUWeight": "cpu.weight", "MemoryMax": "memory.max", "TasksMax": "pids.max"}.get(name)
            if file:
                (self.tree / path[1:] / file).write_text("max" if value == 2**64 - 1 else str(value))

    def stop(self, path: str) -> None:
        self.said.append(("stop", names.unit(path)))
        shutil.rmtree(self.tree / path[1:])

    def enter(self, path: str, pid: int) -> None:
        (self.tree / path[1:]).mkdir(exist_ok=True)
        self.said.append(("enter", f"{names.unit(path)} {pid}"))


def test_under_systemd_every_slice_is_started_from_the_top_and_stopped_when_empty(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSystemd(tree, monkeypatch)
    path = names.pod_path("abcd", POD, Qos.BURSTABLE, Driver.SYSTEMD)
    units = [names.unit(p) for p in (*names.parents(path), path)]
    cgroups.enter_monitors("abcd", 7, Driver.SYSTEMD)
    assert fake.said == [("start", units[0]), ("start", units[1]), ("enter", "reconciler-abcd-monitors.scope 7")]
    fake.said.clear()
    cgroups.make_pod(path, Resources(cpu_request=1000, memory_limit=8192, pids_limit=9), 2048)
    assert fake.said == [("set", units[1]), ("start", units[2]), ("start", units[3])]
    found = {file: (tree / path[1:] / file).read_text() for file in ("cpu.weight", "memory.max", "pids.max")}
    assert found == {"cpu.weight": "39", "memory.max": "8192", "pids.max": "9"}
    assert cgroups.pods("abcd") == {POD: (path,)}
    assert cgroups.find("abcd", POD) == (path,)
    fake.said.clear()
    cgroups.remove_pod(path)
    assert fake.said == [("stop", units[3]), ("stop", units[2])], "the monitors are still there"
    (tree / names.monitors("abcd", Driver.SYSTEMD)[1:]).rmdir()
    cgroups.remove_instance("abcd")
    assert fake.said[-2:] == [("stop", units[1]), ("stop", units[0])]


def test_a_scopes_container_is_limited_inside_and_weighed_outside(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """crun has a cgroup of the container's own in the scope, which systemd leaves alone."""
    fake = FakeSystemd(tree, monkeypatch)
    scope = names.container_path(names.pod_path("abcd", POD, Qos.BURSTABLE, Driver.SYSTEMD), ContainerId("f" * 64))
    inner = tree / scope[1:] / "container"
    inner.mkdir(parents=True)
    for directory in (inner, inner.parent):
        for name in ("cpu.weight", "cpu.max", "memory.max", "memory.high", "memory.current", "pids.max"):
            (directory / name).write_text({"memory.current": "0", "cpu.weight": "100"}.get(name, "max"))
    cgroups.update(scope, Resources(cpu_request=1000, memory_limit=8192))
    assert (inner / "memory.max").read_text() == "8192"
    assert (inner.parent / "memory.max").read_text() == "max", "the scope has no limit, and gets none"
    assert [(inner.parent / "cpu.weight").read_text(), (inner / "cpu.weight").read_text()] == ["39", "39"]
    assert fake.said == [("set", f"reconciler-{'f' * 64}.scope")]


@pytest.mark.parametrize(
    ("parent", "path", "driver"),
    [
        pytest.param("/mine", "/mine/reconciler_abcd_podff", Driver.CGROUPFS, id="a path"),
        pytest.param("mine/deep/", "/mine/deep/reconciler_abcd_podff", Driver.CGROUPFS, id="one without a slash"),
        pytest.param("/", "/reconciler_abcd_podff", Driver.CGROUPFS, id="the root"),
        pytest.param(
            "mine.slice", "/mine.slice/mine-reconciler_abcd_podff.slice", Driver.SYSTEMD, id="a slice of systemd's"
        ),
        pytest.param(
            "a-b.slice", "/a.slice/a-b.slice/a-b-reconciler_abcd_podff.slice", Driver.SYSTEMD, id="one in another"
        ),
        pytest.param("-.slice", "/reconciler_abcd_podff.slice", Driver.SYSTEMD, id="the slice of all slices"),
    ],
)
def test_a_pod_below_what_is_not_ours(parent: str, path: str, driver: Driver) -> None:
    """All that is ours of it begins with the pod's own: nothing above is ever changed or removed."""
    pod = names.pod_below("abcd", PodId("ff"), parent)
    assert pod == path
    inside = names.container_path(pod, ContainerId("ee"))
    assert (names.driver_of(inside), names.tag_of(inside), names.pod_of(pod)) == (driver, "abcd", "ff")
    assert names.check(inside) == inside
    assert names.parents(pod) == ()
    assert names.parents(inside) == (pod,)


@pytest.mark.parametrize("path", ["/mine", "/mine.slice", "/reconciler_abcd", "/x/reconciler_ABCD_podff"])
def test_what_does_not_carry_our_name_is_not_ours(path: str) -> None:
    assert not names.is_ours(path)


def test_pods_elsewhere_are_found_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Hierarchies(CgroupMode.V1, (Hierarchy(tmp_path, v2=False, controllers=frozenset({"cpu"})),))
    monkeypatch.setattr(hierarchies, "current", lambda: found)
    (tmp_path / "mine/deep/reconciler_abcd_podff/ee").mkdir(parents=True)
    (tmp_path / "mine/reconciler_wxyz_podff").mkdir()
    assert cgroups.elsewhere("abcd") == ("/mine/deep/reconciler_abcd_podff",)
    assert cgroups.find("abcd", PodId("ff")) == ("/mine/deep/reconciler_abcd_podff",)
    assert cgroups.pods("abcd") == {"ff": ("/mine/deep/reconciler_abcd_podff",)}
    assert cgroups.leaked("abcd", ()) == (tmp_path / "mine/deep/reconciler_abcd_podff",)
    cgroups.remove_pod("/mine/deep/reconciler_abcd_podff")
    assert (tmp_path / "mine/deep").is_dir()
    assert cgroups.elsewhere("abcd") == ()


@pytest.mark.parametrize(
    ("lines", "said", "expected"),
    [
        pytest.param([V2], "0::/a.service\n", "sys/fs/cgroup/a.service", id="v2"),
        pytest.param([V2], "0::/\n", "sys/fs/cgroup", id="the root"),
        pytest.param(
            [CPU, NAMED],
            "9:name=systemd:/user.slice\n3:cpu,cpuacct:/b\n0::/c\n",
            "sys/fs/cgroup/cpu,cpuacct/b",
            id="v1",
        ),
        pytest.param([V2], "0::/elsewhere\n", None, id="not below what is mounted"),
    ],
)
def test_where_this_process_is(
    lines: list[str], said: str, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = parse("\n".join(lines).replace("/sys/fs/cgroup", f"{tmp_path}/sys/fs/cgroup"))
    monkeypatch.setattr(hierarchies, "current", lambda: there)
    if expected:
        (tmp_path / expected).mkdir(parents=True)
        (tmp_path / expected / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    moves._own.cache_clear()
    assert moves._own(said) == (tmp_path / expected / "cgroup.procs" if expected else None)


def test_moves_go_on_for_a_while_after_they_were_last_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def stay() -> None:
        made.append(len(made))
        if len(made) == 5:
            moves._near.set()

    monkeypatch.setattr(moves, "_stay", stay)
    monkeypatch.setattr(moves, "_PAUSE", 0.0)
    moves._near.set()
    moves._keep_moving()
    assert len(made) == 5 + 1 + moves._MOVES
    assert not moves._near.is_set()


def test_a_cgroup_of_the_same_name_in_which_this_process_is_not_is_left_alone(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it looks in a container that sees its host's tree."""
    (tree / "cgroup.procs").write_text(f"{os.getpid() + 1}\n")
    monkeypatch.setattr(moves, "read_small", lambda _file: b"0::/\n")
    moves._own.cache_clear()
    moves._stay()
    assert (tree / "cgroup.procs").read_text() == f"{os.getpid() + 1}\n"
