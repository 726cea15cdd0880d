"""Forgetting UDP flows that lead to where nobody is any more.

The kernel goes on translating a flow as it did for its first packet. A UDP client that keeps sending stays with
the pod it first reached, or with the host where it came before the port was published; so when a pod with UDP ports
comes or goes, those entries are deleted, always *after* the table was changed (before it, the next packet would make
the same entry again). TCP needs none of this: a dead connection is reset, and a new one is a new flow.

One look at the kernel's table costs about 10 ms (262,144 buckets), however few entries it has; the kernel filters by
protocol, we by the rest: where a flow's answers come from is filtered wrongly by some kernels.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from reconciler.engine.effects import effect
from reconciler.engine.network import netlink
from reconciler.model.errors import HostUnfit, TryLater
from reconciler.model.spec import PortBinding, Protocol

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NUMBERS = {Protocol.UDP: socket.IPPROTO_UDP}
_DOING = "forget connections of a pod"
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")


def flush(ips: Iterable[str], bindings: Iterable[PortBinding]) -> int:
    """Forget the UDP flows to or from the pod addresses ``ips``, and those that came in at ``bindings`` and
    lead to those addresses or nowhere but this host; how many there were. Of the families that the pod has.

    Nothing happens where no binding is UDP. Flows to the same port numbers of other machines stay. Raises
    TryLater or HostUnfit.
    """
    concerned = [one for one in bindings if one.protocol in _NUMBERS]
    if not concerned or _is_empty():
        return 0
    families = {_FAMILIES[ip_address(ip).version]: ip for ip in ips}
    return sum(_flush(family, ip, concerned) for family, ip in families.items())


@effect("conntrack.flush")
def _flush(family: int, ip: str, bindings: list[PortBinding]) -> int:
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

    ours = _local_addresses(family)
    try:
        with NFCTSocket(nfgen_family=family) as table, netlink.bounded(table, _DOING):
            doomed = [
                orig
                for protocol in {_NUMBERS[one.protocol] for one in bindings}
                for orig, reply in _tuples(
                    table.dump(tuple_orig=NFCTAttrTuple(family, proto=protocol)), NFCTAttrTuple, family
                )
                if ip in (orig.saddr, orig.daddr, reply.saddr)
                or any(_came_in_at(one, orig, reply, ours) for one in bindings)
            ]
            return sum(_delete(table, orig) for orig in doomed)
    except NetlinkError as e:
        raise _ours(e.code) from e
    except OSError as e:
        raise _ours(e.errno or 0) from e


def _came_in_at(binding: PortBinding, orig: Any, reply: Any, ours: frozenset[str]) -> bool:
    """At this host port, and without being translated."""
    return (
        (orig.proto, orig.dport) == (_NUMBERS[binding.protocol], binding.host_port)
        and binding.host_ip in ("", "0.0.0.0", "::", orig.daddr)
        and reply.saddr == orig.daddr
        and (orig.daddr in ours or ip_address(orig.daddr).is_loopback)
    )


def _is_empty() -> bool:
    """Of this thread's network namespace; a kernel without the module has no such file."""
    try:
        return _COUNT.read_text().strip() == "0"
    except FileNotFoundError:
        return True


def _tuples(messages: Iterable[Any], read: Any, family: int) -> Iterator[tuple[Any, Any]]:
    for message in messages:
        orig, reply = message.get_attr("CTA_TUPLE_ORIG"), message.get_attr("CTA_TUPLE_REPLY")
        yield read.from_netlink(family, orig), read.from_netlink(family, reply)


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


def _local_addresses(family: int) -> frozenset[str]:
    with netlink.here("list the addresses of this host") as ip:
        return frozenset(message.get("address") for message in ip.get_addr(family=family))


def _ours(number: int) -> TryLater | HostUnfit:
    message = f"cannot {_DOING}: {os.strerror(number)}"
    return HostUnfit(message) if number in (errno.EPERM, errno.EPROTONOSUPPORT) else TryLater(message)
