"""The parts of config.json that decide what is shared, hidden and limited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User
from reconciler.engine.oci import linux, mounts, process
from reconciler.engine.oci.config import BPF_ANNOTATION, infra_config, member_config
from reconciler.engine.oci.host import CgroupMode
from reconciler.engine.oci.prepare import encode, prepare_script
from reconciler.model.errors import ImageProblem
from reconciler.model.spec import ContainerSpec, Device, Mount, Resources, SandboxSpec, Security, Volume, VolumeKind
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


def test_the_file_for_last_words_lies_over_a_volume_at_its_place_and_is_not_there_in_a_pod_that_is_kept() -> None:
    spec = ContainerSpec("n", "i", mounts=(Mount("/run/words", HOST),), message_path="/run/words/")
    config = member(spec)
    assert [m["source"] for m in config["mounts"] if m["destination"] == "/run/words"] == [
        "/srv",
        "/state/containers/c/termination-log",
    ]
    kept = member_config(replace(bundle(), keep=True), spec, IMAGE, User(), FACTS)
    assert [m["source"] for m in kept["mounts"] if m["destination"] == "/run/words"] == ["/srv"]


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
        ["mount", "tmpfs", "/sys/fs/cgroup/unified", "tmpfs", "0", "mode=755"],
        ["mkdir", "/state/containers/c/shm", "0700"],
        ["graft", "/proc/42/ns/mnt", "/dev/shm", "/state/containers/c/shm"],
        ["chdir", "/images"],
        ["overlay", *own, "top", "base"],
    ]


@pytest.mark.parametrize(
    ("runtime", "mode"), [("runc", CgroupMode.HYBRID), ("crun", CgroupMode.V2), ("crun", CgroupMode.V1)]
)
def test_unified_is_covered_for_crun_on_hybrid_hosts_alone(runtime: str, mode: CgroupMode) -> None:
    assert "cgroup" not in prepare_script(bundle(), None, replace(FACTS, runtime=runtime, cgroups=mode))


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
    for version, given in (("1.1.5+ds1", mapping), ("", mapping), ("1.1.15+ds1", None), ("1.2.0-rc.3", None)):
        runc = replace(FACTS, runtime="runc", version=version)
        assert member_config(there, spec, IMAGE, User(), runc)["linux"].get("uidMappings") == given
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


def named_mount(*options: str, read_only: bool = False) -> Mount:
    return Mount("/data", Volume("db", VolumeKind.NAMED), read_only, options)


def host_mount(*options: str) -> Mount:
    return Mount("/data", HOST, options=options)


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        pytest.param(named_mount(), ["rbind", "rprivate", "rw"], id="a named volume"),
        pytest.param(
            named_mount("nocopy", "noexec", read_only=True), ["rbind", "rprivate", "noexec", "ro"], id="with its flags"
        ),
        pytest.param(host_mount("bind", "rslave"), ["bind", "rslave", "rw"], id="a path without what is below it"),
        pytest.param(
            Mount(
                "/data", Volume("t", VolumeKind.TMPFS, options=("mode=700", "size=50%")), True, ("nodev", "tmpcopyup")
            ),
            ["nodev", "tmpcopyup", "ro", "mode=700", "size=50%"],
            id="memory",
        ),
    ],
)
def test_how_it_is_mounted(mount: Mount, expected: list[str]) -> None:
    found = mount_at(member(ContainerSpec("n", "i", mounts=(mount,))), "/data")
    assert found is not None
    assert found["options"] == expected
    assert found["type"] == ("tmpfs" if mount.volume.kind is VolumeKind.TMPFS else "bind")


def test_where_a_named_volume_lies() -> None:
    spec = ContainerSpec("n", "i", mounts=(named_mount(),))
    with_volumes = replace(bundle(), volumes=Path("/state/volumes"))
    found = mount_at(member_config(with_volumes, spec, IMAGE, User(), FACTS), "/data")
    assert found is not None
    assert found["source"] == "/state/volumes/db/_data"
    with_users = replace(with_volumes, ids=100000)
    found = mount_at(member_config(with_users, spec, IMAGE, User(), FACTS), "/data")
    assert found is not None
    assert found["source"] == "/state/containers/c/mapped-0"
    assert "/state/volumes/db/_data\t/state/containers/c/mapped-0\n" in prepare_script(with_users, None, FACTS, spec)


@pytest.mark.parametrize(
    ("options", "root", "source"),
    [
        pytest.param((), "rprivate", "/srv", id="private by default"),
        pytest.param(("slave",), "rslave", "/srv", id="slave"),
        pytest.param(("rshared",), "shared", "/state/containers/c/mapped-0", id="shared, as the host has it"),
    ],
)
def test_propagation(options: tuple[str, ...], root: str, source: str) -> None:
    spec = ContainerSpec("n", "i", mounts=(host_mount(*options),))
    config = member(spec)
    assert config["linux"]["rootfsPropagation"] == root
    found = mount_at(config, "/data")
    assert found is not None
    assert found["source"] == source
    assert ("peer" in prepare_script(bundle(), None, FACTS, spec)) == (source != "/srv")


@pytest.mark.parametrize(
    ("size", "bounds"),
    [
        pytest.param(None, ["size=65536k"], id="podman's default"),
        pytest.param(1 << 20, ["size=1048576"], id="as asked for"),
        pytest.param(0, [], id="without a limit"),
    ],
)
def test_the_size_of_shm(size: int | None, bounds: list[str]) -> None:
    shm = mount_at(infra_config(bundle(None, SandboxSpec(shm_size=size)), FACTS), "/dev/shm")
    assert shm is not None
    assert [option for option in shm["options"] if option.startswith("size=")] == bounds


def test_the_images_own_hosts() -> None:
    config = member(ContainerSpec("n", "i"), SandboxSpec(no_hosts=True))
    assert mount_at(config, "/etc/hosts") is None
    assert mount_at(config, "/etc/resolv.conf") is not None


def test_a_device_of_the_hosts() -> None:
    given = ContainerSpec("n", "i", devices=(Device("/dev/zilch", "/dev/null", "rw"),))
    config = member(given)
    (node,) = config["linux"]["devices"]
    assert (node["path"], node["type"], node["major"], node["minor"]) == ("/dev/zilch", "c", 1, 3)
    deny, allow = config["linux"]["resources"]["devices"]
    assert deny == {"allow": False, "access": "rwm"}
    assert allow == {"allow": True, "access": "rw", "type": "c", "major": 1, "minor": 3}


def test_a_directory_of_devices_and_links_to_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "file").touch()
    (tmp_path / "dir").mkdir()
    devices = (Device("/dev/linked", str(tmp_path / "link")), Device("/dev/dir", str(tmp_path / "dir")))
    assert [node["path"] for node, _ in linux.given_devices(devices)] == ["/dev/linked"]
    assert linux.given_devices((Device("/dev/file", str(tmp_path / "file")), Device("/dev/x", "/nowhere"))) == []


def test_a_privileged_container_has_the_hosts_devices_and_those_it_names() -> None:
    spec = ContainerSpec("n", "i", security=Security(privileged=True), devices=(Device("/dev/zilch", "/dev/null"),))
    config = member(spec)
    paths = [node["path"] for node in config["linux"]["devices"]]
    assert {"/dev/zilch", "/dev/null"} <= set(paths)
    assert len(paths) == len(set(paths))
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]


@pytest.mark.parametrize(
    ("keep", "resources", "shares"),
    [
        pytest.param(False, Resources(), 2, id="a manifest's has what is left"),
        pytest.param(True, Resources(), 1024, id="one made by hand a core's"),
        pytest.param(True, Resources(cpu_limit=100), 1024, id="also with a limit"),
        pytest.param(True, Resources(cpu_request=250), 256, id="or what it says"),
    ],
)
def test_cpu_shares(keep: bool, resources: Resources, shares: int) -> None:
    made = member_config(
        replace(bundle(), keep=keep), ContainerSpec("n", "i", resources=resources), IMAGE, User(), FACTS
    )
    assert made["linux"]["resources"]["cpu"]["shares"] == shares


PAUSE = Image("0", (), (Path("/l"),), entrypoint=("/pause",), env=("PATH=/bin", "A=b"))


@pytest.mark.parametrize(
    ("sandbox", "image", "args", "root"),
    [
        pytest.param(SandboxSpec(), None, ["/catatonit", "-P"], "/cache/infra", id="our own"),
        pytest.param(
            SandboxSpec(infra_command=("/pause",)), None, ["/catatonit", "-P"], "/cache/infra", id="as podman's"
        ),
        pytest.param(SandboxSpec(infra_image="p"), PAUSE, ["/pause"], "/state/containers/c/rootfs", id="an image's"),
        pytest.param(
            SandboxSpec(infra_image="p", infra_command=("sleep", "9")),
            PAUSE,
            ["sleep", "9"],
            "/state/containers/c/rootfs",
            id="with a command",
        ),
    ],
)
def test_what_the_infra_container_runs(sandbox: SandboxSpec, image: Image | None, args: list[str], root: str) -> None:
    config = infra_config(bundle(None, sandbox), FACTS, image, User(65535, 65535) if image else User())
    assert config["process"]["args"] == args
    assert config["root"] == {"path": root, "readonly": True}
    assert config["process"]["env"] == (["PATH=/bin", "A=b"] if image else [f"PATH={process.PATH}"])
    assert config["process"]["user"]["uid"] == (65535 if image else 0)


def test_an_infra_image_without_a_command() -> None:
    with pytest.raises(ImageProblem, match="cannot run image p as infra container: it names no command"):
        infra_config(bundle(None, SandboxSpec(infra_image="p")), FACTS, Image("0", (), ()))


@pytest.mark.parametrize(
    ("shared", "joined", "own"),
    [
        pytest.param(("ipc", "net", "uts"), {"network", "ipc", "uts"}, set(), id="by default"),
        pytest.param(("net",), {"network"}, {"ipc", "uts"}, id="the network alone"),
        pytest.param(("cgroup", "ipc"), {"cgroup", "ipc"}, {"network", "uts"}, id="cgroup and ipc"),
        pytest.param((), set(), {"network", "ipc", "uts"}, id="nothing"),
    ],
)
@pytest.mark.parametrize("mode", [CgroupMode.V2, CgroupMode.V1])
def test_what_is_not_shared_each_member_has_for_itself(
    shared: tuple[str, ...], joined: set[str], own: set[str], mode: CgroupMode
) -> None:
    sandbox = SandboxSpec(shared=shared, sysctls=(("kernel.msgmax", "1"), ("net.core.somaxconn", "2")))
    facts = replace(FACTS, cgroups=mode)
    config = member_config(bundle(sandbox=sandbox), ContainerSpec("n", "i"), IMAGE, User(), facts)
    found = namespaces(config)
    assert {kind for kind, path in found.items() if path} == joined
    always = {"mount", "pid", *({"cgroup"} if mode is CgroupMode.V2 and "cgroup" not in shared else set())}
    assert {kind for kind, path in found.items() if not path} == own | always
    held = set(namespaces(infra_config(bundle(None, sandbox), facts)))
    assert joined <= held
    assert config.get("hostname", "") == ("c" * 12 if "uts" in own else "")
    assert f"HOSTNAME={'c' * 12 if 'uts' in own else 'web'}" in config["process"]["env"]
    wanted = {"net.ipv4.ping_group_range": "0 0", "net.core.somaxconn": "2"} if "network" in own else {}
    wanted |= {"kernel.msgmax": "1"} if "ipc" in own else {}
    assert config["linux"].get("sysctl", {}) == wanted
    shm, hosts = mount_at(config, "/dev/shm"), mount_at(config, "/etc/hosts")
    assert shm is not None
    assert hosts is not None
    assert shm["type"] == ("tmpfs" if "ipc" in own else "bind")
    script = prepare_script(bundle(sandbox=sandbox), None, facts, ContainerSpec("n", "i"))
    assert ("graft" in script) == ("ipc" in joined)
    apart = bool(own & {"network", "uts"})
    assert hosts["source"] == (f"/state/pods/d/members/{'c' * 64}/hosts" if apart else "/state/pods/d/hosts")


@pytest.mark.parametrize(
    ("sandbox", "connected", "apart"),
    [
        (SandboxSpec(), True, False),
        (SandboxSpec(network="none"), False, False),
        (SandboxSpec(host_network=True), False, False),
        (SandboxSpec(shared=("ipc",)), True, True),
        (SandboxSpec(shared=("ipc",), network="none"), False, False),
        (SandboxSpec(shared=(), infra=False), False, True),
    ],
)
def test_who_of_a_pod_is_in_a_network_of_ours(sandbox: SandboxSpec, connected: bool, apart: bool) -> None:
    assert (sandbox.connected, sandbox.apart) == (connected, apart)
    assert sandbox.on_bridge == (connected or apart)
