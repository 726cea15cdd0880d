"""What only podman's options ask of a pod: its network, its /dev/shm, its place among cgroups, its limits."""

from __future__ import annotations

import json
import os
import resource
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import cgroups
from reconciler.engine.cgroups import names
from reconciler.model.errors import ImageProblem, InvalidInput
from reconciler.model.observed import ImageStatus
from reconciler.model.spec import Device, Resources, SandboxSpec
from tests.host import groups
from tests.host.byhand import Hand, shell
from tests.host.instance import Instance, checked, until
from tests.host.lives import end, ip_of

pytestmark = pytest.mark.host

MIB = 1 << 20
SYSTEMD = bool(os.environ.get("RECONCILER_TEST_SYSTEMD"))
"""Whether systemd makes the cgroups."""


@pytest.fixture(params=["crun", "runc"])
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, "--runtime", request.param))


@pytest.fixture
def pod(instance: Instance) -> Hand:
    return Hand(instance)


@pytest.fixture
def parent() -> Iterator[str]:
    """A cgroup that is somebody else's; a slice where systemd makes them."""
    if SYSTEMD:
        name = f"theirs{secrets.token_hex(4)}.slice"
        yield name
        subprocess.run(["systemctl", "stop", name], check=True, timeout=60)
        return
    name = f"/theirs-{secrets.token_hex(4)}"
    where = [hierarchy.root / name.lstrip("/") for hierarchy in cgroups.current().made()]
    for path in where:
        path.mkdir()
    yield name
    for path in where:
        path.rmdir()  # it is still there, and empty
    unified = cgroups.current().unified
    if unified is not None and (made := unified.root / name.lstrip("/")).is_dir():
        made.rmdir()  # runc made it, on a hybrid host


def inside(pod: Hand, name: str, *command: str) -> str:
    enter = ["nsenter", "-t", str(pod.pid(name)), "-n", *command]
    return subprocess.run(enter, check=True, capture_output=True, text=True, timeout=30).stdout


def test_no_network_but_its_own(pod: Hand, image: str) -> None:
    pod.apply(shell("one", image), sandbox=SandboxSpec(hostname="box", network="none"))
    assert [line.split()[1] for line in inside(pod, "one", "ip", "-o", "link").splitlines()] == ["lo:"]
    inside(pod, "one", "busybox", "ping", "-c", "1", "-W", "5", "127.0.0.1")
    assert pod.sandbox.ip == ""
    assert pod.sandbox.networked
    assert pod.instance.leaks() == ()
    pod.remove()


def test_shm_hosts_and_sysctls(pod: Hand, image: str) -> None:
    sysctls = "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax"
    script = f"df -k /dev/shm | tail -n 1; {sysctls}; ls /etc/hosts 2> /dev/null"
    box = SandboxSpec(
        hostname="box", shm_size=MIB, no_hosts=True, sysctls=(("kernel.msgmax", "4711"), ("net.core.somaxconn", "77"))
    )
    pod.apply(shell("one", image, script), sandbox=box, keep=True)
    shm, *others = pod.said("one").splitlines()
    assert shm.split()[1] == "1024"
    assert others == ["77", "4711"], "and the image has no /etc/hosts"


def test_a_pod_has_the_addresses_that_it_asks_for(pod: Hand, instance: Instance, image: str) -> None:
    pod.apply(shell("one", image))
    first = pod.sandbox.ip
    net = first.rsplit(".", 1)[0]
    other = Hand(instance, "other")
    box = SandboxSpec(hostname="other", ip=f"{net}.77", mac="92:d0:c6:0a:29:33")
    other.apply(shell("two", image), sandbox=box)
    assert "link/ether 92:d0:c6:0a:29:33" in inside(other, "two", "ip", "link", "show", "eth0")
    assert f"inet {net}.77/" in inside(other, "two", "ip", "-4", "addr", "show", "eth0")
    inside(other, "two", "busybox", "ping", "-c", "1", "-W", "5", first)
    inside(pod, "one", "busybox", "ping", "-c", "1", "-W", "5", f"{net}.77")
    taken = Hand(instance, "third")
    with pytest.raises(InvalidInput, match=f"cannot give the pod the address {net}.77: pod default/other has it"):
        taken.apply(shell("three", image), sandbox=SandboxSpec(hostname="third", ip=f"{net}.77"))
    taken.remove()


