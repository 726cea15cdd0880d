"""Pods that share less than the usual, and pods without an infra container: what each member then has for itself."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from reconciler.engine.network import pod as links
from reconciler.model.observed import Container, ContainerState, PidRef
from reconciler.model.spec import PortBinding, RestartPolicy, SandboxSpec
from tests.host.byhand import Hand, shell
from tests.host.instance import Instance, checked, until
from tests.host.lives import end

pytestmark = pytest.mark.host


@pytest.fixture(params=["crun", "runc"])
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, "--runtime", request.param))


@pytest.fixture
def pod(instance: Instance) -> Hand:
    return Hand(instance)


def namespace(pid: int, kind: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def address(pod: Hand, name: str) -> str:
    """That of a member's own eth0."""
    shown = inside(pod, name, "ip", "-4", "-o", "addr", "show", "eth0")
    return shown.split()[3].partition("/")[0]


def inside(pod: Hand, name: str, *command: str) -> str:
    enter = ["nsenter", "-t", str(pod.pid(name)), "-n", "-u", "-i"]
    return subprocess.run([*enter, *command], check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.mark.parametrize("shared", [("ipc", "net", "uts"), ("cgroup", "ipc"), ("net",), ("uts",)], ids=",".join)
def test_what_is_shared(pod: Hand, image: str, shared: tuple[str, ...]) -> None:
    """The others are each member's own; all of them run, and nothing is left of them."""
    pod.apply(shell("one", image), shell("two", image), sandbox=SandboxSpec(hostname="box", shared=shared), keep=True)
    infra = pod.sandbox.infra
    assert infra is not None
    assert infra.pid is not None
    for kind in ("ipc", "net", "uts"):
        seen = {namespace(pid, kind) for pid in (infra.pid.pid, pod.pid("one"), pod.pid("two"))}
        assert len(seen) == (1 if kind in shared else 3), kind
    if "cgroup" in shared:
        assert namespace(pod.pid("one"), "cgroup") == namespace(infra.pid.pid, "cgroup") != namespace(1, "cgroup")
    expected = "box" if "uts" in shared else pod.member("one").id[:12]
    assert inside(pod, "one", "hostname").strip() == expected
    assert pod.inside("one", "/etc/hostname").read_text().strip() == expected
    pod.remove()


def test_a_network_of_its_own(pod: Hand, instance: Instance, image: str) -> None:
    """An address, a way to the others and a name; the published ports are the infra container's."""
    box = SandboxSpec(hostname="box", shared=("ipc", "uts"), ports=(PortBinding(18310, 80),))
    pod.apply(shell("one", image), shell("two", image), sandbox=box, keep=True)
    addresses = {pod.sandbox.ip, address(pod, "one"), address(pod, "two")}
    assert len(addresses) == 3
    assert len(links.links(instance.engine.layout.tag)) == 3
    inside(pod, "one", "busybox", "ping", "-c", "1", "-W", "5", address(pod, "two"))
    inside(pod, "one", "busybox", "ping", "-c", "1", "-W", "5", pod.sandbox.ip)
    hosts = pod.inside("one", "/etc/hosts").read_text()
    assert f"{address(pod, 'one')}\tone\n" in hosts
    table = "".join(path.read_text() for path in instance.engine.layout.dns_tables.iterdir())
    assert f" {address(pod, 'one')}" in table
    assert "one.default.svc" in table
    assert instance.leaks() == ()


def test_it_keeps_its_address_when_it_is_started_again(pod: Hand, instance: Instance, image: str) -> None:
    box = SandboxSpec(hostname="box", shared=())
    pod.apply(shell("one", image), sandbox=box, keep=True, restart_policy=RestartPolicy.ALWAYS)
    before = (pod.member("one").id, address(pod, "one"))
    ref = pod.member("one").pid
    assert ref is not None
    end([ref], signal.SIGKILL)
    until(lambda: pod.member("one").exit, "its monitor has told of the end")
    pod.apply(shell("one", image), sandbox=box, keep=True, restart_policy=RestartPolicy.ALWAYS)
    until(lambda: _runs(pod.member("one"), ref), "it runs again")
    assert (pod.member("one").id, address(pod, "one")) == before
    assert instance.leaks() == ()


def _runs(container: Container, before: PidRef) -> bool:
    return container.state is ContainerState.RUNNING and container.pid != before


def test_a_pod_without_an_infra_container(pod: Hand, instance: Instance, image: str) -> None:
    """None is shown, and nothing is shared; members find each other by name."""
    box = SandboxSpec(hostname="box", infra=False, shared=())
    pod.apply(shell("one", image), shell("two", image), sandbox=box, keep=True)
    for kind in ("ipc", "net", "uts"):
        assert namespace(pod.pid("one"), kind) != namespace(pod.pid("two"), kind)
    inside(pod, "one", "busybox", "ping", "-c", "1", "-W", "5", address(pod, "two"))
    assert pod.sandbox.ip == ""
    assert ip_address(address(pod, "one")).is_private
    ps = instance.ok("pod", "ps", "--format", "{{.Name}} {{.NumberOfContainers}} {{.InfraID}}")
    assert ps.split() == ["box", "2"]
    assert "infra" not in instance.ok("ps", "-a")
    assert instance.leaks() == ()
    pod.apply(sandbox=box, keep=True)
    assert instance.leaks() == ()
    assert len(links.links(instance.engine.layout.tag)) == 0
    pod.remove()


def test_a_link_that_somebody_took_away_is_put_right(pod: Hand, instance: Instance, image: str) -> None:
    pod.apply(shell("one", image), sandbox=SandboxSpec(hostname="box", infra=False, shared=()), keep=True)
    before = address(pod, "one")
    (link,) = links.links(instance.engine.layout.tag)
    links.remove_link(link.name)
    assert [leak.why for leak in instance.engine.check()] != []
    assert instance.engine.mend_network() == ("the link of container one is gone: put right",)
    assert address(pod, "one") == before
    assert instance.leaks() == ()
