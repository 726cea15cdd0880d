"""Links as the kernel tells them, read without pyroute2."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest

from reconciler.linux import rtlinks
from reconciler.linux.netlink_messages import messages
from reconciler.linux.rtlinks import Link


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value.ljust((len(value) + 3) & ~3, b"\0")


def content(*attributes: bytes, index: int = 7) -> bytes:
    return struct.pack("=BxHiII", 0, 1, index, 0, 0) + b"".join(attributes)


def test_every_link_of_this_namespace_is_there() -> None:
    assert {(link.index, link.name) for link in rtlinks.dump()} == set(socket.if_nameindex())


def test_the_addresses_of_loopback() -> None:
    there = rtlinks.addresses(socket.if_nametoindex("lo"))
    assert ip_address("127.0.0.1") in there
    assert rtlinks.addresses(1 << 30) == frozenset()


def test_what_is_no_port_of_a_bridge_lets_everything_through() -> None:
    assert rtlinks.forwards(socket.if_nametoindex("lo"))
    with pytest.raises(OSError, match="No such device"):
        rtlinks.forwards(1 << 30)


def test_a_port_of_a_bridge_with_hairpin() -> None:
    port = attribute(
        18 | 0x8000, attribute(4, b"bridge\0") + attribute(5 | 0x8000, attribute(1, b"\3") + attribute(4, b"\1"))
    )
    told = content(
        attribute(3, b"rc-1234\0"),
        attribute(10, struct.pack("=I", 3)),
        attribute(16, b"\6"),
        attribute(20, b"the whole id\0"),
        port,
    )
    assert rtlinks.link(told) == Link(7, "rc-1234", "the whole id", 3, up=True, hairpin=True)


def test_one_that_is_switched_on_and_carries_nothing() -> None:
    told = struct.pack("=BxHiII", 0, 1, 7, 0x1, 0) + attribute(3, b"dummy0\0")
    assert rtlinks.link(told) == Link(7, "dummy0", enabled=True)


def test_one_that_is_down_and_hangs_on_nothing() -> None:
    assert rtlinks.link(content(attribute(3, b"dummy0\0"), attribute(16, b"\2"))) == Link(7, "dummy0")


def test_messages_that_are_cut_short_are_none() -> None:
    whole = struct.pack("=IHHII", 20, 3, 2, 1, 0) + b"\0\0\0\0"
    assert list(messages(whole + whole[:10])) == [(3, 2, 0, b"\0\0\0\0")]
    assert list(messages(struct.pack("=IHHII", 3, 3, 2, 1, 0))) == []