def test_a_pod_below_a_cgroup_of_others(pod: Hand, instance: Instance, image: str, parent: str) -> None:
    """It goes with the pod; what it was made in stays (the fixture removes that, and could not if it were gone)."""
    pod.apply(shell("one", image), sandbox=SandboxSpec(hostname="box", cgroup_parent=parent))
    mine, own = names.pod_below(instance.engine.layout.tag, pod.sandbox.id, parent), groups.group_of(pod.pid("one"))
    assert own.startswith(f"{mine}/")
    assert names.container_of(own.removesuffix("/container")) == pod.member("one").id
    assert instance.leaks() == ()
    pod.remove()
    assert cgroups.elsewhere(instance.engine.layout.tag) == ()


@pytest.mark.skipif(SYSTEMD, reason="systemd makes slices here")
def test_a_slice_where_systemd_makes_no_cgroups(pod: Hand, image: str) -> None:
    pod.apply(sandbox=SandboxSpec(hostname="box", cgroup_parent="mine.slice"))
    wanted = pod.bench().source.read(pod.key)
    assert wanted is not None
    (problem,) = pod.instance.engine.observe(pod.key, wanted.spec).problems
    assert problem.message.startswith("cannot make the pod's cgroup below mine.slice: only systemd makes slices")
    pod.remove()


