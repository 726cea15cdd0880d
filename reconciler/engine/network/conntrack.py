"""Forgetting connections that lead to where nobody is any more.

The kernel goes on translating a flow as it did for its first packet. A UDP client that keeps sending stays with
the pod it first reached, or with the host where it came before the port was published; so when a pod comes or
goes, the entries of its address and of its ports are deleted, always *after* the table was changed (before it, the
next packet would make the same entry again). The kernel filters; entries that we did not ask for are not read.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from typing import Any

from reconciler.engine.effects import effect
from reconciler.engine.network import netlink
from reconciler.model.errors import HostUnfit, TryLater
from reconciler.model.spec import PortBinding, Protocol

_NUMBERS = {
    Protocol.TCP: socket.IPPROTO_TCP,
    Protocol.UDP: socket.IPPROTO_UDP,
    Protocol.SCTP: socket.IPPROTO_SCTP,
}


@effect("conntrack.flush")
def flush(ip: str, bindings: Iterable[PortBinding] = ()) -> int:
    """Delete every entry to or from the pod address ``ip``, and every one that came in at ``bindings`` and leads to
    that address or nowhere but this host; how many there were.

    Connections to the same port numbers of other machines stay. Raises TryLater or HostUnfit.
    """
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

    ours = _local_addresses()
    try:
        with NFCTSocket() as table:

            def entries(**wanted: object) -> list[tuple[Any, Any]]:
                return list(_tuples(table.dump(tuple_orig=NFCTAttrTuple(**wanted)), NFCTAttrTuple))

            doomed = [orig for orig, _ in entries(saddr=ip) if orig.saddr == ip]
            doomed += [orig for orig, _ in entries(daddr=ip) if orig.daddr == ip]
            for one in bindings:
                found = entries(proto=_NUMBERS[one.protocol], dport=one.host_port)
                doomed += [orig for orig, reply in found if _came_in_at(one, orig, reply, ip, ours)]
            return sum(_delete(table, orig) for orig in doomed)
    except NetlinkError as e:
        raise _ours(e.code) from e
    except OSError as e:
        raise _ours(e.errno or 0) from e


def _came_in_at(binding: PortBinding, orig: Any, reply: Any, ip: str, ours: frozenset[str]) -> bool:
    if (orig.proto, orig.dport) != (_NUMBERS[binding.protocol], binding.host_port):
        return False  # a kernel before 5.8 does not filter
    if binding.host_ip not in ("", "0.0.0.0", orig.daddr):
        return False
    untranslated = reply.saddr == orig.daddr
    return bool(reply.saddr == ip or (untranslated and _is_local(orig.daddr, ours)))


def _is_local(address: str, ours: frozenset[str]) -> bool:
    return address in ours or IPv4Address(address).is_loopback


def _tuples(messages: Iterable[Any], read: Any) -> Iterator[tuple[Any, Any]]:
    for message in messages:
        orig, reply = message.get_attr("CTA_TUPLE_ORIG"), message.get_attr("CTA_TUPLE_REPLY")
        yield read.from_netlink(socket.AF_INET, orig), read.from_netlink(socket.AF_INET, reply)


def _delete(table: Any, orig: Any) -> int:
    """0 where it ended by itself meanwhile."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        table.entry("del", tuple_orig=orig)
    except NetlinkError as e:
        if e.code != errno.ENOENT:
            raise
        return 0
    return 1


def _local_addresses() -> frozenset[str]:
    with netlink.here("list the addresses of this host") as ip:
        return frozenset(message.get("address") for message in ip.get_addr(family=socket.AF_INET))


def _ours(number: int) -> TryLater | HostUnfit:
    message = f"cannot forget connections of a pod: {os.strerror(number)}"
    return HostUnfit(message) if number in (errno.EPERM, errno.EPROTONOSUPPORT) else TryLater(message)
