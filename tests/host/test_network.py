"""Pods' links and addresses, on real namespaces: what a pod sees, whom it reaches, what is left behind."""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from reconciler.engine.network import bridge, hostips, ipv6, names, netlink, pod, portmap, subnet
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.engine.network.portmap import Published
from reconciler.linux.rtchanges import NODAD
from reconciler.model.errors import HostUnfit, TryLater
from reconciler.model.observed import PidRef
from reconciler.model.spec import PortBinding
from tests.host.netlab import (
    HOST_IP,
    HOST_IP6,
    NETWORK,
    NETWORK6,
    OUTSIDE_IP,
    OUTSIDE_IP6,
    PATIENCE,
    Lab,
    Node,
    ask,
    bridged,
    inside,
    reach,
    serve,
    set_sysctl,
)
from tests.host.netlab import lab as bare_lab
from tests.slowness import seconds

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
TENTATIVE = 0x40
"""IFA_F_TENTATIVE of <linux/if_addr.h>."""
INNER, INNER6 = IPv4Network("10.101.1.0/24"), IPv6Network("fd10:102::/64")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with bridged() as made:
        yield made


def test_the_bridge_is_made_once_and_keeps_its_address_and_mac(lab: Lab) -> None:
    lab.pod("10.101.0.2")
    bridge.ensure_bridge(lab.config)
    with netlink.here("look") as ip:
        index = netlink.index_here("rc-tst2")
        (link,) = ip.get_links(index)
        addresses = [a.get("address") for a in ip.get_addr(index=index, family=socket.AF_INET)]
    assert link.get("address") == names.mac_of("10.101.0.1")
    assert (addresses, link.get("mtu"), link.get("operstate")) == (["10.101.0.1"], 1400, "UP")
    assert bridge.find_network("rc-tst2") == NETWORK
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"


def test_a_pod_has_its_address_its_mac_and_a_way_out(lab: Lab) -> None:
    node = lab.pod("10.101.0.7")
    fd = os.open(f"/proc/{node.ref.pid}/ns/net", os.O_RDONLY)
    try:
        seen = inside("look", fd, _look)
    finally:
        os.close(fd)
    assert seen == {
        "eth0": ("10.101.0.7/24", names.mac_of("10.101.0.7"), 1400, "UP"),
        "lo": ("127.0.0.1/8", "00:00:00:00:00:00", 65536, "UNKNOWN"),
        "default": "10.101.0.1",
    }


def test_the_hosts_end_names_its_pod_in_full(lab: Lab) -> None:
    node = lab.pod("10.101.0.2")
    (link,) = pod.links("tst2")
    assert (link.name, link.pod, link.up, link.on_bridge) == (f"vtst2{node.id[:9]}", node.id, True, True)
    with netlink.here("look") as ip:
        (message,) = ip.get_links(link.index)
        data = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA")
    assert data.get_attr("IFLA_BRPORT_MODE") == 1


def test_the_hosts_end_has_no_address_and_the_pods_has_its_links_own(lab: Lab) -> None:
    """Beside those that we gave it: neighbour discovery begins there."""
    node = lab.pod("10.101.0.2")
    (link,) = pod.links("tst2")
    with netlink.here("look") as ip:
        assert ip.get_addr(index=link.index) == ()
    with netlink.namespace("look", node.ref) as fd:
        there = inside("look", fd, lambda ip: [a.get("address") for a in ip.get_addr(family=socket.AF_INET6)])
    assert node.ip6 in there
    assert any(address.startswith("fe80:") for address in there)


def test_attaching_again_changes_nothing(lab: Lab) -> None:
    node = lab.pod("10.101.0.2")
    (before,) = pod.links("tst2")
    pod.attach(lab.config, node.id, node.ref, node.ip)
    assert pod.links("tst2") == (before,)


def test_attaching_is_quick(lab: Lab) -> None:
    netlink.preload()
    took = []
    for n in range(2, 9):
        node = lab.node()
        begun = time.perf_counter()
        pod.attach(lab.config, node.id, node.ref, f"10.101.0.{n}")
        took.append(time.perf_counter() - begun)
    print("attach ms:", [round(t * 1e3, 1) for t in took])
    assert min(took) < seconds(0.150), "6 ms on an idle machine; a busy one gets some slack"