def test_limits_of_the_pod_change_while_it_lives(pod: Hand, instance: Instance, image: str) -> None:
    one = shell("one", image)
    pod.apply(one, limits=Resources(cpu_limit=500, memory_limit=64 * MIB), keep=True)
    before, own = pod.pid("one"), groups.group_of(pod.pid("one"))
    path = groups.pod_of(own)
    assert groups.values(path) == groups.wanted(1024, quota=50_000, memory=64 * MIB)
    assert groups.values(own).cpu == groups.wanted(1024).cpu
    pod.apply(one, limits=Resources(cpu_request=2000, memory_limit=128 * MIB), keep=True)
    assert groups.values(path) == groups.wanted(2048, memory=128 * MIB)
    assert pod.pid("one") == before


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="a device that containers have not anyway")
def test_devices_and_limits_of_a_containers_own(pod: Hand, image: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    use = "(echo x > /dev/zilch) && echo written; (exec 3< /dev/half) && echo opened"
    script = f"{use}; (exec 3> /dev/half) 2> /dev/null || echo refused; ulimit -n; ulimit -H -n; ulimit -c"
    one = shell(
        "one",
        image,
        script,
        devices=(Device("/dev/half", "/dev/fuse", "r"), Device("/dev/zilch", "/dev/null")),
        ulimits=(("core", "0:0"), ("nofile", f"99:{hard + 1}")),
    )
    pod.apply(one)
    said = pod.said("one").splitlines()
    assert [word for word in said if word.isalpha()] == ["written", "opened", "refused"]
    told = [
        event.message for event in pod.instance.engine.events(about=str(pod.key)) if event.reason == "UlimitLowered"
    ]
    if groups.may_lower_scores():  # the same right
        most = int(Path("/proc/sys/fs/nr_open").read_text())
        lowered = [f"Container one: its limit nofile is {most}, not {hard + 1}: fs.nr_open"]
        assert said[-3:] == ["99", str(min(hard + 1, most)), "0"]
        assert told == ([] if most > hard else lowered)
        return
    assert said[-3:] == ["99", str(hard), "0"]
    why = "our own hard limit, and CAP_SYS_RESOURCE is missing"
    assert told == [f"Container one: its limit nofile is {hard}, not {hard + 1}: {why}"]


def test_a_device_that_is_not_there(pod: Hand, image: str) -> None:
    pod.apply(shell("one", image, devices=(Device("/dev/x", "/dev/nowhere"),)))
    assert not pod.have.containers
    spec = pod.bench().source.read(pod.key)
    assert spec is not None
    (problem,) = pod.instance.engine.observe(pod.key, spec.spec).problems
    assert problem.message == "cannot give it the device /dev/nowhere: that does not exist"


def test_an_infra_container_from_an_image(pod: Hand, instance: Instance, image: str) -> None:
    """It holds the namespaces as ours does, and its image is in use."""
    box = SandboxSpec(hostname="box", infra_image=image, infra_command=("sleep", "1000"), share_pid=True)
    pod.apply(
        shell("one", image, "cat /proc/1/cmdline | tr '\\0' ' '; hostname; exec sleep 1000"), sandbox=box, keep=True
    )
    until(lambda: pod.said("one", wait=False).count("\n") > 0 and "box" in pod.said("one", wait=False), "it has told")
    assert pod.said("one", wait=False).replace("\n", " ").split() == ["sleep", "1000", "box"]
    infra = pod.sandbox.infra
    assert infra is not None
    assert infra.spec.image == image
    users = instance.engine.context.users_of(infra.image_id)
    assert len(users) == 2, f"of the image: {users}"
    row = instance.ok("ps", "-a", "--no-trunc", "--format", "{{.Image}} {{.Command}} {{.Names}}").splitlines()
    assert f"{image} sleep 1000 {pod.sandbox.id[:12]}-infra" in row
    pod.remove()


def test_an_infra_container_that_ends_at_once_is_told(pod: Hand, image: str) -> None:
    box = SandboxSpec(hostname="box", infra_image=image, infra_command=("true",))
    with pytest.raises(ImageProblem, match="the command of its infra container ended at once"):
        pod.apply(shell("one", image), sandbox=box, keep=True)
    pod.remove()


def test_an_infra_image_that_is_not_here_is_pulled(pod: Hand, image: str) -> None:
    box = SandboxSpec(hostname="box", infra_image="localhost/away/pause:1")
    pod.apply(shell("one", image), sandbox=box)
    assert pod.have.sandbox is None
    spec = pod.bench().source.read(pod.key)
    assert spec is not None
    state = pod.instance.engine.observe(pod.key, spec.spec).images["localhost/away/pause:1"]
    assert state.status is not ImageStatus.PRESENT


def test_a_killed_infra_container_is_seen_and_one_command_brings_the_pod_back(instance: Instance, image: str) -> None:
    """As with podman: the members go on, the pod is degraded; `pod start` makes it whole, with new lives of all."""
    for name in ("one", "two"):
        pod = ("--pod", "box") if name == "two" else ("--pod", "new:box")
        instance.ok("run", "-d", *pod, "--name", name, image, "sleep", "1000")
    before, address = instance.running("box"), ip_of(instance, "box")
    ids = ids_of(instance)
    end([before["infra"]])
    seen = ("ps", "-a", "--filter", "name=infra", "--format", "{{.State}} {{.ExitCode}}")
    until(lambda: instance.ok(*seen).split() == ["exited", "137"], "its end is told")
    assert instance.ok("pod", "ps", "--format", "{{.Status}}").split() == ["Degraded"]
    assert instance.ok("ps", "--format", "{{.Names}}").split() == ["two", "one"]
    assert instance.running("box") == {name: ref for name, ref in before.items() if name != "infra"}
    instance.ok("pod", "start", "box")
    assert instance.ok("pod", "ps", "--format", "{{.Status}}").split() == ["Running"]
    assert set(instance.running("box")) == {"infra", "one", "two"}
    assert not set(instance.running("box").values()) & set(before.values())
    assert (ids_of(instance), ip_of(instance, "box")) == (ids, address)


def test_a_container_of_its_own_whose_infra_container_was_killed_is_started_again(
    instance: Instance, image: str
) -> None:
    """Nobody sees that one: `start` is what whoever misses the container's network says."""
    instance.ok("run", "-d", "--name", "box", image, "sleep", "1000")
    before, ids = instance.running("box"), ids_of(instance)
    end([before["infra"]])
    instance.ok("start", "box")
    after = instance.running("box")
    assert set(after) == {"infra", "box"}
    assert not set(after.values()) & set(before.values())
    assert ids_of(instance) == ids


def ids_of(instance: Instance) -> dict[str, str]:
    return {row["Names"][0]: row["Id"] for row in json.loads(instance.ok("ps", "-a", "--format", "json"))}
