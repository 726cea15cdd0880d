"""Others' firewalls beside us: a foreign drop is told by name, docker's chain is opened; real rules in a real kernel,
traffic from another machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.effects import FAULT
from reconciler.engine.network import bridge, names, nft
from tests.host.instance import Instance, until
from tests.host.manifests import put
from tests.host.netlab import HOST_IP, Lab, lab
from tests.host.test_upkeep import PORT, answers, web

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
        counter reject
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


def published(instance: Instance) -> bool:
    """Whether it was told that a published port is not reached (the way out may be told a moment before)."""
    return any("published ports" in message for _, message, _ in told(instance))


def iptables(*arguments: str, program: str = "iptables-nft", text: str | None = None) -> str:
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_a_foreign_drop_is_told_by_its_name_and_once(host: Lab, instance: Instance, image: str, folder: Path) -> None:
    outside = host.outside()
    nft.run(PLAIN, "make a firewall")
    put(folder / "web.yaml", web(image))
    bridge = names.bridge_name(instance.engine.layout.tag)
    controller = instance.watch("--resync", "1", folder)  # type: ignore[arg-type]
    until(lambda: len(firewall(instance)["blocked"]) == 2 and published(instance), "both chains are told")
    assert not answers(outside, HOST_IP)
    assert {(reason, count) for reason, _, count in told(instance)} == {("FirewallBlocks", 1)}
    forward, entry = sorted(firewall(instance)["blocked"])
    assert {forward, entry} <= {message for _, message, _ in told(instance)}
    assert forward.startswith("table inet house, chain forward: its policy drop keeps others from published ports")
    assert "pods from the outside" in forward
    assert entry.startswith("table inet house, chain input: its rule “reject” keeps pods from the names")
    for hint in (forward, entry):
        for command in hint.partition("; try: ")[2].split(" && "):
            assert bridge in command
            subprocess.run(command.split(), check=True, timeout=30)
    until(lambda: len([1 for reason, _, _ in told(instance) if reason == "FirewallPasses"]) == 2, "it is told")
    until(lambda: answers(outside, HOST_IP), "the pod is reached from outside")
    assert firewall(instance)["blocked"] == []
    assert controller.poll() is None


def test_beside_docker_a_published_port_is_reached_from_outside(
    host: Lab, instance: Instance, image: str, folder: Path
) -> None:
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


def test_a_network_that_is_removed_is_closed_again(host: Lab, instance: Instance, image: str, folder: Path) -> None:
    """Whether another one is left or not; no controller is needed."""
    host.outside()
    iptables(program="iptables-nft-restore", text=DOCKER)
    before = iptables("-S")

    def opened() -> set[str]:
        return {word for line in iptables("-S", "DOCKER-USER").splitlines() for word in line.split() if "rc-" in word}

    instance.ok("network", "create", "inner")
    bridge = names.bridge_name(instance.engine.layout.tag)
    (inner,) = json.loads(instance.ok("network", "inspect", "inner"))
    there = web(image, "there", PORT + 1)
    there["metadata"]["annotations"] = {"reconciler/network": "inner"}
    put(folder / "web.yaml", web(image))
    put(folder / "there.yaml", there)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert opened() == {bridge, inner["network_interface"]}
    (folder / "there.yaml").unlink()
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    instance.ok("network", "rm", "inner")
    assert opened() == {bridge}
    until(answers, "the pod is reached from this host")
    instance.ok("down", folder)
    assert iptables("-S") == before


def test_where_its_owner_says_so_docker_is_left_alone(host: Lab, instance: Instance, image: str, folder: Path) -> None:
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


def test_killed_while_it_opens_or_closes_the_next_command_finishes(
    host: Lab, instance: Instance, image: str, folder: Path
) -> None:
    iptables(program="iptables-nft-restore", text=DOCKER)
    before = iptables("-S")
    put(folder / "web.yaml", web(image))

    def killed(command: str, moment: str) -> bool:
        fault = os.environ | {FAULT: f"docker.rules:{moment}"}
        return instance.run(command, folder, env=fault).returncode == -signal.SIGKILL

    assert killed("apply", "before")
    assert killed("apply", "after")
    instance.ok("apply", "--wait", folder)
    outside = host.outside()
    until(lambda: answers(outside, HOST_IP), "the pod is reached from outside")
    assert iptables("-S", "DOCKER-USER").count("reconciler-") == 5, "opened once"
    assert killed("down", "before")
    assert killed("down", "after")
    instance.ok("down", folder)
    assert iptables("-S") == before
    assert not bridge.stands(names.bridge_name(instance.engine.layout.tag))
