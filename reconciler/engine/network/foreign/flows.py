"""The traffic that pods need, as packets, and which of it others' chains drop.

A flow is a first packet and its answer. What is between a pod and the outside, another pod (through a published port,
or directly where the bridge's frames are filtered) or the gateway passes ``forward`` or ``input``; what the host itself
sends to a pod is only seen at ``input``, when the pod answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from reconciler.engine.network.foreign import packets
from reconciler.engine.network.foreign.packets import Network, Packet
from reconciler.engine.network.foreign.ruleset import Chain, Ruleset, text_of

_BRIDGED = Path("/proc/sys/net/bridge")
_ROUTES = {4: Path("/proc/thread-self/net/route"), 6: Path("/proc/thread-self/net/ipv6_route")}


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """A bridge with one of its subnets and the address that the host has in it; ``ports``: protocol and port in the
    pods of what is published."""

    bridge: str
    network: Network
    gateway: str
    ports: tuple[tuple[str, int], ...] = ()
    internal: bool = False
    """It has no way out by its owner's wish."""
    names_port: int = 53
    """At the gateway, as ``input`` sees it; 0 where no names are served."""

    @property
    def family(self) -> str:
        return "ip" if isinstance(self.network, IPv4Network) else "ip6"


@dataclass(frozen=True, slots=True)
class Flow:
    """``what``: completes "keeps …"; ``port``: one of several published ones. Each packet with the hook it passes."""

    what: str
    steps: tuple[tuple[str, Packet], ...]
    port: str = ""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A base chain that drops ``what``. ``chain``: for people; ``by``: its policy, or the rule."""

    family: str
    table: str
    name: str
    hook: str
    chain: str
    by: str
    what: tuple[str, ...]
    bridges: tuple[str, ...]
    legacy: bool = False


def blockers(ruleset: Ruleset, networks: Iterable[PodNetwork]) -> tuple[Blocker, ...]:
    """Who keeps which of the pods' traffic, one for each chain and cause, in a stable order."""
    found: dict[tuple[str, str], _Found] = {}
    for network in networks:
        for flow in flows(network, uplink(network.family)):
            for hook, packet in flow.steps:
                for chain in ruleset.base_chains(hook, packet.family):
                    if drop := packets.dropped(ruleset, chain, packet):
                        by = f"rule “{text_of(drop.chain, drop.rule)}”" if drop.rule else f"policy {chain.policy}"
                        by += f" of chain {drop.chain.name}" if drop.chain is not chain else ""
                        found.setdefault((str(chain), by), _Found(chain)).add(flow, network)
    return tuple(one.told(by) for (_, by), one in sorted(found.items()))


class _Found:
    """What one chain drops for one reason, gathered."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._what: dict[str, dict[str, None]] = {}
        self._networks: dict[PodNetwork, None] = {}

    def add(self, flow: Flow, network: PodNetwork) -> None:
        ports = self._what.setdefault(flow.what, {})
        if flow.port:
            ports[flow.port] = None
        self._networks[network] = None

    def told(self, by: str) -> Blocker:
        published = len({port for network in self._networks for port in network.ports})
        what = (
            f"{what} ({', '.join(ports)})" if ports and len(ports) < published else what
            for what, ports in self._what.items()
        )
        bridges = tuple(dict.fromkeys(network.bridge for network in self._networks))
        chain = self._chain
        return Blocker(*chain.full_name, chain.hook, str(chain), by, tuple(what), bridges, chain.legacy)


def flows(network: PodNetwork, outside: str) -> Iterator[Flow]:
    """What pods of this network need. ``outside``: the link that leads there."""
    family, bridge, pods = network.family, network.bridge, network.network
    gateway = ip_network(network.gateway)

    def there_and_back(what: str, first: Packet) -> Flow:
        back = Packet(
            family, first.oif, first.iif, first.target, first.source, first.protocol, None, "established", first.dnat
        )
        port = f"{first.port}/{first.protocol}" if first.port else ""
        return Flow(what, (("forward", first), ("forward", back)), port)

    for protocol, port in network.ports:
        first = Packet(family, outside, bridge, None, pods, protocol, port, dnat=True)
        yield there_and_back("others from published ports", first)
    for protocol in () if network.internal else ("tcp", "udp"):
        yield there_and_back("pods from the outside", Packet(family, bridge, outside, pods, None, protocol))
    for protocol, port in network.ports:
        first = Packet(family, bridge, bridge, pods, pods, protocol, port, dnat=True)
        yield there_and_back("pods from published ports", first)
    if is_bridged_filtered(family):
        yield there_and_back("pods from each other", Packet(family, bridge, bridge, pods, pods, "tcp"))
    for protocol in ("udp", "tcp") if network.names_port else ():
        first = Packet(family, bridge, "", pods, gateway, protocol, network.names_port, local=True)
        yield Flow("pods from the names that the gateway knows", (("input", first),))
    for protocol, _ in network.ports[:1]:
        back = Packet(family, bridge, "", pods, gateway, protocol, None, "established", dnat=True, local=True)
        yield Flow("this host from published ports", (("input", back),))


def is_bridged_filtered(family: str) -> bool:
    """Whether frames between the ports of a bridge pass ``forward`` (br_netfilter, which docker loads)."""
    try:
        return (_BRIDGED / f"bridge-nf-call-{family}tables").read_text().strip() == "1"
    except OSError:
        return False


def uplink(family: str) -> str:
    """The link of the default route, or "outside", which no rule knows, where there is none."""
    try:
        if family == "ip":
            rows = [line.split() for line in _ROUTES[4].read_text().splitlines()[1:]]
            return next((row[0] for row in rows if row[1] == row[7] == "00000000"), "outside")
        rows = [line.split() for line in _ROUTES[6].read_text().splitlines()]
        return next((r[9] for r in rows if r[0] == "0" * 32 and r[1] == "00" and r[9] != "lo"), "outside")
    except (OSError, IndexError):
        return "outside"
