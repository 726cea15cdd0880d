"""Others' firewalls beside us: a foreign drop is told by name, docker's chain is opened; real rules in a real kernel,
traffic from another machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.network import names, nft
from tests.host.instance import Instance, until
from tests.host.netlab import HOST_IP, Lab, lab
from tests.host.test_upkeep import answers, web

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

DOCKER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-INTERNAL - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-INTERNAL
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-USER -s 203.0.113.0/24 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
"""
"""What dockerd 28 makes for its default bridge, and a rule of the administrator in the place that is theirs."""

PLAIN = """
table inet house {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan0" accept
    }
    chain input {
        type filter hook input priority 0; policy drop;
        ct state vmap { established : accept, related : accept, invalid : drop }
        iif lo accept
        tcp dport { 22, 18600 } accept
        reject
    }
}
"""


@pytest.fixture
def host() -> Iterator[Lab]:
    """Before ``instance`` among a test's arguments: its controller and pods live in this network."""
    with lab() as made:
        yield made


def told(instance: Instance) -> list[tuple[str, str, int]]:
    return [(event.reason, event.message, event.count) for event in instance.engine.events(about="network")]


def firewall(instance: Instance) -> dict[str, list[str]]:
    section: dict[str, list[str]] = instance.engine.info()["firewall"]
    return section


def iptables(*arguments: str, program: str = "iptables-nft", text: str | None = None) -> str:
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_a_foreign_drop_is_told_by_its_name_and_once(host: Lab, instance: Instance, image: str, folder: Path) -> None:
    outside = host.outside()
    nft.run(PLAIN, "make a firewall")
    from tests.host.manifests import put

    put(folder / "web.yaml", web(image))
    bridge = names.bridge_name(instance.engine.layout.tag)
    controller = instance.watch("--resync", "1", folder)  # type: ignore[arg-type]
    until(lambda: len(told(instance)) == 2, "both chains are told")
    assert not answers(outside, HOST_IP)
    for reason, message, count in told(instance):
        assert (reason, count) == ("FirewallBlocks", 1)
        assert message in firewall(instance)["blocked"]
    forward, entry = sorted(message for _, message, _ in told(instance))
    assert forward.startswith("table inet house, chain forward: its policy drop keeps others from published ports")
    assert "pods from the outside" in forward
    assert entry.startswith("table inet house, chain input: its rule “reject” keeps pods from the names")
    for hint in (forward, entry):
        for command in hint.partition("; try: ")[2].split(" && "):
            assert bridge in command
            subprocess.run(command.split(), check=True, timeout=30)
    until(lambda: len(told(instance)) == 4, "both are told to be open")
    assert {reason for reason, _, _ in told(instance)[2:]} == {"FirewallPasses"}
    assert answers(outside, HOST_IP)
    assert firewall(instance)["blocked"] == []
    assert controller.poll() is None


def test_beside_docker_a_published_port_is_reached_from_outside(
    host: Lab, instance: Instance, image: str, folder: Path
) -> None:
    from tests.host.manifests import put

    outside = host.outside()
    iptables(program="iptables-nft-restore", text=DOCKER)
    before = iptables("-S")
    put(folder / "web.yaml", web(image))
    instance.watch(folder)
    until(lambda: answers(outside, HOST_IP), "the pod is reached from outside")
    tag = instance.engine.layout.tag
    rules = [line for line in iptables("-S", "DOCKER-USER").splitlines() if f"reconciler-{tag}" in line]
    assert len(rules) == 5
    lines = iptables("-S", "DOCKER-USER").splitlines()
    assert lines[1] == "-A DOCKER-USER -s 203.0.113.0/24 -j DROP", "the administrator's rule comes first"
    assert lines[-1] == "-A DOCKER-USER -j RETURN"
    assert firewall(instance)["others"] == ["docker"]
    assert firewall(instance)["blocked"] == []
    # docker starts again: its chains are made anew, ours in there are gone
    iptables("-F")
    iptables(program="iptables-nft-restore", text=DOCKER)
    until(lambda: answers(outside, HOST_IP), "the pod is reached again")
    until(lambda: len(told(instance)) >= 1, "it is told")
    assert {reason for reason, _, _ in told(instance)} == {"FirewallOpened"}
    # the last pod takes it along
    (folder / "web.yaml").unlink()
    until(lambda: iptables("-S") == before, "docker's chains are as they were")


def test_where_its_owner_says_so_docker_is_left_alone(host: Lab, instance: Instance, image: str, folder: Path) -> None:
    from tests.host.manifests import put

    outside = host.outside()
    (instance.root / "config.toml").write_text('[network]\nfirewall = "tell"\n')
    iptables(program="iptables-nft-restore", text=DOCKER)
    before = iptables("-S")
    put(folder / "web.yaml", web(image))
    done = instance.run("apply", "--wait", folder)
    assert done.returncode == 0, done.stderr
    assert "network: table ip filter, chain FORWARD (docker's): its policy drop keeps others from" in done.stderr
    assert not answers(outside, HOST_IP)
    assert iptables("-S") == before


def test_two_commands_open_docker_once(host: Lab, instance: Instance, image: str, folder: Path) -> None:
    from tests.host.manifests import put

    iptables(program="iptables-nft-restore", text=DOCKER)
    put(folder / "web.yaml", web(image))
    outside = host.outside()
    instance.ok("apply", "--wait", folder)
    assert answers(outside, HOST_IP)
    instance.engine.review_firewalls()
    rules = iptables("-S", "DOCKER-USER")
    assert rules.count("reconciler-") == 5
    instance.ok("down", folder)
    assert "reconciler-" not in iptables("-S", "DOCKER-USER")
