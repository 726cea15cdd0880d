"""Which addresses the pods get: networks that nothing on this host routes to already.

The ``choose`` functions are pure. Two instances that choose at the same moment would both find the same network free;
``choosing`` lets one of them go first, in this network namespace, whichever root they have.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar

from reconciler.engine.network import netlink
from reconciler.model.errors import Busy, HostUnfit

PREFERRED = IPv4Network("10.101.0.0/20")
"""What an instance gets where it is free: 4,093 pods."""

_PREFIX = 20
_POOLS = tuple(IPv4Network(n) for n in ("10.101.0.0/16", "10.192.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))
"""Where to look otherwise: private addresses (RFC 1918), first those that others rarely use."""

_ULA = 0xFD << 120
_TRIES6 = 1000

_MUTEX = "\0reconciler-subnet"
_PATIENCE = 10.0

Network = IPv4Network | IPv6Network
N = TypeVar("N", IPv4Network, IPv6Network)


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """What is there already. ``routes`` of both families, without the default routes and without our own bridges';
    ``mtu`` of the interface that leads outside, in bytes."""

    routes: tuple[Network, ...]
    mtu: int


def choose_subnet(
    routes: Iterable[Network], preferred: IPv4Network | None = PREFERRED, prefix: int = _PREFIX
) -> IPv4Network:
    """``preferred``, or the first network of our pools that overlaps none of ``routes``.

    Raises HostUnfit when every one does.
    """
    there = tuple(routes)
    for candidate in _candidates(preferred, prefix):
        if not clashes(there, candidate):
            return candidate
    raise HostUnfit(
        "cannot choose a network for pods: every private one overlaps a route of this host",
        hint="set one in the configuration file: [network] subnet",
    )


def choose_subnet6(routes: Iterable[Network], seed: str) -> IPv6Network:
    """The first unique local /64 (RFC 4193) made from ``seed`` that overlaps none of ``routes``.

    The seed names the machine and the network, so that another machine's differ, and this one's stay the same.
    Raises HostUnfit where every try clashes.
    """
    there = tuple(routes)
    for attempt in range(_TRIES6):
        digest = hashlib.sha256(f"{seed} {attempt}".encode()).digest()
        candidate = IPv6Network((_ULA | int.from_bytes(digest[:7]) << 64, 64))
        if not clashes(there, candidate):
            return candidate
    raise HostUnfit(
        "cannot choose an IPv6 network for pods: every unique local one overlaps a route of this host",
        hint="set one in the configuration file: [network] subnet6",
    )


def clashes(routes: Iterable[Network], *networks: Network) -> tuple[Network, ...]:
    """The routes that overlap any of ``networks``."""
    return tuple(r for r in routes if any(overlap(r, n) for n in networks))


def overlap(one: Network, other: Network) -> bool:
    """Whether they have an address in common; never across families."""
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def survey(own_bridges: Iterable[str]) -> HostNetwork:
    """Read the host's routes (every table, both families) and the uplink's MTU.

    Raises TryLater when the kernel refuses.
    """
    with netlink.here("read the routes of this host") as ip:
        own = {index for name in own_bridges for index in ip.link_lookup(ifname=name)}
        routes: set[Network] = set()
        uplinks: list[tuple[int, int]] = []
        for message in ip.get_routes(family=socket.AF_INET):
            link = message.get("oif")
            if link in own:
                continue
            if not message["dst_len"]:
                uplinks.append((message.get("priority") or 0, link or 0))
            elif not (found := IPv4Network((message.get("dst"), message["dst_len"]))).is_loopback:
                routes.add(found)
        routes.update(_routes6(ip, own))
        return HostNetwork(tuple(sorted(routes, key=lambda r: (r.version, r))), _mtu(ip, uplinks))


def _routes6(ip: netlink.Socket, own: set[int]) -> Iterator[IPv6Network]:
    """Without what every interface has: link-local, multicast, loopback."""
    for message in ip.get_routes(family=socket.AF_INET6):
        if message["dst_len"] and message.get("oif") not in own:
            found = IPv6Network((message.get("dst"), message["dst_len"]), strict=False)
            if not (found.is_loopback or found.is_link_local or found.is_multicast):
                yield found


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


def _candidates(preferred: IPv4Network | None, prefix: int) -> Iterator[IPv4Network]:
    if preferred is not None:
        yield preferred
    for pool in _POOLS:
        yield from pool.subnets(new_prefix=prefix)


def _mtu(ip: netlink.Socket, uplinks: list[tuple[int, int]]) -> int:
    for _, index in sorted(uplinks):
        for link in ip.get_links(index) if index else ():
            return int(link.get("mtu") or 1500)
    return 1500


def parse_network(text: str) -> IPv4Network:
    """Read an IPv4 network from a setting. Raises HostUnfit where it cannot hold pods."""
    return _parsed(text, IPv4Network, "IPv4, /30 or larger")


def parse_network6(text: str) -> IPv6Network:
    """Read an IPv6 network from a setting. Raises HostUnfit where it cannot hold pods."""
    return _parsed(text, IPv6Network, "IPv6, /126 or larger")


def _parsed(text: str, kind: type[N], must: str) -> N:
    try:
        network = ip_network(text)
    except ValueError as e:
        raise HostUnfit(f"cannot use {text!r} as the network of pods: {e}") from e
    if not isinstance(network, kind) or network.num_addresses < 4:
        raise HostUnfit(f"cannot use {text!r} as the network of pods: it must be {must}")
    return network