def test_many_pods_are_attached_at_the_same_time(lab: Lab) -> None:
    nodes = [lab.node() for _ in range(12)]
    for n, node in enumerate(nodes, start=2):
        node.ip = f"10.101.0.{n}"
    netlink.preload()
    gc.collect()  # what earlier tests left to the collector must not go in between
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda node: pod.attach(lab.config, node.id, node.ref, node.ip), nodes))
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "no descriptor is left open"
    assert {link.pod for link in pod.links("tst2") if link.up and link.on_bridge} == {node.id for node in nodes}
    for node in nodes:
        serve(lab, node, node.ip, TCP, 80)
    for node in nodes:
        assert ask(None, TCP, node.ip, 80)[0] == node.ip
        assert ask(nodes[0], TCP, node.ip, 80)[0] == node.ip


def test_pods_reach_each_other_and_the_host_and_the_world(lab: Lab) -> None:
    outside = lab.outside()
    portmap.declare(lab.tag, [lab.config], [])
    one, two = lab.pod("10.101.0.2"), lab.pod("10.101.0.3")
    serve(lab, two, "two", TCP, 80)
    serve(lab, None, "host", TCP, 81)
    serve(lab, outside, "outside", TCP, 82)
    assert ask(one, TCP, two.ip, 80) == ["two", one.ip]
    assert ask(None, TCP, two.ip, 80) == ["two", "10.101.0.1"]
    assert ask(one, TCP, "10.101.0.1", 81) == ["host", one.ip]
    assert ask(one, TCP, OUTSIDE_IP, 82) == ["outside", HOST_IP], "the world sees the host's address"


def test_pods_reach_each_other_and_the_host_and_the_world_by_ipv6(lab: Lab) -> None:
    outside = lab.outside()
    portmap.declare(lab.tag, [lab.config], [])
    one, two = lab.pod("10.101.0.2"), lab.pod("10.101.0.3")
    serve(lab, two, "two", TCP, 80)
    serve(lab, None, "host", TCP, 81)
    serve(lab, outside, "outside", TCP, 82)
    assert (one.ip6, two.ip6) == ("fd10:101::2", "fd10:101::3")
    assert ask(one, TCP, two.ip6, 80) == ["two", one.ip6]
    assert ask(None, TCP, two.ip6, 80) == ["two", "fd10:101::1"]
    assert ask(one, TCP, "fd10:101::1", 81) == ["host", one.ip6]
    assert ask(one, TCP, OUTSIDE_IP6, 82) == ["outside", HOST_IP6], "the world sees the host's address"


def test_the_hosts_own_addresses_are_those_it_reaches_the_world_from(lab: Lab) -> None:
    assert hostips.host_ips() == ()
    lab.outside()
    assert hostips.host_ips() == (HOST_IP, HOST_IP6)


def test_an_ipv6_address_can_be_used_at_once(lab: Lab) -> None:
    """No second of looking for duplicates, neither in the pod nor on the bridge."""
    node = lab.pod("10.101.0.2")

    def flags(ip: netlink.Socket) -> dict[str, int]:
        return {a.get("address"): a["flags"] & TENTATIVE for a in ip.get_addr(family=socket.AF_INET6)}

    fd = os.open(f"/proc/{node.ref.pid}/ns/net", os.O_RDONLY)
    try:
        there = inside("look", fd, flags)
    finally:
        os.close(fd)
    with netlink.here("look") as ip:
        here = flags(ip)
    assert there[node.ip6] == 0
    assert here["fd10:101::1"] == 0


def test_a_host_that_begins_to_forward_goes_on_listening_to_its_routers() -> None:
    """accept_ra=1 counts only while nothing is forwarded; what the owner switched off stays off."""
    conf = Path("/proc/sys/net/ipv6/conf")
    with bare_lab() as made:
        made.outside()
        assert (conf / "up0/accept_ra").read_text().strip() == "1"
        with netlink.here("make another") as ip:
            ip.link("add", ifname="up1", kind="veth", peer="up2")
        (conf / "up1/accept_ra").write_text("0")
        assert (conf / "all/forwarding").read_text().strip() == "0"
        bridge.ensure_bridge(made.config)
        assert (conf / "all/forwarding").read_text().strip() == "1"
        assert [(conf / nic / "accept_ra").read_text().strip() for nic in ("up0", "up1", "rc-tst2")] == ["2", "0", "0"]


