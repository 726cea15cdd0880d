"""netlink(7) notifications: what somebody changed in this network namespace's firewall, links, addresses, forwarding.

The kernel tells whoever listens; nothing polls, and a listener that is not told anything never wakes. Only what is
needed to decide whether to look is read from a message: the table of a change, the link of another. What counts is
the state that is found when looking, so a lost message (the queue is bounded) only means: look at everything.

Why not pyroute2: its sockets parse every attribute of every message (a reload of a big ruleset sends thousands) and
start threads; here it is two sockets that any selector can wait for.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from enum import Enum

from reconciler.linux.netlink_messages import LINK, attributes, chosen, messages, text

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33
_BUFFER = 1 << 20

_NFNLGRP_NFTABLES = 7
_NFNL_SUBSYS_NFTABLES = 10
_NEWGEN = 15
"""NFT_MSG_NEWGEN of <linux/netfilter/nf_tables.h>: the last message of each transaction."""
_TABLE = 1
"""The attribute that names the table, in every kind of message but NEWGEN."""
_GEN_PROC_NAME = 3

_LINK_GROUPS = (1, 5, 9, 24, 25)
"""RTNLGRP_LINK, _IPV4_IFADDR, _IPV6_IFADDR, _IPV4_NETCONF, _IPV6_NETCONF of <linux/rtnetlink.h>."""
_NEWLINK, _DELLINK, _NEWADDR, _DELADDR, _NEWNETCONF = 16, 17, 20, 21, 80
_IFLA_IFNAME, _IFLA_MASTER = 3, 10
_TOLD = frozenset({_IFLA_IFNAME, _IFLA_MASTER})
_NETCONFA_IFINDEX, _NETCONFA_FORWARDING = 1, 2
_IFF_UP = 1


ALL = -1
"""The index that stands for every link (NETCONFA_IFINDEX_ALL)."""


class What(Enum):
    LOST = "messages were lost"
    TABLE = "a table, or something in it, changed"
    COMMIT = "a transaction of nftables ended"
    LINK = "a link is there, or changed"
    NO_LINK = "a link went"
    NO_ADDRESS = "a link lost an address"
    FORWARDING = "forwarding was switched"


@dataclass(frozen=True, slots=True)
class Notice:
    """``name``: of the table, of the link, or (COMMIT) of the program that did it. ``port``: the netlink port by which
    a TABLE was changed. ``index``: of the link, or ``ALL``. ``master``: the bridge that a LINK hangs on, or 0.
    ``on``: whether a LINK is up, FORWARDING is on."""

    what: What
    name: str = ""
    port: int = 0
    index: int = 0
    master: int = 0
    on: bool = True


class Notices:
    """Both sockets, of the network namespace of the thread that makes it. One thread at a time reads.

    They keep off the port that is this process's id: libnftables gets that one, so our own changes can be known by it.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        try:
            self._open(_NETLINK_NETFILTER, (_NFNLGRP_NFTABLES,))
            self._open(socket.NETLINK_ROUTE, _LINK_GROUPS)
        except OSError:
            self.close()
            raise

    def _open(self, protocol: int, groups: tuple[int, ...]) -> None:
        one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
        self._sockets.append(one)
        try:
            one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        one.bind((_port(), 0))
        for group in groups:
            one.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def filenos(self) -> tuple[int, ...]:
        return tuple(one.fileno() for one in self._sockets)

    def read(self) -> list[Notice]:
        """All that was told since the last call; empty when nothing was."""
        found: list[Notice] = []
        for one, parse in zip(self._sockets, (_firewall, _network), strict=True):
            while (data := _receive(one)) is not None:
                told = (parse(kind, port, body) for kind, _, port, body in messages(data))
                found += filter(None, told) if data else [_LOST]
        return found

    def close(self) -> None:
        for one in self._sockets:
            one.close()


_LOST = Notice(What.LOST)


def _port() -> int:
    """One that is no process's id, and that the kernel does not choose itself."""
    return int.from_bytes(os.urandom(3), "big") | 0x40000000


def _receive(one: socket.socket) -> bytes | None:
    """A datagram; b"" where the kernel had to drop some; None where there is nothing more."""
    try:
        return one.recv(1 << 17)
    except BlockingIOError:
        return None
    except OSError as e:
        if e.errno == errno.ENOBUFS:
            return b""
        raise


def _firewall(kind: int, port: int, body: bytes) -> Notice | None:
    if kind >> 8 != _NFNL_SUBSYS_NFTABLES:
        return None
    there = dict(attributes(body[4:]))  # after struct nfgenmsg
    if kind & 0xFF == _NEWGEN:
        return Notice(What.COMMIT, text(there.get(_GEN_PROC_NAME)), port)
    return Notice(What.TABLE, text(there.get(_TABLE)), port)


def _network(kind: int, _port: int, body: bytes) -> Notice | None:
    if kind in (_NEWLINK, _DELLINK):
        _, _, index, flags, _ = LINK.unpack_from(body)
        there = chosen(body, _TOLD, LINK.size)
        name = text(there.get(_IFLA_IFNAME))
        if kind == _DELLINK and body[0] == 0:  # AF_UNSPEC; as AF_BRIDGE it tells of a port that left its bridge
            return Notice(What.NO_LINK, name, index=index)
        master = 0 if kind == _DELLINK else int.from_bytes(there.get(_IFLA_MASTER, b""), "little")
        return Notice(What.LINK, name, index=index, master=master, on=bool(flags & _IFF_UP))
    if kind == _DELADDR:
        return Notice(What.NO_ADDRESS, index=int(struct.unpack_from("=I", body, 4)[0]))  # struct ifaddrmsg
    if kind == _NEWNETCONF:
        there = dict(attributes(body[4:]))  # struct netconfmsg is one byte
        if _NETCONFA_FORWARDING in there and len(there.get(_NETCONFA_IFINDEX, b"")) == 4:
            index = int(struct.unpack("=i", there[_NETCONFA_IFINDEX])[0])
            return Notice(What.FORWARDING, index=index, on=any(there[_NETCONFA_FORWARDING]))
    return None
