"""What options of `kube play` say beside a manifest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.flags import ports, sandbox
from reconciler.flags.beside import Beside, notes, over
from reconciler.model.errors import InvalidInput
from reconciler.model.key import Key
from reconciler.model.spec import ContainerPort, ContainerSpec, PodSpec, PortBinding, Protocol, SandboxSpec

WEB = ContainerSpec("web", "i", ports=(ContainerPort(80, host_port=8080), ContainerPort(443)))
POD = PodSpec(
    Key("default", "web"),
    SandboxSpec(hostname="web", ports=(PortBinding(8080, 80),)),
    (WEB,),
    annotations=(("a", "1"), ("b", "2")),
)


def in_network(spec: PodSpec, *modes: str, **addresses: str) -> SandboxSpec:
    return over(spec, Beside(sandbox.network(modes, **addresses))).sandbox


def test_nothing_said_changes_nothing() -> None:
    assert over(POD, Beside()) == POD


def test_a_network_is_for_pods_that_name_none() -> None:
    assert in_network(POD, "blue").network == "blue"
    named = replace(POD, sandbox=replace(POD.sandbox, network="red"))
    assert in_network(named, "blue").network == "red"
    hosts = replace(POD, sandbox=SandboxSpec(host_network=True))
    assert in_network(hosts, "blue") == hosts.sandbox


def test_the_hosts_network_is_as_in_a_manifest() -> None:
    assert in_network(POD, "host") == SandboxSpec(host_network=True)


def test_addresses() -> None:
    box = in_network(POD, "blue", ip="10.1.2.3", mac="92:d0:c6:0a:29:33")
    assert (box.network, box.ip, box.mac) == ("blue", "10.1.2.3", "92:d0:c6:0a:29:33")


def test_a_published_port_counts_instead_of_the_manifests() -> None:
    spec = over(POD, Beside(ports=ports.bindings(["9090:80"])))
    assert spec.sandbox.ports == (PortBinding(9090, 80),)
    assert spec.containers[0].ports == (ContainerPort(80), ContainerPort(443))


def test_another_published_port_is_one_more() -> None:
    spec = over(POD, Beside(ports=ports.bindings(["9090:80/udp"])))
    assert spec.sandbox.ports == (PortBinding(8080, 80), PortBinding(9090, 80, Protocol.UDP))


def test_every_port_is_published_where_it_has_no_host_port() -> None:
    spec = over(POD, Beside(every_port=True))
    assert spec.sandbox.ports == (PortBinding(443, 443), PortBinding(8080, 80))


@pytest.mark.parametrize(
    ("spec", "texts", "says"),
    [
        pytest.param(POD, ["80"], "cannot publish 80: .* same host port", id="a port that would be another each time"),
        pytest.param(
            replace(POD, sandbox=SandboxSpec(host_network=True)), ["1:80"], "the machine's own", id="the host's network"
        ),
    ],
)
def test_what_cannot_be_published(spec: PodSpec, texts: list[str], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        over(spec, Beside(ports=ports.bindings(texts)))


def test_annotations_are_added() -> None:
    assert over(POD, Beside(annotations=notes(["b=3", "c=x=y"]))).annotations == (("a", "1"), ("b", "3"), ("c", "x=y"))


@pytest.mark.parametrize("text", ["novalue", "=x", " =x", "reconciler/network=blue"])
def test_what_is_no_annotation(text: str) -> None:
    with pytest.raises(InvalidInput, match="cannot use --annotation"):
        notes([text])


def test_users_and_hosts() -> None:
    spec = over(POD, Beside(host_users=False, no_hosts=True))
    assert (spec.sandbox.host_users, spec.sandbox.no_hosts) == (False, True)


def test_what_only_one_pod_can_have() -> None:
    assert Beside(ports=ports.bindings(["1:1"])).is_for_one == "--publish"
    assert Beside(sandbox.network([], ip="10.1.2.3")).is_for_one == "an address"
    assert Beside(sandbox.network(["blue"]), every_port=True).is_for_one == ""
