"""Published ports: one nftables table for each instance, whose maps say where a host port leads.

    any4, any6        protocol . port            -> pod address . port     for every address of the host
    exact4, exact6    address . protocol . port  -> pod address . port     for a hostIP; looked at first

Each element's comment is the id of its pod, each rule's comment a digest of the rule, so that what the kernel
has can be compared with what is wanted, and only the difference is written: an added element costs 0.2 ms, any
deletion 8 (the kernel waits for readers). Every change is one transaction. ``rules`` has the rest of the table.

``declare`` may be called by anybody at any time, also when nothing changed. Another table's drop overrides our accept:
see ``foreign``. Callers hold ``layout.network_lock``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from reconciler.engine.effects import effect
from reconciler.engine.network import bridge, ipv6, names, nft, rules, sysctls
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.model.errors import TryLater
from reconciler.model.key import PodId
from reconciler.model.spec import PortBinding

Key = tuple[str, str, str, int]
"""Map, host address, protocol, host port."""

GONE = "is gone"
"""What ``flaw`` says of a table that is not there at all."""


@dataclass(frozen=True, slots=True)
class Published:
    """The host ports of one pod, and the addresses they lead to; ``ip6`` "" where it has none."""

    pod: PodId
    ip: str
    ports: tuple[PortBinding, ...]
    ip6: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Element:
    """One line of a map. ``host_ip`` "" means every address of the host in the family of ``ip``."""

    host_ip: str
    protocol: str
    host_port: int
    ip: str
    port: int
    pod: str

    @property
    def map(self) -> str:
        return ("exact" if self.host_ip else "any") + ("6" if ":" in self.ip else "4")

    @property
    def key(self) -> Key:
        return (self.map, self.host_ip, self.protocol, self.host_port)


def declare(
    tag: str, networks: Sequence[BridgeConfig], published: Iterable[Published], now: Table | None = None
) -> bool:
    """Make the table say exactly ``published``, and be whole; whether anything had to be written. ``networks`` are all
    that the instance has; ``now`` is what the caller has just seen of it.

    Connections that stand are not disturbed. Raises TryLater or HostUnfit.
    """
    return _converge(tag, networks, _wanted(published), now or look(tag))


def current(tag: str) -> frozenset[Element]:
    """The ports that the kernel has published for this instance."""
    return look(tag).elements


def look(tag: str) -> Table:
    """The table as the kernel has it."""
    objects = nft.read(f"list table {rules.FAMILY} {names.table_name(tag)}", "read the published ports")
    return parse(objects or [])


def flaw(tag: str, networks: Sequence[BridgeConfig], published: Iterable[Published], now: Table | None = None) -> str:
    """What is wrong with the table that should say exactly ``published``, or ""; nothing is changed. ``now``: as in
    ``declare``."""
    now = now or look(tag)
    if not now.chains:
        return GONE
    if not _is_ours_whole(tag, networks, now):
        return "has lost a rule or a chain"
    gone, new = difference(now.elements, _wanted(published))
    if new:
        return "does not publish " + _list(new)
    return f"publishes what no pod asks for ({len(gone)})" if gone else ""


def _list(missing: list[Element]) -> str:
    ports = list(dict.fromkeys(f"{e.host_port}/{e.protocol}" for e in missing))
    return ", ".join(ports[:3]) + (f" and {len(ports) - 3} more" if len(ports) > 3 else "")


@effect("nft.remove")
def remove_table(tag: str) -> None:
    """Take the table away, and with it every published port; nothing happens where there is none."""
    for name in bridge.bridges(tag):
        _route_localnet(name, "0")
    table = f"{rules.FAMILY} {names.table_name(tag)}"
    nft.run(f"add table {table}\ndelete table {table}\n", "remove the table of published ports")


def elements(published: Published) -> tuple[Element, ...]:
    """The map elements of one pod's ports."""
    return tuple(
        Element(host_ip, p.protocol.lower(), p.host_port, ip, p.container_port, published.pod)
        for p in published.ports
        for host_ip, ip in _ways(p.host_ip, published)
    )


def _ways(host_ip: str, published: Published) -> Iterator[tuple[str, str]]:
    """Host address ("" for all of its family) and where it leads. What is no address is refused before nft reads it."""
    version = ip_address(host_ip).version if host_ip else None
    shown = "" if host_ip in ("", "0.0.0.0", "::") else str(ip_address(host_ip))
    if version != 6:
        yield shown, published.ip
    if version != 4 and published.ip6:
        yield shown, published.ip6


def difference(have: Iterable[Element], want: Mapping[Key, Element]) -> tuple[list[Element], ...]:
    """The elements to delete and those to add; one that changes is in both."""
    there = {e.key: e for e in have}
    gone = [e for key, e in sorted(there.items()) if want.get(key) != e]
    new = [e for key, e in sorted(want.items()) if there.get(key) != e]
    return gone, new


