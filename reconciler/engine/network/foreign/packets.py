"""What a base chain does with a packet of which we know some things and not others. Pure.

Three answers to each match: yes, no, unknown (a mark, an address of the outside, a module nobody told us about). A rule
with an unknown match may end a packet or not, so a chain has a set of outcomes; a packet is *dropped* for us only where
every outcome is. A firewall that bans single addresses, or lets one network in, is its owner's decision, not a blocker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from reconciler.engine.network.foreign.ruleset import Chain, Expression, Rule, Ruleset

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Packet:
    """``family`` ip or ip6. ``iif`` and ``oif`` "" where there is none; ``source`` None is any address outside;
    ``port`` is the destination's, None any. ``state`` new or established; ``dnat``: its destination was translated."""

    family: str
    iif: str
    oif: str
    source: Network | None
    target: Network | None
    protocol: str
    port: int | None = None
    state: str = "new"
    dnat: bool = False
    local: bool = False
    """Its destination is this host."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Where a packet ends. ``rule`` None: by the policy of the base chain."""

    chain: Chain
    rule: Rule | None = None


class Accept:
    """The packet passes this base chain."""


class Return:
    """Back to the chain that jumped here; in a base chain, its policy."""


ACCEPT, RETURN = Accept(), Return()
Outcome = Accept | Return | Drop
_TERMINAL_XT = {"REJECT": "drop", "DROP": "drop", "ACCEPT": "accept", "RETURN": "return"}
_MAYBE_XT = frozenset({"NFQUEUE", "QUEUE", "SYNPROXY", "TARPIT"})
_DEPTH = 16
"""Jumps that nftables allows at most."""


def dropped(ruleset: Ruleset, chain: Chain, packet: Packet) -> Drop | None:
    """Where this base chain ends the packet for certain, or None where it may pass."""
    outcomes = _walk(ruleset, chain, packet, 0)
    if any(outcome is ACCEPT or (outcome is RETURN and chain.policy != "drop") for outcome in outcomes):
        return None
    rules = [outcome for outcome in outcomes if isinstance(outcome, Drop)]
    return Drop(chain) if any(outcome is RETURN for outcome in outcomes) or not rules else rules[-1]


def _walk(ruleset: Ruleset, chain: Chain, packet: Packet, depth: int) -> list[Outcome]:
    found: list[Outcome] = []
    for rule in chain.rules:
        sure, outcomes = _rule(ruleset, chain, rule, packet, depth)
        found += [outcome for outcome in outcomes if outcome is not None]
        if sure and None not in outcomes:
            return found
    return [*found, RETURN]


def _rule(ruleset: Ruleset, chain: Chain, rule: Rule, packet: Packet, depth: int) -> tuple[bool, list[Outcome | None]]:
    """Whether the rule surely matches, and what it may lead to; None is the next rule."""
    sure = True
    for expression in rule.expressions:
        if "match" in expression or "xt" in expression or "limit" in expression or "quota" in expression:
            answer = _matches(ruleset, chain, expression, packet)
            if answer is False:
                return False, [None]
            sure = sure and answer is True
        for verdict, certain in _verdicts(ruleset, chain, expression, packet):
            outcomes = _follow(ruleset, chain, rule, verdict, packet, depth)
            if not certain:
                return False, [*outcomes, None]
            return sure, outcomes
    return sure, [None]


def _verdicts(
    ruleset: Ruleset, chain: Chain, expression: Expression, packet: Packet
) -> list[tuple[Mapping[str, Any], bool]]:
    """The verdict of an expression, if it is one or maps to one, and whether that is certain."""
    if {"accept", "drop", "reject", "return", "jump", "goto"} & expression.keys():
        return [(expression, True)]
    if {"queue", "synproxy"} & expression.keys():
        return [({"accept": None}, False)]
    shown = expression.get("xt")
    if isinstance(shown, Mapping) and shown.get("type") == "target":
        name = str(shown.get("name"))
        if name in _TERMINAL_XT:
            return [({_TERMINAL_XT[name]: None}, True)]
        return [({"accept": None}, False)] if name in _MAYBE_XT else []
    if shown := expression.get("vmap"):
        return _mapped(ruleset, chain, shown, packet)
    return []


def _mapped(
    ruleset: Ruleset, chain: Chain, shown: Mapping[str, Any], packet: Packet
) -> list[tuple[Mapping[str, Any], bool]]:
    for pattern, verdict in _pairs(ruleset, chain, shown["data"]):
        answer = _compare(shown["key"], pattern, packet)
        if answer is not False:
            return [(verdict, answer is True)]
    return []


def _pairs(ruleset: Ruleset, chain: Chain, data: Any) -> Iterable[tuple[Any, Mapping[str, Any]]]:
    if isinstance(data, str):
        data = {"set": ruleset.interfaces.get((chain.family, chain.table, data.removeprefix("@")), ())}
    return [(pair[0], pair[1]) for pair in data.get("set", ()) if isinstance(pair, list) and len(pair) == 2]


def _follow(
    ruleset: Ruleset, chain: Chain, rule: Rule, verdict: Mapping[str, Any], packet: Packet, depth: int
) -> list[Outcome | None]:
    if "accept" in verdict:
        return [ACCEPT]
    if "drop" in verdict or "reject" in verdict:
        return [Drop(chain, rule)]
    if "return" in verdict:
        return [RETURN]
    for kind in ("jump", "goto"):
        if kind in verdict:
            target = ruleset.chains.get((chain.family, chain.table, verdict[kind]["target"]))
            if target is None or depth >= _DEPTH:
                return [None]
            inside = _walk(ruleset, target, packet, depth + 1)
            back = None if kind == "jump" else RETURN
            return [back if outcome is RETURN else outcome for outcome in inside]
    return [None]


