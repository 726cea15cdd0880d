"""A pod's link: a veth pair from the bridge into the network namespace of its infra container.

The namespace's end is made right in there (never seen on the host), the host's end is named by tag and pod id
with the whole id in its alias. Both die with the namespace, 20 to 100 ms after the last process in it.

Any number of pods may be attached at the same time, by any number of processes; one pod by one at a time (the
caller holds its key's lock).
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass

from reconciler.engine.effects import effect
from reconciler.engine.network import names, netlink, sysctls
from reconciler.engine.network.bridge import CONF, BridgeConfig
from reconciler.model.errors import TryLater
from reconciler.model.key import PodId
from reconciler.model.observed import PidRef

INSIDE = "eth0"
_LOOPBACK = 1


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """The host's end of a link of ours. ``pod`` is the whole id, or "" where its maker died before writing it."""

    name: str
    index: int
    pod: str
    up: bool
    on_bridge: bool

    def belongs_to(self, pod: PodId) -> bool:
        return self.pod == pod if self.pod else self.name.endswith(pod[:9])


def attach(config: BridgeConfig, pod: PodId, infra: PidRef, ip: str) -> None:
    """Give the pod whose infra process is ``infra`` the address ``ip``: link, address, default route.

    1. the pair, if it is not there    2. its host end: alias, hairpin    3. inside: addresses, routes
    Raises TryLater when the process is gone, HostUnfit when it is in the host's namespace.
    """
    doing = f"attach pod {pod[:12]} to {config.name}"
    with netlink.namespace(doing, infra) as fd:
        mac = names.mac_of(ip)
        with netlink.here(doing) as host:
            if not netlink.inside(doing, fd, lambda pod_side: netlink.index_of(pod_side, INSIDE)):
                _create(host, config, pod, fd, mac, doing)
            _finish(host, config, pod, doing)
        netlink.inside(doing, fd, lambda pod_side: _configure(pod_side, config, ip))


@effect("link.delete")
def detach(tag: str, pod: PodId) -> None:
    """Remove the pod's link now. Not needed where its namespace dies, which is faster (this takes 25 ms)."""
    with netlink.here(f"detach pod {pod[:12]}") as ip:
        _delete(ip, names.link_name(tag, pod))


def links(tag: str) -> tuple[LinkInfo, ...]:
    """Every link of this instance, by our naming rule."""
    with netlink.here("list the links of pods") as ip:
        bridge = netlink.index_of(ip, names.bridge_name(tag))
        found = []
        for message in ip.get_links():
            name = message.get("ifname") or ""
            if (parsed := names.parse_link(name)) and parsed[0] == tag:
                on_bridge = bridge is not None and message.get("master") == bridge
                up = message.get("operstate") == "UP"
                found.append(LinkInfo(name, message["index"], message.get("ifalias") or "", up, on_bridge))
        return tuple(found)


def leaked_links(tag: str, known: Collection[PodId], patience: float = 2.0) -> tuple[LinkInfo, ...]:
    """Links that belong to none of ``known``, after ``patience`` seconds for dying namespaces to take theirs along."""
    deadline = time.monotonic() + patience
    while True:
        leaked = tuple(link for link in links(tag) if not any(link.belongs_to(pod) for pod in known))
        if not leaked or time.monotonic() > deadline:
            return leaked
        time.sleep(0.02)


@effect("link.create")
def _create(ip: netlink.Socket, config: BridgeConfig, pod: PodId, fd: int, mac: str, doing: str) -> None:
    """The namespace has no link yet, so one of this name leads to another that is dying: it makes room."""
    name = names.link_name(config.tag, pod)
    master = _bridge(ip, config, doing)
    _delete(ip, name)
    peer = {"ifname": INSIDE, "net_ns_fd": fd, "address": mac, "mtu": config.mtu}
    ip.link("add", ifname=name, kind="veth", mtu=config.mtu, master=master, state="up", peer=peer)


@effect("link.finish")
def _finish(ip: netlink.Socket, config: BridgeConfig, pod: PodId, doing: str) -> None:
    """What the kernel does not take with the request that makes the link; and the bridge may be a new one."""
    index = netlink.index_of(ip, names.link_name(config.tag, pod))
    if index is None:
        raise TryLater(f"cannot {doing}: its namespace has an {INSIDE} that is not ours")
    ip.link("set", index=index, ifalias=pod, state="up", master=_bridge(ip, config, doing))
    ip.brport("set", index=index, mode=1)


@effect("link.configure")
def _configure(ip: netlink.Socket, config: BridgeConfig, address: str) -> None:
    """arp_notify announces the address when the link comes up: an earlier life of the pod had the same MAC on
    another port of the bridge, which may still be there for a moment."""
    index = netlink.index_of(ip, INSIDE)
    assert index is not None
    sysctls.ensure(CONF / INSIDE / "arp_notify", "1")
    ip.link("set", index=_LOOPBACK, state="up")
    ip.addr("replace", index=index, address=address, prefixlen=config.network.prefixlen)
    ip.link("set", index=index, state="up")
    ip.route("replace", family=socket.AF_INET, dst="default", gateway=config.gateway, oif=index)


def _bridge(ip: netlink.Socket, config: BridgeConfig, doing: str) -> int:
    index = netlink.index_of(ip, config.name)
    if index is None:
        raise TryLater(f"cannot {doing}: there is no such bridge")
    return index


def _delete(ip: netlink.Socket, name: str) -> None:
    index = netlink.index_of(ip, name)
    if index is None:
        return
    try:
        ip.link("del", index=index)
    except Exception as e:
        if not netlink.is_error(e, errno.ENODEV):
            raise
