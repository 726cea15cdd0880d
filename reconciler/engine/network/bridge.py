"""The bridge that an instance's pods hang on, and the sysctls it needs.

Every step looks first and may be repeated; killed anywhere, the next call finishes it. ``route_localnet`` is not
set here but by ``portmap`` after the table stands that keeps pods from the host's loopback services.
Callers hold ``layout.network_lock``.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.network import names, netlink, sysctls

CONF = Path("/proc/sys/net/ipv4/conf")


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """One instance's network. ``mtu`` in bytes, the uplink's."""

    tag: str
    network: IPv4Network
    mtu: int = 1500

    @property
    def name(self) -> str:
        return names.bridge_name(self.tag)

    @property
    def gateway(self) -> str:
        """The bridge's own address: the first of the network."""
        return str(self.network[1])


def ensure_bridge(config: BridgeConfig) -> None:
    """Make the bridge stand: there, with its address and MAC, up, and the host forwarding.

    The MAC is fixed: a bridge would otherwise take the lowest of its ports', and pods' ARP entries would go
    stale as pods come and go. Raises TryLater or HostUnfit.
    """
    doing = f"set up the bridge {config.name}"
    with netlink.here(doing) as ip:
        index = netlink.index_of(ip, config.name)
        if index is None:
            index = _create(ip, config)
        _address(ip, index, config)
    sysctls.ensure(Path("/proc/sys/net/ipv4/ip_forward"), "1")


def stands(tag: str) -> bool:
    """Whether there is a bridge, asked without netlink (0.01 ms)."""
    try:
        return socket.if_nametoindex(names.bridge_name(tag)) > 0
    except OSError:
        return False


def find_network(tag: str) -> IPv4Network | None:
    """The network of the bridge that stands, or None: the kernel's word where the store has lost its own."""
    with netlink.here(f"look at the bridge {names.bridge_name(tag)}") as ip:
        index = netlink.index_of(ip, names.bridge_name(tag))
        if index is None:
            return None
        for address in ip.get_addr(index=index, family=2):
            return IPv4Network((address.get("address"), address["prefixlen"]), strict=False)
    return None


@effect("bridge.remove")
def remove_bridge(tag: str) -> None:
    """Take the bridge away; nothing happens where there is none. The host goes on forwarding."""
    with netlink.here(f"remove the bridge {names.bridge_name(tag)}") as ip:
        index = netlink.index_of(ip, names.bridge_name(tag))
        if index is not None:
            _unless(ip.link, errno.ENODEV, "del", index=index)


@effect("bridge.create")
def _create(ip: netlink.Socket, config: BridgeConfig) -> int:
    """Another process may be faster."""
    mac = names.mac_of(config.gateway)
    _unless(ip.link, errno.EEXIST, "add", ifname=config.name, kind="bridge", address=mac, mtu=config.mtu)
    index = netlink.index_of(ip, config.name)
    assert index is not None
    return index


@effect("bridge.address")
def _address(ip: netlink.Socket, index: int, config: BridgeConfig) -> None:
    ip.addr("replace", index=index, address=config.gateway, prefixlen=config.network.prefixlen)
    ip.link("set", index=index, mtu=config.mtu, address=names.mac_of(config.gateway), state="up")


def _unless(call: netlink.Socket, harmless: int, *arguments: object, **options: object) -> None:
    try:
        call(*arguments, **options)
    except Exception as e:
        if not netlink.is_error(e, harmless):
            raise
