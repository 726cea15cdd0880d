"""The shape of netlink(7)'s messages and attributes, for who needs a few of many; and the way to rtnetlink."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

HEAD = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""
LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type of device, index, flags, which of them change."""
HOME = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index of the link."""
ADDRESS, LOCAL = 1, 2
"""IFA_… of <linux/if_addr.h>: of an IPv4 address the second is the link's own, the first its peer's."""
ATTRIBUTE = struct.Struct("=HH")
"""struct nlattr: length, type."""

ERROR = 2
"""NLMSG_ERROR of <linux/netlink.h>: the kernel's answer to a request, also where it did what was asked."""

_PATIENCE = 20.0
"""Seconds for an answer, which the kernel has ready at once."""

_KIND = 0x3FFF
"""Attribute types without NLA_F_NESTED and NLA_F_NET_BYTEORDER."""


def rtnetlink() -> socket.socket:
    """To the kernel, in the calling thread's network namespace. An answer that does not come raises TimeoutError."""
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    kernel.settimeout(_PATIENCE)
    return kernel


def refusal(answer: bytes) -> int:
    """The errno in the body of an ERROR; 0 for "done"."""
    return -int.from_bytes(answer[:4], sys.byteorder, signed=True)


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, port and body of each message of a datagram; what is damaged ends them."""
    at = 0
    while at + HEAD.size <= len(data):
        length, kind, flags, _, port = HEAD.unpack_from(data, at)
        if length < HEAD.size:
            return
        yield kind, flags, port, data[at + HEAD.size : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute; what is damaged ends them."""
    at = 0
    while at + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < ATTRIBUTE.size:
            return
        yield kind & _KIND, data[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def chosen(data: bytes, kinds: frozenset[int], start: int = 0) -> dict[int, bytes]:
    """The values of the attributes of these types, from ``start``: of a link's hundred a reader needs a few."""
    found: dict[int, bytes] = {}
    at, end, most, unpack = start, len(data) - ATTRIBUTE.size, len(kinds), ATTRIBUTE.unpack_from
    while at <= end and len(found) < most:
        length, kind = unpack(data, at)
        if length < ATTRIBUTE.size:
            break
        if (kind := kind & _KIND) in kinds:
            found[kind] = data[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def text(value: bytes | None) -> str:
    """A string of C; "" for none."""
    return (value or b"").rstrip(b"\0").decode(errors="replace")
