"""All links of a network namespace and their addresses, as rtnetlink(7) tells them: only what is needed to know a
pod's link and a bridge.

Why not pyroute2: of each link it makes objects for a hundred attributes, 1 ms of processor time and 0.1 MiB, and a
resync asks for all of them; here a link is 0.01 ms.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from reconciler.linux.netlink_messages import (
    ADDRESS,
    ATTRIBUTE,
    ERROR,
    HEAD,
    HOME,
    LINK,
    LOCAL,
    attributes,
    chosen,
    messages,
    refusal,
    rtnetlink,
    text,
)

_DONE, _NEWLINK, _GETLINK, _NEWADDR, _GETADDR = 3, 16, 18, 20, 22
_REQUEST, _DUMP, _INTERRUPTED = 0x1, 0x300, 0x10
"""NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR (links came or went meanwhile) of <linux/netlink.h>."""

_NAME, _MASTER, _OPERSTATE, _INFO, _ALIAS, _FILTER = 3, 10, 16, 18, 20, 29
_SLAVE_DATA, _STATE, _MODE = 5, 1, 4
"""IFLA_… of <linux/if_link.h>; IFLA_INFO_SLAVE_DATA in IFLA_LINKINFO, IFLA_BRPORT_STATE and _MODE in that."""
_TOLD = frozenset({_NAME, _MASTER, _OPERSTATE, _INFO, _ALIAS})
_SLAVE, _PORT = frozenset({_SLAVE_DATA}), frozenset({_STATE, _MODE})
_FORWARDING = 3
"""BR_STATE_FORWARDING of <linux/if_bridge.h>."""
_UP, _OPER_UP, _WITHOUT_STATISTICS = 1, 6, 8

_ATTEMPTS = 5
_KNOWN = 1024
"""Links that are not read again: 1.5 KiB each, with what they say."""


@dataclass(frozen=True, slots=True)
class Link:
    """``master``: the index of the bridge that it hangs on, or 0. ``enabled``: switched on (IFF_UP); ``up``: it carries
    something, too. ``hairpin``: of a bridge's port."""

    index: int
    name: str
    alias: str = ""
    master: int = 0
    enabled: bool = False
    up: bool = False
    hairpin: bool = False


def dump() -> tuple[Link, ...]:
    """Every link of the calling thread's network namespace. Raises OSError."""
    return tuple(map(link, _everything(_GETLINK, _asks(0), _NEWLINK)))


def forwards(index: int) -> bool:
    """Whether the port of a bridge lets through what it gets; of a link that is none, too. Raises OSError where there
    is no link of this index."""
    with rtnetlink() as kernel:
        _send(kernel, _GETLINK, _REQUEST, _asks(index))
        _, _, _, content = next(messages(_checked(kernel.recv(1 << 17))))
    state = _port(chosen(content, frozenset({_INFO}), LINK.size)).get(_STATE)
    return state is None or state[0] == _FORWARDING


def _asks(index: int) -> bytes:
    """The body of a question about a link, 0 for all of them."""
    without = ATTRIBUTE.pack(8, _FILTER) + struct.pack("=I", _WITHOUT_STATISTICS)
    return LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + without


def addresses(index: int) -> frozenset[IPv4Address | IPv6Address]:
    """Those of the link with this index, in the calling thread's network namespace. Raises OSError."""
    everybodys = _everything(_GETADDR, HOME.pack(socket.AF_UNSPEC, 0, 0, 0, 0), _NEWADDR)
    found = (dict(attributes(one[HOME.size :])) for one in everybodys if HOME.unpack_from(one)[4] == index)
    return frozenset(ip_address(told.get(LOCAL) or told[ADDRESS]) for told in found)


def _everything(asked: int, body: bytes, wanted: int) -> list[bytes]:
    """The bodies of all messages of the kind ``wanted`` that answer a dump of the kind ``asked``."""
    for _ in range(_ATTEMPTS):
        found, whole = _dump(asked, body, wanted)
        if whole:
            break
    return found


def _dump(asked: int, body: bytes, wanted: int) -> tuple[list[bytes], bool]:
    """Also whether nothing changed meanwhile."""
    found: list[bytes] = []
    whole = True
    with rtnetlink() as kernel:
        _send(kernel, asked, _REQUEST | _DUMP, body)
        while True:
            for kind, flags, _, content in messages(_checked(kernel.recv(1 << 17))):
                whole = whole and not flags & _INTERRUPTED
                if kind == _DONE:
                    return found, whole
                if kind == wanted:
                    found.append(content)


def _send(kernel: socket.socket, kind: int, flags: int, body: bytes) -> None:
    kernel.send(HEAD.pack(HEAD.size + len(body), kind, flags, 1, 0) + body)


def _checked(answer: bytes) -> bytes:
    """The same. Raises OSError for what it refuses."""
    for kind, _, _, content in messages(answer):
        if kind == ERROR:
            number = refusal(content)
            raise OSError(number, os.strerror(number))
    return answer


@lru_cache(maxsize=_KNOWN)
def link(content: bytes) -> Link:
    """What follows the head of an RTM_NEWLINK message. Without statistics it is nearly always, to the byte, what it was
    at the last look."""
    _, _, index, flags, _ = LINK.unpack_from(content)
    told = chosen(content, _TOLD, LINK.size)
    return Link(
        index=index,
        name=text(told.get(_NAME, b"")),
        alias=text(told.get(_ALIAS, b"")),
        master=int.from_bytes(told.get(_MASTER, b"\0"), sys.byteorder),
        enabled=bool(flags & _UP),
        up=told.get(_OPERSTATE, b"")[:1] == bytes([_OPER_UP]),
        hairpin=_port(told).get(_MODE, b"")[:1] == b"\x01",
    )


def _port(told: dict[int, bytes]) -> dict[int, bytes]:
    """What a link says of itself as a bridge's port."""
    return chosen(chosen(told.get(_INFO, b""), _SLAVE).get(_SLAVE_DATA, b""), _PORT)
