"""The instance's networks as pods meet them: subnets chosen once, leases in them, links, published ports.

The bridges and the nftables table are declared whole, from the index, under one lock for the instance: whoever
is killed there leaves something that the next declaration makes right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from reconciler.engine import locks, netrecords
from reconciler.engine.context import Context
from reconciler.engine.netrecords import NetworkRecord
from reconciler.engine.network import bridge, conntrack, names, netlink, pod, portmap, subnet
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.engine.network.portmap import Published, Table
from reconciler.engine.network.subnet import HostNetwork, Network
from reconciler.engine.records import PodRecord
from reconciler.engine.store import addresses, events
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease
from reconciler.model.errors import NotFound, ReconcilerError
from reconciler.model.events import EventType
from reconciler.model.key import ContainerId, Key
from reconciler.model.observed import PidRef
from reconciler.model.spec import DEFAULT_NETWORK as DEFAULT
from reconciler.model.spec import PodSpec

MACHINE_ID = Path("/etc/machine-id")


def lease(ctx: Context, spec: PodSpec) -> Lease:
    """The addresses that the pod has or gets, in the network it asks for."""
    wanted = (_plain(spec.sandbox.ip), _plain(spec.sandbox.ip6))
    return lease_for(ctx, spec.key, spec.sandbox.network, wanted)


def lease_for(ctx: Context, key: Key, name: str, wanted: tuple[str, str] = ("", "")) -> Lease:
    """The addresses that whoever has this key has or gets in a network. Raises NotFound, InvalidInput, TryLater."""
    ensure(ctx, name)
    with locks.exclusive(ctx.layout.network_lock):  # it may be gone again meanwhile, or have another subnet
        config = netrecords.bridge_of(ctx, _require(ctx, name))
        return addresses.lease(ctx.store, key, netrecords.pool_of(name, config), wanted=wanted)


def _plain(address: str) -> str:
    """As leases are written."""
    return str(ip_address(address)) if address else ""


def ensure(ctx: Context, name: str = "") -> BridgeConfig:
    """A network ("" is the instance's own, whose subnets are chosen and bridge made when the first pod needs it).

    Raises NotFound, HostUnfit when no subnet is free.
    """
    if ctx.cache.mtu and (record := netrecords.read(ctx, name)) is not None and not _lacks_ipv6(ctx, record):
        return netrecords.bridge_of(ctx, record)
    with locks.exclusive(ctx.layout.network_lock), subnet.choosing():
        host = survey(ctx)
        ctx.cache.mtu = host.mtu
        record = _require(ctx, name) if name not in ("", DEFAULT) else _choose(ctx, host)
        chosen = netrecords.bridge_of(ctx, record)
        stand(ctx, chosen)
    _tell_clashes(ctx, subnet.clashes(host.routes, *chosen.networks), record)
    return chosen


def stand(ctx: Context, config: BridgeConfig) -> None:
    """Make the network's bridge stand. For holders of the lock; raises TryLater or HostUnfit."""
    bridge.ensure_bridge(config, ctx.layout.forwarding)


def survey(ctx: Context) -> HostNetwork:
    """The host's routes without those to our own bridges."""
    return subnet.survey(bridge.bridges(ctx.layout.tag))


def _require(ctx: Context, name: str) -> NetworkRecord:
    record = netrecords.read(ctx, name)
    if record is None:
        raise unknown(name)
    return record


def unknown(name: str) -> NotFound:
    return NotFound(f"cannot use network {name}: there is none of that name", hint="see: reconciler network ls")


def _choose(ctx: Context, host: HostNetwork) -> NetworkRecord:
    """The instance's own network: what is on record, what the owner set, else what is free.

    A set one is taken as it is (a clash is told), but while pods live in another that one stays.
    """
    before = netrecords.read(ctx, DEFAULT)
    now = before or NetworkRecord(DEFAULT, _first_subnet(ctx, host), created_wall=ctx.clock.wall())
    if _lacks_ipv6(ctx, now):
        now = replace(now, subnet6=_first_subnet6(ctx, host, now.name))
    wished = _as_set(ctx, now)
    if wished != now and not addresses.users(ctx.store, DEFAULT):
        bridge.remove_bridge(netrecords.bridge_of(ctx, now).name)  # it has the old addresses
        now = wished
    if now != before:
        netrecords.write(ctx, now)
    return now


def _as_set(ctx: Context, record: NetworkRecord) -> NetworkRecord:
    """The record as the configuration file would have it."""
    texts = ctx.config.network
    network = str(subnet.parse_network(texts.subnet)) if texts.subnet is not None else record.subnet
    network6 = record.subnet6
    if texts.subnet6 is not None and network6:
        network6 = str(subnet.parse_network6(texts.subnet6))
    return replace(record, subnet=network, subnet6=network6)


def _first_subnet(ctx: Context, host: HostNetwork) -> str:
    """The bridge that stands is the kernel's word where the record was lost."""
    if ctx.config.network.subnet is not None:
        return str(subnet.parse_network(ctx.config.network.subnet))
    standing = bridge.find_network(names.bridge_name(ctx.layout.tag))
    return str(standing or subnet.choose_subnet((*host.routes, *taken(ctx))))


def _first_subnet6(ctx: Context, host: HostNetwork, name: str) -> str:
    if ctx.config.network.subnet6 is not None:
        return str(subnet.parse_network6(ctx.config.network.subnet6))
    return free_subnet6(ctx, host, name)


def free_subnet6(ctx: Context, host: HostNetwork, name: str) -> str:
    """The same one each time for the same machine, instance and network, unless others route to it."""
    try:
        machine = MACHINE_ID.read_text().strip()
    except OSError:
        machine = ""
    return str(subnet.choose_subnet6((*host.routes, *taken(ctx)), f"{machine} {ctx.layout.tag} {name}"))


def taken(ctx: Context) -> tuple[Network, ...]:
    """The subnets of every network on record, also of those whose bridge does not stand."""
    return tuple(network for record in netrecords.every(ctx) for network in record.networks)


def _lacks_ipv6(ctx: Context, record: NetworkRecord) -> bool:
    """Whether the instance's own network is still to get its IPv6 subnet."""
    return record.name == DEFAULT and not record.subnet6 and not netrecords.why_no_ipv6(ctx)


def _tell_clashes(ctx: Context, routes: tuple[Network, ...], record: NetworkRecord) -> None:
    """The subnets stay, as pods live in them; what the host reached by those routes, it may not reach now."""
    if routes:
        events.emit(ctx.store, ctx.clock, "network", EventType.WARNING, "SubnetClash", clash_text(record, routes))


def clash_text(record: NetworkRecord, routes: tuple[Network, ...]) -> str:
    """What is told of a clash, and what can be done about it."""
    networks = " and ".join(str(n) for n in record.networks if subnet.clashes(routes, n))
    remedy = "[network] subnet and subnet6 in the configuration file choose another, once no pod is left"
    if record.name != DEFAULT:
        remedy = f"`network rm {record.name}` and `network create --subnet` choose another"
    return (
        f"the subnet {networks} of network {record.name} overlaps {', '.join(map(str, routes))},"
        f" to which this host has a route; {remedy}"
    )


def clashes(ctx: Context) -> tuple[str, ...]:
    """A sentence for each network that overlaps routes of the host, as things stand. Raises TryLater."""
    known = netrecords.every(ctx)
    host = survey(ctx) if known else HostNetwork((), 0)
    found = ((record, subnet.clashes(host.routes, *record.networks)) for record in known)
    return tuple(clash_text(record, routes) for record, routes in found if routes)


def attach(ctx: Context, record: PodRecord, infra: PidRef) -> None:
    """Link the pod to its bridge, and publish its ports.

    Raises TryLater when its infra process is gone or the kernel refuses.
    """
    network = ensure(ctx, record.spec.sandbox.network)
    with locks.exclusive(ctx.layout.network_lock):
        stand(ctx, network)
        if record.spec.sandbox.ports:
            _publish(ctx, record)
        wanted = _wanted(ctx)
        if ctx.cache.declared != wanted:  # most pods publish nothing
            _declare(ctx, wanted=wanted)
    _forget_flows(record)
    pod.attach(network, record.id, infra, record.ip, record.ip6, mac=record.spec.sandbox.mac)


def is_prepared(ctx: Context) -> bool:
    """Whether all that pods' links hang on stands, as this process last saw or made it."""
    declared = ctx.cache.declared
    return isinstance(declared, _Wanted) and declared.bridges == _indices(declared.networks)


def prepare(ctx: Context, record: PodRecord) -> None:
    """Make what a pod's link hangs on, while its infra container is made: the bridge, and the table. What fails here
    fails again, and is told, when the link is made."""
    with suppress(ReconcilerError):
        restore(ctx, (record.spec.sandbox.network,))


def _publish(ctx: Context, record: PodRecord) -> None:
    """The pod holds its ports: another one on record with one of them has not lived since (a reboot)."""
    mine = record.spec.sandbox.ports
    numbers = {(one.host_port, one.protocol) for one in mine}
    for row in index.all_pods(ctx.store, with_ports=True):
        same = [one for one in row.ports if (one.host_port, one.protocol) in numbers]
        if row.id != record.id and any(one.overlaps(other) for one in same for other in mine):
            index.release_ports(ctx.store, row.id)
    index.publish(ctx.store, record.id, mine)


def attach_member(
    ctx: Context, name: str, container: ContainerId, process: PidRef, ips: tuple[str, str], *, mac: str = ""
) -> None:
    """Link a member that has a network namespace of its own to the bridge of the network called ``name``.

    Raises TryLater when its process is gone or the kernel refuses.
    """
    network = ensure(ctx, name)
    with locks.exclusive(ctx.layout.network_lock):
        stand(ctx, network)
        _declare(ctx)
    pod.attach(network, container, process, *ips, mac=mac)


def unpublish(ctx: Context, record: PodRecord) -> None:
    """Take the pod's ports out of the maps; what comes for them is refused from now on."""
    if not record.spec.sandbox.ports or not record.ip:
        return
    with locks.exclusive(ctx.layout.network_lock):
        index.set_published(ctx.store, record.id, False)
        _declare(ctx)
    _forget_flows(record)


def restore(ctx: Context, used: Collection[str]) -> None:
    """Make the bridges of these networks and the table stand as recorded. Raises TryLater or HostUnfit."""
    configs = [ensure(ctx, name) for name in sorted(used)]
    with locks.exclusive(ctx.layout.network_lock):
        for config in configs:
            stand(ctx, config)
        _declare(ctx)


def follow(ctx: Context) -> None:
    """Have the table say the interfaces of others that are there now. Where pods are attached; raises TryLater or
    HostUnfit."""
    with locks.exclusive(ctx.layout.network_lock):
        _declare(ctx)


def update(ctx: Context, table: Table) -> None:
    """As ``follow``, by who holds the lock and has just seen the ``table``."""
    _declare(ctx, table)


def redeclare(ctx: Context) -> None:
    """The table after the networks on record changed; where no bridge stands there is none. For holders of the lock."""
    if bridge.bridges(ctx.layout.tag) and not index.is_empty(ctx.store):
        _declare(ctx)


def _declare(ctx: Context, now: Table | None = None, wanted: _Wanted | None = None) -> None:
    wanted = wanted or _wanted(ctx)
    portmap.declare(ctx.layout.tag, wanted.networks, wanted.published, now)
    ctx.cache.declared = wanted


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the table is to say. ``bridges``: their indices, for whoever takes them away takes the table away, too."""

    networks: tuple[BridgeConfig, ...]
    published: tuple[Published, ...]
    bridges: tuple[int | None, ...]


def _wanted(ctx: Context) -> _Wanted:
    networks = known(ctx)
    return _Wanted(networks, published(ctx), _indices(networks))


def _indices(networks: tuple[BridgeConfig, ...]) -> tuple[int | None, ...]:
    return tuple(netlink.index_here(one.name) for one in networks)


def known(ctx: Context) -> tuple[BridgeConfig, ...]:
    """Every network on record, as the host has or would have it."""
    return tuple(netrecords.bridge_of(ctx, record) for record in netrecords.every(ctx))


def lost(ctx: Context) -> dict[str, tuple[str, str]]:
    """The networks that pods have addresses in, but that are not on record any more: name, and the command that makes
    it again, by the bridge that stands. It is the user's to call: whether the network had a way out, nobody knows."""
    recorded = {record.name for record in netrecords.every(ctx)} | {"", DEFAULT}
    found = {}
    for name in sorted({lease.network for lease in addresses.leases(ctx.store).values()} - recorded):
        standing = names.bridge_name(ctx.layout.tag, NetworkRecord(name, "").id)
        options = [f"--subnet {own.network} --gateway {own.ip}" for own in bridge.own_addresses(standing)]
        if options:
            found[standing] = (name, f"reconciler network create {' '.join(options)} {name}")
    return found


def remove_if_last(ctx: Context, close_firewalls: Callable[[Context], None]) -> None:
    """Take bridges and table away when no pod is left, and before them what others' firewalls let through for them.
    Not a part of any removal: it takes 50 ms."""
    if not index.is_empty(ctx.store) or not bridge.bridges(ctx.layout.tag):
        return
    with locks.exclusive(ctx.layout.network_lock):
        if index.is_empty(ctx.store):
            close_firewalls(ctx)
            portmap.remove_table(ctx.layout.tag)
            for name in bridge.bridges(ctx.layout.tag):
                bridge.remove_bridge(name)


def published(ctx: Context) -> tuple[Published, ...]:
    """What the maps should hold, by the index."""
    leases = addresses.leases(ctx.store, published=True)
    rows = (row for row in index.all_pods(ctx.store, with_ports=True) if row.published)
    found = ((row, leases.get(row.key, Lease(""))) for row in rows)
    return tuple(Published(row.id, lease.ip, row.ports, lease.ip6) for row, lease in found if lease.ip)


def _forget_flows(record: PodRecord) -> None:
    """The kernel goes on with a flow as it began: a UDP client would stay with the dead pod, or with the host."""
    if record.spec.sandbox.ports:
        conntrack.flush(record.ips, record.spec.sandbox.ports)
