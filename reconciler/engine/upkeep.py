"""What others did to the pods' network on this host, found and mended: a flushed table, a bridge that is gone.

``nft flush ruleset`` (a reload of Debian's nftables.service), ``systemctl restart systemd-networkd``, NetworkManager
and an administrator at a prompt all can. The kernel is looked at first, so that what is told is what was found, and
where all is well nothing is written. Called by the controller when the kernel tells of a change, at each resync, and
by commands before they work on pods; several may do so at the same time, one after the other (``network_lock``).

Only what has been set up is looked for: a pod counts from when its network was recorded as done until its removal
begins, so nothing that is just being made or taken away looks damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from reconciler.engine import apart, locks, netrecords, networks, recorded, sandboxes, watched
from reconciler.engine.context import Context
from reconciler.engine.network import conntrack, ipv6, names, netlink, portmap
from reconciler.engine.network import pod as links
from reconciler.engine.network.bridge import CONF, BridgeConfig
from reconciler.engine.network.portmap import Table
from reconciler.engine.records import PodRecord
from reconciler.engine.store import events
from reconciler.engine.store import pods as index
from reconciler.linux import rtlinks
from reconciler.linux.rtlinks import Link
from reconciler.model.errors import TryLater
from reconciler.model.events import EventType
from reconciler.model.interfaces import KeyLock
from reconciler.model.key import ContainerId, Key, PodId

ABOUT = "network"
"""What events about the host's network are about."""

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")

LockKey = Callable[[Key], AbstractContextManager[KeyLock]]


class Part(StrEnum):
    """Of the network; the value is the reason of the event that tells of it."""

    TABLE = "FirewallFlushed"
    RULES = "FirewallChanged"
    BRIDGE = "BridgeChanged"
    SYSCTL = "SysctlChanged"
    LINK = "LinkChanged"


