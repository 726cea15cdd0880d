"""A pod's link: a veth pair from the bridge into the network namespace of its infra container.

The namespace's end is made right in there (never seen on the host), the host's end is named by tag and pod id
with the whole id in its alias. Both die with the namespace, 20 to 100 ms after the last process in it.

Any number of pods may be attached at the same time, by any number of processes; one pod by one at a time (the
caller holds its key's lock).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reconciler.engine.effects import effect
from reconciler.engine.network import ipv6, names, netlink
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.linux import rtchanges, rtlinks
from reconciler.linux.rtlinks import Link
from reconciler.linux.syscalls import in_network
from reconciler.model.errors import TryLater
from reconciler.model.key import ContainerId, PodId
from reconciler.model.observed import PidRef

INSIDE = "eth0"
_LOOPBACK = 1


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """The host's end of a link of ours. ``pod`` is the whole id (of a container where that has a network
    of its own), or "" where its maker died before writing it."""

    name: str
    index: int
    pod: str
    up: bool
    on_bridge: bool
    hairpin: bool = False

    def belongs_to(self, pod: PodId | ContainerId) -> bool:
        return self.pod == pod if self.pod else self.name.endswith(pod[:9])


def attach(
    config: BridgeConfig, pod: PodId | ContainerId, infra: PidRef, ip: str, ip6: str = "", *, mac: str = ""
) -> None:
    """Give the pod whose infra process is ``infra`` its addresses: link, addresses, default routes. Or a container that
    has a network namespace of its own.

    ``mac`` is its own, if not the one that belongs to ``ip``. Neither a network without IPv6 nor a pod that never had
    any (``ip6`` "") gets IPv6 routes.

    1. the pair, if it is not there    2. inside: addresses, routes    3. its host end: alias, its place on the bridge
    Raises TryLater when the process is gone, HostUnfit when it is in the host's namespace.
    """
    doing = f"attach pod {pod[:12]} to {config.name}"
    mac = mac or names.mac_of(ip)
    with netlink.namespace(doing, infra) as fd, netlink.refused(doing):
        if not _is_linked(names.link_name(config.tag, pod), fd):
            _create(config, pod, fd, mac, doing)
        in_network(fd, lambda: _configure(config, ip, ip6))
        _await_forwarding(_finish(config, pod, mac, doing))


@effect("link.delete")
def detach(tag: str, pod: PodId) -> None:
    """Remove the pod's link now. Not needed where its namespace dies, which is faster (this takes 25 ms)."""
    with netlink.refused(f"detach pod {pod[:12]}"):
        netlink.remove_link(names.link_name(tag, pod))


@effect("link.remove")
def remove_link(name: str) -> None:
    """Remove a link of ours by its name, whatever it belongs to."""
    with netlink.refused(f"remove the link {name}"):
        netlink.remove_link(name)


def links(tag: str) -> tuple[LinkInfo, ...]:
    """Every link of this instance, by our naming rule."""
    return ours(tag, everybodys())


def everybodys() -> tuple[Link, ...]:
    """Every link of this host."""
    try:
        return rtlinks.dump()
    except OSError as e:
        raise netlink.failure("list the links of pods", e.errno or 0) from e


def ours(tag: str, everything: Sequence[Link]) -> tuple[LinkInfo, ...]:
    """Those of ``everything`` that are this instance's, by our naming rule."""
    parsed_bridges = ((names.parse_bridge(link.name), link.index) for link in everything)
    bridges = {index for parsed, index in parsed_bridges if parsed and parsed[0] == tag}
    return tuple(
        LinkInfo(link.name, link.index, link.alias, link.up, link.master in bridges, link.hairpin)
        for link in everything
        if (parsed := names.parse_link(link.name)) and parsed[0] == tag
    )


def leaked_links(tag: str, known: Collection[PodId | ContainerId], patience: float = 2.0) -> tuple[LinkInfo, ...]:
    """Links that belong to none of ``known``, after ``patience`` seconds for dying namespaces to take theirs along."""
    deadline = time.monotonic() + patience
    while True:
        leaked = tuple(link for link in links(tag) if not any(link.belongs_to(pod) for pod in known))
        if not leaked or time.monotonic() > deadline:
            return leaked
        time.sleep(0.02)


def _is_linked(name: str, fd: int) -> bool:
    """Whether the pair is there and leads to this namespace, not to an earlier one that is dying."""
    if netlink.index_here(name) is None:
        return False
    return in_network(fd, lambda: netlink.index_here(INSIDE)) is not None


@effect("link.create")
def _create(config: BridgeConfig, pod: PodId | ContainerId, fd: int, mac: str, doing: str) -> None:
    """The host's end is a port, and needs no address: one more for each pod, and whoever looks for the bridge's passes
    them all."""
    name = names.link_name(config.tag, pod)
    master = _bridge(config, doing)
    netlink.remove_link(name)
    pair = rtchanges.veth(name, master=master, mtu=config.mtu, peer=INSIDE, namespace=fd, mac=mac)
    bare = [rtchanges.no_own_address(name)] if config.network6 is not None else []
    rtchanges.make(pair, *bare, rtchanges.link_up(name))


@effect("link.configure")
def _configure(config: BridgeConfig, address: str, address6: str) -> None:
    """Up first: the bridge takes a moment to let a new port forward, and the rest is done meanwhile.

    In an internal network nothing leads further than the bridge.
    """
    index = netlink.index_here(INSIDE)
    if index is None:
        raise TryLater(f"cannot configure {address}: its link is gone")
    homes = [(config.network.prefixlen, address, config.gateway)]
    if address6 and config.network6 is not None:
        ipv6.prepare(INSIDE)
        homes.append((config.network6.prefixlen, address6, config.gateway6))
    else:
        ipv6.close(INSIDE)
    changes = [rtchanges.link_up(index), rtchanges.link_up(_LOOPBACK)]
    for prefix, own, gateway in homes:
        changes.append(rtchanges.address(index, own, prefix))
        if not config.internal:
            changes.append(rtchanges.default_route(index, gateway))
    rtchanges.make(*changes)


@effect("link.finish")
def _finish(config: BridgeConfig, pod: PodId | ContainerId, mac: str, doing: str) -> int:
    """What the kernel does not take with the request that makes the link; and the bridge may be a new one.

    The MAC is nailed to this port: an earlier life of the pod had it on another, which may still be there for a
    moment, and no other pod can claim it by sending with it.
    """
    index = netlink.index_here(names.link_name(config.tag, pod))
    if index is None:
        raise TryLater(f"cannot {doing}: its namespace has an {INSIDE} that is not ours")
    up = rtchanges.link_up(index, alias=pod, master=_bridge(config, doing))
    rtchanges.make(up, rtchanges.hairpin(index), rtchanges.nailed(index, mac))
    return index


def _await_forwarding(index: int) -> None:
    """The kernel opens the port a moment (1 ms) after the link came up. A packet before that would be lost, and an
    ARP request is repeated only after 1 s. Waits 0.1 s at most: the link may also have gone again."""
    for _ in range(50):
        if rtlinks.forwards(index):
            return
        time.sleep(0.002)


def _bridge(config: BridgeConfig, doing: str) -> int:
    index = netlink.index_here(config.name)
    if index is None:
        raise TryLater(f"cannot {doing}: there is no such bridge")
    return index
