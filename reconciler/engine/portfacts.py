"""Who holds the host ports that a pod wants: other pods by the index, processes by the kernel."""

from __future__ import annotations

from reconciler.engine.context import Context
from reconciler.engine.network import ports
from reconciler.engine.store import pods as index
from reconciler.model.key import Key
from reconciler.model.observed import HostFacts, PortHolder
from reconciler.model.spec import PodSpec


def host_facts(ctx: Context, key: Key, want: PodSpec | None) -> HostFacts:
    """The holders of what ``want`` asks for beyond what the key's own pod holds already."""
    wanted = want.sandbox.ports if want is not None else ()
    if not wanted:
        return HostFacts()
    held = [(row.key, binding) for row in index.all_pods(ctx.store, with_ports=True) for binding in row.ports]
    pods = tuple(
        PortHolder(binding, holder)
        for holder, binding in held
        if holder != key and any(ports.overlap(binding, w) for w in wanted)
    )
    free = [w for w in wanted if not any(ports.overlap(binding, w) for _, binding in held)]
    return HostFacts((*pods, *(ports.holders(free) if free else ())))
