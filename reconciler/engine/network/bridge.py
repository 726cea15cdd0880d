"""The bridges that an instance's pods hang on, one for each network, and the sysctls they need.

Every step looks first and may be repeated; killed anywhere, the next call finishes it. ``route_localnet`` is not
set here but by ``portmap`` after the table stands that keeps pods from the host's loopback services.
Callers hold ``layout.network_lock``.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.engine.network import interface, ipv6, names, netlink, sysctls
from reconciler.linux import rtchanges

CONF = Path("/proc/sys/net/ipv4/conf")


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """One network. ``mtu`` in bytes, the uplink's unless set; ``id`` "" is the instance's own network; ``internal``
    has no way out."""

    tag: str
    network: IPv4Network
    mtu: int = 1500
    network6: IPv6Network | None = None
    id: str = ""
    internal: bool = False
    gateways: tuple[str, str] = ("", "")
    """Addresses of the bridge, IPv4 and IPv6, where they are not the first of their network."""

    @property
    def name(self) -> str:
        return names.bridge_name(self.tag, self.id)

    @property
    def gateway(self) -> str:
        """The bridge's own address."""
        return self.gateways[0] or str(self.network[1])

    @property
    def gateway6(self) -> str:
        """Its IPv6 address; "" where the network has none."""
        if self.network6 is None:
            return ""
        return self.gateways[1] or str(self.network6[1])

    @property
    def addresses(self) -> tuple[str, ...]:
        """Both of its own, as far as it has them."""
        return tuple(filter(None, (self.gateway, self.gateway6)))

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return (self.network,) if self.network6 is None else (self.network, self.network6)


def ensure_bridge(config: BridgeConfig, memory: Path | None = None) -> None:
    """Make the bridge stand: there, with its addresses and MAC, up, and the host forwarding.

    The MAC is fixed: a bridge would otherwise take the lowest of its ports', and pods' ARP entries would go
    stale as pods come and go. ``memory``: see ``ipv6.forward``. Raises TryLater or HostUnfit.
    """
    if stands(config.name):
        _prepare_ipv6(config)
    if not _is_as_wanted(config):
        with netlink.refused(f"set up the bridge {config.name}"):
            _create(config)
            _prepare_ipv6(config)
            _address(config)
    sysctls.ensure(Path("/proc/sys/net/ipv4/ip_forward"), "1")
    if config.network6 is not None:
        ipv6.forward(memory)


def _prepare_ipv6(config: BridgeConfig) -> None:
    if config.network6 is not None:
        ipv6.prepare(config.name, router=True)
    else:
        ipv6.close(config.name)


def _is_as_wanted(config: BridgeConfig) -> bool:
    """Asked for each pod. The alias is not looked at: it is written together with the MAC."""
    now = interface.look(config.name)
    if now is None or not now.up or (now.mac, now.mtu) != (names.mac_of(config.gateway), config.mtu):
        return False
    wanted = {ip_interface(f"{config.gateway}/{config.network.prefixlen}")}
    if config.network6 is not None:
        wanted.add(ip_interface(f"{config.gateway6}/{config.network6.prefixlen}"))
    return wanted <= now.addresses


def stands(name: str) -> bool:
    """Whether there is a bridge of this name, asked without netlink (0.01 ms)."""
    return netlink.index_here(name) is not None


def find_network(name: str) -> IPv4Network | None:
    """The network of the bridge that stands, or None: the kernel's word where the records have lost theirs."""
    return next((one.network for one in own_addresses(name) if isinstance(one, IPv4Interface)), None)


def own_addresses(name: str) -> tuple[IPv4Interface | IPv6Interface, ...]:
    """The addresses of the bridge, with their networks; none where it does not stand."""
    with netlink.here(f"look at the bridge {name}") as ip:
        index = netlink.index_here(name)
        if index is None:
            return ()
        found = [ip_interface((one.get("address"), one["prefixlen"])) for one in ip.get_addr(index=index)]
    return tuple(one for one in found if not one.is_link_local)


def bridges(tag: str) -> tuple[str, ...]:
    """The names of all bridges of this instance that stand, by our naming rule."""
    found = (names.parse_bridge(name) for _, name in socket.if_nameindex())
    return tuple(names.bridge_name(*one) for one in found if one and one[0] == tag)


@effect("bridge.remove")
def remove_bridge(name: str) -> None:
    """Take the bridge away; nothing happens where there is none. The host goes on forwarding."""
    with netlink.refused(f"remove the bridge {name}"):
        netlink.remove_link(name)


@effect("bridge.create")
def _create(config: BridgeConfig) -> None:
    """Where there is none; another process may be faster."""
    if not stands(config.name):
        with suppress(FileExistsError):
            rtchanges.make(rtchanges.bridge(config.name, mtu=config.mtu, mac=names.mac_of(config.gateway)))


@effect("bridge.address")
def _address(config: BridgeConfig) -> None:
    index = socket.if_nametoindex(config.name)
    up = rtchanges.link_up(index, alias=config.id, mtu=config.mtu, mac=names.mac_of(config.gateway))
    changes = [rtchanges.address(index, config.gateway, config.network.prefixlen), up]
    if config.network6 is not None:
        changes.append(rtchanges.address(index, config.gateway6, config.network6.prefixlen))
    rtchanges.make(*changes)
