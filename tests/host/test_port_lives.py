"""Ports and addresses over the lives of pods, beside a firewall that drops what is forwarded (docker's)."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from reconciler.linux.syscalls import in_network
from reconciler.model.key import PodId
from reconciler.model.observed import PidRef
from tests.host.instance import Instance, until
from tests.host.manifests import SERVE, Manifest, container, pod, put
from tests.host.netlab import HOST_IP, Lab, Node, serve
from tests.host.test_firewalls import DOCKER, host, iptables

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

__all__ = ["host"]
ONE, TWO = 18610, 18611


def site(image: str, name: str, port: int) -> Manifest:
    code = f"mkdir /site; echo {name} > /site/index.html; httpd -p 80 -h /site; {SERVE}"
    ports = [{"containerPort": 80, "hostPort": port}]
    return pod(name, container("app", image, command=["sh", "-c", code], ports=ports))


def page(where: Node, port: int) -> str:
    def get() -> str:
        with socket.create_connection((HOST_IP, port), 1) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(4096), b"")).decode().rpartition("\r\n\r\n")[2].strip()

    try:
        return where.run(get)
    except OSError:
        return ""


def test_two_pods_swap_their_ports(host: Lab, instance: Instance, image: str, folder: Path) -> None:
    """Each has to let go before the other can have it."""
    outside = host.outside()
    iptables(program="iptables-nft-restore", text=DOCKER)
    put(folder / "both.yaml", site(image, "one", ONE), site(image, "two", TWO))
    instance.watch(folder)
    until(lambda: (page(outside, ONE), page(outside, TWO)) == ("one", "two"), "both are served")
    put(folder / "both.yaml", site(image, "one", TWO), site(image, "two", ONE))
    until(lambda: (page(outside, ONE), page(outside, TWO)) == ("two", "one"), "they have swapped")
    assert not [e for e in instance.engine.events() if e.reason in ("FailedCreatePodSandBox", "FirewallBlocks")]


def test_a_recreated_pod_keeps_its_address_and_its_clients(
    host: Lab, instance: Instance, image: str, folder: Path
) -> None:
    outside = host.outside()
    iptables(program="iptables-nft-restore", text=DOCKER)
    ports = [{"containerPort": 80, "hostPort": ONE, "protocol": "UDP"}]
    put(folder / "web.yaml", pod("web", container("app", image, ports=ports)))
    instance.watch(folder)
    first = _infra(instance, None)
    before = _addresses(first)
    old = serve(host, first, "first", socket.SOCK_DGRAM, 80)
    with closing(old), outside.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(0.2)
        client.connect((HOST_IP, ONE))

        def said(name: str) -> bool:
            client.send(b"?")
            try:
                return client.recv(100).decode().split()[0] == name
            except OSError:
                return False

        until(lambda: said("first"), "the first life answers")
        put(folder / "web.yaml", pod("web", container("app", image, ports=ports), hostname="other"))
        second = _infra(instance, first.ref)
        assert _addresses(second) == before, "addresses and MAC are the same"
        with closing(serve(host, second, "second", socket.SOCK_DGRAM, 80)):
            until(lambda: said("second"), "the same socket of the client meets the second life")


def _infra(instance: Instance, before: PidRef | None) -> Node:
    """The pod's namespace, once its network stands; of another life than ``before``."""

    def life() -> PidRef | None:
        now = instance.running("web")
        infra = now.get("infra")
        return infra if infra and infra != before and "app" in now else None

    ref = until(life, "the pod runs")
    return Node(cast("subprocess.Popen[bytes]", None), ref, PodId(""))


def _addresses(node: Node) -> list[str]:
    """MAC and addresses of the pod's link."""
    fd = os.open(f"/proc/{node.ref.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        told = in_network(fd, lambda: subprocess.check_output(["ip", "-o", "addr", "show", "eth0"], text=True))
        link = in_network(fd, lambda: subprocess.check_output(["ip", "-o", "link", "show", "eth0"], text=True))
    finally:
        os.close(fd)
    mac = link.partition("link/ether ")[2].split()[0]
    return [mac, *sorted(line.split()[3] for line in told.splitlines() if "scope global" in line)]
