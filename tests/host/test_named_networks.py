"""Named networks as a user has them: made, chosen by annotation or option, kept apart, removed with nothing left."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine import netadmin, netrecords, networks
from reconciler.engine.context import Context
from reconciler.engine.engine import Engine
from reconciler.engine.network import bridge, portmap
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.engine.store import addresses
from reconciler.model.errors import HostUnfit, InvalidInput
from reconciler.model.key import Key
from reconciler.model.spec import PodSpec
from tests.host.instance import Instance, until
from tests.host.lives import expect_settled
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host


def in_network(name: str, network: str, image: str, **fields: Any) -> dict[str, Any]:
    manifest = pod(name, container("one", image, **fields))
    manifest["metadata"]["annotations"] = {"reconciler/network": network}
    return manifest


def inspected(instance: Instance, name: str) -> dict[str, Any]:
    (shown,) = json.loads(instance.ok("network", "inspect", name))
    return dict(shown)


def ips_of(instance: Instance, name: str) -> list[str]:
    shown = json.loads(instance.ok("get", "pods", name, "-o", "json"))
    return [one["ip"] for one in shown["status"].get("podIPs", ())]


def reached(instance: Instance, name: str, ips: list[str]) -> list[str]:
    """Those that answer an echo request, for which nobody needs to listen."""
    script = 'for ip; do ping -c 1 -W 1 "$ip" >/dev/null && echo "$ip"; done; true'
    return instance.ok("exec", name, "--", "sh", "-c", script, "-", *ips).split()


PINGS = {"securityContext": {"capabilities": {"add": ["NET_RAW"]}}}


def test_a_pod_waits_for_its_network_and_lives_in_it(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "a.yaml", in_network("a", "inner", image, **PINGS))
    put(folder / "b.yaml", pod("b", container("one", image, **PINGS)))
    done = instance.run("apply", folder)
    assert "network inner: there is none of that name (reconciler network create inner)" in done.stderr
    assert "network inner: there is none of that name" in instance.run("status", folder).stdout

    assert instance.ok("network", "create", "--ipv6", "--label", "who=me", "-o", "mtu=1300", "inner") == "inner\n"
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    shown = inspected(instance, "inner")
    assert shown["pods"] == {"default/a": ips_of(instance, "a")}
    assert (shown["ipv6_enabled"], shown["labels"], shown["options"]) == (True, {"who": "me"}, {"mtu": "1300"})
    assert "mtu 1300" in instance.ok("exec", "a", "--", "ip", "link", "show", "eth0")
    assert bridge.stands(shown["network_interface"])
    assert instance.ok("network", "ls", "-q").split() == ["default", "inner"]
    gateways = [one["gateway"] for one in shown["subnets"]]
    assert reached(instance, "a", [*ips_of(instance, "b"), *gateways]) == gateways

    before = instance.running("a")
    _lose_the_index(instance)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert instance.running("a") == before
    assert inspected(instance, "inner") == shown
    refused = instance.run("network", "rm", "inner")
    assert refused.returncode == 1
    assert "cannot remove network inner: pods are in it: default/a" in refused.stderr
    assert instance.ok("network", "rm", "-f", "inner").splitlines()[-1] == "inner"
    assert instance.leaks() == ()
    assert not bridge.stands(shown["network_interface"])
    assert set(instance.running("b")) == {"one", "infra"}
    assert ips_of(instance, "b")


def test_the_network_of_pods_that_name_none_is_an_option(instance: Instance, image: str, folder: Path) -> None:
    """It is remembered for those who look on; the next apply decides anew."""
    instance.ok("network", "create", "--internal", "--subnet", "10.79.0.0/24", "--gateway", "10.79.0.254", "inner")
    put(folder / "a.yaml", pod("a", container("one", image)))
    put(folder / "b.yaml", in_network("b", "default", image))
    put(folder / "c.yaml", in_network("c", "inner", image, ports=[{"containerPort": 1, "hostPort": 1, "hostIP": "::"}]))
    done = instance.run("apply", "--network", "inner", folder)
    assert "host address ::: the pod has no IPv6: network inner was created without it" in done.stderr
    (folder / "c.yaml").unlink()
    instance.ok("apply", "--wait", "--timeout", 60, "--network", "inner", folder)
    assert ips_of(instance, "a") == ["10.79.0.1"] or ips_of(instance, "a") == ["10.79.0.2"]
    assert len(ips_of(instance, "b")) == 2
    assert "default" not in instance.ok("exec", "a", "--", "ip", "route")
    expect_settled(instance, folder)
    assert instance.run("status", folder).returncode == 0
    done = instance.run("diff", "--network", "default", folder)
    assert done.returncode == 1
    assert "metadata.annotations[reconciler/network]" in done.stdout
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert len(ips_of(instance, "a")) == 2
    instance.ok("network", "rm", "inner")


def test_a_controller_takes_up_a_pod_whose_network_comes(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "a.yaml", in_network("a", "late", image))
    instance.watch(folder)
    until(lambda: "network late" in instance.run("status", folder).stdout, "it waits for its network")
    instance.ok("network", "create", "late")
    until(lambda: "one" in instance.running("a"), "it runs")
    refused = instance.run("network", "rm", "-f", "late")
    assert refused.returncode == 1
    assert "would bring its pods back" in refused.stderr


def test_an_address_is_of_the_subnet_that_the_network_has_by_then(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process, with another configuration, chose it anew in between."""
    ctx, spec = engine.context, PodSpec(Key("default", "web"))
    ensure = networks.ensure

    def overtaken(ctx: Context, name: str = "") -> BridgeConfig:
        made = ensure(ctx, name)
        record = netrecords.read(ctx, name)
        assert record is not None
        netrecords.write(ctx, replace(record, subnet="10.77.0.0/24"))
        return made

    monkeypatch.setattr(networks, "ensure", overtaken)
    assert networks.lease(ctx, spec).ip == "10.77.0.2"
    addresses.release(ctx.store, spec.key)
    networks.remove_if_last(ctx, lambda _ctx: None)


