"""A host of our own for network tests: a network namespace that the test's thread lives in meanwhile, an outside
world behind a veth, processes in namespaces of their own as pods. Everything dies with its processes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import TypeVar

from reconciler.engine import processes
from reconciler.engine.network import bridge, netlink, pod
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.linux.rtchanges import NODAD
from reconciler.linux.syscalls import KERNEL, Namespace, in_network
from reconciler.model.key import PodId
from reconciler.model.observed import PidRef
from tests.slowness import seconds

T = TypeVar("T")

HOST_IP, OUTSIDE_IP = "198.51.100.1", "198.51.100.2"
HOST_IP6, OUTSIDE_IP6 = "2001:db8:51::1", "2001:db8:51::2"
NETWORK, NETWORK6 = IPv4Network("10.101.0.0/24"), IPv6Network("fd10:101::/64")
PATIENCE = seconds(30.0)


@dataclass
class Node:
    """A process in a network namespace of its own."""

    process: subprocess.Popen[bytes]
    ref: PidRef
    id: PodId
    ip: str = ""
    ip6: str = ""

    def run(self, call: Callable[[], T]) -> T:
        """In the node's namespace; sockets made there stay there."""
        fd = os.open(f"/proc/{self.ref.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return in_network(fd, call)
        finally:
            os.close(fd)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Lab:
    stack: ExitStack
    tag: str = "tst2"
    nodes: list[Node] = field(default_factory=list)

    @property
    def config(self) -> BridgeConfig:
        return BridgeConfig(self.tag, NETWORK, 1400, NETWORK6)

    def node(self) -> Node:
        process = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        ref = processes.pid_ref(process.pid)
        assert ref is not None
        node = Node(process, ref, PodId(os.urandom(32).hex()))
        self.stack.callback(node.kill)
        return node

    def pod(self, ip: str, config: BridgeConfig | None = None) -> Node:
        node = self.node()
        config = config or self.config
        node.ip, node.ip6 = ip, ip6_of(ip, config)
        pod.attach(config, node.id, node.ref, node.ip, node.ip6)
        return node

    def machine(self, link: str, here: str, there: str) -> Node:
        """One more machine, on a link of its own, by IPv6; its way to everybody else is this host."""
        node = self.node()
        fd = os.open(f"/proc/{node.ref.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with netlink.here("make another link") as ip:
                ip.link("add", ifname=link, kind="veth", peer={"ifname": "eth0", "net_ns_fd": fd})
                index = netlink.index_here(link)
                ip.addr("add", index=index, address=here, prefixlen=64, flags=NODAD)
                ip.link("set", index=index, state="up")
            inside("set up the machine", fd, lambda ip: reach(ip, there, here))
        finally:
            os.close(fd)
        return node

    def outside(self) -> Node:
        """Another machine on the host's uplink, which is also the way to the rest of the world."""
        node = self.node()
        fd = os.open(f"/proc/{node.ref.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with netlink.here("make the uplink") as ip:
                ip.link("add", ifname="up0", kind="veth", mtu=1400, peer={"ifname": "eth0", "net_ns_fd": fd})
                _up(ip, "up0", HOST_IP, HOST_IP6)
                ip.route("add", dst="default", gateway=OUTSIDE_IP)
                ip.route("add", family=socket.AF_INET6, dst="default", gateway=OUTSIDE_IP6)
            inside("set up the outside", fd, lambda ip: _up(ip, "eth0", OUTSIDE_IP, OUTSIDE_IP6))
        finally:
            os.close(fd)
        return node


def inside(doing: str, fd: int, work: Callable[[netlink.Socket], T]) -> T:
    """Run ``work`` with an rtnetlink socket of the namespace ``fd``."""

    def body() -> T:
        with netlink.here(doing) as ip:
            return work(ip)

    return in_network(fd, body)


def reach(ip: netlink.Socket, address: str, gateway: str) -> None:
    index = netlink.index_here("eth0")
    ip.addr("add", index=index, address=address, prefixlen=64, flags=NODAD)
    ip.link("set", index=index, state="up")
    ip.route("add", family=socket.AF_INET6, dst="default", gateway=gateway)


def ip6_of(ip: str, config: BridgeConfig) -> str:
    """The IPv6 address with the number that ``ip`` has in the network, as leases have it."""
    if config.network6 is None:
        return ""
    return str(config.network6[int(ip_address(ip)) - int(config.network.network_address)])


def _up(ip: netlink.Socket, name: str, address: str, address6: str) -> None:
    index = netlink.index_here(name)
    ip.addr("add", index=index, address=address, prefixlen=24)
    ip.addr("add", index=index, address=address6, prefixlen=64, flags=NODAD)
    ip.link("set", index=index, state="up")
    ip.link("set", index=1, state="up")


@contextmanager
def lab() -> Iterator[Lab]:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    KERNEL.unshare(Namespace.NETWORK)
    try:
        with ExitStack() as stack:
            with netlink.here("bring up loopback") as ip:
                ip.link("set", index=1, state="up")
            yield Lab(stack)
    finally:
        KERNEL.setns(home, Namespace.NETWORK)
        os.close(home)


@contextmanager
def bridged() -> Iterator[Lab]:
    """With the bridge standing."""
    with lab() as made:
        bridge.ensure_bridge(made.config)
        yield made


class Server:
    """Answers each connection (or datagram) with its own name and the address the client seems to have."""

    def __init__(self, name: str, kind: int, ip: str, port: int) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in ip:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind((ip, port))
        if kind == socket.SOCK_STREAM:
            self.socket.listen(16)
        self.thread = threading.Thread(target=self._tcp if kind == socket.SOCK_STREAM else self._udp, daemon=True)
        self.thread.start()

    def _tcp(self) -> None:
        with suppress(OSError):
            while True:
                one, peer = self.socket.accept()
                threading.Thread(target=self._talk, args=(one, peer), daemon=True).start()

    def _talk(self, one: socket.socket, peer: tuple[str, int]) -> None:
        with one, suppress(OSError):
            while one.recv(100):
                one.sendall(f"{self.name} {shown(peer[0])}".encode())

    def _udp(self) -> None:
        with suppress(OSError):
            while True:
                _, peer = self.socket.recvfrom(100)
                if not peer:
                    return
                self.socket.sendto(f"{self.name} {shown(peer[0])}".encode(), peer)

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(PATIENCE)


def shown(ip: str) -> str:
    """An IPv4 client of a dual-stack server as IPv4."""
    return ip.removeprefix("::ffff:")


def serve(lab: Lab, where: Node | None, name: str, kind: int, port: int, ip: str = "::") -> Server:
    """A server in a node, or on the host (None); on every address of both families."""

    def make() -> Server:
        return Server(name, kind, ip, port)

    server = where.run(make) if where else make()
    lab.stack.callback(server.close)
    return server


def ask(where: Node | None, kind: int, ip: str, port: int, patience: float = PATIENCE) -> list[str]:
    """What answers there, seen from a node or from the host: name of the server, address it saw. [] for nothing."""

    def connect() -> socket.socket:
        one = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind)
        one.settimeout(patience)
        return one

    with closing(where.run(connect) if where else connect()) as one:
        try:
            one.connect((ip, port))
            one.sendall(b"?")
            return one.recv(100).decode().split()
        except (ConnectionError, TimeoutError, OSError):
            return []


def set_sysctl(name: str, value: str) -> None:
    """Of the namespace that the test lives in; nothing where this kernel has no such setting."""
    path = Path("/proc/sys/net") / name
    if path.exists():
        path.write_text(value)
