"""ufw, firewalld and iptables-legacy themselves beside us: named with the command that helps, or opened."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from reconciler.engine.network import names
from reconciler.engine.network.foreign import ruleset
from reconciler.engine.network.foreign.firewalld import bound
from tests.host.daemons import Firewalld, Ufw
from tests.host.instance import Instance, until
from tests.host.manifests import put
from tests.host.netlab import HOST_IP, Lab
from tests.host.test_firewalls import firewall, host, told
from tests.host.test_upkeep import PORT, answers, web

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

__all__ = ["host"]


def test_ufw_is_named_with_its_own_commands_which_help(
    host: Lab, instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    outside = host.outside()
    ufw = Ufw(tmp_path)
    put(folder / "web.yaml", web(image))
    instance.watch(folder)
    until(lambda: len(told(instance)) >= 4, "forward and input of both families are told")
    assert not answers(outside, HOST_IP)
    until(answers, "from this host itself it is reached")
    assert firewall(instance)["others"] == ["ufw"]
    blocked = firewall(instance)["blocked"]
    assert all("(ufw's)" in one and "; try: ufw " in one for one in blocked)
    assert any("table ip filter, chain FORWARD (ufw's): its policy drop keeps others" in one for one in blocked)
    for command in sorted({c for one in blocked for c in one.partition("; try: ")[2].split(" && ")}):
        ufw.run(*shlex.split(command)[1:])
    until(lambda: answers(outside, HOST_IP), "the published port is reached")
    until(lambda: firewall(instance)["blocked"] == [], "nothing is blocked any more")
    until(lambda: told(instance)[-1][0] == "FirewallPasses", "it is told")
    assert "ufw" in told(instance)[-1][1]


def test_firewalld_has_our_bridge_in_its_trusted_zone(
    host: Lab, instance: Instance, image: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = host.outside()
    firewalld = Firewalld(tmp_path)
    monkeypatch.setenv("PATH", firewalld.path)
    bridge = names.bridge_name(instance.engine.layout.tag)

    def is_trusted() -> bool:
        return bound(ruleset.read(), bridge)

    with firewalld.running():
        put(folder / "web.yaml", web(image))
        instance.watch(folder)
        until(is_trusted, "the bridge is in the zone")
        until(lambda: answers(outside, HOST_IP), "the published port is reached")
        until(lambda: told(instance), "it is told")
        assert told(instance) == [("FirewallOpened", f"firewalld: {bridge} is in the zone trusted", 1)]
        assert firewall(instance)["others"] == ["firewalld"]
        assert firewall(instance)["blocked"] == []
        assert firewalld.command("--reload") == "success"
        until(is_trusted, "a reload is mended")
        assert firewalld.command("--permanent", "--zone=trusted", "--list-interfaces") == "", "nothing outlives us"
        (folder / "web.yaml").unlink()
        until(lambda: not is_trusted(), "the last pod takes it along")


def test_a_network_that_is_removed_leaves_its_zone(
    host: Lab, instance: Instance, image: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No controller is needed."""
    host.outside()
    firewalld = Firewalld(tmp_path)
    monkeypatch.setenv("PATH", firewalld.path)
    instance.ok("network", "create", "inner")
    (inner,) = json.loads(instance.ok("network", "inspect", "inner"))
    bridge = names.bridge_name(instance.engine.layout.tag)

    def trusted() -> list[str]:
        found = ruleset.read()
        return [one for one in (bridge, inner["network_interface"]) if bound(found, one)]

    with firewalld.running():
        there = web(image, "there", PORT + 1)
        there["metadata"]["annotations"] = {"reconciler/network": "inner"}
        put(folder / "web.yaml", web(image))
        put(folder / "there.yaml", there)
        instance.ok("apply", "--wait", "--timeout", 60, folder)
        assert trusted() == [bridge, inner["network_interface"]]
        (folder / "there.yaml").unlink()
        instance.ok("apply", "--wait", "--timeout", 60, folder)
        instance.ok("network", "rm", "inner")
        assert trusted() == [bridge]
        instance.ok("down", folder)
        assert trusted() == []


def test_iptables_legacy_is_seen(host: Lab, instance: Instance, image: str, folder: Path) -> None:
    done = subprocess.run(["iptables-legacy", "-P", "FORWARD", "DROP"], capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"this kernel has no iptables-legacy: {done.stderr.strip()}")
    outside = host.outside()
    put(folder / "web.yaml", web(image))
    done = instance.run("apply", "--wait", folder)
    assert "network: iptables-legacy table filter, chain FORWARD: its policy drop keeps others" in done.stderr
    assert firewall(instance)["others"] == ["iptables-legacy"]
    assert not answers(outside, HOST_IP)
    (blocked,) = firewall(instance)["blocked"]
    for command in blocked.partition("; try: ")[2].split(" && "):
        subprocess.run(shlex.split(command), check=True, timeout=30)
    assert answers(outside, HOST_IP)
    assert firewall(instance)["blocked"] == []
