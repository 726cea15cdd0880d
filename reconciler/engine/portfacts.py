"""Who holds the host ports that a pod wants: other pods by the index, processes by the kernel."""

from __future__ import annotations

from reconciler.engine.context import Context
from reconciler.engine.network import ports
from reconciler.engine.store import pods as index
from reconciler.model.key import Key
from reconciler.model.observed import HostFacts, PortHolder
from reconciler.model.spec import PodSpec, PortBinding

ANY = ("", "0.0.0.0")


def host_facts(ctx: Context, key: Key, want: PodSpec | None) -> HostFacts:
    """The holders of what ``want`` asks for beyond what the key's own pod holds already."""
    wanted = want.sandbox.ports if want is not None else ()
    if not wanted:
        return HostFacts()
    held = [(row.key, binding) for row in index.all_pods(ctx.store, with_ports=True) for binding in row.ports]
    pods = tuple(
        PortHolder(binding, holder)
        for holder, binding in held
        if holder != key and any(overlap(binding, w) for w in wanted)
    )
    free = [w for w in wanted if not any(overlap(binding, w) for _, binding in held)]
    return HostFacts((*pods, *(ports.holders(free) if free else ())))


def overlap(one: PortBinding, other: PortBinding) -> bool:
    """Whether two bindings cannot stand beside each other."""
    if (one.host_port, one.protocol) != (other.host_port, other.protocol):
        return False
    return one.host_ip == other.host_ip or one.host_ip in ANY or other.host_ip in ANY
