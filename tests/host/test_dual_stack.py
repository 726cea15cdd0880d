"""Pods with addresses of both families, as a user sets them up: what they get, what they keep, what can be set."""

from __future__ import annotations

import json
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.layout import Layout
from tests.host.instance import Instance, until
from tests.host.lives import expect_settled
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host


def ips_of(instance: Instance, name: str) -> list[str]:
    shown = json.loads(instance.ok("get", "pods", name, "-o", "json"))
    return [one["ip"] for one in shown["status"]["podIPs"]]


def network_of(instance: Instance) -> dict[str, Any]:
    told: dict[str, Any] = instance.engine.info()["network"]
    return told


def in_container(instance: Instance, name: str, *command: str) -> str:
    return instance.ok("exec", name, "--", *command)


def test_a_pod_has_an_address_of_each_family_and_keeps_both(instance: Instance, image: str, folder: Path) -> None:
    """In its next life too; another pod gets others; all of it is told."""
    pings = {"capabilities": {"add": ["NET_RAW"]}}
    put(folder / "a.yaml", pod("a", container("one", image, securityContext=pings)))
    put(folder / "b.yaml", pod("b", container("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = {name: ips_of(instance, name) for name in "ab"}
    assert before["a"][0].endswith(".2") or before["b"][0].endswith(".2")
    assert len({ip for ips in before.values() for ip in ips}) == 4
    network6 = IPv6Network(network_of(instance)["subnet6"])
    assert network6.subnet_of(IPv6Network("fd00::/8"))
    assert all(IPv6Address(ips[1]) in network6 for ips in before.values())
    assert all(ip in in_container(instance, "a", "ip", "address") for ip in before["a"])
    assert ",".join(before["a"]) in instance.ok("get", "pods", "-o", "wide")
    in_container(instance, "a", "ping", "-c", "1", "-W", "5", before["b"][1])

    put(folder / "a.yaml", pod("a", container("one", image, securityContext=pings), hostname="renamed"))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert ips_of(instance, "a") == before["a"]
    expect_settled(instance, folder)


def test_a_pod_recorded_by_an_older_program_is_left_alone(instance: Instance, image: str, folder: Path) -> None:
    """Its record has one address; its next life has two. The database is an older one as well."""
    put(folder / "a.yaml", pod("a", container("one", image)))
    (instance.root / "config.toml").write_text("[network]\nipv6 = false\n")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    layout = Layout.at(instance.root)
    (record,) = layout.pods.glob("*/record.json")
    old = json.loads(record.read_text())
    assert old.pop("ip6") == ""
    old["spec"]["sandbox"].pop("network")
    record.write_text(json.dumps(old))
    (instance.root / "config.toml").unlink()
    before, ips = instance.running("a"), ips_of(instance, "a")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert instance.running("a") == before
    assert ips_of(instance, "a") == ips == [old["ip"]]
    put(folder / "a.yaml", pod("a", container("one", image), hostname="renamed"))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert (len(ips_of(instance, "a")), ips_of(instance, "a")[0]) == (2, old["ip"])


def test_what_the_owner_sets_is_what_pods_get(instance: Instance, image: str, folder: Path) -> None:
    """Once no pod lives in the network that was there before."""
    config = instance.root / "config.toml"
    config.write_text('[network]\nsubnet = "10.77.0.0/24"\nsubnet6 = "fd77::/64"\n')
    put(folder / "a.yaml", pod("a", container("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert ips_of(instance, "a") == ["10.77.0.2", "fd77::2"]
    config.write_text('[network]\nsubnet = "10.78.0.0/24"\nipv6 = false\n')
    assert "none: the configuration file says so" in instance.ok("info")
    put(folder / "b.yaml", pod("b", container("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert ips_of(instance, "b") == ["10.77.0.3"]
    instance.ok("down", folder)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert {ip for name in "ab" for ip in ips_of(instance, name)} == {"10.78.0.2", "10.78.0.3"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('subnet6 = "fd00::1/64"', "fd00::1/64", id="an IPv6 network with host bits"),
        pytest.param('ipv6 = "yes"', "network.ipv6", id="neither true nor false nor auto"),
    ],
)
def test_a_wrong_setting_is_told_before_a_pod_is_made(
    instance: Instance, image: str, folder: Path, text: str, says: str
) -> None:
    (instance.root / "config.toml").write_text(f"[network]\n{text}\n")
    put(folder / "a.yaml", pod("a", container("one", image)))
    done = instance.run("apply", folder)
    assert done.returncode == 1
    assert says in done.stderr
    (instance.root / "config.toml").unlink()
    instance.ok("apply", "--wait", "--timeout", 60, folder)


def test_a_subnet_that_is_routed_elsewhere_is_told_with_the_setting(
    instance: Instance, image: str, folder: Path
) -> None:
    """By an event when it is chosen, by info at any time."""
    from reconciler.engine.network import netlink

    (instance.root / "config.toml").write_text('[network]\nsubnet6 = "fd79:1::/64"\n')
    with netlink.here("route it elsewhere") as ip:
        ip.route("add", family=10, dst="fd79::/16", oif=1)
    try:
        put(folder / "a.yaml", pod("a", container("one", image)))
        instance.ok("apply", "--wait", "--timeout", 60, folder)
        (event,) = until(lambda: instance.engine.events(about="network"), "the clash is told")
        assert event.reason == "SubnetClash"
        for part in ("fd79:1::/64", "fd79::/16", "[network] subnet"):
            assert part in event.message
            assert part in network_of(instance)["problem"]
    finally:
        with netlink.here("route it no more") as ip:
            ip.route("del", family=10, dst="fd79::/16", oif=1)
