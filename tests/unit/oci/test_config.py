"""The parts of config.json that decide what is shared, hidden and limited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User
from reconciler.engine.oci import linux, mounts
from reconciler.engine.oci.config import BPF_ANNOTATION, infra_config, member_config
from reconciler.engine.oci.host import CgroupMode
from reconciler.engine.oci.prepare import encode, prepare_script
from reconciler.model.spec import ContainerSpec, Mount, Resources, SandboxSpec, Security, Volume, VolumeKind
from tests.unit.oci.samples import FACTS, bundle

IMAGE = Image("0", (), (Path("/l"),), cmd=("run",))
HOST = Volume("h", VolumeKind.HOST_PATH, "/srv")
EMPTY = Volume("e", VolumeKind.EMPTY_DIR)


def member(spec: ContainerSpec, sandbox: SandboxSpec = SandboxSpec(), **facts: Any) -> dict[str, Any]:  # noqa: B008
    return member_config(bundle(sandbox=sandbox), spec, IMAGE, User(), replace(FACTS, **facts))


def namespaces(config: dict[str, Any]) -> dict[str, str]:
    return {n["type"]: n.get("path", "") for n in config["linux"]["namespaces"]}


def mount_at(config: dict[str, Any], path: str) -> dict[str, Any] | None:
    return next((m for m in config["mounts"] if m["destination"] == path), None)


JOINED = {"network": "/proc/42/ns/net", "ipc": "/proc/42/ns/ipc", "uts": "/proc/42/ns/uts"}


@pytest.mark.parametrize(
    ("sandbox", "infra", "others"),
    [
        pytest.param(
            SandboxSpec(), {"mount", "network", "uts", "ipc", "pid", "cgroup"}, {**JOINED, "pid": ""}, id="by default"
        ),
        pytest.param(
            SandboxSpec(share_pid=True),
            {"mount", "network", "uts", "ipc", "pid", "cgroup"},
            {**JOINED, "pid": "/proc/42/ns/pid"},
            id="with shared processes",
        ),
        pytest.param(
            SandboxSpec(host_pid=True),
            {"mount", "network", "uts", "ipc", "cgroup"},
            JOINED,
            id="with the host's processes",
        ),
        pytest.param(
            SandboxSpec(host_network=True),
            {"mount", "ipc", "pid", "cgroup"},
            {"ipc": JOINED["ipc"], "pid": ""},
            id="with the host's network, and so its name",
        ),
        pytest.param(
            SandboxSpec(host_ipc=True),
            {"mount", "network", "uts", "pid", "cgroup"},
            {"network": JOINED["network"], "uts": JOINED["uts"], "pid": ""},
            id="with the host's ipc",
        ),
    ],
)
def test_namespaces(sandbox: SandboxSpec, infra: set[str], others: dict[str, str]) -> None:
    assert set(namespaces(infra_config(bundle(None, sandbox), FACTS))) == infra
    assert namespaces(member(ContainerSpec("n", "i"), sandbox)) == {"mount": "", "cgroup": "", **others}


def test_a_cgroup_namespace_only_on_v2() -> None:
    assert "cgroup" not in namespaces(member(ContainerSpec("n", "i"), cgroups=CgroupMode.HYBRID))
    assert "cgroup" not in namespaces(infra_config(bundle(None), replace(FACTS, cgroups=CgroupMode.V1)))


def test_the_host_name_is_the_sandboxs_or_the_pods() -> None:
    assert infra_config(bundle(None), FACTS)["hostname"] == "web"
    assert infra_config(bundle(None, SandboxSpec(hostname="h")), FACTS)["hostname"] == "h"
    assert "hostname" not in infra_config(bundle(None, SandboxSpec(host_network=True)), FACTS)
    assert len(bundle(None, SandboxSpec(hostname="a" * 62 + "-b")).hostname) == 62


def test_privileged_lifts_what_confines_others(tmp_path: Path) -> None:
    plain = member(ContainerSpec("n", "i"))
    free = member(ContainerSpec("n", "i", security=Security(privileged=True)))
    assert plain["linux"]["maskedPaths"] and "maskedPaths" not in free["linux"]
    assert plain["linux"]["readonlyPaths"] and "readonlyPaths" not in free["linux"]
    assert plain["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert free["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    for path in ("/sys", "/sys/fs/cgroup"):
        a, b = mount_at(plain, path), mount_at(free, path)
        assert a and b
        assert "ro" in a["options"] and "rw" in b["options"]
    assert "seccomp" not in free["linux"] and BPF_ANNOTATION not in free["annotations"]


def test_a_volume_replaces_what_stands_at_its_place_and_parents_come_first() -> None:
    spec = ContainerSpec(
        "n",
        "i",
        mounts=(
            Mount("/data/deep/", EMPTY),
            Mount("/data", HOST, read_only=True),
            Mount("/etc/hosts", HOST),
            Mount("/dev/shm", EMPTY),
        ),
    )
    config = member(spec)
    paths = [m["destination"] for m in config["mounts"]]
    assert len(paths) == len(set(paths))
    assert paths.index("/data") < paths.index("/data/deep")
    assert mount_at(config, "/data") == {
        "destination": "/data",
        "type": "bind",
        "source": "/srv",
        "options": ["rbind", "rprivate", "ro"],
    }
    shm, hostname = mount_at(config, "/dev/shm"), mount_at(config, "/etc/hostname")
    assert shm and shm["source"] == "/state/pods/d/volumes/e"
    assert hostname and hostname["source"] == "/state/pods/d/hostname"


def test_infra_hides_the_sysfs_that_it_must_mount_writable() -> None:
    config = infra_config(bundle(None), FACTS)
    sysfs = mount_at(config, "/sys")
    assert sysfs and "rw" in sysfs["options"]
    assert "/sys" in config["linux"]["maskedPaths"]
    assert config["root"] == {"path": "/cache/infra", "readonly": True}


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        (Resources(), {"cpu": {"shares": 2}}),
        (Resources(cpu_request=500), {"cpu": {"shares": 512}}),
        (Resources(cpu_limit=1500), {"cpu": {"shares": 1536, "quota": 150000, "period": 100000}}),
        (Resources(cpu_limit=1), {"cpu": {"shares": 2, "quota": 1000, "period": 100000}}),
        (Resources(cpu_request=1_000_000), {"cpu": {"shares": 262144}}),
        (Resources(memory_limit=5), {"cpu": {"shares": 2}, "memory": {"limit": 5}}),
        (Resources(memory_request=5), {"cpu": {"shares": 2}}),
    ],
)
def test_limits_by_the_kubelets_formulae(resources: Resources, wanted: dict[str, Any]) -> None:
    assert linux.limits(resources, CgroupMode.HYBRID) == wanted


def test_weight_spans_v2s_range() -> None:
    assert linux.to_weight(linux.shares(Resources())) == 1
    assert linux.to_weight(linux.shares(Resources(cpu_request=1000))) == 39
    assert linux.to_weight(linux.shares(Resources(cpu_request=10**7))) == 10000


def test_devices_of_the_host_are_its_nodes_but_not_what_containers_have_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "pts").mkdir()
    assert linux.host_devices(tmp_path) == []
    paths = {d["path"] for d in linux.host_devices(Path("/dev"))}
    assert "/dev/null" in paths
    assert not any(p.startswith(("/dev/pts", "/dev/shm")) for p in paths)


def test_the_prepare_script_of_a_member() -> None:
    facts = replace(FACTS, cgroups=CgroupMode.HYBRID)
    script = prepare_script(bundle(), (Path("/images"), ("top", "base")), facts)
    own = [f"/state/containers/c/{name}" for name in ("rootfs", "upper", "work")]
    assert [line.split("\t") for line in script.splitlines()] == [
        ["unshare"],
        ["slave", "/"],
        ["detach", "/sys/fs/cgroup/unified"],
        ["mkdir", "/state/containers/c/shm", "0700"],
        ["graft", "/proc/42/ns/mnt", "/dev/shm", "/state/containers/c/shm"],
        ["chdir", "/images"],
        ["overlay", *own, "top", "base"],
    ]


@pytest.mark.parametrize(
    ("runtime", "mode"), [("runc", CgroupMode.HYBRID), ("crun", CgroupMode.V2), ("crun", CgroupMode.V1)]
)
def test_unified_is_detached_for_crun_on_hybrid_hosts_alone(runtime: str, mode: CgroupMode) -> None:
    assert "detach" not in prepare_script(bundle(), None, replace(FACTS, runtime=runtime, cgroups=mode))


def test_the_infra_container_needs_neither_overlay_nor_graft() -> None:
    assert prepare_script(bundle(None), None, FACTS) == "unshare\nslave\t/\n"


def test_the_hosts_shared_memory_is_bound_not_grafted() -> None:
    there = bundle(sandbox=SandboxSpec(host_ipc=True))
    assert "graft" not in prepare_script(there, None, FACTS)
    shm = mount_at(member(ContainerSpec("n", "i"), SandboxSpec(host_ipc=True)), "/dev/shm")
    assert shm and shm["source"] == "/dev/shm"


def test_paths_with_odd_characters_survive_lines() -> None:
    odd = replace(bundle(), directory=Path("/a,b\tc%"))
    line = prepare_script(odd, (Path("/i"), ("x:y",)), FACTS).splitlines()[-1]
    assert line.split("\t") == ["overlay", *(f"/a,b%09c%25/{name}" for name in ("rootfs", "upper", "work")), "x:y"]
    assert encode("a\nb%") == "a%0Ab%25"


def test_masks_are_sorted_lists_without_doubles() -> None:
    for paths in (mounts.MASKED, mounts.READ_ONLY):
        assert list(paths) == sorted(set(paths))


def test_under_systemd_the_runtime_is_told_the_slice_and_how_the_scope_is() -> None:
    ours = replace(bundle(), cgroup_parent="/reconciler.slice/reconciler-abcd.slice/reconciler-abcd-podd.slice")

    def made(**fields: Any) -> dict[str, Any]:
        return member_config(ours, ContainerSpec("c", "i", **fields), IMAGE, User(), FACTS)

    assert made()["linux"]["cgroupsPath"] == f"reconciler-abcd-podd.slice:reconciler:{ours.container}"
    assert made()["annotations"]["org.systemd.property.DefaultDependencies"] == "false"
    assert made()["annotations"]["org.systemd.property.TasksMax"] == "uint64 18446744073709551615"
    bounded = made(resources=Resources(pids_limit=7))
    assert "org.systemd.property.TasksMax" not in bounded["annotations"], "runc sets it"
    assert bounded["linux"]["resources"]["pids"] == {"limit": 7}
    assert not [name for name in member(ContainerSpec("c", "i"))["annotations"] if name.startswith("org.systemd")]


def test_a_pod_with_users_of_its_own() -> None:
    """Its namespace is made by the infra container and joined by members, its files are seen with other owners."""
    mapping = [{"containerID": 0, "hostID": 1 << 20, "size": 65536}]
    infra = infra_config(replace(bundle(None), ids=1 << 20), FACTS)
    assert namespaces(infra)["user"] == ""
    assert infra["linux"]["uidMappings"] == infra["linux"]["gidMappings"] == mapping
    spec = ContainerSpec("n", "i", mounts=(Mount("/e", EMPTY), Mount("/h", HOST)))
    there = replace(bundle(), ids=1 << 20, closed=Path("/state"))
    config = member_config(there, spec, IMAGE, User(), FACTS)
    assert namespaces(config)["user"] == "/proc/42/ns/user"
    assert "uidMappings" not in config["linux"]
    assert member_config(there, spec, IMAGE, User(), replace(FACTS, runtime="runc"))["linux"]["uidMappings"] == mapping
    sources = {m["destination"]: m.get("source") for m in config["mounts"]}
    assert sources["/e"] == "/state/containers/c/mapped-pod/volumes/e"
    assert sources["/etc/hosts"] == "/state/containers/c/mapped-pod/hosts"
    assert sources["/h"] == "/state/containers/c/mapped-1"
    script = prepare_script(there, (Path("/images"), ("top",)), FACTS, spec)
    assert [line.split("\t") for line in script.splitlines()][2:] == [
        ["mkdir", "/state/containers/c/shm", "0711"],
        ["graft", "/proc/42/ns/mnt", "/dev/shm", "/state/containers/c/shm"],
        ["idmap", "/proc/42/ns/user", "/state/pods/d", "/state/containers/c/mapped-pod"],
        ["idmap", "/proc/42/ns/user", "/srv", "/state/containers/c/mapped-1"],
        ["idmap", "/proc/42/ns/user", "/images", "/state/containers/c/mapped-layers"],
        ["own", "/state/containers/c/upper", "1048576"],
        ["chdir", "/state/containers/c/mapped-layers"],
        ["overlay", "/state/containers/c/rootfs", "/state/containers/c/upper", "/state/containers/c/work", "top"],
        ["reveal", "/state", "/state/containers/c"],
    ]
    script = prepare_script(replace(there, infra=None), None, FACTS)
    assert script.splitlines()[-1].split("\t") == ["reveal", "/state", "/state/containers/c", "/cache/infra"]


def test_nothing_of_proc_is_hidden_where_a_manifest_says_so() -> None:
    config = member(ContainerSpec("n", "i", security=Security(unmasked_proc=True)))
    assert not {"maskedPaths", "readonlyPaths"} & config["linux"].keys()
    assert BPF_ANNOTATION in config["annotations"] or "seccomp" in config["linux"] or FACTS.seccomp_profile is None
