"""``network create``, ``inspect`` and ``rm``: the named networks of an instance, in podman's words.

A network is its record; its bridge is made when its first pod comes. Both commands hold the instance's network lock, as
a pod does while it gets an address in a named network: none gets one in a network that is just being removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from reconciler.engine import firewalls, locks, netrecords, networks
from reconciler.engine.context import Context
from reconciler.engine.netrecords import NetworkRecord
from reconciler.engine.network import bridge, names, subnet
from reconciler.engine.network.subnet import HostNetwork, Network
from reconciler.engine.store import addresses
from reconciler.model.errors import InvalidInput, NotFound, TryLater
from reconciler.model.key import Key
from reconciler.model.spec import DEFAULT_NETWORK as DEFAULT

PREFIX = 24
"""Of an IPv4 subnet that is chosen: 253 pods, as podman's."""

MTU = range(576, 65536)
MTU6 = 1280
"""The least that IPv6 does with."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What ``network create`` was asked for, as text. ``mtu`` 0: the uplink's."""

    name: str
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    ipv6: bool = False
    internal: bool = False
    dns: bool = True
    mtu: int = 0
    labels: tuple[tuple[str, str], ...] = ()


def create(ctx: Context, wish: Wish) -> NetworkRecord:
    """Record a network; its subnets are those asked for, or free ones.

    Raises InvalidInput where it cannot be as asked for, HostUnfit where no subnet is free.
    """
    doing = f"create network {wish.name}"
    given = [_subnet(doing, text) for text in wish.subnets]
    given4 = _only(doing, [n for n in given if isinstance(n, IPv4Network)])
    given6 = _only(doing, [n for n in given if isinstance(n, IPv6Network)])
    with locks.exclusive(ctx.layout.network_lock), subnet.choosing():
        _refuse_twice(ctx, wish.name, doing)
        host = networks.survey(ctx)
        for network in given:
            _refuse_clash(ctx, host, network, doing)
        if (wish.ipv6 or given6) and (why := netrecords.why_no_ipv6(ctx)):
            raise InvalidInput(f"cannot {doing} with IPv6: {why}")
        if (wish.ipv6 or given6) and 0 < wish.mtu < MTU6:
            raise InvalidInput(f"cannot {doing}: IPv6 needs an mtu of {MTU6} or more")
        chosen4 = str(given4) if given4 else _free(ctx, host)
        chosen6 = str(given6) if given6 else networks.free_subnet6(ctx, host, wish.name) if wish.ipv6 else ""
        record = NetworkRecord(
            name=wish.name,
            subnet=chosen4,
            subnet6=chosen6,
            internal=wish.internal,
            dns=wish.dns,
            mtu=wish.mtu,
            labels=tuple(sorted(wish.labels)),
            created_wall=ctx.clock.wall(),
        )
        record = _with_gateways(doing, record, wish.gateways)
        netrecords.write(ctx, record)
        networks.redeclare(ctx)
    return record


def remove(ctx: Context, name: str) -> None:
    """Forget a network and take its bridge away, and what others' firewalls let through for it.

    Raises NotFound, InvalidInput for the instance's own, TryLater naming the pods that are in it.
    """
    if name == DEFAULT:
        raise InvalidInput(f"cannot remove network {name}: it is the instance's own")
    with locks.exclusive(ctx.layout.network_lock):
        record = netrecords.read(ctx, name)
        if record is None:
            raise unknown(name, "remove")
        if pods := users(ctx, name):
            raise TryLater(
                f"cannot remove network {name}: pods are in it: {', '.join(map(str, pods))}",
                hint="remove them, or put them into another network, first",
            )
        bridge.remove_bridge(netrecords.bridge_of(ctx, record).name)  # first: no bridge may be without a record
        netrecords.remove(ctx, name)
        networks.redeclare(ctx)
    firewalls.follow(ctx)


def users(ctx: Context, name: str) -> tuple[Key, ...]:
    """The pods that have an address in the network."""
    return addresses.users(ctx.store, name)


def listed(ctx: Context) -> tuple[NetworkRecord, ...]:
    """Every network; the instance's own also where its subnets are still to be chosen (they are "" then)."""
    found = netrecords.every(ctx)
    return found if found and found[0].name == DEFAULT else (NetworkRecord(DEFAULT, ""), *found)


