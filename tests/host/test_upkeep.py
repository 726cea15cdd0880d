"""What others do to the pods' network is mended while a controller watches, at once, told once, and never in a loop."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import check
from reconciler.engine.network import names, nft, portmap
from reconciler.linux.netlink_events import Notices, What
from reconciler.model.key import Key
from tests.host.instance import DEADLINE, Instance, until
from tests.host.manifests import SERVE as UNTIL_TERM
from tests.host.manifests import container, pod, put
from tests.host.netlab import HOST_IP, Lab, Node, lab

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
PORT = 18600
SERVE = ["sh", "-c", f"mkdir /site; echo hello > /site/index.html; httpd -p 80 -h /site; {UNTIL_TERM}"]


@pytest.fixture
def host() -> Iterator[Lab]:
    """Before ``instance`` among a test's arguments: its controller and pods live in this network."""
    with lab() as made:
        yield made


def web(image: str, name: str = "web", port: int = PORT) -> dict[str, object]:
    return pod(name, container("app", image, command=SERVE, ports=[{"containerPort": 80, "hostPort": port}]))


def answers(where: Node | None = None, ip: str = "127.0.0.1", port: int = PORT) -> bool:
    def get() -> bytes:
        with socket.create_connection((ip, port), 1) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(4096), b""))

    try:
        return b"hello" in (where.run(get) if where else get())
    except OSError:
        return False


def reasons(instance: Instance) -> list[tuple[str, int]]:
    """What the events tell of the host's network."""
    return [(event.reason, event.count) for event in instance.engine.events(about="network")]


def run(command: str) -> None:
    subprocess.run(command, shell=True, check=True, timeout=30)


@pytest.fixture
def tag(instance: Instance) -> str:
    return instance.engine.layout.tag


@pytest.fixture
def watched(host: Lab, instance: Instance, image: str, folder: Path) -> tuple[Instance, Node]:
    """A pod with a published port, a controller, and somebody outside who uses it."""
    outside = host.outside()
    put(folder / "web.yaml", web(image))
    instance.watch(folder)
    until(answers, "the pod is served")
    until(lambda: instance.engine.mend_network() == (), "all is as made")
    return instance, outside


def test_a_flushed_ruleset_is_declared_again_within_a_tenth_of_a_second(
    watched: tuple[Instance, Node], tag: str
) -> None:
    instance, outside = watched
    table = names.table_name(tag)
    before = instance.running("web")
    took = []
    for damage in ("flush ruleset", f"delete table inet {table}", f"flush chain inet {table} postrouting"):
        notices = Notices()
        nft.run(damage, "do damage")
        begun = time.monotonic()
        until(lambda n=notices: _declared(n, table), f"{table} is declared again after {damage}")
        took.append(time.monotonic() - begun)
        notices.close()
        until(lambda: answers(outside, HOST_IP), f"the port is reached again after {damage}")
    print("mended after", *(f"{seconds * 1e3:.0f} ms" for seconds in took))
    assert sorted(took)[1] < DEADLINE / 30, "20 ms where nothing else runs"
    assert instance.running("web") == before, "no process was touched"
    expected = [("FirewallChanged", 1), ("FirewallFlushed", 2)]
    until(lambda: sorted(reasons(instance)) == expected, "each is told once")
    log = instance.root / "controller.log"
    until(lambda: log.read_text().count("network mended") == 3, "each is logged once")
    assert re.search(rf"the nftables table {table} is gone \(changed by \S+\): put right", log.read_text())


def _declared(notices: Notices, table: str) -> bool:
    """Whether a rule of ours was written by the controller."""
    return any(n.what is What.TABLE and n.name == table and n.port != os.getpid() for n in notices.read())


def test_a_single_element_is_missed(watched: tuple[Instance, Node], tag: str) -> None:
    instance, _ = watched
    nft.run(f"delete element inet {names.table_name(tag)} any4 {{ tcp . {PORT} }}", "do damage")
    until(answers, "the port is published again")
    until(lambda: reasons(instance), "it is told")
    assert re.search(rf"does not publish {PORT}/tcp \(changed by \S+\): put right", instance.ok("events"))


def test_bridge_address_forwarding_and_links_are_put_back(watched: tuple[Instance, Node], tag: str) -> None:
    instance, outside = watched
    bridge = names.bridge_name(tag)
    (link,) = [name for _, name in socket.if_nameindex() if name.startswith(names.link_prefix(tag))]
    for damage, reason in (
        ("sysctl -qw net.ipv4.ip_forward=0", "SysctlChanged"),
        (f"ip addr flush dev {bridge}", "BridgeChanged"),
        (f"ip link set {bridge} down", "BridgeChanged"),
        (f"ip link set {link} nomaster", "LinkChanged"),
        (f"ip link del {bridge}", "BridgeChanged"),
        (f"ip link del {link}", "LinkChanged"),
    ):
        told = sum(count for name, count in reasons(instance) if name == reason)
        run(damage)

        def is_told(reason: str = reason, told: int = told) -> bool:
            return sum(count for name, count in reasons(instance) if name == reason) > told

        until(is_told, f"{damage} is told as {reason}")
        until(lambda: answers(outside, HOST_IP), f"the port is reached again after {damage}")
    until(lambda: instance.engine.mend_network() == (), "nothing else is wrong")