def test_the_host_becomes_its_pods_router_and_nobody_elses() -> None:
    """What it did not forward before it does not forward now, though Linux turns that on for all or none."""
    with bare_lab() as made:
        one = made.machine("up0", "2001:db8:58::1", "2001:db8:58::2")
        two = made.machine("up9", "2001:db8:59::1", "2001:db8:59::2")
        serve(made, two, "two", TCP, 80)
        bridge.ensure_bridge(made.config)
        portmap.declare(made.tag, [made.config], [])
        node = made.pod("10.101.0.2")
        assert ipv6.closed() == ("up0", "up9")
        assert ask(node, TCP, "2001:db8:59::2", 80) == ["two", "2001:db8:59::1"]
        assert ask(one, TCP, "2001:db8:59::2", 80, 0.3) == []
        set_sysctl("ipv6/conf/up0/forwarding", "1")  # its owner wants it
        assert portmap.declare(made.tag, [made.config], [])
        assert ask(one, TCP, "2001:db8:59::2", 80) == ["two", "2001:db8:58::2"]


def test_an_interface_that_comes_later_is_closed_too_and_hears_routers() -> None:
    """As it would have been without us. One that goes is no damage to our rules."""
    with bare_lab() as made:
        made.outside()
        bridge.ensure_bridge(made.config)
        portmap.declare(made.tag, [made.config], [])
        one = made.machine("up7", "2001:db8:57::1", "2001:db8:57::2")
        two = made.machine("up9", "2001:db8:59::1", "2001:db8:59::2")
        serve(made, two, "two", TCP, 80)
        assert ipv6.closed() == ("up0", "up7", "up9")
        assert portmap.flaw(made.tag, [made.config], []) == ""
        assert portmap.declare(made.tag, [made.config], [])
        assert ask(one, TCP, "2001:db8:59::2", 80, 0.3) == []
        conf = Path("/proc/sys/net/ipv6/conf/up9")
        assert [(conf / name).read_text().strip() for name in ("forwarding", "accept_ra")] == ["0", "1"]
        assert Path("/proc/sys/net/ipv6/conf/rc-tst2/forwarding").read_text().strip() == "1", "a router for its pods"
        pod.remove_link("up9")
        assert portmap.flaw(made.tag, [made.config], []) == ""
        assert portmap.declare(made.tag, [made.config], [])
        assert not portmap.declare(made.tag, [made.config], [])


def way_back(network: str) -> None:
    with netlink.here("route it to the host") as ip:
        ip.route("add", family=socket.AF_INET6, dst=network, gateway=HOST_IP6)