def test_a_pod_goes_also_where_its_ports_cannot_be_unpublished(
    instance: Instance, image: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "web.yaml", pod("web", container("one", image, ports=[{"containerPort": 80, "hostPort": 18080}])))
    instance.ok("apply", "--wait", "--timeout", 60, folder)

    def unfit(_ctx: Context, _record: object) -> None:
        raise HostUnfit("cannot publish ports: Operation not supported")

    with monkeypatch.context() as patch:
        patch.setattr(networks, "unpublish", unfit)
        instance.remove_everything()
    assert instance.engine.keys() == ()
    told = [event.message for event in instance.engine.events() if event.reason == "PortsNotUnpublished"]
    assert told == ["cannot publish ports: Operation not supported"]
    assert portmap.current(instance.engine.layout.tag) == frozenset()


MADE = {"subnets": ("10.1.0.0/24",)}


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        pytest.param({"name": "default"}, "there is one of that name already", id="the name of the instance's own"),
        pytest.param({"subnets": ("10.0.0.1/8",)}, "is not a subnet", id="host bits"),
        pytest.param({"subnets": ("10.0.0.0/31",)}, "has no room for pods", id="too small"),
        pytest.param({"subnets": ("127.0.0.0/8",)}, "is not for hosts", id="loopback"),
        pytest.param({"subnets": ("10.1.0.0/24", "10.2.0.0/24")}, "one subnet of each family", id="two of one family"),
        pytest.param({**MADE, "gateways": ("10.2.0.1",)}, "is not in 10.1.0.0/24", id="a gateway elsewhere"),
        pytest.param({**MADE, "gateways": ("10.1.0.255",)}, "not an address for a host", id="broadcast as a gateway"),
        pytest.param({**MADE, "gateways": ("10.1.0.1", "10.1.0.2")}, "one gateway of each family", id="two gateways"),
        pytest.param({**MADE, "gateways": ("me",)}, "is not an IP address", id="a gateway that is no address"),
        pytest.param({"ipv6": True, "mtu": 1000}, "IPv6 needs an mtu of 1280", id="an mtu too small for IPv6"),
    ],
)
def test_what_cannot_be_made_is_told(instance: Instance, wish: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(says)) as refused:
        netadmin.create(instance.engine.context, netadmin.Wish(**{"name": "x", **wish}))
    assert refused.value.message.startswith("cannot create network ")
    assert [record.name for record in netadmin.listed(instance.engine.context)] == ["default"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["a b"], "'a b' must be letters", id="a name that is none"),
        pytest.param(["-o", "mtu=9", "x"], "mtu must be between 576 and 65535", id="an mtu that is none"),
        pytest.param(["-o", "vlan=3", "x"], "there is no option 'vlan'", id="an option that is none"),
    ],
)
def test_a_wrong_command_is_told(instance: Instance, words: list[str], says: str) -> None:
    done = instance.run("network", "create", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_networks_do_not_overlap_each_other_or_a_route(instance: Instance) -> None:
    instance.ok("network", "create", "--subnet", "10.79.0.0/24", "one")
    for words, says in (
        (["one"], "there is one of that name already"),
        (["--subnet", "10.79.0.128/25", "two"], "10.79.0.128/25 overlaps network one"),
    ):
        done = instance.run("network", "create", *words)
        assert done.returncode == 1
        assert says in done.stderr
    assert instance.ok("network", "create", "--ignore", "one") == "one\n"
    subnets = {one["subnet"] for name in ("two", "three") for one in _made(instance, name)["subnets"]}
    assert len(subnets) == 4
    assert all(subnet in instance.ok("info") for subnet in subnets)
    assert inspected(instance, inspected(instance, "two")["id"][:12])["name"] == "two"
    for words, code in ((["nothing"], 1), (["-f", "nothing"], 0), (["default"], 1), (["one", "two", "three"], 0)):
        assert instance.run("network", "rm", *words).returncode == code
    assert instance.run("apply", "--network", "nothing", "/").returncode == 1


def _made(instance: Instance, name: str) -> dict[str, Any]:
    instance.ok("network", "create", "--ipv6", name)
    return inspected(instance, name)


def _lose_the_index(instance: Instance) -> None:
    instance.engine.context.store.close()
    database = instance.engine.layout.database
    for path in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
        path.unlink(missing_ok=True)
    shutil.rmtree(instance.engine.layout.cache)
    instance.__dict__["engine"] = instance.opened()
