"""Published ports: one nftables table for each instance, whose maps say where a host port leads.

    any4      protocol . port            -> pod address . port     for every address of the host
    exact4    address . protocol . port  -> pod address . port     for a hostIP; looked at first

Each element's comment is the id of its pod, each rule's comment a digest of the rule, so that what the kernel
has can be compared with what is wanted, and only the difference is written: an added element costs 0.2 ms, any
deletion 8 (the kernel waits for readers). Every change is one transaction.

    publish      from outside, from pods (prerouting) and from the host itself (output)
    guard        a pod never reaches the host's 127.0.0.0/8, though the bridge routes it (route_localnet, without
                 which 127.0.0.1:PORT cannot lead to a pod); set only once the guard stands
    postrouting  the source becomes the bridge's where the answer would otherwise not come back through us

Another table's drop overrides our accept: not solved here. Callers hold ``layout.network_lock``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from reconciler.engine.effects import effect
from reconciler.engine.network import names, nft, sysctls
from reconciler.engine.network.bridge import CONF, BridgeConfig
from reconciler.model.errors import TryLater
from reconciler.model.key import PodId
from reconciler.model.spec import PortBinding

_FAMILY = "inet"
_ANY, _EXACT = "any4", "exact4"
_MAPS = {
    _ANY: "inet_proto . inet_service : ipv4_addr . inet_service",
    _EXACT: "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
}
_CHAINS = {
    "publish": "",
    "guard": "type filter hook prerouting priority -300;",
    "prerouting": "type nat hook prerouting priority -100;",
    "output": "type nat hook output priority -100;",  # by number: nft 1.0.6 knows no name for it there
    "postrouting": "type nat hook postrouting priority 100;",
}


@dataclass(frozen=True, slots=True)
class Published:
    """The host ports of one pod, and the address they lead to."""

    pod: PodId
    ip: str
    ports: tuple[PortBinding, ...]


@dataclass(frozen=True, slots=True, order=True)
class Element:
    """One line of a map. ``host_ip`` "" means every address of the host."""

    host_ip: str
    protocol: str
    host_port: int
    ip: str
    port: int
    pod: str

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.host_ip, self.protocol, self.host_port)


def declare(config: BridgeConfig, published: Iterable[Published]) -> bool:
    """Make the table say exactly ``published``, and be whole; whether anything had to be written.

    Connections that stand are not disturbed. Raises TryLater or HostUnfit.
    """
    return _converge(config, _index(e for one in published for e in elements(one)), _current(config.tag))


def publish(config: BridgeConfig, one: Published) -> bool:
    """Make the table say ``one`` for that pod, and of every other pod what it says already."""
    now = _current(config.tag)
    others = {e.key: e for e in now.elements if e.pod != one.pod}
    return _converge(config, others | _index(elements(one)), now)


def unpublish(config: BridgeConfig, pod: PodId) -> bool:
    """Take the pod's ports out of the table, where there is one."""
    now = _current(config.tag)
    if not any(e.pod == pod for e in now.elements):
        return False
    return _converge(config, {e.key: e for e in now.elements if e.pod != pod}, now)


def current(tag: str) -> frozenset[Element]:
    """The ports that the kernel has published for this instance."""
    return _current(tag).elements


@effect("nft.remove")
def remove_table(tag: str) -> None:
    """Take the table away, and with it every published port; nothing happens where there is none."""
    localnet = CONF / names.bridge_name(tag) / "route_localnet"
    if localnet.exists():
        sysctls.ensure(localnet, "0")
    table = f"{_FAMILY} {names.table_name(tag)}"
    nft.run(f"add table {table}\ndelete table {table}\n", "remove the table of published ports")


def elements(published: Published) -> tuple[Element, ...]:
    """The map elements of one pod's ports."""
    return tuple(
        Element(_any_or(p.host_ip), p.protocol.lower(), p.host_port, published.ip, p.container_port, published.pod)
        for p in published.ports
    )


def rules(config: BridgeConfig) -> tuple[tuple[str, str], ...]:
    """Every rule, as chain and text, in order."""
    bridge, pods = f'"{config.name}"', str(config.network)
    return (
        ("publish", f"fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @{_EXACT}"),
        ("publish", f"fib daddr type local dnat ip to meta l4proto . th dport map @{_ANY}"),
        ("guard", f"iifname {bridge} ip daddr 127.0.0.0/8 drop"),
        ("prerouting", "jump publish"),
        ("output", "jump publish"),
        ("postrouting", f"ct status dnat oifname {bridge} fib saddr type local masquerade"),
        ("postrouting", f"ct status dnat oifname {bridge} ip saddr {pods} masquerade"),
        ("postrouting", f"ip saddr {pods} oifname != {bridge} masquerade"),
    )


