"""Port 53 of the pods' gateways led to another port, where somebody else has it (dnsmasq, unbound on 0.0.0.0:53).

A table of its own beside that of the published ports, as the one has nothing to do with the other; netavark does the
same for its dns_bind_port. It comes before that one, so names are served also where a pod publishes port 53. The host
itself is led there, too: pods on its network ask from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.engine.dns.server import PORT
from reconciler.engine.effects import effect
from reconciler.engine.network import names, nft
from reconciler.engine.network.rules import Rule, digest

_CHAINS = ("prerouting", "output")
_PRIORITY = -101


def table_name(tag: str) -> str:
    return f"{names.table_name(tag)}_dns"


def ensure(tag: str, gateways: Sequence[str], port: int) -> bool:
    """Lead the gateways' port 53 to ``port``, and nowhere where it is that one; whether anything had to be written.

    Raises TryLater, HostUnfit.
    """
    if leads(tag, gateways, port):
        return False
    _declare(tag, gateways, port)
    return True


def leads(tag: str, gateways: Sequence[str], port: int) -> bool:
    """Whether just that is so: each rule is known again by the digest in its comment, as those of published ports."""
    there = nft.read(f"list table inet {table_name(tag)}", "look at the table of the name server")
    wanted = list(rules(gateways, port))
    if there is None or not wanted:
        return there is None and not wanted
    found = [one["rule"] for one in there if "rule" in one]
    shown = [(one["chain"], one.get("comment", "")) for one in found]
    return sorted(shown) == sorted((chain, digest(rule)) for chain, rule in wanted)


def remove(tag: str) -> None:
    """Lead port 53 nowhere. Nothing happens where that is so."""
    ensure(tag, (), PORT)


def rules(gateways: Sequence[str], port: int) -> Iterator[Rule]:
    """Every rule, as chain and text. Pure."""
    for chain in _CHAINS:
        for gateway in gateways if port != PORT else ():
            family, target = ("ip6", f"[{gateway}]") if ":" in gateway else ("ip", gateway)
            for protocol in ("udp", "tcp"):
                match = f"{family} daddr {gateway} {protocol} dport {PORT}"
                yield chain, f"{match} dnat {family} to {target}:{port}"


@effect("nameserver.redirect")
def _declare(tag: str, gateways: Sequence[str], port: int) -> None:
    table = f"inet {table_name(tag)}"
    lines = [f"add table {table}", f"delete table {table}"]
    if wanted := list(rules(gateways, port)):
        lines.append(f"add table {table}")
        lines += [
            f"add chain {table} {chain} {{ type nat hook {chain} priority {_PRIORITY}; policy accept; }}"
            for chain in _CHAINS
        ]
        lines += [f'add rule {table} {chain} {rule} comment "{digest(rule)}"' for chain, rule in wanted]
    nft.run("\n".join(lines) + "\n", "lead port 53 to the name server")
