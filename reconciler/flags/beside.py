"""What the options of `kube play` say beside a manifest, over each of its pods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.flags.sandbox import Network
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import ContainerSpec, Pairs, PodSpec, PortBinding, Protocol, SandboxSpec


@dataclass(frozen=True, slots=True)
class Beside:
    """``network`` is for pods that say nothing of theirs; ``ports`` count instead of what a manifest says of the same
    container ports; ``every_port``: ports that have no host port have the same one there. ``host_users`` None: as the
    manifest says."""

    network: Network | None = None
    ports: tuple[PortBinding, ...] = ()
    every_port: bool = False
    annotations: Pairs = ()
    no_hosts: bool = False
    host_users: bool | None = None

    @property
    def is_for_one(self) -> str:
        """The option that two pods cannot both have; "" for none."""
        addresses = self.network is not None and (self.network.ip or self.network.ip6 or self.network.mac)
        return "--publish" if self.ports else "an address" if addresses else ""


def notes(texts: Iterable[str]) -> Pairs:
    """``--annotation KEY=VALUE`` by key; of two for one key the later counts. Raises InvalidInput."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key.strip() or not equals:
            raise InvalidInput(f"cannot use --annotation {text!r}: it is not an annotation", hint="write KEY=VALUE")
        if key.startswith("reconciler/"):
            raise InvalidInput(
                f"cannot use --annotation {text!r}: it asks for what options ask for", hint="use --network or --publish"
            )
        found[key] = value
    return tuple(sorted(found.items()))


def over(spec: PodSpec, said: Beside) -> PodSpec:
    """A pod of the manifest with what was said beside it. Raises InvalidInput."""
    spec = _in_network(spec, said.network) if said.network else spec
    spec = _published(spec, said)
    box = replace(spec.sandbox, no_hosts=spec.sandbox.no_hosts or said.no_hosts)
    if said.host_users is not None:
        box = replace(box, host_users=said.host_users)
    merged = {**dict(spec.annotations), **dict(said.annotations)}
    return replace(spec, sandbox=box, annotations=tuple(sorted(merged.items())))


def _in_network(spec: PodSpec, network: Network) -> PodSpec:
    box = spec.sandbox
    if box.host_network or box.network:
        return spec
    if network.host:
        return replace(spec, sandbox=_on_the_host(box))
    addresses = replace(box, ip=network.ip, ip6=network.ip6, mac=network.mac)
    return replace(spec, sandbox=replace(addresses, network=network.name))


def _on_the_host(box: SandboxSpec) -> SandboxSpec:
    """As a manifest with hostNetwork compiles: the machine's name, and nothing published."""
    return replace(
        box, host_network=True, hostname="", hostname_override="", subdomain="", fqdn_as_hostname=False, ports=()
    )


def _published(spec: PodSpec, said: Beside) -> PodSpec:
    if not said.ports and not said.every_port:
        return spec
    if spec.sandbox.host_network:
        raise InvalidInput(f'cannot publish ports of pod "{spec.key.name}": it has the machine\'s own')
    if unsaid := next((p for p in said.ports if not p.host_port), None):
        raise InvalidInput(
            f"cannot publish {unsaid.container_port}: a manifest that is played again is to get the same host port",
            hint=f"say which: --publish 8080:{unsaid.container_port}",
        )
    theirs = {(p.container_port, p.protocol) for p in said.ports}
    spec = spec.with_everyone(lambda c: _without_host_ports(c, theirs))
    ports = {p for p in spec.sandbox.ports if (p.container_port, p.protocol) not in theirs} | {*said.ports}
    if said.every_port:
        has = {(p.container_port, p.protocol) for p in ports}
        exposed = (p for c in spec.lasting for p in c.ports if (p.container_port, p.protocol) not in has)
        ports |= {PortBinding(p.container_port, p.container_port, p.protocol) for p in exposed}
    return replace(spec, sandbox=replace(spec.sandbox, ports=tuple(sorted(ports))))


def _without_host_ports(container: ContainerSpec, theirs: set[tuple[int, Protocol]]) -> ContainerSpec:
    ports = (
        replace(p, host_port=0, host_ip="") if (p.container_port, p.protocol) in theirs else p for p in container.ports
    )
    return replace(container, ports=tuple(sorted(ports)))
