"""The chains of iptables-legacy, which live beside nftables in the kernel and are shown by their own program only.

Its saved form (iptables-save(8)) is put into libnftables' form, as far as ``packets`` understands that; an option that
is not known is an unknown match. The kernel does not tell of changes here: they are seen at the next resync.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from reconciler.engine.network.foreign import programs
from reconciler.engine.network.foreign.ruleset import LEGACY, Chain, Expression, Rule, Ruleset

PROGRAMS = {"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}
_HOOKS = {"INPUT": "input", "FORWARD": "forward"}
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
_BESIDE = frozenset(
    ("LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "TCPMSS", "SECMARK", "SET", "TRACE", "CT", "DSCP", "TOS")
)


def is_used(family: str) -> bool:
    """Whether the kernel has a filter table of x_tables in this network namespace."""
    try:
        names = Path(f"/proc/thread-self/net/{family}_tables_names").read_text().split()
    except OSError:
        return False
    return "filter" in names


def read(into: Ruleset) -> None:
    """Add what is there of both families. Raises TryLater where the program fails."""
    for family, program in PROGRAMS.items():
        path = shutil.which(f"{program}-save")
        if path and is_used(family):
            parse(programs.run(f"read the rules of {program}", path, "-t", "filter"), family, into)


def parse(text: str, family: str, into: Ruleset) -> None:
    """Read iptables-save's output."""
    for line in text.splitlines():
        if line.startswith(":"):
            name, shown, *_ = line[1:].split()
            policy = "accept" if shown == "-" else shown.lower()
            chain = Chain(family, LEGACY, name, _HOOKS.get(name, ""), policy, legacy=True)
            into.chains[chain.full_name] = chain
        elif line.startswith("-A "):
            _, name, *words = shlex.split(line)
            if known := into.chains.get((family, LEGACY, name)):
                known.rules.append(Rule(0, tuple(_expressions(words, family)), line))


def _expressions(words: list[str], family: str) -> Iterator[Expression]:
    rest = iter(words)
    negated = False
    protocol = ""
    verdict: Expression | None = None
    for word in rest:
        if word == "!":
            negated = True
            continue
        if word in ("-m", "--match", "--comment", "--reject-with"):
            next(rest, "")
        elif word in ("-j", "-g"):
            verdict = _verdict(word, next(rest, ""))
        elif word in _OPTIONS:
            value = next(rest, "")
            protocol = value if word == "-p" else protocol
            left, right = _OPTIONS[word](value, family, protocol)
            yield {"match": {"op": "!=" if negated else "==", "left": left, "right": right}}
        elif word.startswith("-") and verdict is None:
            yield {"xt": {"type": "match", "name": word}}
        negated = False
    if verdict is not None:
        yield verdict


def _verdict(word: str, name: str) -> Expression:
    if name in _VERDICTS:
        return {_VERDICTS[name]: None}
    if name in _BESIDE:
        return {"log": None}
    if name in ("NFQUEUE", "QUEUE"):
        return {"queue": None}
    return {"goto" if word == "-g" else "jump": {"target": name}}


def _interface(key: str) -> Callable[[str, str, str], tuple[Any, Any]]:
    return lambda value, _family, _protocol: (
        {"meta": {"key": key}},
        re.sub(r"\+$", "*", value),
    )


def _address(field: str) -> Callable[[str, str, str], tuple[Any, Any]]:
    def made(value: str, family: str, _protocol: str) -> tuple[Any, Any]:
        network = ip_network(value, strict=False)
        prefix = {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
        return {"payload": {"protocol": family, "field": field}}, prefix

    return made


def _ports(value: str, _family: str, protocol: str) -> tuple[Any, Any]:
    return {"payload": {"protocol": protocol or "th", "field": "dport"}}, {"set": [_port(v) for v in value.split(",")]}


def _port(value: str) -> int | Mapping[str, list[int]]:
    low, colon, high = value.partition(":")
    return {"range": [int(low or 0), int(high or 65535)]} if colon else int(low)


def _flags(key: str) -> Callable[[str, str, str], tuple[Any, Any]]:
    """The conntrack module's states; DNAT among them is a status."""

    def made(value: str, _family: str, _protocol: str) -> tuple[Any, Any]:
        if value == "DNAT":
            return {"ct": {"key": "status"}}, ["dnat"]
        return {"ct": {"key": key}}, value.lower().split(",")

    return made


_OPTIONS: dict[str, Callable[[str, str, str], tuple[Any, Any]]] = {
    "-i": _interface("iifname"),
    "-o": _interface("oifname"),
    "-s": _address("saddr"),
    "-d": _address("daddr"),
    "-p": lambda value, _family, _protocol: ({"meta": {"key": "l4proto"}}, {"ipv6-icmp": "icmpv6"}.get(value, value)),
    "--dport": _ports,
    "--dports": _ports,
    "--ctstate": _flags("state"),
    "--state": _flags("state"),
    "--ctstatus": _flags("status"),
    "--dst-type": lambda value, _family, _protocol: ({"fib": {"result": "type", "flags": ["daddr"]}}, value.lower()),
}
