"""Docker, firewalld, ufw and everybody else who filters on this host: opened where they have a place for us, else told.

What is told is remembered in the store, so that each change is told once: over resyncs, restarts, and by a controller
and a command at the same time. One at a time opens and closes (``firewall_lock``, inside ``network_lock`` where both
are held): a firewalld that does not answer keeps no pod from its network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address

from reconciler.engine import locks, nameserver, netrecords, networks
from reconciler.engine.context import Context
from reconciler.engine.network import bridge, names
from reconciler.engine.network.foreign import docker, firewalld, flows, hints, legacy, ruleset
from reconciler.engine.network.foreign.flows import Blocker, PodNetwork
from reconciler.engine.network.foreign.ruleset import Chain, Ruleset
from reconciler.engine.store import events, settings
from reconciler.engine.store import pods as index
from reconciler.engine.upkeep import ABOUT
from reconciler.model.errors import ReconcilerError, TryLater
from reconciler.model.events import EventType

TOLD = "firewall.told"
_SETTINGS = {"open": "open (where others have a place for it)", "tell": "tell (nothing of others' is opened)"}
UNREACHABLE = "FirewallUnreachable"
_NAME = re.compile(r"'([a-z0-9-]+)'")


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with others' firewalls. ``present``: who is there. The rest are sentences; ``trouble``: what could
    not be opened."""

    present: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()


def look(ctx: Context) -> Standing:
    """How it stands now; changes nothing. Raises TryLater or HostUnfit."""
    return _standing(ctx, _read(), pod_networks(ctx))


def review(ctx: Context) -> tuple[str, ...]:
    """Open the way where that is needed, and tell what changed since it was last told; the sentences.

    1. what is dropped    2. places of others where that can be changed    3. how it stands then    4. what is new of it
    """
    if not bridge.bridges(ctx.layout.tag):
        return ()
    with locks.exclusive(ctx.layout.firewall_lock):
        pods = pod_networks(ctx)  # known only now: a removal of the last pod may have been before us
        found = _read()
        trouble: tuple[str, ...] = ()
        if ctx.config.network.firewall == "open":
            opened, trouble = _open(ctx, found, pods)
            found = _read() if opened else found
        elif _mentioned(found, ctx.layout.tag) and _close(ctx, found):  # it was open before the owner decided otherwise
            found = _read()
        return _tell(ctx, replace(_standing(ctx, found, pods), trouble=trouble))


def close(ctx: Context) -> None:
    """Take back what was opened, when the last pod is gone; what cannot be is told, and found by ``left``."""
    with locks.exclusive(ctx.layout.firewall_lock):
        try:
            _close(ctx, _read())
        except ReconcilerError as e:
            events.emit(ctx.store, ctx.clock, ABOUT, EventType.WARNING, UNREACHABLE, e.message)
        if settings.get(ctx.store, TOLD) is not None:
            settings.put(ctx.store, TOLD, _as_text(Standing()))


def follow(ctx: Context) -> None:
    """After a bridge went: take back what was opened for it. What cannot be is told, and found by ``left``."""
    if not bridge.bridges(ctx.layout.tag):
        close(ctx)
        return
    try:
        review(ctx)
    except ReconcilerError as e:
        events.emit(ctx.store, ctx.clock, ABOUT, EventType.WARNING, UNREACHABLE, e.message)


def left(ctx: Context) -> tuple[str, ...]:
    """What stands open for bridges that are not there any more, by our naming rule."""
    found = _read()
    return tuple(_opened(found, [name for name in _mentioned(found, ctx.layout.tag) if not bridge.stands(name)]))


def pod_networks(ctx: Context) -> tuple[PodNetwork, ...]:
    """Each bridge that stands, with each of its subnets, by what is recorded. None where no pod is left."""
    if index.is_empty(ctx.store):
        return ()
    published = networks.published(ctx)
    found = []
    for record in netrecords.every(ctx):
        config = netrecords.bridge_of(ctx, record)
        if not bridge.stands(config.name):
            continue
        here = (one for one in published if ip_address(one.ip) in config.network)
        ports = tuple(sorted({(port.protocol.lower(), port.container_port) for one in here for port in one.ports}))
        names_port = nameserver.port(ctx) if record.dns and ctx.config.dns.enabled else 0
        for subnet, gateway in zip(config.networks, (config.gateway, config.gateway6), strict=False):
            found.append(PodNetwork(config.name, subnet, gateway, ports, config.internal, names_port))
    return tuple(found)


def _read() -> Ruleset:
    found = ruleset.read()
    legacy.read(found)
    return found


def _open(ctx: Context, found: Ruleset, pods: tuple[PodNetwork, ...]) -> tuple[bool, tuple[str, ...]]:
    """Whether anything was opened, and what could not be."""
    tag, opened, troubles = ctx.layout.tag, False, []
    bridges = sorted({network.bridge for network in pods})
    mentioned = _mentioned(found, tag)
    owners = {hints.owner(found, blocker) for blocker in flows.blockers(found, pods)}
    tasks: list[Callable[[], bool]] = []
    if "docker" in owners or any(docker.bound(found, one) for one in mentioned):
        tasks += [partial(docker.declare, tag, *place, bridges) for place in docker.places(found)]
    if "firewalld" in owners:
        tasks += [partial(firewalld.add, one) for one in bridges if not firewalld.knows(found, one)]
    tasks += [partial(firewalld.remove, one) for one in mentioned - {*bridges} if firewalld.bound(found, one)]
    for task in tasks:
        try:
            opened |= task()
        except TryLater as e:
            troubles.append(e.message)
    return opened, tuple(dict.fromkeys(troubles))