def find(ctx: Context, name: str) -> NetworkRecord:
    """By its name, its id, or a beginning of the id that is no other's. Raises NotFound."""
    known = listed(ctx)
    for record in known:
        if name in (record.name, record.id):
            return record
    found = [record for record in known if len(name) >= 3 and record.id.startswith(name)]
    if len(found) != 1:
        raise unknown(name, "find")
    return found[0]


def unknown(name: str, verb: str) -> NotFound:
    return NotFound(f"cannot {verb} network {name}: there is none of that name", hint="see: reconciler network ls")


def described(ctx: Context, record: NetworkRecord) -> dict[str, Any]:
    """As podman describes one, and which pods are in it."""
    config = netrecords.bridge_of(ctx, record) if record.subnet else None
    subnets = []
    if config is not None:
        subnets = [
            {"subnet": str(network), "gateway": gateway}
            for network, gateway in zip(config.networks, (config.gateway, config.gateway6), strict=False)
        ]
    leases = addresses.leases(ctx.store)
    return {
        "name": record.name,
        "id": record.id,
        "driver": "bridge",
        "network_interface": names.bridge_name(ctx.layout.tag, "" if record.name == DEFAULT else record.id),
        "created": record.created_wall,
        "subnets": subnets,
        "ipv6_enabled": bool(record.subnet6),
        "internal": record.internal,
        "dns_enabled": record.dns,
        "labels": dict(record.labels),
        "options": {"mtu": str(record.mtu)} if record.mtu else {},
        "pods": {str(key): list(leases[key].ips) for key in users(ctx, record.name) if key in leases},
    }


def _refuse_twice(ctx: Context, name: str, doing: str) -> None:
    known = netrecords.every(ctx)
    if name == DEFAULT or any(record.name == name for record in known):
        raise InvalidInput(f"cannot {doing}: there is one of that name already")
    mine = names.bridge_name(ctx.layout.tag, NetworkRecord(name, "").id)
    for record in known:
        if record.name != DEFAULT and names.bridge_name(ctx.layout.tag, record.id) == mine:
            raise InvalidInput(f"cannot {doing}: its bridge would be called {mine}, as that of {record.name} is")


def _refuse_clash(ctx: Context, host: HostNetwork, network: Network, doing: str) -> None:
    for record in netrecords.every(ctx):
        if any(subnet.overlap(network, other) for other in record.networks):
            raise InvalidInput(f"cannot {doing}: {network} overlaps network {record.name}")
    if routes := subnet.clashes(host.routes, network):
        shown = ", ".join(map(str, routes))
        raise InvalidInput(f"cannot {doing}: {network} overlaps {shown}, to which this host has a route")


def _free(ctx: Context, host: HostNetwork) -> str:
    """The one that the instance's own network would get is left to it."""
    there = (*host.routes, *networks.taken(ctx), subnet.PREFERRED)
    return str(subnet.choose_subnet(there, None, prefix=PREFIX))


def _subnet(doing: str, text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError as e:
        raise InvalidInput(f"cannot {doing}: {text!r} is not a subnet: {e}") from e
    if network.num_addresses < 4:
        raise InvalidInput(f"cannot {doing}: {text} has no room for pods")
    if network.is_multicast or network.is_loopback or network.is_link_local:
        raise InvalidInput(f"cannot {doing}: {text} is not for hosts")
    return network


def _only(doing: str, found: Sequence[Network]) -> Network | None:
    if len(found) > 1:
        raise InvalidInput(
            f"cannot {doing}: it can have one subnet of each family, not {' and '.join(map(str, found))}"
        )
    return found[0] if found else None


def _with_gateways(doing: str, record: NetworkRecord, texts: Sequence[str]) -> NetworkRecord:
    gateways = {4: "", 6: ""}
    for text in texts:
        try:
            address = ip_address(text)
        except ValueError as e:
            raise InvalidInput(f"cannot {doing}: {text!r} is not an IP address") from e
        home = next((n for n in record.networks if address in n), None)
        if home is None:
            shown = " and ".join(map(str, record.networks))
            raise InvalidInput(f"cannot {doing}: gateway {text} is not in {shown}")
        if not _is_host(address, home):
            raise InvalidInput(f"cannot {doing}: gateway {text} is not an address for a host")
        if gateways[address.version]:
            raise InvalidInput(f"cannot {doing}: it can have one gateway of each family")
        gateways[address.version] = str(address)
    return replace(record, gateway=gateways[4], gateway6=gateways[6])


def _is_host(address: IPv4Address | IPv6Address, network: Network) -> bool:
    return address not in (network.network_address, network.broadcast_address)
