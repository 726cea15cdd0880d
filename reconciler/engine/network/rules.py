"""The nftables table of an instance without its elements: chains, maps, and every rule as text. Pure.

publish      from outside, from pods (prerouting) and from the host itself (output)
guard        a pod never reaches the host's 127.0.0.0/8, though the bridge routes it (route_localnet, without
             which 127.0.0.1:PORT cannot lead to a pod); the kernel itself takes no ::1 from a wire
refused      nothing can be forwarded from ::1 (there is no route_localnet for IPv6): TCP and SCTP are refused by the
             socket that holds the port, which does not listen; a datagram for it is refused here (by a kernel without
             nft_socket it is lost: the rest must not depend on that)
forward      pods of different networks do not reach each other but by published ports, and nothing leads into an
             internal network or out of it; by IPv6 the host forwards for its pods alone (see ``ipv6``)
postrouting  the source becomes the bridge's where the answer would otherwise not come back through us
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from reconciler.engine.network import names
from reconciler.engine.network.bridge import BridgeConfig

FAMILY = "inet"
HELD = 0x72636870
"""The mark of sockets that hold published UDP ports ("rchp")."""

MAPS = {
    "any4": "inet_proto . inet_service : ipv4_addr . inet_service",
    "exact4": "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    "any6": "inet_proto . inet_service : ipv6_addr . inet_service",
    "exact6": "ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service",
}
CHAINS = {
    "publish": "",
    "guard": "type filter hook prerouting priority -300;",
    "prerouting": "type nat hook prerouting priority -100;",
    "output": "type nat hook output priority -100;",  # by number: nft 1.0.6 knows no name for it there
    "refused": "type filter hook input priority 0;",
    "forward": "type filter hook forward priority 0;",
    "postrouting": "type nat hook postrouting priority 100;",
}

_BETWEEN = "meta nfproto ipv6"
"""How the rule begins that is about others' interfaces."""

Rule = tuple[str, str]


def rules(
    tag: str, networks: Sequence[BridgeConfig], closed: Sequence[str] = (), *, sockets: bool = True
) -> tuple[Rule, ...]:
    """Every rule, as chain and text, in order. ``closed``: interfaces between which nothing is forwarded by IPv6;
    ``sockets``: the kernel can look at the socket that a packet is for."""
    here, here6 = "fib daddr type local", "ip6 daddr != ::1 fib daddr type local"
    return (
        ("publish", f"{here} dnat ip to ip daddr . meta l4proto . th dport map @exact4"),
        ("publish", f"{here} dnat ip to meta l4proto . th dport map @any4"),
        ("publish", f"{here6} dnat ip6 to ip6 daddr . meta l4proto . th dport map @exact6"),
        ("publish", f"{here6} dnat ip6 to meta l4proto . th dport map @any6"),
        ("guard", 'iifname != "lo" ip daddr 127.0.0.0/8 drop'),
        ("prerouting", "jump publish"),
        ("output", "jump publish"),
        ("refused", f"ip6 daddr ::1 meta l4proto udp {'socket' if sockets else 'meta'} mark {HELD:#x} reject"),
        *_forward(tag, networks),
        *_not_between(closed),
        *(rule for n in networks for rule in _postrouting(n)),
    )


def frame(tag: str, networks: Sequence[BridgeConfig], closed: Sequence[str] = (), *, sockets: bool = True) -> str:
    """The commands that make the table without its elements; they replace rules that are there, and keep the maps."""
    table = f"{FAMILY} {names.table_name(tag)}"
    lines = [f"add table {table}", f"flush table {table}"]
    lines += [f"add map {table} {name} {{ type {kind}; }}" for name, kind in MAPS.items()]
    lines += [f"add chain {table} {name}" + (f" {{ {hook} }}" if hook else "") for name, hook in CHAINS.items()]
    wanted = rules(tag, networks, closed, sockets=sockets)
    lines += [f'add rule {table} {chain} {rule} comment "{digest(rule)}"' for chain, rule in wanted]
    return "\n".join(lines) + "\n"


def digest(rule: str) -> str:
    """A rule's comment, by which it is known again."""
    return ("others " if rule.startswith(_BETWEEN) else "") + hashlib.sha256(rule.encode()).hexdigest()[:12]


def is_about_others(comment: str) -> bool:
    """Whether that is the rule about others' interfaces: they come and go, and nobody has changed anything of ours."""
    return comment.startswith("others ")


def _forward(tag: str, networks: Sequence[BridgeConfig]) -> Iterator[Rule]:
    for network in networks:
        if network.internal:
            yield "forward", f"iifname {_quoted(network)} oifname != {_quoted(network)} drop"
            yield "forward", f"oifname {_quoted(network)} iifname != {_quoted(network)} drop"
    if len(networks) > 1:
        yield "forward", "ct status dnat accept"
        for network in networks:
            own = _quoted(network)
            yield "forward", f'iifname {own} oifname "{names.bridge_name(tag)}*" oifname != {own} drop'


def _not_between(closed: Sequence[str]) -> Iterator[Rule]:
    """A name that nft would read as something else cannot be a rule."""
    names_ = ", ".join(f'"{name}"' for name in closed if not set(name) & set('"\\*'))
    if names_:
        yield "forward", f"{_BETWEEN} iifname {{ {names_} }} oifname {{ {names_} }} drop"


def _postrouting(network: BridgeConfig) -> Iterator[Rule]:
    bridge = _quoted(network)
    yield "postrouting", f"ct status dnat oifname {bridge} fib saddr type local masquerade"
    for pods in network.networks:
        saddr = f"{'ip' if pods.version == 4 else 'ip6'} saddr {pods}"
        yield "postrouting", f"ct status dnat oifname {bridge} {saddr} masquerade"
        yield "postrouting", f"{saddr} oifname != {bridge} masquerade"


def _quoted(network: BridgeConfig) -> str:
    return f'"{network.name}"'