FIREWALL = frozenset({Part.TABLE, Part.RULES})


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is not as it was made, as a sentence without its end."""

    part: Part
    text: str
    pod: PodId | None = None


def flaws(ctx: Context) -> tuple[Flaw, ...]:
    """What is wrong now; changes nothing. Raises TryLater or HostUnfit where it cannot be looked at."""
    return _found(ctx, _attached(ctx), lambda _table: None)


def _found(ctx: Context, pods: list[PodRecord], if_none: Callable[[Table], object]) -> tuple[Flaw, ...]:
    """``if_none`` is called with the table where nothing is wrong."""
    if not pods:
        return ()
    with locks.exclusive(ctx.layout.network_lock):
        table = portmap.look(ctx.layout.tag)
        found = tuple(_flaws(ctx, pods, table))
        if not found:
            if_none(table)
    if not any(flaw.pod for flaw in found):
        return found
    still = {record.id for record in _attached(ctx)}  # a removal that began meanwhile took its link along
    return tuple(flaw for flaw in found if flaw.pod is None or flaw.pod in still)


def mend(ctx: Context, lock: LockKey, by: str = "") -> tuple[str, ...]:
    """Put right what is wrong, and tell of it in the log of events; the sentences. ``by``: the program that is known
    to have changed the firewall.

    1. bridges, sysctls and the table    2. flows that went astray meanwhile    3. pods' links back on their bridge
    """
    pods = _attached(ctx)
    found = _found(ctx, pods, partial(networks.update, ctx))
    if not found:
        return ()
    networks.restore(ctx, {record.spec.sandbox.network for record in pods})
    told = tuple(_tell(ctx, found, by))
    if any(flaw.part in FIREWALL for flaw in found):
        for record in pods:
            conntrack.flush(record.ips, record.spec.sandbox.ports)
    for key in _off_the_bridge(pods, found):
        with lock(key):
            _attach_again(ctx, key)
    return told


def _attached(ctx: Context) -> list[PodRecord]:
    """The pods whose network stands, by the records, and whose infra container lives: none right after a boot."""
    found = []
    for row in index.all_pods(ctx.store):
        state = recorded.state_of_pod(ctx, row.id)
        up = state.networked is not None and watched.lives(ctx, state.networked)
        if up and not state.removing and not state.ended:
            record = recorded.record_of_pod(ctx, row.id)
            if record is not None and record.spec.sandbox.on_bridge:
                found.append(record)
    return found


def _flaws(ctx: Context, pods: list[PodRecord], table: Table) -> Iterator[Flaw]:
    tag = ctx.layout.tag
    if wrong := portmap.flaw(tag, networks.known(ctx), networks.published(ctx), table):
        part = Part.TABLE if wrong == portmap.GONE else Part.RULES
        yield Flaw(part, f"the nftables table {names.table_name(tag)} {wrong}")
    everybodys = links.everybodys()
    configs = [_config(ctx, name) for name in sorted({record.spec.sandbox.network for record in pods})]
    for one in filter(None, configs):
        if wrong := _bridge_flaw(one, everybodys):
            yield Flaw(Part.BRIDGE, f"the bridge {one.name} {wrong}")
    yield from _sysctl_flaws([one for one in configs if one])
    there = links.ours(tag, everybodys)
    by_id = {link.pod: link for link in there}
    for pod, identity, who in (linked for record in pods for linked in _linked(ctx, record)):
        link = by_id.get(identity) or next((link for link in there if link.belongs_to(identity)), None)
        if link is None or not (link.on_bridge and link.hairpin):
            what = "is gone" if link is None else "has left its bridge" if not link.on_bridge else "has lost hairpin"
            yield Flaw(Part.LINK, f"the link of {who} {what}", pod)


def _linked(ctx: Context, record: PodRecord) -> Iterator[tuple[PodId, PodId | ContainerId, str]]:
    """Who of a pod has a link: the pod itself, and members with a network of their own that were started."""
    if record.ip:
        yield record.id, record.id, f"pod {record.key}"
    if record.spec.sandbox.apart:
        yield from ((record.id, c, f"container {name}") for c, name in _connected(ctx, record))


def _connected(ctx: Context, record: PodRecord) -> Iterator[tuple[ContainerId, str]]:
    for container in index.containers_of(ctx.store, record.id):
        member, facts = recorded.record_of(ctx, container), recorded.facts_of(ctx, container)
        if member is not None and member.ip and facts.started_wall and watched.lives(ctx, container):
            yield container, member.name


def _config(ctx: Context, name: str) -> BridgeConfig | None:
    record = netrecords.read(ctx, name)
    return netrecords.bridge_of(ctx, record) if record else None


def _bridge_flaw(one: BridgeConfig, everybodys: Sequence[Link]) -> str:
    bridge = next((link for link in everybodys if link.name == one.name), None)
    if bridge is None:
        return "is gone"
    if not bridge.enabled:
        return "is down"
    try:
        there = rtlinks.addresses(bridge.index)
    except OSError as e:
        raise netlink.failure(f"look at the bridge {one.name}", e.errno or 0) from e
    lost = [address for address in one.addresses if ip_address(address) not in there]
    return f"has lost its address {' and '.join(lost)}" if lost else ""


def _sysctl_flaws(configs: list[BridgeConfig]) -> Iterator[Flaw]:
    wanted = {_FORWARD: "net.ipv4.ip_forward"}
    if any(one.network6 for one in configs):
        wanted[ipv6.CONF / "all/forwarding"] = "net.ipv6.conf.all.forwarding"
    wanted |= {CONF / c.name / "route_localnet": f"net.ipv4.conf.{c.name}.route_localnet" for c in configs}
    for path, name in wanted.items():
        if path.exists() and path.read_text().strip() != "1":
            yield Flaw(Part.SYSCTL, f"{name} is not 1")


def _off_the_bridge(pods: list[PodRecord], found: tuple[Flaw, ...]) -> list[Key]:
    lost = {flaw.pod for flaw in found}
    return [record.key for record in pods if record.id in lost]


def _attach_again(ctx: Context, key: Key) -> None:
    """As the pod stands now that its lock is held; one that is on its way out needs no link."""
    for record in _attached(ctx):
        if record.key == key:
            with suppress(TryLater):  # its infra container ended: it is made anew
                _, infra = sandboxes.living_infra(ctx, record.id)
                if record.ip:
                    networks.attach(ctx, record, infra)
                for container, _ in _connected(ctx, record):
                    apart.connect(ctx, container)


def _tell(ctx: Context, found: tuple[Flaw, ...], by: str) -> Iterator[str]:
    told = [flaw for flaw in found if flaw.part is not Part.LINK] or list(found)
    for flaw in told:
        said = f" (changed by {by})" if by and flaw.part in FIREWALL else ""
        text = f"{flaw.text}{said}: put right"
        events.emit(ctx.store, ctx.clock, ABOUT, EventType.WARNING, flaw.part.value, text)
        yield text