# --- matches -------------------------------------------------------------------------------------------------------


def _matches(ruleset: Ruleset, chain: Chain, expression: Expression, packet: Packet) -> bool | None:
    """True, False, or None for unknown. A target of x_tables is no match: it lets everything by."""
    shown = expression.get("xt")
    if shown is not None:
        known = isinstance(shown, Mapping) and (shown.get("type") == "target" or shown.get("name") == "comment")
        return True if known else None
    if "match" not in expression:
        return None
    match = expression["match"]
    right = match["right"]
    if isinstance(right, str) and right.startswith("@"):
        named = ruleset.interfaces.get((chain.family, chain.table, right.removeprefix("@")))
        if named is None:
            return None
        right = {"set": named}
    answer = _compare(match["left"], right, packet)
    if match["op"] in ("==", "in"):
        return answer
    return not answer if match["op"] == "!=" and answer is not None else None


def _compare(left: Any, right: Any, packet: Packet) -> bool | None:
    """Whether what the packet has at ``left`` is (one of) ``right``."""
    if isinstance(right, Mapping) and "elem" in right:
        right = right["elem"].get("val")
    if isinstance(right, Mapping) and "set" in right:
        return _any(_compare(left, one[0] if isinstance(one, list) else one, packet) for one in right["set"])
    if isinstance(left, Mapping) and "concat" in left:
        if not (isinstance(right, Mapping) and "concat" in right):
            return None
        return _all(_compare(one, other, packet) for one, other in zip(left["concat"], right["concat"], strict=False))
    if isinstance(right, list):
        return _any(_compare(left, one, packet) for one in right)
    for kind, compare in (("meta", _meta), ("payload", _payload), ("ct", _ct), ("fib", _fib)):
        if isinstance(left, Mapping) and kind in left:
            return compare(left[kind], right, packet)
    return None


def _meta(left: Mapping[str, Any], right: Any, packet: Packet) -> bool | None:
    key = left.get("key")
    if key in ("iifname", "iif", "oifname", "oif"):
        name = packet.iif if str(key).startswith("i") else packet.oif
        return _is_interface(name, str(right))
    if key == "l4proto":
        return packet.protocol in (right, {6: "tcp", 17: "udp", 132: "sctp", 1: "icmp", 58: "icmpv6"}.get(right))
    if key in ("nfproto", "protocol"):
        return str(right) == {"ip": {"nfproto": "ipv4"}, "ip6": {"nfproto": "ipv6"}}[packet.family].get(
            str(key), packet.family
        )
    return None


def _is_interface(name: str, pattern: str) -> bool:
    if pattern.endswith("*") and not pattern.endswith("\\*"):
        return name.startswith(pattern[:-1])
    return name == pattern


def _payload(left: Mapping[str, Any], right: Any, packet: Packet) -> bool | None:
    protocol, field = left.get("protocol"), left.get("field")
    if protocol in ("ip", "ip6"):
        if protocol != packet.family:
            return False
        if field in ("protocol", "nexthdr"):
            return _meta({"key": "l4proto"}, right, packet)
        if field in ("saddr", "daddr"):
            return _contains(right, packet.source if field == "saddr" else packet.target)
        return None
    if protocol in ("tcp", "udp", "sctp", "udplite", "dccp", "icmp", "icmpv6") and protocol != packet.protocol:
        return False
    return _holds(right, packet.port) if field == "dport" else None


def _holds(right: Any, port: int | None) -> bool | None:
    if port is None:
        return None
    if isinstance(right, Mapping) and "range" in right:
        low, high = right["range"]
        return int(low) <= port <= int(high)
    return port == right if isinstance(right, int) else None


def _contains(right: Any, address: Network | None) -> bool | None:
    if address is None:
        return None
    low, high = _bounds(right)
    if low is None or high is None or low.version != address.version:
        return None
    first, last = address[0], address[-1]
    if int(low) <= int(first) and int(last) <= int(high):
        return True
    return False if int(last) < int(low) or int(high) < int(first) else None


def _bounds(right: Any) -> tuple[Any, Any]:
    try:
        if isinstance(right, Mapping) and "prefix" in right:
            network = ip_network(f"{right['prefix']['addr']}/{right['prefix']['len']}", strict=False)
            return network[0], network[-1]
        if isinstance(right, Mapping) and "range" in right:
            return ip_address(right["range"][0]), ip_address(right["range"][1])
        return ip_address(right), ip_address(right)
    except (ValueError, TypeError):
        return None, None


def _ct(left: Mapping[str, Any], right: Any, packet: Packet) -> bool | None:
    if left.get("key") == "state":
        return bool(right == packet.state)
    if left.get("key") == "status":
        if right == "dnat":
            return packet.dnat
        return False if packet.state == "new" and right in ("assured", "seen-reply", "confirmed") else None
    if left.get("key") == "direction":
        return bool((right == "original") == (packet.state == "new"))
    return None


def _fib(left: Mapping[str, Any], right: Any, packet: Packet) -> bool | None:
    if left.get("result") == "type" and left.get("flags") == ["daddr"]:
        return packet.local if right == "local" else (False if packet.local else None)
    return None


def _any(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    return True if True in known else None if None in known else False


def _all(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    return False if False in known else None if None in known else True
