"""What is used, by files as the kernel writes them: v1, v2, and the network's counters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine import cgroups, usage
from reconciler.engine.cgroups import Hierarchies, Hierarchy, hierarchies
from reconciler.engine.cgroups.readings import counters, total
from reconciler.engine.oci.host import CgroupMode
from reconciler.engine.usage import bytes_of
from reconciler.model.key import ContainerId, Key, PodId, SourceId
from reconciler.model.observed import Container, ContainerState, PidRef, Sandbox
from reconciler.model.spec import ContainerSpec, PodSpec, SandboxSpec
from reconciler.model.usage import Reading

GROUP = "/reconciler-abcd/pod-1/2"

NET = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     840      10    0    0    0     0          0         0      840      10    0    0    0     0       0          0
  eth0:1234567     812    0    0    0     0          0         0    76543     611    0    0    0     0       0          0
  eth1:     10       1    0    0    0     0          0         0        3       1    0    0    0     0       0          0
"""  # noqa: E501 (as the kernel writes it)

BLKIO = """8:0 Read 4096
8:0 Write 20971520
8:0 Sync 20975616
8:0 Async 0
8:0 Discard 0
8:0 Total 20975616
254:16 Read 100
254:16 Write 1
254:16 Total 101
Total 20975717
"""

IO_STAT = """8:0 rbytes=4096 wbytes=20971520 rios=1 wios=20 dbytes=0 dios=0
254:16 rbytes=100 wbytes=1 rios=1 wios=1 dbytes=77 dios=1
"""

MEMORY_STAT = "cache 20000000\nrss 5000000\ninactive_file 1\ntotal_cache 20000000\ntotal_inactive_file 18000000\n"


def put(directory: Path, files: dict[str, str]) -> None:
    place = directory / GROUP[1:]
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name).write_text(text)


@pytest.fixture
def v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake = Hierarchies(CgroupMode.V2, (Hierarchy(tmp_path, v2=True),))
    monkeypatch.setattr(hierarchies, "current", lambda: fake)
    return tmp_path