def test_others_networks_of_guests_are_not_cut_off() -> None:
    """Podman and libvirt find forwarding on, and mark nothing: a bridge with an address, and ports without any."""
    with bare_lab() as made:
        outside = made.outside()
        serve(made, outside, "outside", TCP, 80)
        outside.run(lambda: way_back("2001:db8:60::/64"))
        bridge.ensure_bridge(made.config)
        guest = made.node()
        fd = os.open(f"/proc/{guest.ref.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with netlink.here("make a network as podman does") as ip:
                ip.link("add", ifname="podman1", kind="bridge")
                index = netlink.index_here("podman1")
                ip.addr("add", index=index, address="2001:db8:60::1", prefixlen=64, flags=NODAD)
                ip.link("set", index=index, state="up")
                ip.link("add", ifname="veth0", kind="veth", master=index, peer={"ifname": "eth0", "net_ns_fd": fd})
                ip.link("set", index=netlink.index_here("veth0"), state="up")
            inside("set up the guest", fd, lambda ip: reach(ip, "2001:db8:60::2", "2001:db8:60::1"))
        finally:
            os.close(fd)
        portmap.declare(made.tag, [made.config], [])
        assert ipv6.closed() == ("up0",)
        assert ask(guest, TCP, OUTSIDE_IP6, 80) == ["outside", "2001:db8:60::2"]
        with netlink.here("make it the uplink of a virtual machines' host") as ip:
            ip.route("add", family=socket.AF_INET6, dst="2001:db8:61::/64", gateway="2001:db8:60::2")
        assert ipv6.closed() == ("podman1", "up0")


def test_a_kernel_without_ipv6_is_told_and_does_without() -> None:
    with bare_lab() as made:
        assert ipv6.why_not() == ""
        set_sysctl("ipv6/conf/all/disable_ipv6", "1")
        assert ipv6.why_not() == "it is switched off (net.ipv6.conf.all.disable_ipv6 is 1)"
        single = replace(made.config, network6=None)
        bridge.ensure_bridge(single)
        portmap.declare(made.tag, [single], [])
        node = made.pod("10.101.0.2", single)
        serve(made, node, "web", TCP, 80, "0.0.0.0")
        assert ask(None, TCP, node.ip, 80)[0] == "web"


def test_an_internal_network_leads_nowhere_but_to_its_pods_and_the_host(lab: Lab) -> None:
    outside = lab.outside()
    inner = replace(lab.config, id="12" * 32, network=INNER, network6=INNER6, internal=True)
    bridge.ensure_bridge(inner)
    one, two, other = lab.pod("10.101.1.2", inner), lab.pod("10.101.1.3", inner), lab.pod("10.101.0.2")
    portmap.declare(lab.tag, [lab.config, inner], [Published(two.id, two.ip, (PortBinding(8080, 80),), two.ip6)])
    for node, name in ((two, "two"), (other, "other"), (outside, "outside"), (None, "host")):
        serve(lab, node, name, TCP, 80)
    for of in (lambda n: n.ip, lambda n: n.ip6):
        assert ask(one, TCP, of(two), 80)[0] == "two"
        assert ask(None, TCP, of(two), 80)[0] == "two"
        assert ask(one, TCP, of(other), 80, 0.2) == []
        assert ask(other, TCP, of(two), 80, 0.2) == []
    for ip in (inner.gateway, inner.gateway6):
        assert ask(one, TCP, ip, 80)[0] == "host"
    for ip in (OUTSIDE_IP, OUTSIDE_IP6):
        assert ask(one, TCP, ip, 80, 0.2) == []
    for ip in (HOST_IP, HOST_IP6):
        assert ask(None, TCP, ip, 8080)[0] == "two", "the host itself reaches what is published there"
        assert ask(outside, TCP, ip, 8080, 0.2) == []


def test_pods_of_two_networks_reach_each_other_by_published_ports_alone(lab: Lab) -> None:
    apart = replace(lab.config, id="12" * 32, network=INNER, network6=INNER6)
    bridge.ensure_bridge(apart)
    one, other = lab.pod("10.101.0.2"), lab.pod("10.101.1.2", apart)
    bindings = (PortBinding(8080, 80),)
    serve(lab, one, "one", TCP, 80)
    serve(lab, other, "other", TCP, 80)
    portmap.declare(lab.tag, [lab.config], [])
    assert ask(one, TCP, other.ip, 80)[0] == "other", "what the rules are for"
    portmap.declare(lab.tag, [lab.config, apart], [Published(other.id, other.ip, bindings, other.ip6)])
    for a, b in ((one, other), (other, one)):
        assert ask(a, TCP, b.ip, 80, 0.2) == []
        assert ask(a, TCP, b.ip6, 80, 0.2) == []
    for gateway in (lab.config.gateway, lab.config.gateway6, apart.gateway, apart.gateway6):
        assert ask(one, TCP, gateway, 8080)[0] == "other"
        assert ask(other, TCP, gateway, 8080)[0] == "other"
    assert sorted(link.pod for link in pod.links("tst2") if link.on_bridge) == sorted([one.id, other.id])
    assert set(bridge.bridges("tst2")) == {"rc-tst2", "rc-tst2-121212"}


def test_services_on_the_hosts_loopback_stay_out_of_reach(lab: Lab) -> None:
    lab.outside()
    node = lab.pod("10.101.0.2")
    portmap.declare(lab.tag, [lab.config], [])
    for kind in (TCP, UDP):
        serve(lab, None, "secret", kind, 90, "127.0.0.1")
        assert ask(None, kind, "127.0.0.1", 90) == ["secret", "127.0.0.1"]
        serve(lab, None, "secret", kind, 91, "::1")
        assert ask(None, kind, "::1", 91) == ["secret", "::1"]
    _route_loopback_out(node)
    for kind in (TCP, UDP):
        assert ask(node, kind, "127.0.0.1", 90, 0.3) == []
        assert ask(node, kind, "::1", 91, 0.3) == []
        for address in ("10.101.0.1", HOST_IP):
            assert ask(node, kind, address, 90, 0.3) == []
        for address in ("fd10:101::1", HOST_IP6):
            assert ask(node, kind, address, 91, 0.3) == []


def test_without_the_guard_that_service_would_be_read(lab: Lab) -> None:
    """That the test above can fail: the same pod, the same service, only the guard missing."""
    node = lab.pod("10.101.0.2")
    portmap.declare(lab.tag, [lab.config], [])
    portmap.remove_table("tst2")
    set_sysctl("ipv4/conf/rc-tst2/route_localnet", "1")
    serve(lab, None, "secret", UDP, 90, "127.0.0.1")
    _route_loopback_out(node)
    assert ask(node, UDP, "127.0.0.1", 90)[0] == "secret"


def test_localnet_routing_is_off_until_the_guard_stands_and_off_again_after_it(lab: Lab) -> None:
    localnet = Path("/proc/sys/net/ipv4/conf/rc-tst2/route_localnet")
    assert localnet.read_text().strip() == "0"
    portmap.declare(lab.tag, [lab.config], [])
    assert localnet.read_text().strip() == "1"
    portmap.remove_table("tst2")
    assert localnet.read_text().strip() == "0"


def test_a_pod_in_a_new_life_answers_at_once_at_its_old_address(lab: Lab) -> None:
    """The host's and its neighbour's ARP entries point to the same MAC, the bridge's to a port that is going."""
    neighbour = lab.pod("10.101.0.3")
    old = lab.pod("10.101.0.2")
    server = serve(lab, old, "old", TCP, 80)
    for who in (None, neighbour):
        assert ask(who, TCP, "10.101.0.2", 80)[0] == "old"
    server.close()
    old.kill()
    new = lab.pod("10.101.0.2")
    serve(lab, new, "new", TCP, 80)
    for who in (None, neighbour):
        assert repeats(who, "10.101.0.2", 80) == 0, "a SYN was lost: that costs a second"
        assert ask(who, TCP, "10.101.0.2", 80)[0] == "new"


def test_a_pod_cannot_take_the_mac_of_another(lab: Lab) -> None:
    """It sends from its neighbour's MAC; the bridge goes on to deliver to the neighbour."""
    victim, thief = lab.pod("10.101.0.2"), lab.pod("10.101.0.3")
    serve(lab, victim, "victim", TCP, 80)
    frame = bytes.fromhex(names.mac_of("10.101.0.1").replace(":", "") + names.mac_of(victim.ip).replace(":", ""))

    def spoof() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            for _ in range(10):
                raw.send(frame + b"\x88\xb5" + b"x" * 46)

    assert ask(None, TCP, victim.ip, 80)[0] == "victim"  # the host knows the MAC: it will not ask, and so mend, again
    thief.run(spoof)
    assert repeats(None, victim.ip, 80) == 0
    assert ask(None, TCP, victim.ip, 80)[0] == "victim"


def repeats(where: Node | None, ip: str, port: int) -> int:
    """How often something was sent again until a connection stood (tcpi_total_retrans of linux/tcp.h)."""

    def connect() -> int:
        with socket.create_connection((ip, port), PATIENCE) as one:
            told = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            return int.from_bytes(told[100:104], sys.byteorder)

    return where.run(connect) if where else connect()


def test_a_link_dies_with_its_pod(lab: Lab) -> None:
    kept, gone = lab.pod("10.101.0.2"), lab.pod("10.101.0.3")
    gone.kill()
    assert pod.leaked_links("tst2", [kept.id], patience=PATIENCE) == ()
    assert [link.pod for link in pod.links("tst2")] == [kept.id]


def test_a_link_of_nobody_we_know_is_told(lab: Lab) -> None:
    node = lab.pod("10.101.0.2")
    (leak,) = pod.leaked_links("tst2", [], patience=0.05)
    assert leak.pod == node.id
    assert pod.leaked_links("oth2", [], patience=0.05) == (), "another instance's links are not ours to judge"


def test_a_link_can_be_taken_away_and_given_again(lab: Lab) -> None:
    node = lab.pod("10.101.0.2")
    pod.detach("tst2", node.id)
    assert pod.links("tst2") == ()
    pod.detach("tst2", node.id)
    pod.attach(lab.config, node.id, node.ref, node.ip)
    serve(lab, node, "back", TCP, 80)
    assert ask(None, TCP, node.ip, 80)[0] == "back"


def test_a_new_bridge_takes_over_the_old_ones_links(lab: Lab) -> None:
    node = lab.pod("10.101.0.2")
    bridge.remove_bridge("rc-tst2")
    bridge.remove_bridge("rc-tst2")
    assert [link.on_bridge for link in pod.links("tst2")] == [False]
    bridge.ensure_bridge(lab.config)
    pod.attach(lab.config, node.id, node.ref, node.ip)
    serve(lab, node, "mended", TCP, 80)
    assert ask(None, TCP, node.ip, 80)[0] == "mended"


def test_what_a_killed_attach_left_is_finished(lab: Lab) -> None:
    """A link without alias, not configured inside: as after SIGKILL between the steps."""
    node = lab.node()
    fd = os.open(f"/proc/{node.ref.pid}/ns/net", os.O_RDONLY)
    try:
        with netlink.here("make half a link") as ip:
            peer = {"ifname": "eth0", "net_ns_fd": fd, "address": names.mac_of("10.101.0.2")}
            ip.link("add", ifname=names.link_name("tst2", node.id), kind="veth", peer=peer)
    finally:
        os.close(fd)
    assert pod.leaked_links("tst2", [node.id], patience=0.05) == (), "known by the beginning of its id"
    pod.attach(lab.config, node.id, node.ref, "10.101.0.2")
    (link,) = pod.links("tst2")
    assert (link.pod, link.on_bridge) == (node.id, True)
    serve(lab, node, "whole", TCP, 80)
    assert ask(None, TCP, "10.101.0.2", 80)[0] == "whole"


def test_a_process_that_is_gone_or_is_another_gets_no_link(lab: Lab) -> None:
    node = lab.node()
    with pytest.raises(TryLater, match="is gone"):
        pod.attach(lab.config, node.id, PidRef(node.ref.pid, node.ref.start + 1), "10.101.0.2")
    node.kill()
    with pytest.raises(TryLater, match="is gone"):
        pod.attach(lab.config, node.id, node.ref, "10.101.0.2")
    assert pod.links("tst2") == ()


def test_a_process_in_the_hosts_namespace_is_refused(lab: Lab) -> None:
    from reconciler.engine import processes

    me = processes.pid_ref(os.getpid())
    assert me is not None
    with pytest.raises(HostUnfit, match="host's network namespace"):
        pod.attach(lab.config, lab.node().id, me, "10.101.0.2")


def test_without_a_bridge_the_error_says_so(lab: Lab) -> None:
    node = lab.node()
    with pytest.raises(TryLater, match=r"cannot attach pod .* to rc-oth2: there is no such bridge"):
        pod.attach(BridgeConfig("oth2", NETWORK), node.id, node.ref, "10.101.0.2")


def test_the_survey_sees_every_route_but_the_default_and_our_own(lab: Lab) -> None:
    lab.outside()
    other = BridgeConfig("oth2", IPv4Network("10.101.16.0/20"))
    bridge.ensure_bridge(other)
    seen = subnet.survey(["rc-tst2"])
    assert IPv4Network("10.101.16.0/20") in seen.routes
    assert IPv4Network("198.51.100.0/24") in seen.routes
    assert subnet.clashes(seen.routes, NETWORK, NETWORK6) == ()
    assert seen.mtu == 1400


def test_only_one_chooses_a_network_at_a_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subnet, "_PATIENCE", 0.05)
    with subnet.choosing(), pytest.raises(TryLater, match="another instance"), subnet.choosing():
        pass
    with subnet.choosing():
        pass


def _look(ip: netlink.Socket) -> dict[str, object]:
    seen: dict[str, object] = {}
    for link in ip.get_links():
        (address,) = ip.get_addr(index=link["index"], family=socket.AF_INET)
        shown = f"{address.get('address')}/{address['prefixlen']}"
        seen[link.get("ifname")] = (shown, link.get("address"), link.get("mtu"), link.get("operstate"))
    for route in ip.get_routes(family=socket.AF_INET, table=254):
        if not route["dst_len"]:
            seen["default"] = route.get("gateway")
    return seen


def _route_loopback_out(node: Node) -> None:
    """What a hostile pod with NET_ADMIN does: send 127.0.0.0/8 to the bridge."""

    def look_inside() -> None:
        with netlink.here("be hostile") as ip:
            index = netlink.index_here("eth0")
            Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")
            ip.addr("del", index=1, address="127.0.0.1", prefixlen=8)
            ip.route("add", dst="127.0.0.0/8", gateway="10.101.0.1", oif=index)
            ip.addr("del", index=1, address="::1", prefixlen=128)
            ip.route("add", family=socket.AF_INET6, dst="::1/128", gateway="fd10:101::1", oif=index)

    node.run(look_inside)