@dataclass(frozen=True, slots=True)
class Table:
    """What the kernel has of ours: the maps' elements, each rule's chain and digest, the chains."""

    elements: frozenset[Element] = frozenset()
    rules: tuple[tuple[str, str], ...] = ()
    chains: frozenset[str] = frozenset()


def _converge(tag: str, networks: Sequence[BridgeConfig], want: Mapping[Key, Element], now: Table) -> bool:
    closed = ipv6.closed()
    whole = _is_whole(tag, networks, now, closed)
    gone, new = difference(now.elements, want)
    commands = ("" if whole else rules.frame(tag, networks, closed)) + _change(tag, gone, new)
    if commands:
        try:
            _apply(commands)
        except TryLater:
            if whole:
                raise
            _anew(tag, networks, closed, _change(tag, (), want.values()))
    for network in networks:
        _route_localnet(network.name, "1")
    return bool(commands)


def _anew(tag: str, networks: Sequence[BridgeConfig], closed: Sequence[str], elements: str) -> None:
    """The table was made by another version, or by somebody else, and has what cannot be flushed; or this kernel does
    not know all of it. Raises what stands in the way of the whole."""
    table = f"{rules.FAMILY} {names.table_name(tag)}"
    removal = f"add table {table}\ndelete table {table}\n"
    try:
        _apply(removal + rules.frame(tag, networks, closed) + elements)
    except TryLater as whole:
        try:
            _apply(removal + rules.frame(tag, networks, closed, sockets=False) + elements)
        except TryLater:
            raise whole from None


def _is_whole(tag: str, networks: Sequence[BridgeConfig], now: Table, closed: Sequence[str]) -> bool:
    """A table that was made for a kernel without nft_socket is whole."""
    wanted = (rules.rules(tag, networks, closed, sockets=sockets) for sockets in (True, False))
    shown = [tuple((chain, rules.digest(rule)) for chain, rule in one) for one in wanted]
    return now.rules in shown and now.chains >= {*rules.CHAINS}


def _is_ours_whole(tag: str, networks: Sequence[BridgeConfig], now: Table) -> bool:
    """But for the rule about others' interfaces."""
    settled = tuple(rule for rule in now.rules if not rules.is_about_others(rule[1]))
    return _is_whole(tag, networks, replace(now, rules=settled), closed=())


def _route_localnet(name: str, value: str) -> None:
    """Only while the guard stands. Nothing where that bridge is not there yet."""
    setting = bridge.CONF / name / "route_localnet"
    if setting.exists():
        sysctls.ensure(setting, value)


@effect("nft.declare")
def _apply(commands: str) -> None:
    nft.run(commands, "publish ports")


def _change(tag: str, gone: Iterable[Element], new: Iterable[Element]) -> str:
    """One command for each map, however many elements."""
    table = f"{rules.FAMILY} {names.table_name(tag)}"
    lines: dict[tuple[str, str], list[str]] = {}
    for e in gone:
        lines.setdefault(("delete", e.map), []).append(_key(e))
    for e in new:
        lines.setdefault(("add", e.map), []).append(f'{_key(e)} comment "{e.pod}" : {e.ip} . {e.port}')
    return "".join(f"{verb} element {table} {name} {{ {', '.join(some)} }}\n" for (verb, name), some in lines.items())


def _key(e: Element) -> str:
    return (f"{e.host_ip} . " if e.host_ip else "") + f"{e.protocol} . {e.host_port}"


def _wanted(published: Iterable[Published]) -> dict[Key, Element]:
    """By key. Two pods with one port is what ``ports.hold`` prevents; the last one counts."""
    return {e.key: e for one in published for e in elements(one)}


def parse(objects: Iterable[Mapping[str, Any]]) -> Table:
    """Read what libnftables shows of our table (libnftables-json(5))."""
    found: list[Element] = []
    there: list[tuple[str, str]] = []
    chains: list[str] = []
    for one in objects:
        if shown := one.get("map"):
            found += [_element(*pair) for pair in shown.get("elem", ())]
        elif shown := one.get("rule"):
            there.append((shown["chain"], shown.get("comment", "")))
        elif shown := one.get("chain"):
            chains.append(shown["name"])
    order = list(rules.CHAINS)
    there = sorted((rule for rule in there if rule[0] in rules.CHAINS), key=lambda rule: order.index(rule[0]))
    return Table(frozenset(found), tuple(there), frozenset(chains))


NUMBERS = {"6": "tcp", "17": "udp", "132": "sctp"}
"""So nft shows protocols on a machine that has no /etc/protocols (without Debian's netbase)."""


def _element(key: Mapping[str, Any], target: Mapping[str, Any]) -> Element:
    comment = ""
    if "elem" in key:  # wrapped where there is something beside the value
        comment = key["elem"].get("comment", "")
        key = key["elem"]["val"]
    *host_ip, protocol, host_port = key["concat"]
    ip, port = target["concat"]
    protocol = NUMBERS.get(str(protocol), str(protocol))
    return Element(host_ip[0] if host_ip else "", protocol, int(host_port), ip, int(port), comment)
