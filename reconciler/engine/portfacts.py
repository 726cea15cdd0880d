"""Who holds the host ports that a pod wants: other pods by the index, processes by the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.engine import nameserver, netrecords, recorded, watched
from reconciler.engine.context import Context
from reconciler.engine.network import ports
from reconciler.engine.store import pods as index
from reconciler.model.key import Key, PodId
from reconciler.model.observed import HostFacts, PortHolder, Problem
from reconciler.model.spec import NO_NETWORK, PodSpec, PortBinding, Protocol

SANDBOX_ERROR = "CreatePodSandboxError"
"""Kubernetes' word for a pod of which not even the sandbox can be made."""


def host_facts(ctx: Context, key: Key, want: PodSpec | None) -> HostFacts:
    """The holders of what ``want`` asks for beyond what the key's own pod holds already."""
    wanted = want.sandbox.ports if want is not None else ()
    if not wanted:
        return HostFacts()
    asked = _by_number(wanted)
    pods, ours = [], []
    for row in index.all_pods(ctx.store, with_ports=True):
        met = [binding for binding in row.ports if _meets(binding, asked)]
        if met and _is_down(ctx, row.id):
            continue
        ours += met
        pods += [PortHolder(binding, row.key) for binding in met if row.key != key]
    held = _by_number(ours)
    free = [w for w in wanted if not _meets(w, held)]
    ipv6 = not netrecords.why_no_ipv6(ctx)
    others = ports.holders(free, ipv6=ipv6, gives_way=lambda: nameserver.gives_way(ctx)) if free else ()
    return HostFacts((*pods, *others))


def problems(ctx: Context, spec: PodSpec) -> Iterator[Problem]:
    """What else keeps the pod's sandbox from being made on this host as things stand."""
    name, why_not = spec.sandbox.network, netrecords.why_no_ipv6(ctx)
    if name and name != NO_NETWORK:
        network = netrecords.read(ctx, name)
        if network is None:
            text = f"network {name}: there is none of that name (reconciler network create {name})"
            yield Problem(SANDBOX_ERROR, text)
        elif not network.subnet6:
            why_not = why_not or f"network {name} was created without it"
    for text in ports.problems(spec.sandbox.ports, why_not):
        yield Problem(SANDBOX_ERROR, text)


def _is_down(ctx: Context, pod: PodId) -> bool:
    """Whether it is a pod that is kept without an infra container that lives: since a reboot that nobody has seen."""
    record = recorded.record_of_pod(ctx, pod)
    if record is None or not record.spec.keep:
        return False
    for container in index.containers_of(ctx.store, pod):
        known = recorded.record_of(ctx, container)
        if known is not None and known.infra:
            return not watched.lives(ctx, container)
    return False


def _by_number(bindings: Iterable[PortBinding]) -> dict[tuple[int, Protocol], list[PortBinding]]:
    """There may be a thousand."""
    found: dict[tuple[int, Protocol], list[PortBinding]] = {}
    for binding in bindings:
        found.setdefault((binding.host_port, binding.protocol), []).append(binding)
    return found


def _meets(one: PortBinding, others: dict[tuple[int, Protocol], list[PortBinding]]) -> bool:
    return any(one.overlaps(other) for other in others.get((one.host_port, one.protocol), ()))