def _close(ctx: Context, found: Ruleset) -> bool:
    closed = False
    for family, is_legacy in docker.places(found):
        closed |= docker.declare(ctx.layout.tag, family, is_legacy, ())
    for one in sorted(_mentioned(found, ctx.layout.tag)):
        if firewalld.bound(found, one):
            closed |= firewalld.remove(one)
    return closed


def _mentioned(found: Ruleset, tag: str) -> frozenset[str]:
    """The bridges of this instance that stand in rules of docker's or firewalld's, by our naming rule."""
    rules = (rule for chain in found.chains.values() if _is_place(chain) for rule in chain.rules)
    words = {word for rule in rules for word in _NAME.findall(str(rule.expressions))}
    return frozenset(word for word in words if (parsed := names.parse_bridge(word)) and parsed[0] == tag)


def _is_place(chain: Chain) -> bool:
    return chain.name == docker.CHAIN or chain.table == firewalld.TABLE


def _standing(ctx: Context, found: Ruleset, pods: tuple[PodNetwork, ...]) -> Standing:
    opened = _opened(found, sorted(_mentioned(found, ctx.layout.tag)))
    return Standing(
        hints.present(found), tuple(opened), tuple(_blocked(found, blocker) for blocker in flows.blockers(found, pods))
    )


def _opened(found: Ruleset, bridges: Iterable[str]) -> list[str]:
    told = []
    for one in bridges:
        if docker.bound(found, one):
            told.append(f"docker: {docker.CHAIN} accepts what {one} needs")
        if firewalld.bound(found, one):
            told.append(f"firewalld: {one} is in the zone {firewalld.ZONE}")
    return told


def _blocked(found: Ruleset, blocker: Blocker) -> str:
    who = hints.owner(found, blocker)
    whose = f" ({who}'s)" if who else ""
    *some, last = blocker.what
    what = f"{', '.join(some)} and {last}" if some else last
    told = f"{blocker.chain}{whose}: its {blocker.by} keeps {what}"
    if who == "firewalld" and all(firewalld.bound(found, one) for one in blocker.bridges):
        return told  # the zone lets it by, another rule does not: only its owner knows why
    return f"{told}; try: {hints.command(who, blocker)}"


def _tell(ctx: Context, now: Standing) -> tuple[str, ...]:
    """Each difference to what was told last, as an event."""
    before = _from_text(settings.get(ctx.store, TOLD))
    said = [(EventType.WARNING, UNREACHABLE, one) for one in now.trouble if one not in before.trouble]
    said += [(EventType.NORMAL, "FirewallOpened", one) for one in now.opened if one not in before.opened]
    said += [(EventType.WARNING, "FirewallBlocks", one) for one in now.blocked if not _is_told(one, before.blocked)]
    still = {_where(one) for one in now.blocked}
    gone = dict.fromkeys(_where(one) for one in before.blocked if _where(one) not in still)
    said += [(EventType.NORMAL, "FirewallPasses", f"{where} keeps nothing of ours any more") for where in gone]
    if now != before:
        settings.put(ctx.store, TOLD, _as_text(now))
    for kind, reason, text in said:
        events.emit(ctx.store, ctx.clock, ABOUT, kind, reason, text)
    return tuple(text for _, _, text in said)


def _is_told(one: str, told: Iterable[str]) -> bool:
    """Whether just this was told, or as much and more of the same chain."""
    what = _what(one)
    return any(_where(one) == _where(other) and what <= _what(other) for other in told)


def _what(blocked: str) -> frozenset[str]:
    kept = blocked.partition(" keeps ")[2].partition("; try: ")[0]
    return frozenset(re.split(r", | and (?=others|pods|this)", kept))


def _where(blocked: str) -> str:
    """The chain and its cause, of a sentence by ``_blocked``."""
    return blocked.partition(" keeps ")[0]


def _as_text(standing: Standing) -> str:
    return json.dumps([standing.present, standing.opened, standing.blocked, standing.trouble])


def _from_text(text: str | None) -> Standing:
    with suppress(ValueError, TypeError):
        return Standing(*map(tuple, json.loads(text or "[]")))
    return Standing()


def facts(ctx: Context) -> dict[str, object]:
    """The section ``firewall`` of ``info``."""
    try:
        now = look(ctx)
    except ReconcilerError as e:
        return {"problem": e.message}
    return {
        "others": list(now.present),
        "opened": list(now.opened),
        "blocked": list(now.blocked),
        **({"trouble": list(trouble)} if (trouble := _from_text(settings.get(ctx.store, TOLD)).trouble) else {}),
        "setting": _SETTINGS[ctx.config.network.firewall],
    }
