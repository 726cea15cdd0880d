"""Port 53 of the pods' gateways led to another port, where somebody else has it (dnsmasq, unbound on 0.0.0.0:53).

A table of its own beside that of the published ports, as the one has nothing to do with the other; netavark does the
same for its dns_bind_port. The host itself is led there, too: pods on its network ask from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.engine.dns.server import PORT
from reconciler.engine.effects import effect
from reconciler.engine.network import names, nft


def table_name(tag: str) -> str:
    return f"{names.table_name(tag)}_dns"


def stands(tag: str) -> bool:
    return nft.read(f"list table inet {table_name(tag)}", "look at the table of the name server") is not None


def remove(tag: str) -> None:
    """Lead port 53 nowhere. Nothing happens where that is so."""
    if stands(tag):
        declare(tag, (), PORT)


@effect("nameserver.redirect")
def declare(tag: str, gateways: Sequence[str], port: int) -> None:
    """Lead the gateways' port 53 to ``port``; without gateways nothing is led anywhere. Raises TryLater, HostUnfit."""
    table = table_name(tag)
    anew = f"add table inet {table}\ndelete table inet {table}\n"
    text = "".join(rules(table, gateways, port)) if gateways else ""
    nft.run(anew + text, "lead port 53 to the name server")


def rules(table: str, gateways: Sequence[str], port: int) -> list[str]:
    lines = [f"add table inet {table}\n"]
    for hook, priority in (("prerouting", -101), ("output", -101)):
        lines.append(f"add chain inet {table} {hook} {{ type nat hook {hook} priority {priority}; policy accept; }}\n")
        for gateway in gateways:
            family, target = ("ip6", f"[{gateway}]") if ":" in gateway else ("ip", gateway)
            for protocol in ("udp", "tcp"):
                lines.append(
                    f"add rule inet {table} {hook} {family} daddr {gateway} {protocol} dport {PORT} "
                    f"dnat {family} to {target}:{port}\n"
                )
    return lines
