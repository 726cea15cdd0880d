"""The instance's network as pods meet it: a subnet chosen once, leases in it, links, published ports.

The bridge and the nftables table are declared whole, from the index, under one lock for the instance: whoever
is killed there leaves something that the next declaration makes right.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from reconciler.engine import locks
from reconciler.engine.context import Context
from reconciler.engine.network import bridge, conntrack, names, pod, portmap, subnet
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.engine.network.portmap import Published
from reconciler.engine.records import PodRecord
from reconciler.engine.store import addresses, events, settings
from reconciler.engine.store import pods as index
from reconciler.model.events import EventType
from reconciler.model.key import Key
from reconciler.model.observed import PidRef

SUBNET = "network.subnet"


def lease(ctx: Context, key: Key) -> str:
    """The address that the key's pod has or gets."""
    return addresses.lease(ctx.store, key, config(ctx).network)


def config(ctx: Context) -> BridgeConfig:
    """The instance's bridge; its subnet is chosen, and the bridge made, when the first pod needs it.

    Raises HostUnfit when no subnet is free.
    """
    known = settings.get(ctx.store, SUBNET)
    if known is not None and ctx.cache.mtu:
        return BridgeConfig(ctx.layout.tag, IPv4Network(known), ctx.cache.mtu)
    with locks.exclusive(ctx.layout.network_lock), subnet.choosing():
        host = subnet.survey(names.bridge_name(ctx.layout.tag))
        standing = bridge.find_network(ctx.layout.tag)
        known = settings.get(ctx.store, SUBNET)
        network = IPv4Network(known) if known else standing or _wanted(ctx, host)
        chosen = BridgeConfig(ctx.layout.tag, network, host.mtu)
        bridge.ensure_bridge(chosen)
        settings.put(ctx.store, SUBNET, str(network))
        ctx.cache.mtu = host.mtu
    _tell_clashes(ctx, subnet.clashes(host.routes, network), network)
    return chosen


def _wanted(ctx: Context, host: subnet.HostNetwork) -> IPv4Network:
    """The network that the owner set, or one that is free. A set one is taken as it is: a clash is told."""
    text = ctx.config.network.subnet
    return subnet.parse_network(text) if text is not None else subnet.choose_subnet(host.routes)


def _tell_clashes(ctx: Context, routes: tuple[IPv4Network, ...], network: IPv4Network) -> None:
    """The subnet stays, as pods live in it; what the host reached by those routes, it may not reach now."""
    if routes:
        told = f"the network of pods, {network}, overlaps {_list(routes)}, to which this host has a route"
        events.emit(ctx.store, ctx.clock, "network", EventType.WARNING, "SubnetClash", told)


def clashes(ctx: Context) -> tuple[IPv4Network, ...]:
    """Routes of the host that overlap the pods' network, as things stand. Raises TryLater."""
    known = settings.get(ctx.store, SUBNET)
    if known is None:
        return ()
    return subnet.clashes(subnet.survey(names.bridge_name(ctx.layout.tag)).routes, IPv4Network(known))


def _list(routes: tuple[IPv4Network, ...]) -> str:
    return ", ".join(map(str, routes))


def attach(ctx: Context, record: PodRecord, infra: PidRef) -> None:
    """Link the pod to the bridge, and publish its ports.

    Raises TryLater when its infra process is gone or the kernel refuses.
    """
    network = config(ctx)
    with locks.exclusive(ctx.layout.network_lock):
        bridge.ensure_bridge(network)
        if record.spec.sandbox.ports:
            index.set_published(ctx.store, record.id, True)
        portmap.declare(network, published(ctx))
    _forget_flows(record)
    pod.attach(network, record.id, infra, record.ip)


def unpublish(ctx: Context, record: PodRecord) -> None:
    """Take the pod's ports out of the maps; what comes for them is refused from now on."""
    if not record.spec.sandbox.ports or not record.ip:
        return
    network = config(ctx)
    with locks.exclusive(ctx.layout.network_lock):
        index.set_published(ctx.store, record.id, False)
        portmap.declare(network, published(ctx))
    _forget_flows(record)


def remove_if_last(ctx: Context) -> None:
    """Take bridge and table away when no pod is left. Not a part of any removal: it takes 50 ms."""
    if not index.is_empty(ctx.store) or not bridge.stands(ctx.layout.tag):
        return
    with locks.exclusive(ctx.layout.network_lock):
        if index.is_empty(ctx.store):
            portmap.remove_table(ctx.layout.tag)
            bridge.remove_bridge(ctx.layout.tag)


def published(ctx: Context) -> tuple[Published, ...]:
    """What the maps should hold, by the index."""
    leases = addresses.leases(ctx.store)
    rows = (row for row in index.all_pods(ctx.store, with_ports=True) if row.published)
    return tuple(Published(row.id, leases[row.key], row.ports) for row in rows if row.key in leases)


def _forget_flows(record: PodRecord) -> None:
    """The kernel goes on with a flow as it began: a UDP client would stay with the dead pod, or with the host."""
    if record.spec.sandbox.ports:
        conntrack.flush(record.ip, record.spec.sandbox.ports)