@pytest.fixture
def v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Controllers together and apart, as a hybrid host has them."""
    trees = [{"cpu", "cpuacct"}, {"memory"}, {"blkio"}, {"pids"}, {"name=systemd"}]
    each = [Hierarchy(tmp_path / "-".join(sorted(names)), False, frozenset(names)) for names in trees]
    fake = Hierarchies(CgroupMode.HYBRID, (*each, Hierarchy(tmp_path / "unified", v2=True)))
    monkeypatch.setattr(hierarchies, "current", lambda: fake)
    return tmp_path


def test_v2(v2: Path) -> None:
    put(
        v2,
        {
            "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
            "memory.current": "25000000\n",
            "memory.stat": "anon 5000000\nfile 20000000\ninactive_file 18000000\n",
            "memory.max": "max\n",
            "io.stat": IO_STAT,
            "pids.current": "4\n",
        },
    )
    assert cgroups.read(GROUP) == Reading(2.5, 7_000_000, None, 4196, 20971521, 4)


def test_v1(v1: Path) -> None:
    put(v1 / "cpu-cpuacct", {"cpuacct.usage": "2500000000\n"})
    memory = {"memory.usage_in_bytes": "25000000\n", "memory.stat": MEMORY_STAT, "memory.limit_in_bytes": "67108864\n"}
    put(v1 / "memory", memory)
    put(v1 / "blkio", {"blkio.throttle.io_service_bytes_recursive": BLKIO})
    put(v1 / "pids", {"pids.current": "4\n"})
    assert cgroups.read(GROUP) == Reading(2.5, 7_000_000, 67108864, 4196, 20971521, 4)


def test_what_nobody_counts_is_not_zero(v1: Path) -> None:
    put(v1 / "pids", {"pids.current": "4\n"})
    assert cgroups.read(GROUP) == Reading(pids=4)


def test_a_container_that_used_no_disk_yet_read_nothing(v2: Path) -> None:
    put(v2, {"io.stat": ""})
    assert cgroups.read(GROUP) == Reading(read=0, written=0)


@pytest.mark.parametrize("host", ["v1", "v2"])
def test_a_cgroup_that_is_gone_has_no_reading(host: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(host)
    assert cgroups.read(GROUP) == Reading()


def test_more_cache_than_memory_is_no_less_than_nothing(v2: Path) -> None:
    put(v2, {"memory.current": "100\n", "memory.stat": "inactive_file 200\n"})
    assert cgroups.read(GROUP).memory == 0


def test_disks_are_added_up() -> None:
    assert (total(BLKIO, "Read "), total(BLKIO, "Write ")) == (4196, 20971521)
    assert (total(IO_STAT, "rbytes="), total(IO_STAT, "wbytes=")) == (4196, 20971521)
    assert total("Total 0\n", "Read ") == 0


def test_counters_pass_over_what_is_none() -> None:
    assert counters("a 1\nb x\nc\nd 2 3\ne 4\n") == {"a": 1, "e": 4}


def test_traffic_is_of_all_links_but_loopback() -> None:
    assert bytes_of(NET) == (1234577, 76546)
    assert bytes_of("") == (0, 0)


@pytest.mark.parametrize(
    ("own", "pod", "limit"),
    [
        pytest.param("67108864", "max", 1 << 26, id="the container's"),
        pytest.param("max", "33554432", 1 << 25, id="the pod's, which bounds its containers together"),
        pytest.param("67108864", "33554432", 1 << 25, id="the lower of both"),
        pytest.param("max", "max", 1 << 40, id="the machine's"),
        pytest.param("9223372036854771712", "max", 1 << 40, id="the machine's where more is allowed than it has"),
    ],
)
def test_the_limit_is_the_lowest_around(
    own: str, pod: str, limit: int, v2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 28}
    put(v2, {"memory.max": own})
    (v2 / GROUP[1:]).parent.joinpath("memory.max").write_text(pod)
    monkeypatch.setattr(usage.os, "sysconf", sizes.__getitem__)
    assert usage._limit(GROUP) == limit


def test_the_limit_may_stand_in_what_crun_makes_inside_a_scope(v2: Path) -> None:
    scope = f"/reconciler.slice/reconciler-abcd.slice/reconciler-abcd-{'1' * 64}.slice/crun-{'2' * 64}.scope"
    inner = v2 / scope[1:] / "container"
    inner.mkdir(parents=True)
    for directory, text in ((inner, "1048576"), (inner.parent, "max"), (inner.parent.parent, "max")):
        (directory / "memory.max").write_text(text)
    assert usage._limit(scope) == 1 << 20


INFRA, MEMBER = PidRef(10, 1), PidRef(20, 2)


@pytest.mark.parametrize(
    ("sandbox", "whose", "process"),
    [
        pytest.param(SandboxSpec(), "member", INFRA, id="shared: the infra container's"),
        pytest.param(SandboxSpec(), "infra", INFRA, id="the infra container's own"),
        pytest.param(SandboxSpec(host_network=True), "member", None, id="the machine's"),
        pytest.param(SandboxSpec(host_network=True), "infra", None, id="the machine's, of the infra container"),
        pytest.param(SandboxSpec(shared=("ipc",)), "member", MEMBER, id="each its own"),
        pytest.param(SandboxSpec(shared=("ipc",)), "infra", INFRA, id="each its own, the infra container too"),
        pytest.param(SandboxSpec(), "orphan", MEMBER, id="the infra container has ended: its network is the member's"),
    ],
)
def test_traffic_is_that_of_the_containers_network(sandbox: SandboxSpec, whose: str, process: PidRef | None) -> None:
    key = Key("default", "web")
    infra = Container(ContainerId("i"), "infra", 0, ContainerSpec("", ""), ContainerState.RUNNING, INFRA)
    if whose == "orphan":
        infra = replace(infra, state=ContainerState.EXITED, pid=None)
    member = Container(ContainerId("m"), "app", 0, ContainerSpec("app", ""), ContainerState.RUNNING, MEMBER)
    pod = Sandbox(PodId("p"), "uid", PodSpec(key, sandbox), SourceId("hand"), infra)
    assert usage._in_its_network(pod, infra if whose == "infra" else member) == process
