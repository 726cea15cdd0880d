"""The filter chains of everybody but us, read from the kernel in one call of libnftables.

Rules stay in libnftables' own form (libnftables-json(5)), which ``packets`` reads. What iptables-nft compiled into
x_tables matches has no such form; the library's listing for people translates it, so it is asked for those rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.engine.network import nft

OURS = "reconciler_"
"""How the tables of every instance begin."""

LEGACY = "filter (legacy)"
"""What we call the table of iptables-legacy, lest it meets that of iptables-nft."""

_HANDLE = re.compile(r"^(.*\S)\s+# handle (\d+)$")
_CT = re.compile(r"\bct (state|status) (!=? )?([a-z,-]+)")
_OTHER_CT = re.compile(r"\bct (?!state |status )")
_DOING = "read the firewall of this host"

Expression = Mapping[str, Any]
Name = tuple[str, str, str]
"""Family, table, chain."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``text``: as people write it, where that is known already."""

    handle: int
    expressions: tuple[Expression, ...]
    text: str = ""


@dataclass(slots=True)
class Chain:
    """``hook`` and ``policy`` only of base chains."""

    family: str
    table: str
    name: str
    hook: str = ""
    policy: str = "accept"
    legacy: bool = False
    rules: list[Rule] = field(default_factory=list)

    @property
    def full_name(self) -> Name:
        return (self.family, self.table, self.name)

    def __str__(self) -> str:
        where = "iptables-legacy table filter" if self.legacy else f"table {self.family} {self.table}"
        return f"{where}, chain {self.name}"


@dataclass(slots=True)
class Ruleset:
    chains: dict[Name, Chain] = field(default_factory=dict)
    interfaces: dict[Name, list[Any]] = field(default_factory=dict)
    """Named sets and maps over interface names, which are short, with their elements."""

    def base_chains(self, hook: str, family: str) -> list[Chain]:
        """Those that a packet of ``family`` (ip, ip6) meets at ``hook``."""
        return [c for c in self.chains.values() if c.hook == hook and c.family in (family, "inet")]

    def has(self, family: str, name: str) -> bool:
        """Whether some table of the family has a chain of that name."""
        return any(c.family == family and c.name == name for c in self.chains.values())


def read() -> Ruleset:
    """The kernel's ruleset now, without ours. Raises TryLater or HostUnfit."""
    objects = nft.read_all(_DOING)
    found = parse(objects)
    for name in found.interfaces:
        found.interfaces[name] = _elements(*name)
    for family, table in sorted({chain.full_name[:2] for chain in found.chains.values() if _has_xt(chain)}):
        translate(found, family, table, nft.text(f"list table {family} {table}", _DOING))
    return found


def parse(objects: Iterable[Mapping[str, Any]]) -> Ruleset:
    """Read what libnftables shows of a ruleset."""
    found = Ruleset()
    for one in objects:
        if (shown := one.get("chain")) and not shown["table"].startswith(OURS):
            if shown["family"] in ("ip", "ip6", "inet") and shown.get("type", "filter") == "filter":
                chain = Chain(shown["family"], shown["table"], shown["name"], shown.get("hook", ""))
                chain.policy = shown.get("policy", "accept")
                found.chains[chain.full_name] = chain
        elif shown := one.get("rule"):
            named = found.chains.get((shown["family"], shown["table"], shown["chain"]))
            if named:
                named.rules.append(Rule(shown["handle"], tuple(shown.get("expr", ()))))
        elif (shown := one.get("set") or one.get("map")) and shown.get("type") == "ifname":
            found.interfaces[(shown["family"], shown["table"], shown["name"])] = []
    return found


def _elements(family: str, table: str, name: str) -> list[Any]:
    """Of a named set or map, which is listed by a command of its own kind."""
    for kind in ("set", "map"):
        for one in nft.read(f"list {kind} {family} {table} {name}", _DOING) or ():
            if shown := one.get(kind):
                return list(shown.get("elem", ()))
    return []


def text_of(chain: Chain, rule: Rule) -> str:
    """The rule as people write it, or its handle where it went meanwhile."""
    if rule.text:
        return rule.text
    listing = nft.text(f"list chain {chain.family} {chain.table} {chain.name}", _DOING)
    return lines(listing).get(rule.handle, f"rule with handle {rule.handle}")


def lines(listing: str) -> dict[int, str]:
    """Each rule's line of a listing, by handle."""
    found = (_HANDLE.match(line.strip()) for line in listing.splitlines())
    return {int(match[2]): match[1].replace("counter ", "") for match in found if match}


def translate(ruleset: Ruleset, family: str, table: str, listing: str) -> None:
    """Put what the listing tells of x_tables matches in place of those of which we know nothing else."""
    said = lines(listing)
    for chain in ruleset.chains.values():
        if chain.full_name[:2] == (family, table):
            chain.rules = [_translated(rule, said.get(rule.handle, "")) for rule in chain.rules]


def _translated(rule: Rule, text: str) -> Rule:
    known: list[Expression] = []
    for expression in rule.expressions:
        if _xt(expression) in ("conntrack", "state") and (matches := _CT.findall(text)):
            known += [_ct(key, bool(negated), values.split(",")) for key, negated, values in matches]
            known += [expression] if _OTHER_CT.search(text) else []
        else:
            known.append(expression)
    return Rule(rule.handle, tuple(known), text)


def _ct(key: str, negated: bool, values: list[str]) -> Expression:
    return {"match": {"op": "!=" if negated else "in", "left": {"ct": {"key": key}}, "right": values}}


def _xt(expression: Expression) -> str:
    shown = expression.get("xt")
    return str(shown.get("name", "")) if isinstance(shown, Mapping) else ""


def _has_xt(chain: Chain) -> bool:
    return any("xt" in expression for rule in chain.rules for expression in rule.expressions)
