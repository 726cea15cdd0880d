"""Requests to rtnetlink, as another implementation reads them; and what the kernel says to them."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg  # noqa: F401 (rtnl's classes need each other)
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from reconciler.linux import rtchanges
from reconciler.linux.rtchanges import Change

MAC = "0a:58:0a:65:00:02"


def read(kind: Any, change: Change) -> Any:
    message = kind(rtchanges._request(change))
    message.decode()
    return message


def test_a_pair_whose_other_end_is_in_another_namespace() -> None:
    change = rtchanges.veth("rc-t-abc", master=3, mtu=1400, peer="eth0", namespace=9, mac=MAC)
    made = read(ifinfmsg, change)
    assert (change.kind, made["flags"], made["header"]["flags"]) == (16, 0, 0x605)
    assert (made.get("ifname"), made.get("mtu"), made.get("master")) == ("rc-t-abc", 1400, 3)
    info = made.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert (peer.get("ifname"), peer.get("net_ns_fd"), peer.get("address"), peer.get("mtu")) == ("eth0", 9, MAC, 1400)


def test_a_link_that_comes_up_where_it_belongs() -> None:
    made = read(ifinfmsg, rtchanges.link_up(7, alias="the whole id", master=3))
    assert (made["index"], made["flags"], made["change"]) == (7, 1, 1)
    assert (made.get("ifalias"), made.get("master")) == ("the whole id", 3)
    named = read(ifinfmsg, rtchanges.link_up("rc-t-abc"))
    assert (named["index"], named["flags"], named.get("ifname")) == (0, 1, "rc-t-abc")
    plain = read(ifinfmsg, rtchanges.link_up(7))
    assert [plain.get(name) for name in ("ifalias", "master", "mtu", "address")] == [None] * 4


def test_a_link_without_an_address_of_its_own() -> None:
    made = read(ifinfmsg, rtchanges.no_own_address("rc-t-abc"))
    assert (made["index"], made["flags"], made["change"], made.get("ifname")) == (0, 0, 0, "rc-t-abc")
    inet6 = made.get_attr("IFLA_AF_SPEC").get_attr("AF_INET6")
    assert inet6.get_attr("IFLA_INET6_ADDR_GEN_MODE") == 1


def test_a_bridge() -> None:
    change = rtchanges.bridge("rc-t", mtu=1400, mac=MAC)
    made = read(ifinfmsg, change)
    assert (change.kind, made["flags"], made["header"]["flags"]) == (16, 0, 0x605)
    assert (made.get("ifname"), made.get("mtu"), made.get("address")) == ("rc-t", 1400, MAC)
    assert made.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge"
    again = read(ifinfmsg, rtchanges.link_up(7, mtu=1300, mac=MAC))
    assert (again["index"], again["flags"], again.get("mtu"), again.get("address")) == (7, 1, 1300, MAC)


def test_a_port_of_a_bridge() -> None:
    port = read(ifinfmsg, rtchanges.hairpin(7))
    assert (port["family"], port["index"]) == (7, 7)
    assert port.get_attr("IFLA_PROTINFO").get_attr("IFLA_BRPORT_MODE") == 1
    known = read(ndmsg, rtchanges.nailed(7, MAC))
    assert (known["family"], known["ifindex"], known["state"], known["flags"]) == (7, 7, 0x42, 0x44)
    assert known.get_attr("NDA_LLADDR") == MAC


@pytest.mark.parametrize(
    ("ip", "prefix", "family", "flags"),
    [("10.101.0.2", 24, socket.AF_INET, 0), ("fd10:101::2", 64, socket.AF_INET6, 2)],
)
def test_an_address(ip: str, prefix: int, family: int, flags: int) -> None:
    made = read(ifaddrmsg, rtchanges.address(7, ip, prefix))
    assert (made["family"], made["prefixlen"], made["index"], made["flags"]) == (family, prefix, 7, flags)
    assert (made.get("address"), made.get("local")) == (ip, ip)


@pytest.mark.parametrize("gateway", ["10.101.0.1", "fd10:101::1"])
def test_the_way_out(gateway: str) -> None:
    made = read(rtmsg, rtchanges.default_route(7, gateway))
    assert (made["dst_len"], made["table"], made["scope"], made["type"]) == (0, 254, 0, 1)
    assert (made.get("gateway"), made.get("oif")) == (gateway, 7)


def test_the_first_refusal_is_told() -> None:
    with pytest.raises(OSError, match=r"No such device|Operation not permitted"):
        rtchanges.make(rtchanges.no_link(1 << 30), rtchanges.address(1 << 30, "10.0.0.1", 24))
