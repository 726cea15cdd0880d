"""Host ports as a user publishes them: ranges and addresses of both families, conflicts told before anything stops."""

from __future__ import annotations

import socket
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.network import ports
from reconciler.model.spec import PortBinding, Protocol
from tests.host.instance import DEADLINE, Instance, until
from tests.host.lives import expect_settled
from tests.host.manifests import container, pod, put
from tests.host.netlab import ask

pytestmark = pytest.mark.host

TCP = socket.SOCK_STREAM
ANSWER = 'trap "exit 0" TERM; while :; do nc -l -p "$PORT" -e echo "$NAME"; done & wait'


def server(name: str, image: str, port: int) -> dict[str, Any]:
    env = [{"name": "NAME", "value": name}, {"name": "PORT", "value": str(port)}]
    return container(name, image, command=["sh", "-c", ANSWER], env=env)


def publishing(name: str, text: str, *containers: dict[str, Any]) -> dict[str, Any]:
    manifest = pod(name, *containers)
    manifest["metadata"]["annotations"] = {"reconciler/publish": text}
    return manifest


def told(instance: Instance, folder: Path) -> str:
    return instance.run("apply", folder).stderr


def test_a_range_is_published_and_held_and_given_back(instance: Instance, image: str, folder: Path) -> None:
    """A thousand ports: by one socket each, in the monitor alone."""
    text = "20000-20999:20000-20999\n[::]:18080:80,127.0.0.1:18080:80/tcp"
    put(folder / "a.yaml", publishing("a", text, server("one", image, 20700), server("two", image, 80)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert until(lambda: ask(None, TCP, "127.0.0.1", 20700), "it answers") == ["one"]
    assert until(lambda: ask(None, TCP, "127.0.0.1", 18080), "it answers") == ["two"]
    with closing(socket.socket()) as thief, pytest.raises(OSError, match="in use"):
        thief.bind(("0.0.0.0", 20999))
    assert "20000-20999->20000-20999/TCP" in instance.ok("get", "pods", "-o", "wide")
    expect_settled(instance, folder)

    put(folder / "b.yaml", publishing("b", "20990-21000:1-11", server("one", image, 1)))
    said = told(instance, folder)
    assert "ports 20990/tcp, 20991/tcp, 20992/tcp and 7 more are held by pod default/a" in said
    assert said.count("held by") == 1
    put(folder / "a.yaml", publishing("a", "", server("one", image, 20700), server("two", image, 80)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert ask(None, TCP, "127.0.0.1", 20700, 1) == []


def test_what_cannot_be_published_here_is_told_and_the_pod_goes_on(
    instance: Instance, image: str, folder: Path
) -> None:
    put(folder / "a.yaml", publishing("a", "18081:80", container("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = instance.running("a")
    with closing(socket.create_server(("::1", 18082), family=socket.AF_INET6)):
        for text, says in (
            ("18082:80", "port 18082/tcp is held by pid "),
            ("203.0.113.9:18083:80", "host address 203.0.113.9: this host does not have it"),
            ("[2001:db8::9]:18083:80", "host address 2001:db8::9: this host does not have it"),
            ("[::1]:18083:80", "ports cannot be published on ::1"),
            ("18083:80/sctp", "port 18083/sctp: this kernel has no SCTP (modprobe sctp)"),
        ):
            if "sctp" in text and not list(ports.problems([PortBinding(1, 1, Protocol.SCTP)], "")):
                continue
            put(folder / "a.yaml", publishing("a", text, container("one", image)))
            assert says in told(instance, folder)
            assert instance.running("a") == before
    put(folder / "a.yaml", publishing("a", "18081:80", container("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert instance.running("a") == before


def test_a_machine_that_has_no_names_for_protocols(instance: Instance, image: str, folder: Path) -> None:
    """A bare Debian has no /etc/protocols (package netbase), and nft shows numbers."""
    ports = [{"containerPort": 80, "hostPort": 18390, "protocol": name} for name in ("TCP", "UDP")]
    subprocess.run(["mount", "--bind", "/dev/null", "/etc/protocols"], check=True, timeout=30)
    try:
        put(folder / "p.yaml", pod("p", container("app", image, ports=ports)))
        instance.ok("apply", "--wait", "--timeout", 60, folder)
        assert instance.run("system", "check").stdout.startswith("clean")
        assert instance.run("diff", folder).returncode == 0
        instance.ok("down", "--timeout", 60, folder)
    finally:
        subprocess.run(["umount", "/etc/protocols"], check=True, timeout=30)


RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_that_are_chosen_are_nobody_elses_from_then_on(instance: Instance, image: str) -> None:
    """Four commands at once, for which there are four ports: each gets one."""
    instance.ok("run", "--rm", image, "true")
    before = RANGE.read_text()
    RANGE.write_text("28080 28083")
    words = [instance.command("run", "-d", "--name", f"p{n}", "-p", "80", image, "sleep", "1000") for n in range(4)]
    try:
        commands = [subprocess.Popen(w, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for w in words]
        said = [command.communicate(timeout=3 * DEADLINE) for command in commands]
    finally:
        RANGE.write_text(before)
    assert [(command.returncode, err) for command, (_, err) in zip(commands, said, strict=True)] == [(0, "")] * 4
    found = [instance.ok("port", f"p{n}", "80").splitlines()[0] for n in range(4)]
    assert sorted(found) == [f"0.0.0.0:{28080 + n}" for n in range(4)]
