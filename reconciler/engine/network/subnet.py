"""Which addresses the pods get: a network that nothing on this host routes to already.

``choose_subnet`` is pure. Two instances that choose at the same moment would both find the same network free;
``choosing`` lets one of them go first, in this network namespace, whichever root they have.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from reconciler.engine.network import netlink
from reconciler.model.errors import Busy, HostUnfit

PREFERRED = IPv4Network("10.101.0.0/20")
"""What an instance gets where it is free: 4,093 pods."""

_PREFIX = 20
_POOLS = tuple(IPv4Network(n) for n in ("10.101.0.0/16", "10.192.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))
"""Where to look otherwise: private addresses (RFC 1918), first those that others rarely use."""

_MUTEX = "\0reconciler-subnet"
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """What is there already. ``routes`` without the default route and without our own bridge's;
    ``mtu`` of the interface that leads outside, in bytes."""

    routes: tuple[IPv4Network, ...]
    mtu: int


def choose_subnet(routes: Iterable[IPv4Network], preferred: IPv4Network = PREFERRED) -> IPv4Network:
    """``preferred``, or the first network of our pools that overlaps none of ``routes``.

    Raises HostUnfit when every one does.
    """
    there = tuple(routes)
    for candidate in _candidates(preferred):
        if not clashes(there, candidate):
            return candidate
    raise HostUnfit(
        "cannot choose a network for pods: every private one overlaps a route of this host",
        hint="set one in the configuration file: [network] subnet",
    )


def clashes(routes: Iterable[IPv4Network], network: IPv4Network) -> tuple[IPv4Network, ...]:
    """The routes that overlap ``network``."""
    return tuple(r for r in routes if r.overlaps(network))


def survey(own_bridge: str) -> HostNetwork:
    """Read the host's IPv4 routes (every table) and the uplink's MTU.

    Raises TryLater when the kernel refuses.
    """
    with netlink.here("read the routes of this host") as ip:
        own = ip.link_lookup(ifname=own_bridge)
        routes: list[IPv4Network] = []
        uplinks: list[tuple[int, int]] = []
        for message in ip.get_routes(family=socket.AF_INET):
            link = message.get("oif")
            if link in own:
                continue
            if not message["dst_len"]:
                uplinks.append((message.get("priority") or 0, link or 0))
            elif not (found := IPv4Network((message.get("dst"), message["dst_len"]))).is_loopback:
                routes.append(found)
        return HostNetwork(tuple(sorted(set(routes))), _mtu(ip, uplinks))


@contextmanager
def choosing() -> Iterator[None]:
    """Be the only one in this network namespace that chooses a network and makes its bridge.

    An abstract socket is the lock: it is scoped to the namespace and goes with its holder. Raises Busy after 10 s.
    """
    deadline = time.monotonic() + _PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mutex:
        while True:
            try:
                mutex.bind(_MUTEX)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise Busy("cannot choose a network for pods: another instance has been at it for 10 s") from None
                time.sleep(0.005)
        yield


def _candidates(preferred: IPv4Network) -> Iterator[IPv4Network]:
    yield preferred
    for pool in _POOLS:
        yield from pool.subnets(new_prefix=_PREFIX)


def _mtu(ip: netlink.Socket, uplinks: list[tuple[int, int]]) -> int:
    for _, index in sorted(uplinks):
        for link in ip.get_links(index) if index else ():
            return int(link.get("mtu") or 1500)
    return 1500


def parse_network(text: str) -> IPv4Network:
    """Read a network from a setting. Raises HostUnfit where it cannot hold pods."""
    try:
        network = ip_network(text)
    except ValueError as e:
        raise HostUnfit(f"cannot use {text!r} as the network of pods: {e}") from e
    if not isinstance(network, IPv4Network) or network.num_addresses < 4:
        raise HostUnfit(f"cannot use {text!r} as the network of pods: it must be IPv4, /30 or larger")
    return network