def test_who_sees_to_the_names_tells_of_a_bridge_that_was_gone(
    host: Lab, instance: Instance, image: str, folder: Path, tag: str
) -> None:
    outside = host.outside()
    put(folder / "web.yaml", web(image))
    instance.ok("apply", folder)
    run(f"ip link del {names.bridge_name(tag)}")
    assert instance.engine.tend_names() is not None, "a server runs"
    assert ("BridgeChanged", 1) in reasons(instance)
    until(lambda: answers(outside, HOST_IP), "the port is reached again")


def test_what_the_kernel_does_not_tell_is_mended_at_the_resync(
    host: Lab, instance: Instance, image: str, folder: Path, tag: str
) -> None:
    put(folder / "web.yaml", web(image))
    instance.watch("--resync", "1", folder)  # type: ignore[arg-type]
    until(answers, "the pod is served")
    run(f"sysctl -qw net.ipv4.conf.{names.bridge_name(tag)}.route_localnet=0")
    until(lambda: "SysctlChanged" in [reason for reason, _ in reasons(instance)], "it is told")
    until(answers, "127.0.0.1 leads to the pod again")


def test_somebody_who_flushes_in_a_loop_makes_nobody_spin(watched: tuple[Instance, Node]) -> None:
    instance, _ = watched
    controller = instance._controllers[0]
    stop = threading.Event()

    def flush() -> None:
        while not stop.is_set():
            nft.run("flush ruleset", "do damage")
            stop.wait(0.002)

    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    before, begun = _cpu(controller.pid), time.monotonic()
    thread = threading.Thread(target=flush)  # in this thread's network, as every thread of its making
    thread.start()
    log = instance.root / "controller.log"
    until(lambda: "network damaged again and again" in log.read_text(), "the limit is told")
    stop.wait(1.0)  # time in which it could spin; nothing tells of what does not happen
    spent, passed = _cpu(controller.pid) - before, time.monotonic() - begun
    stop.set()
    thread.join()
    os.close(home)
    assert log.read_text().count("network mended") <= 6
    assert spent < 0.5 * passed, f"{spent:.2f} s of processor time in {passed:.2f} s"
    until(answers, "it is mended when the flushing has ended", 60)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_a_controller_apply_mends_and_check_tells(
    host: Lab, instance: Instance, image: str, folder: Path, tag: str
) -> None:
    put(folder / "web.yaml", web(image))
    instance.ok("apply", "--wait", folder)
    until(answers, "the pod is served")
    nft.run("flush ruleset", "do damage")
    (leak,) = check.check(instance.engine.context, patience=0)
    assert f"the nftables table {names.table_name(tag)} is gone" in leak.why
    assert instance.engine.info()["network"]["damaged"] == [f"the nftables table {names.table_name(tag)} is gone"]
    done = instance.run("apply", folder)
    assert done.returncode == 0, done.stderr
    assert f"network: the nftables table {names.table_name(tag)} is gone: put right" in done.stderr
    until(answers, "the pod is reached from this host")
    assert "network:" not in instance.run("apply", folder).stderr


def test_pods_come_and_go_without_a_look_at_the_table(host: Lab, instance: Instance, image: str, folder: Path) -> None:
    """The controller's own changes are known by their port: nothing is read again because of them."""
    put(folder / "web.yaml", web(image))
    instance.watch(folder)
    until(answers, "the first pod is served")
    for number in range(1, 3):
        put(folder / f"web{number}.yaml", web(image, f"web{number}", PORT + number))
    until(lambda: all(answers(port=PORT + number) for number in range(1, 3)), "all pods are served")
    (folder / "web2.yaml").unlink()
    until(lambda: not instance.running("web2"), "the pod is gone")
    assert "network mended" not in (instance.root / "controller.log").read_text()
    assert reasons(instance) == []


def test_the_table_that_another_process_took_away_with_the_last_pod_is_there_for_the_next(
    host: Lab, instance: Instance, image: str, folder: Path, tag: str
) -> None:
    """A controller knows what it made the table say, and asks the kernel no more than it must."""
    other = folder.parent / "other"
    other.mkdir()
    instance.watch(folder)
    put(folder / "one.yaml", pod("one", container("app", image)))
    until(lambda: "app" in instance.running("one"), "the controller's pod runs")
    put(other / "two.yaml", pod("two", container("app", image)))
    instance.ok("apply", "--wait", other)
    (folder / "one.yaml").unlink()
    until(lambda: instance.engine.keys() == (Key("default", "two"),), "the controller's pod is gone")
    assert portmap.look(tag).chains
    instance.ok("down", other)
    until(lambda: not portmap.look(tag).chains, "nothing is left of the network")
    put(folder / "three.yaml", pod("three", container("app", image)))
    until(lambda: "app" in instance.running("three"), "the controller's next pod runs")
    assert portmap.look(tag).chains
