"""What a container sees of its confinement, asked from inside it, with both runtimes."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import cgroups
from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User
from reconciler.engine.oci.capabilities import DEFAULT, names_of
from reconciler.engine.oci.mounts import MASKED
from reconciler.engine.oci.process import PATH
from reconciler.model.spec import ContainerSpec, Mount, SandboxSpec, Security, Volume, VolumeKind
from tests.host.oci_pod import HOST_USR, HostPod, pod

pytestmark = pytest.mark.host

SELF = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
KCMP = SELF + "r = libc.syscall(312, 1, 1, 1, 0, 0); print('kcmp', r, ctypes.get_errno())"


@pytest.fixture(params=["crun", "runc"], scope="module")
def runtime_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def one(runtime_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostPod]:
    """One pod with everything at its default, for all tests that only look."""
    with pod(tmp_path_factory.mktemp("pod"), runtime_name) as made:
        yield made


def status(text: str) -> dict[str, str]:
    return {k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}


def namespace(pid: int | str, kind: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def caps(fields: dict[str, str], which: str) -> frozenset[str]:
    return names_of(int(fields[which], 16))


def test_root_holds_podmans_default_capabilities_under_seccomp(one: HostPod) -> None:
    fields = status(one.shell("cat /proc/self/status"))
    assert caps(fields, "CapBnd") == caps(fields, "CapEff") == caps(fields, "CapPrm") == DEFAULT
    assert caps(fields, "CapInh") == caps(fields, "CapAmb") == frozenset()
    assert fields["Seccomp"] == "2"
    assert fields["NoNewPrivs"] == "0"
    assert fields["Uid"].split() == ["0"] * 4


def test_another_user_holds_nothing_but_what_was_added(one: HostPod) -> None:
    security = Security(cap_add=("NET_BIND_SERVICE",), allow_privilege_escalation=False)
    fields = status(one.shell("cat /proc/self/status", User(1000, 1000, (7, 8)), security))
    assert caps(fields, "CapEff") == caps(fields, "CapAmb") == {"CAP_NET_BIND_SERVICE"}
    assert caps(fields, "CapBnd") == DEFAULT
    assert fields["NoNewPrivs"] == "1"
    assert fields["Uid"].split()[0] == fields["Gid"].split()[0] == "1000"
    assert fields["Groups"].split() == ["7", "8", "1000"]


def test_dropping_all_leaves_only_what_is_named(one: HostPod) -> None:
    fields = status(one.shell("cat /proc/self/status", security=Security(cap_drop=("ALL",), cap_add=("CHOWN",))))
    assert caps(fields, "CapEff") == caps(fields, "CapBnd") == {"CAP_CHOWN"}


def test_privileged_lifts_everything_we_have_ourselves(one: HostPod) -> None:
    text = one.shell(
        "cat /proc/self/status; test -c /dev/kmsg && echo kmsg; test -w /proc/sys/kernel/panic && echo sysctl;"
        "grep ' /sys ' /proc/mounts; grep -c ' /proc/' /proc/mounts",
        security=Security(privileged=True),
    )
    fields = status(text)
    assert caps(fields, "CapEff") == one.choice.facts.capabilities
    assert fields["Seccomp"] == "0"
    assert ("kmsg" in text.split()) == Path("/dev/kmsg").exists()
    assert "sysctl" in text.split()
    assert "sysfs /sys sysfs rw" in text


def test_a_syscall_that_needs_a_missing_capability_is_refused_by_the_filter(one: HostPod) -> None:
    command = ("/usr/bin/python3", "-c", KCMP)
    denied = ContainerSpec("c", "i", command=command, mounts=(HOST_USR,))
    allowed = ContainerSpec("c", "i", command=command, mounts=(HOST_USR,), security=Security(cap_add=("SYS_PTRACE",)))
    assert one.run(denied) == "kcmp -1 1\n"
    assert one.run(allowed) == "kcmp 0 0\n"


def test_dangerous_paths_are_hidden_or_read_only(one: HostPod) -> None:
    here = [path for path in MASKED if Path(path).exists()]
    assert here, "this kernel has nothing to hide"
    cgroup = cgroups.current().made()[0].root
    text = one.shell(
        f"for p in {' '.join(here)}; do test -d $p && ls $p || cat $p; done;"
        "echo 1 2>/dev/null >/proc/sys/kernel/panic || echo sys-ro; touch /sys/x 2>/dev/null || echo sysfs-ro;"
        f"(echo 1 >{cgroup}/cgroup.procs) 2>/dev/null || echo cgroup-ro;"
        'for p in bus fs irq; do grep -q "^proc /proc/$p proc ro" /proc/mounts && echo $p-ro; done',
        security=Security(cap_add=("ALL",)),
    )
    assert text.split() == ["sys-ro", "sysfs-ro", "cgroup-ro", "bus-ro", "fs-ro", "irq-ro"]


def test_devices_are_the_few_that_every_container_has(one: HostPod) -> None:
    names = set(one.shell("ls /dev").split())
    assert names <= {
        *("console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"),
        *("stderr", "stdin", "stdout", "termination-log", "tty", "urandom", "zero"),
    }
    assert "null" in names


def test_a_device_node_of_the_host_cannot_be_opened(one: HostPod) -> None:
    text = one.shell(
        "/bin/busybox mknod /tmp/kmsg c 1 11 && (cat /tmp/kmsg >/dev/null) 2>&1", security=Security(cap_add=("MKNOD",))
    )
    assert "Operation not permitted" in text


def test_environment_directory_and_command_come_from_the_image_then_the_spec(one: HostPod) -> None:
    image = Image(
        "0" * 64,
        (),
        (),
        entrypoint=("/bin/sh", "-c"),
        cmd=("env; pwd",),
        env=("A=image", "B=image"),
        working_dir="/tmp",
    )
    lines = one.run(ContainerSpec("c", "i", env=(("B", "spec"),)), image=image).splitlines()
    assert {"A=image", "B=spec", f"PATH={PATH}", "HOSTNAME=podname", "HOME=/root"} <= set(lines)
    assert lines[-1] == "/tmp"


def test_home_is_that_of_the_user(one: HostPod) -> None:
    assert one.shell("echo $HOME", User(1000, 1000)) == "/home/web\n"


def test_the_host_name_is_the_pods(one: HostPod) -> None:
    assert one.shell("hostname; cat /etc/hostname") == "podname\npodname\n"


def test_rlimits_and_oom_score_are_what_this_host_allows(one: HostPod) -> None:
    facts = one.choice.facts
    limit, score = one.shell("ulimit -n; cat /proc/self/oom_score_adj").split()
    assert int(limit) == next(r.soft for r in facts.rlimits if r.name == "nofile")
    assert int(score) == 1000  # BestEffort


def test_files_of_the_pod_are_mounted_and_can_be_replaced(one: HostPod, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine\n")
    mine = Mount("/etc/hosts", Volume("v", VolumeKind.HOST_PATH, str(tmp_path / "mine")))
    assert one.shell("cat /etc/hosts") == "127.0.0.1 localhost\n"
    assert one.shell("cat /etc/hosts", mounts=(mine,)) == "mine\n"


def test_members_share_network_names_and_memory_but_not_processes(one: HostPod) -> None:
    kinds = ("net", "ipc", "uts", "pid", "mnt")
    assert one.infra is not None
    infra = [namespace(one.infra.pid.pid, kind) for kind in kinds]
    assert not set(infra) & {namespace("self", kind) for kind in kinds}
    script = "echo held >/dev/shm/file; for k in net ipc uts pid mnt; do readlink /proc/self/ns/$k; done"
    first = one.shell(script).split()
    second = one.shell(script.replace("echo held >", "cat ")).split()
    assert second[0] == "held"
    for seen in (first, second[1:]):
        assert {kind for kind, here, pods in zip(kinds, seen, infra, strict=True) if here == pods} == {
            "net",
            "ipc",
            "uts",
        }


def test_shared_memory_is_a_small_tmpfs_that_everyone_may_use(one: HostPod) -> None:
    line = one.shell("grep ' /dev/shm ' /proc/mounts; touch /dev/shm/mine && echo ok", User(1000, 1000))
    assert line.startswith("shm /dev/shm tmpfs rw,nosuid,nodev,noexec")
    assert "size=65536k" in line
    assert line.endswith("ok\n")


def test_volumes(one: HostPod, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "f").write_text("host\n")
    host = Mount("/data", Volume("h", VolumeKind.HOST_PATH, str(tmp_path)), read_only=True)
    empty = Mount("/data/scratch", Volume("e", VolumeKind.EMPTY_DIR))
    (tmp_path / "scratch").mkdir()
    text = one.shell(
        "cat /data/f; touch /data/x 2>&1 | grep -o 'Read-only'; stat -c %a /data/scratch; echo kept >/data/scratch/y",
        User(1000, 1000),
        mounts=(empty, host),
    )
    assert text.split() == ["host", "Read-only", "777"]
    assert (one.directory / "volumes" / "e" / "y").read_text() == "kept\n"


def test_a_read_only_root_cannot_be_written(one: HostPod) -> None:
    script = "touch /x 2>&1 | grep -o 'Read-only'; touch /dev/shm/y && echo shm"
    assert one.shell(script, security=Security(read_only_root=True)).split() == ["Read-only", "shm"]


def test_what_a_container_writes_lands_in_its_own_layer(one: HostPod) -> None:
    spec = ContainerSpec("c", "i", command=("/bin/sh", "-c", "echo mine >/root/x; cat /root/x"))
    container = one.create(spec)
    one.runtime.start(container.id)
    assert container.read() == "mine\n"
    assert (container.bundle.directory / "upper" / "root" / "x").read_text() == "mine\n"
    assert not list(container.bundle.rootfs.iterdir()), "the overlay is mounted on the host"


def test_the_infra_container_has_no_rights_and_a_rootfs_with_one_program(one: HostPod) -> None:
    assert one.infra is not None
    fields = status(Path(f"/proc/{one.infra.pid.pid}/status").read_text())
    assert fields["Name"] == "catatonit"
    assert all(caps(fields, f"Cap{kind}") == frozenset() for kind in ("Bnd", "Eff", "Prm", "Inh", "Amb"))
    assert fields["Seccomp"] == "2" and fields["NoNewPrivs"] == "1"
    assert not list(Path(f"/proc/{one.infra.pid.pid}/root/sys").iterdir()), "a writable sysfs can be reached"
    root = Path(f"/proc/{one.infra.pid.pid}/root")
    assert {p.name for p in root.iterdir()} == {"catatonit", "proc", "dev", "sys"}
    with pytest.raises(OSError, match="Read-only"):
        (root / "x").touch()


def test_shared_processes_are_seen_and_reaped_by_the_infra_container(runtime_name: str, tmp_path: Path) -> None:
    with pod(tmp_path, runtime_name, SandboxSpec(share_pid=True)) as made:
        assert made.shell("cat /proc/1/comm") == "catatonit\n"
        member = made.create(ContainerSpec("c", "i", command=("/bin/sh", "-c", "(sleep 0.1 & echo $! ); echo done")))
        made.runtime.start(member.id)
        orphan = member.read().split()[0]
        seen = made.shell(
            f"i=0; while test -e /proc/{orphan} && test $i -lt 600; do i=$((i+1)); sleep 0.05; done;"
            f"test -e /proc/{orphan} || echo reaped"
        )
        assert seen == "reaped\n"


def test_the_hosts_own_namespaces(runtime_name: str, tmp_path: Path) -> None:
    with pod(tmp_path, runtime_name, SandboxSpec(host_network=True, host_pid=True, host_ipc=True)) as made:
        text = made.shell("for k in net ipc uts pid; do readlink /proc/self/ns/$k; done; echo $HOSTNAME")
        here = [namespace("self", kind) for kind in ("net", "ipc", "uts", "pid")]
        assert text.split() == [*here, os.uname().nodename]


def test_a_command_that_is_not_there_is_named(one: HostPod) -> None:
    spec = ContainerSpec("c", "i", command=("/no/such",))
    with pytest.raises((AssertionError, Exception), match="/no/such"):
        one.runtime.start(one.create(spec).id)


def test_the_bundle_is_json_that_a_person_can_read(one: HostPod) -> None:
    assert one.infra is not None
    config = json.loads((one.infra.bundle.directory / "config.json").read_bytes())
    assert config["annotations"]["reconciler.pod"] == "default/podname"
    assert stat.S_ISDIR(Path(config["root"]["path"]).stat().st_mode)