def difference(have: Iterable[Element], want: Mapping[tuple[str, str, int], Element]) -> tuple[list[Element], ...]:
    """The elements to delete and those to add; one that changes is in both."""
    there = {e.key: e for e in have}
    gone = [e for key, e in sorted(there.items()) if want.get(key) != e]
    new = [e for key, e in sorted(want.items()) if there.get(key) != e]
    return gone, new


@dataclass(frozen=True, slots=True)
class _Table:
    elements: frozenset[Element] = frozenset()
    rules: tuple[tuple[str, str], ...] = ()
    chains: frozenset[str] = frozenset()


def _converge(config: BridgeConfig, want: Mapping[tuple[str, str, int], Element], now: _Table) -> bool:
    whole = now.rules == tuple((chain, _digest(rule)) for chain, rule in rules(config)) and now.chains >= {*_CHAINS}
    gone, new = difference(now.elements, want)
    commands = ("" if whole else _frame(config)) + _change(config, gone, new)
    if commands:
        try:
            _apply(commands)
        except TryLater:
            if whole:
                raise
            _rebuild(config, want)  # made by another version, or by somebody else: it has what cannot be flushed
    sysctls.ensure(CONF / config.name / "route_localnet", "1")
    return bool(commands)


@effect("nft.declare")
def _apply(commands: str) -> None:
    nft.run(commands, "publish ports")


def _rebuild(config: BridgeConfig, want: Mapping[tuple[str, str, int], Element]) -> None:
    table = f"{_FAMILY} {names.table_name(config.tag)}"
    _apply(f"add table {table}\ndelete table {table}\n" + _frame(config) + _change(config, (), want.values()))


def _frame(config: BridgeConfig) -> str:
    """The table without its elements; replaces rules that are there, keeps the maps."""
    table = f"{_FAMILY} {names.table_name(config.tag)}"
    lines = [f"add table {table}", f"flush table {table}"]
    lines += [f"add map {table} {name} {{ type {kind}; }}" for name, kind in _MAPS.items()]
    lines += [f"add chain {table} {name}" + (f" {{ {hook} }}" if hook else "") for name, hook in _CHAINS.items()]
    lines += [f'add rule {table} {chain} {rule} comment "{_digest(rule)}"' for chain, rule in rules(config)]
    return "\n".join(lines) + "\n"


def _change(config: BridgeConfig, gone: Iterable[Element], new: Iterable[Element]) -> str:
    table = f"{_FAMILY} {names.table_name(config.tag)}"
    lines = [f"delete element {table} {_map(e)} {{ {_key(e)} }}\n" for e in gone]
    lines += [f'add element {table} {_map(e)} {{ {_key(e)} comment "{e.pod}" : {e.ip} . {e.port} }}\n' for e in new]
    return "".join(lines)


def _map(e: Element) -> str:
    return _EXACT if e.host_ip else _ANY


def _key(e: Element) -> str:
    return (f"{e.host_ip} . " if e.host_ip else "") + f"{e.protocol} . {e.host_port}"


def _index(found: Iterable[Element]) -> dict[tuple[str, str, int], Element]:
    """By key. Two pods with one port is what ``ports.hold`` prevents; the last one counts."""
    return {e.key: e for e in found}


def _current(tag: str) -> _Table:
    objects = nft.read(f"list table {_FAMILY} {names.table_name(tag)}", "read the published ports")
    return parse(objects or [])


def parse(objects: Iterable[Mapping[str, Any]]) -> _Table:
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
    order = list(_CHAINS)
    there = sorted((rule for rule in there if rule[0] in _CHAINS), key=lambda rule: order.index(rule[0]))
    return _Table(frozenset(found), tuple(there), frozenset(chains))


def _element(key: Mapping[str, Any], target: Mapping[str, Any]) -> Element:
    comment = ""
    if "elem" in key:  # wrapped where there is something beside the value
        comment = key["elem"].get("comment", "")
        key = key["elem"]["val"]
    *host_ip, protocol, host_port = key["concat"]
    ip, port = target["concat"]
    return Element(host_ip[0] if host_ip else "", str(protocol), int(host_port), ip, int(port), comment)


def _any_or(host_ip: str) -> str:
    """ "" for every address, as 0.0.0.0 is; refuses what would be read as something else by nft."""
    return "" if host_ip in ("", "0.0.0.0") else str(IPv4Address(host_ip))


def _digest(rule: str) -> str:
    return hashlib.sha256(rule.encode()).hexdigest()[:12]
