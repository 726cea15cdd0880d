"""Docker, firewalld, ufw and everybody else who filters on this host: opened where they have a place for us, else told.

What is told is remembered in the store, so that each change is told once: over resyncs, restarts, and by a controller
and a command at the same time. Callers hold nothing; the instance's ``network_lock`` is taken here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from reconciler.engine import locks, networks
from reconciler.engine.context import Context
from reconciler.engine.network import bridge, names
from reconciler.engine.network.foreign import docker, firewalld, flows, hints, legacy, ruleset
from reconciler.engine.network.foreign.flows import Blocker, PodNetwork
from reconciler.engine.network.foreign.ruleset import Ruleset
from reconciler.engine.store import events, settings
from reconciler.engine.upkeep import ABOUT
from reconciler.model.errors import ReconcilerError, TryLater
from reconciler.model.events import EventType

TOLD = "firewall.told"
UNREACHABLE = "FirewallUnreachable"


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with others' firewalls. ``present``: who is there. ``opened`` and ``blocked``: sentences."""

    present: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()


def look(ctx: Context) -> Standing:
    """How it stands now; changes nothing. Raises TryLater or HostUnfit."""
    return _standing(_read(), pod_networks(ctx))


def review(ctx: Context) -> tuple[str, ...]:
    """Open the way where that is needed, and tell what changed since it was last told; the sentences.

    1. what is dropped    2. places of others where that can be changed    3. how it stands then    4. what is new of it
    """
    if not bridge.bridges(ctx.layout.tag):
        return ()
    with locks.exclusive(ctx.layout.network_lock):
        pods = pod_networks(ctx)
        found = _read()
        trouble: tuple[str, ...] = ()
        if ctx.config.network.firewall == "open":
            opened, trouble = _open(ctx, found, pods)
            found = _read() if opened else found
        elif _close(ctx, found):  # it was open before the owner decided otherwise
            found = _read()
        return _tell(ctx, _standing(found, pods), trouble)


def close(ctx: Context) -> None:
    """Take back what was opened. For holders of ``network_lock``, when the last pod is gone; what cannot be taken back
    is told, and is found by ``left``."""
    if settings.get(ctx.store, TOLD) is None:
        return
    try:
        _close(ctx, _read())
    except ReconcilerError as e:
        events.emit(ctx.store, ctx.clock, ABOUT, EventType.WARNING, UNREACHABLE, e.message)
    settings.put(ctx.store, TOLD, _as_text(Standing()))


def left(ctx: Context) -> tuple[str, ...]:
    """What stands open for bridges that are not there any more."""
    gone = [name for name in _our_bridges(ctx) if not bridge.stands(name)]
    return tuple(_opened(_read(), gone)) if gone else ()


def pod_networks(ctx: Context) -> tuple[PodNetwork, ...]:
    """Each bridge that stands, with each of its subnets, by what is recorded."""
    published = networks.published(ctx)
    found = []
    for config in networks.known(ctx):
        if not bridge.stands(config.name):
            continue
        here = (one for one in published if ip_address(one.ip) in config.network)
        ports = tuple(sorted({(port.protocol.lower(), port.container_port) for one in here for port in one.ports}))
        for subnet, gateway in zip(config.networks, (config.gateway, config.gateway6), strict=False):
            found.append(PodNetwork(config.name, subnet, gateway, ports, config.internal))
    return tuple(found)


def _read() -> Ruleset:
    found = ruleset.read()
    legacy.read(found)
    return found


def _open(ctx: Context, found: Ruleset, pods: tuple[PodNetwork, ...]) -> tuple[bool, tuple[str, ...]]:
    """Whether anything was opened, and what could not be."""
    opened, troubles = False, []
    bridges = sorted({network.bridge for network in pods})
    owners = {hints.owner(found, blocker) for blocker in flows.blockers(found, pods)}
    try:
        for family, is_legacy in docker.places(found):
            if "docker" in owners or any(docker.bound(found, one) for one in bridges):
                opened |= docker.declare(ctx.layout.tag, family, is_legacy, bridges)
    except TryLater as e:
        troubles.append(e.message)
    if "firewalld" in owners and firewalld.is_reachable():
        for one in bridges:
            if not firewalld.bound(found, one):
                try:
                    firewalld.add(one)
                    opened = True
                except TryLater as e:
                    troubles.append(e.message)
    return opened, tuple(troubles)


def _close(ctx: Context, found: Ruleset) -> bool:
    closed = False
    for family, is_legacy in docker.places(found):
        closed |= docker.declare(ctx.layout.tag, family, is_legacy, ())
    for one in _our_bridges(ctx):
        if firewalld.bound(found, one) and firewalld.is_reachable():
            firewalld.remove(one)
            closed = True
    return closed


def _our_bridges(ctx: Context) -> list[str]:
    """Of every network on record, whether they stand or not, and what stands by our naming rule."""
    recorded = [config.name for config in networks.known(ctx)] or [names.bridge_name(ctx.layout.tag)]
    return sorted({*recorded, *bridge.bridges(ctx.layout.tag)})


def _standing(found: Ruleset, pods: tuple[PodNetwork, ...]) -> Standing:
    blockers = flows.blockers(found, pods)
    return Standing(
        hints.present(found),
        tuple(_opened(found, sorted({network.bridge for network in pods}))),
        tuple(_blocked(found, blocker) for blocker in blockers),
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
    what = ", and ".join(blocker.what)
    return f"{blocker.chain}{whose}: its {blocker.by} keeps {what}; try: {hints.command(who, blocker)}"


def _tell(ctx: Context, now: Standing, troubles: tuple[str, ...]) -> tuple[str, ...]:
    """Each difference to what was told last, as an event; troubles are events that are counted."""
    before = _from_text(settings.get(ctx.store, TOLD))
    said = [(EventType.WARNING, UNREACHABLE, trouble) for trouble in troubles]
    said += [(EventType.NORMAL, "FirewallOpened", one) for one in now.opened if one not in before.opened]
    said += [(EventType.WARNING, "FirewallBlocks", one) for one in now.blocked if one not in before.blocked]
    gone = [one for one in before.blocked if one not in now.blocked]
    said += [(EventType.NORMAL, "FirewallPasses", f"no more: {one.partition('; try: ')[0]}") for one in gone]
    if now != before:
        settings.put(ctx.store, TOLD, _as_text(now))
    for kind, reason, text in said:
        events.emit(ctx.store, ctx.clock, ABOUT, kind, reason, text)
    return tuple(text for _, _, text in said)


def _as_text(standing: Standing) -> str:
    return json.dumps([standing.present, standing.opened, standing.blocked])


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
        "opens others": "where they have a place for it" if ctx.config.network.firewall == "open" else "no: only told",
    }
