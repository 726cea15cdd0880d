"""Published ports with real TCP and UDP traffic, from everywhere a client can be; who holds a port; what is
forgotten."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import TypeVar

import pytest

from reconciler.engine.network import bridge, conntrack, nft, portmap, ports
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.engine.network.portmap import Published
from reconciler.model.errors import HostUnfit, InvalidInput, PortTaken, TryLater
from reconciler.model.key import PodId
from reconciler.model.spec import PortBinding, Protocol
from tests.host.netlab import HOST_IP, HOST_IP6, OUTSIDE_IP, OUTSIDE_IP6, Lab, Node, ask, bridged, serve, set_sysctl
from tests.slowness import seconds

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
SCTP_HERE = not list(ports.problems([PortBinding(1, 1, Protocol.SCTP)], ""))
BOTH = pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
PROTOCOL = {TCP: Protocol.TCP, UDP: Protocol.UDP}
T = TypeVar("T")
OTHER = BridgeConfig("oth2", IPv4Network("10.102.0.0/24"), 1400)


@pytest.fixture(params=["1", "0"], ids=["bridged frames are filtered", "bridged frames are not filtered"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """br_netfilter decides whether hairpin traffic meets our rules as packets or passes below them as frames."""
    with bridged() as made:
        set_sysctl("bridge/bridge-nf-call-iptables", request.param)
        yield made


@pytest.fixture
def plain() -> Iterator[Lab]:
    with bridged() as made:
        yield made


def binding(kind: int, host_port: int = 8080, port: int = 80, host_ip: str = "") -> PortBinding:
    return PortBinding(host_port, port, PROTOCOL[kind], host_ip)


def published(node: Node, *bindings: PortBinding) -> Published:
    return Published(node.id, node.ip, bindings, node.ip6)


def declare(lab: Lab, *some: Published) -> bool:
    return portmap.declare(lab.tag, [lab.config], some)


@BOTH
def test_a_published_port_is_reached_from_everywhere(lab: Lab, kind: int) -> None:
    outside, web, other = lab.outside(), lab.pod("10.101.0.2"), lab.pod("10.101.0.3")
    serve(lab, web, "web", kind, 80)
    held = ports.hold([binding(kind)])
    declare(lab, published(web, binding(kind)))
    try:
        assert ask(None, kind, "127.0.0.1", 8080) == ["web", "10.101.0.1"]
        assert ask(None, kind, "127.0.0.5", 8080) == ["web", "10.101.0.1"]
        assert ask(None, kind, HOST_IP, 8080)[0] == "web"
        assert ask(outside, kind, HOST_IP, 8080) == ["web", OUTSIDE_IP], "the pod sees the client's own address"
        for client in (web, other):
            for address in (HOST_IP, "10.101.0.1"):
                assert ask(client, kind, address, 8080)[0] == "web"
            assert ask(client, kind, "127.0.0.1", 8080, 0.3) == [], "a pod's loopback is its own"
        assert ask(outside, kind, OUTSIDE_IP, 8080, 0.3) == []
    finally:
        for one in held:
            one.close()


@BOTH
def test_a_published_port_is_reached_from_everywhere_by_ipv6(lab: Lab, kind: int) -> None:
    outside, web, other = lab.outside(), lab.pod("10.101.0.2"), lab.pod("10.101.0.3")
    serve(lab, web, "web", kind, 80)
    held = ports.hold([binding(kind)])
    declare(lab, published(web, binding(kind)))
    try:
        assert ask(None, kind, HOST_IP6, 8080) == ["web", "fd10:101::1"]
        assert ask(outside, kind, HOST_IP6, 8080) == ["web", OUTSIDE_IP6], "the pod sees the client's own address"
        for client in (web, other):
            for address in (HOST_IP6, "fd10:101::1"):
                assert ask(client, kind, address, 8080)[0] == "web"
            assert ask(client, kind, "::1", 8080, 0.3) == [], "a pod's loopback is its own"
        assert ask(outside, kind, OUTSIDE_IP6, 8080, 0.3) == []
    finally:
        for one in held:
            one.close()


@BOTH
def test_the_hosts_ipv6_loopback_refuses_at_once(plain: Lab, kind: int) -> None:
    """Nothing can be forwarded from ::1; a client that tries localhost goes on to 127.0.0.1 without waiting."""
    web = plain.pod("10.101.0.2")
    serve(plain, web, "web", kind, 80)
    (held,) = ports.hold([binding(kind)])
    declare(plain, published(web, binding(kind)))
    with held, socket.socket(socket.AF_INET6, kind) as client:
        client.settimeout(seconds(5))
        begun = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            client.connect(("::1", 8080))
            client.send(b"?")
            client.recv(100)
        assert time.monotonic() - begun < seconds(4), "it would be 5 where nobody refuses"
        assert ask(None, kind, "127.0.0.1", 8080)[0] == "web"


@pytest.mark.parametrize(
    ("host_ip", "reached", "not_reached"),
    [
        pytest.param("0.0.0.0", (HOST_IP, "127.0.0.1"), (HOST_IP6,), id="every IPv4 address"),
        pytest.param("::", (HOST_IP6,), (HOST_IP, "127.0.0.1"), id="every IPv6 address"),
        pytest.param(HOST_IP6, (HOST_IP6,), (HOST_IP, "127.0.0.1", "fd10:101::1"), id="one IPv6 address"),
    ],
)
def test_a_host_address_is_of_one_family(
    plain: Lab, host_ip: str, reached: tuple[str, ...], not_reached: tuple[str, ...]
) -> None:
    outside, web = plain.outside(), plain.pod("10.101.0.2")
    serve(plain, web, "web", TCP, 80)
    (held,) = ports.hold([binding(TCP, host_ip=host_ip)])
    with held:
        declare(plain, published(web, binding(TCP, host_ip=host_ip)))
        for address in reached:
            assert ask(None, TCP, address, 8080)[0] == "web"
            if not address.startswith("127."):
                assert ask(outside, TCP, address, 8080)[0] == "web"
        for address in not_reached:
            assert ask(None, TCP, address, 8080, 0.3) == []


@pytest.mark.skipif(not SCTP_HERE, reason="this kernel has no SCTP (modprobe sctp)")
def test_a_published_sctp_port_is_reached_from_everywhere(plain: Lab) -> None:
    outside, web = plain.outside(), plain.pod("10.101.0.2")
    one = PortBinding(8080, 80, Protocol.SCTP)
    (held,) = ports.hold([one])

    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET6, TCP, socket.IPPROTO_SCTP)
        listener.bind(("::", 80))
        listener.listen()
        return listener

    def answered(where: Node | None, address: str) -> bool:
        def connect() -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            client = socket.socket(family, TCP, socket.IPPROTO_SCTP)
            client.settimeout(5)
            return client

        with where.run(connect) if where else connect() as client:
            client.connect((address, 8080))
            client.sendall(b"?")
            with listener.accept()[0] as there:
                return there.recv(100) == b"?"

    with held, web.run(listen) as listener:
        declare(plain, published(web, one))
        for address in (HOST_IP, HOST_IP6):
            assert answered(outside, address)
            assert answered(None, address)
        assert answered(None, "127.0.0.1")


@pytest.mark.skipif(SCTP_HERE, reason="this kernel has SCTP")
def test_a_kernel_without_sctp_is_told_by_name(plain: Lab) -> None:
    one = PortBinding(8080, 80, Protocol.SCTP)
    assert list(ports.problems([one], "")) == ["port 8080/sctp: this kernel has no SCTP (modprobe sctp)"]
    with pytest.raises(HostUnfit, match="cannot publish port 8080/sctp"):
        ports.hold([one])


@BOTH
def test_a_port_of_one_host_address_is_reached_only_there(lab: Lab, kind: int) -> None:
    outside, web, other = lab.outside(), lab.pod("10.101.0.2"), lab.pod("10.101.0.3")
    serve(lab, web, "local", kind, 80)
    serve(lab, other, "public", kind, 80)
    mine, theirs = binding(kind, host_ip="127.0.0.1"), binding(kind, host_ip=HOST_IP)
    held = ports.hold([mine, theirs])
    declare(lab, published(web, mine), published(other, theirs))
    try:
        assert ask(None, kind, "127.0.0.1", 8080)[0] == "local"
        for client in (None, outside, web, other):
            assert ask(client, kind, HOST_IP, 8080)[0] == "public"
        assert ask(None, kind, "127.0.0.2", 8080, 0.3) == []
    finally:
        for one in held:
            one.close()


def test_a_port_of_another_machine_is_left_alone(plain: Lab) -> None:
    outside, web = plain.outside(), plain.pod("10.101.0.2")
    serve(plain, outside, "outside", TCP, 8080)
    declare(plain, published(web, binding(TCP)))
    assert ask(None, TCP, OUTSIDE_IP, 8080) == ["outside", HOST_IP]
    assert ask(web, TCP, OUTSIDE_IP, 8080) == ["outside", HOST_IP]


def test_connections_live_through_a_new_declaration(plain: Lab) -> None:
    outside, web, new = plain.outside(), plain.pod("10.101.0.2"), plain.pod("10.101.0.3")
    serve(plain, web, "web", TCP, 80)
    declare(plain, published(web, binding(TCP)))
    with outside.run(lambda: socket.create_connection((HOST_IP, 8080), 5)) as client:
        client.sendall(b"?")
        assert client.recv(100).startswith(b"web")
        assert portmap.declare(
            plain.tag, [plain.config], [published(web, binding(TCP)), published(new, binding(TCP, 8081))]
        )
        _break_a_rule()
        assert declare(plain, published(web, binding(TCP)))
        client.sendall(b"?")
        assert client.recv(100).startswith(b"web")


def test_only_a_difference_is_written(plain: Lab) -> None:
    web = plain.pod("10.101.0.2")
    wanted = [published(web, binding(TCP), binding(UDP), binding(TCP, 8443, 443, HOST_IP))]
    assert declare(plain, *wanted)
    assert not declare(plain, *wanted)
    assert portmap.current("tst2") == set(portmap.elements(wanted[0]))
    assert {e.pod for e in portmap.current("tst2")} == {web.id}


def test_what_others_did_to_the_table_is_mended(plain: Lab) -> None:
    web = plain.pod("10.101.0.2")
    serve(plain, web, "web", TCP, 80)
    wanted = [published(web, binding(TCP))]
    for damage in (
        "flush ruleset",
        "flush table inet reconciler_tst2",
        "flush map inet reconciler_tst2 any4",
        'add element inet reconciler_tst2 any4 { tcp . 9999 comment "x" : 10.101.0.9 . 1 }',
        "flush ruleset; table inet reconciler_tst2 { chain output { type filter hook output priority 5; }; }",
    ):
        declare(plain, *wanted)
        nft.run(damage, "do damage")
        assert declare(plain, *wanted), damage
        assert portmap.current("tst2") == set(portmap.elements(wanted[0])), damage
        assert ask(None, TCP, "127.0.0.1", 8080)[0] == "web", damage


def test_two_pods_swap_their_ports(plain: Lab) -> None:
    one, two = plain.pod("10.101.0.2"), plain.pod("10.101.0.3")
    for node, name in ((one, "one"), (two, "two")):
        for kind in (TCP, UDP):
            serve(plain, node, name, kind, 80)
    for first, second in ((one, two), (two, one)):
        wanted = [
            published(first, binding(TCP), binding(UDP)),
            published(second, binding(TCP, 8081), binding(UDP, 8081)),
        ]
        declare(plain, *wanted)
        for one_published in wanted:
            conntrack.flush([one_published.ip, one_published.ip6], one_published.ports)
        names = {one.id: "one", two.id: "two"}
        for kind in (TCP, UDP):
            assert ask(None, kind, "127.0.0.1", 8080)[0] == names[first.id]
            assert ask(None, kind, "10.101.0.1", 8081)[0] == names[second.id]


def test_two_instances_do_not_clash(plain: Lab) -> None:
    bridge.ensure_bridge(OTHER)
    mine, theirs = plain.pod("10.101.0.2"), plain.pod("10.102.0.2", OTHER)
    for node, name in ((mine, "mine"), (theirs, "theirs")):
        serve(plain, node, name, TCP, 80)
    declare(plain, published(mine, binding(TCP, 8081)))
    portmap.declare(OTHER.tag, [OTHER], [published(theirs, binding(TCP, 8082))])
    for client in (None, mine, theirs):
        address = "127.0.0.1" if client is None else "10.101.0.1"
        assert ask(client, TCP, address, 8081)[0] == "mine"
        assert ask(client, TCP, address, 8082)[0] == "theirs"
    portmap.remove_table("oth2")
    portmap.remove_table("oth2")
    assert portmap.current("oth2") == frozenset()
    assert ask(None, TCP, "127.0.0.1", 8081)[0] == "mine"
    assert ask(None, TCP, "127.0.0.1", 8082, 0.5) == []


@pytest.mark.parametrize("host_ip", [HOST_IP, HOST_IP6], ids=["IPv4", "IPv6"])
def test_a_udp_client_that_keeps_sending_meets_the_pods_next_life(plain: Lab, host_ip: str) -> None:
    outside, web = plain.outside(), plain.pod("10.101.0.2")
    new = plain.pod("10.101.0.3")
    serve(plain, web, "old", UDP, 80)
    serve(plain, new, "new", UDP, 80)
    declare(plain, published(web, binding(UDP)))
    family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
    with outside.run(lambda: socket.socket(family, UDP)) as client:
        client.settimeout(2)
        client.connect((host_ip, 8080))

        def said() -> bytes:
            client.send(b"?")
            return client.recv(100).split()[0]

        assert said() == b"old"
        declare(plain, published(new, binding(UDP)))
        assert said() == b"old", "this is what flushing is for"
        assert conntrack.flush([web.ip, web.ip6], [binding(UDP)]) == 1
        assert said() == b"new"


def test_a_udp_client_that_came_too_early_is_not_lost(plain: Lab) -> None:
    outside, web = plain.outside(), plain.pod("10.101.0.2")
    serve(plain, web, "web", UDP, 80)
    declare(plain)
    (held,) = ports.hold([binding(UDP)])
    with held, outside.run(lambda: socket.socket(socket.AF_INET, UDP)) as client:
        client.settimeout(0.3)
        client.connect((HOST_IP, 8080))
        client.send(b"?")
        declare(plain, published(web, binding(UDP)))
        client.send(b"?")
        with pytest.raises(TimeoutError):
            client.recv(100)
        assert conntrack.flush([web.ip, web.ip6], [binding(UDP)]) == 1
        client.send(b"?")
        assert client.recv(100).startswith(b"web")


def test_forgetting_spares_flows_of_others(plain: Lab) -> None:
    outside, web, other = plain.outside(), plain.pod("10.101.0.2"), plain.pod("10.101.0.3")
    serve(plain, web, "web", UDP, 80)
    serve(plain, other, "other", UDP, 80)
    serve(plain, outside, "far", UDP, 8080)
    declare(plain, published(web, binding(UDP)), published(other, binding(UDP, 8081)))
    assert ask(None, UDP, "127.0.0.1", 8080)[0] == "web"
    assert ask(other, UDP, OUTSIDE_IP, 8080)[0] == "far"
    assert ask(None, UDP, "127.0.0.1", 8081)[0] == "other"
    assert conntrack.flush([web.ip, web.ip6], [binding(TCP)]) == 0
    assert conntrack.flush([web.ip, web.ip6], [binding(UDP)]) == 1
    assert conntrack.flush([web.ip, web.ip6], [binding(UDP)]) == 0
    assert conntrack.flush([other.ip, other.ip6], [binding(UDP, 8081)]) == 2


@BOTH
def test_a_held_port_cannot_be_stolen(plain: Lab, kind: int) -> None:
    """In neither family, by nobody."""
    (held,) = ports.hold([binding(kind)])
    with held:
        expect_not_to_be_had(kind)
    (again,) = ports.hold([binding(kind)])
    again.close()


def expect_not_to_be_had(kind: int) -> None:
    for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        for address in ("0.0.0.0", "127.0.0.1", "::", "::1"):
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as thief:
                if option:
                    thief.setsockopt(socket.SOL_SOCKET, option, 1)
                if ":" in address:
                    thief.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                with pytest.raises(OSError, match="in use"):
                    thief.bind((address, 8080))


def test_ports_of_one_family_are_held_in_that_family_alone(plain: Lab) -> None:
    held = ports.hold([binding(TCP, host_ip="0.0.0.0"), binding(TCP, host_ip="::")])
    assert len(held) == 2
    for one in held:
        one.close()
    (held4,) = ports.hold([binding(TCP)], ipv6=False)
    with held4, socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::", 8080))


def test_a_held_port_without_its_rule_refuses_at_once(plain: Lab) -> None:
    (held,) = ports.hold([binding(TCP)])
    with held, socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.settimeout(2)
        client.connect(("127.0.0.1", 8080))


def test_a_port_in_time_wait_can_be_held(plain: Lab) -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 8080))
        server.listen()
        with socket.create_connection(("127.0.0.1", 8080)) as client:
            one, _ = server.accept()
            one.close()  # the side that closes first waits
            client.recv(1)
    with socket.socket() as plain_bind, pytest.raises(OSError, match="in use"):
        plain_bind.bind(("0.0.0.0", 8080))
    (held,) = ports.hold([binding(TCP)])
    with held:
        expect_not_to_be_had(TCP)
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", 8080))


@pytest.mark.parametrize("how", ["listening", "dual-stack", "IPv6 alone", "bound", "udp", "connected"])
def test_who_has_a_port_is_told_by_pid_and_name(plain: Lab, how: str) -> None:
    kind = UDP if how == "udp" else TCP
    with _stranger(how) as stranger:
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "bound\n"
        name = f"pid {stranger.pid} (python"
        with pytest.raises(PortTaken, match=r"cannot publish port 8080/(tcp|udp): it is held by pid") as e:
            ports.hold([binding(kind, 8081), binding(kind)])
        assert name in e.value.message
        (holder,) = ports.holders([binding(kind, 8081), binding(kind)])
        assert str(holder).startswith(name)
        assert holder.binding == binding(kind)
        ports.hold([binding(kind, 8081)])[0].close()  # all or none: this one was let go
        stranger.kill()
    assert ports.holders([binding(kind)]) == ()


def test_a_port_held_in_another_namespace_is_free_here(plain: Lab) -> None:
    node = plain.node()
    serve(plain, node, "elsewhere", TCP, 8080)
    assert ports.holders([binding(TCP)]) == ()
    with node.run(lambda: ports.hold([binding(TCP, 8090)])[0]), ports.hold([binding(TCP, 8090)])[0]:
        (holder,) = ports.holders([binding(TCP, 8090)])
        assert holder.pid == os.getpid()


def test_a_host_address_that_is_not_ours_is_bad_input(plain: Lab) -> None:
    with pytest.raises(InvalidInput, match=r"203.0.113.9 is no address of this host"):
        ports.hold([binding(TCP, host_ip="203.0.113.9")])
    with pytest.raises(InvalidInput, match=r"\[2001:db8::9\]:8080/tcp: 2001:db8::9 is no address of this host"):
        ports.hold([binding(TCP, host_ip="2001:db8::9")])
    wanted = [binding(TCP, host_ip="203.0.113.9"), binding(TCP, host_ip="2001:db8::9")]
    assert list(ports.problems(wanted, "it is off")) == [
        "host address 2001:db8::9: the pod has no IPv6: it is off",
        "host address 2001:db8::9: this host does not have it",
        "host address 203.0.113.9: this host does not have it",
    ]
    assert ports.holders([binding(TCP, host_ip="203.0.113.9")]) == ()


def test_a_thousand_ports_are_published_in_time(plain: Lab) -> None:
    """In both families; and one more beside them, and all of them gone again. One socket holds each."""
    bindings = tuple(binding(TCP, 10000 + n) for n in range(1000))
    one = Published(PodId("a" * 64), "10.101.0.2", bindings, "fd10:101::2")
    two = Published(PodId("b" * 64), "10.101.0.3", (binding(TCP, 9000),), "fd10:101::3")
    took = {}

    def timed(what: str, call: Callable[[], T]) -> T:
        begun = time.thread_time()  # the processor's: others keep this machine busy
        result = call()
        took[what] = round((time.thread_time() - begun) * 1000, 1)
        return result

    held = timed("hold", lambda: ports.hold(bindings))
    assert len({one.fileno() for one in held}) == 1000
    timed("let go", lambda: [one.close() for one in held])
    declare(plain)
    assert timed("publish", lambda: declare(plain, one))
    assert timed("one more", lambda: declare(plain, one, two))
    assert len(portmap.current("tst2")) == 2002
    assert timed("unpublish", lambda: declare(plain, two))
    print("a thousand ports, ms:", took)
    assert len(portmap.current("tst2")) == 2
    assert max(took.values()) < seconds(300), "50 ms at most, of which reading back is the most"


def test_a_kernel_that_cannot_look_at_sockets_publishes_all_the_same(
    plain: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without nft_socket, here as nftables tells it."""
    run = nft.run

    def poorer(commands: str, doing: str) -> None:
        if "socket mark" in commands:
            raise TryLater(f"cannot {doing}: nftables: Could not process rule: No such file or directory")
        run(commands, doing)

    monkeypatch.setattr(nft, "run", poorer)
    node = plain.pod("10.101.0.2")
    serve(plain, node, "web", TCP, 80)
    one = published(node, binding(TCP))
    assert declare(plain, one)
    assert ask(None, TCP, "127.0.0.1", 8080)[0] == "web"
    assert portmap.flaw(plain.tag, [plain.config], [one]) == ""
    assert not declare(plain, one)
    assert declare(plain)
    monkeypatch.undo()
    assert not declare(plain), "and so it stays"


def _break_a_rule() -> None:
    nft.run("flush chain inet reconciler_tst2 postrouting", "do damage")


def _stranger(how: str) -> subprocess.Popen[str]:
    """A process that has port 8080, one way or another."""
    code = {
        "listening": "s=socket.socket(); s.bind(('127.0.0.1',8080)); s.listen()",
        "dual-stack": "s=socket.create_server(('::',8080),family=socket.AF_INET6,dualstack_ipv6=True)",
        "IPv6 alone": "s=socket.create_server(('::1',8080),family=socket.AF_INET6)",
        "bound": "s=socket.socket(); s.bind(('0.0.0.0',8080))",
        "udp": "s=socket.socket(type=socket.SOCK_DGRAM); s.bind(('0.0.0.0',8080))",
        "connected": "l=socket.create_server(('127.0.0.1',8099)); s=socket.socket(); s.bind(('127.0.0.1',8080)); "
        "s.connect(('127.0.0.1',8099))",
    }[how]
    return subprocess.Popen(
        [sys.executable, "-c", f"import socket,time; {code}; print('bound',flush=True); time.sleep(60)"],
        stdout=subprocess.PIPE,
        text=True,
    )
