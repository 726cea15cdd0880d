"""Who holds the host ports that a pod wants: other pods by the index, processes by the kernel."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator

from reconciler.engine import nameserver, netrecords, processes, recorded, watched
from reconciler.engine.context import Context
from reconciler.engine.network import ports
from reconciler.engine.store import pods as index
from reconciler.model.errors import PortTaken
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.observed import HostFacts, PortHolder, Problem
from reconciler.model.spec import NO_NETWORK, PodSpec, PortBinding, Protocol

SANDBOX_ERROR = "CreatePodSandboxError"
"""Kubernetes' word for a pod of which not even the sandbox can be made."""

LETS_GO = 2.0
"""Seconds for our own processes to let go of the ports of a container that has ended."""
_LOOK = 0.005
"""Seconds between two tries to have a port that they still have."""


def hold(ctx: Context, bindings: Iterable[PortBinding], container: ContainerId | None = None) -> list[socket.socket]:
    """``ports.hold``, also of what is let go at this moment: the zygote has a copy of all that a monitor holds, until
    it has reaped it. ``container``: who had the ports until now, whose dead monitor it may be replacing.

    Raises what that raises.
    """
    wanted, ipv6 = tuple(bindings), not netrecords.why_no_ipv6(ctx)
    deadline, before = time.monotonic() + LETS_GO, -1
    while True:
        try:
            return ports.hold(wanted, ipv6=ipv6)
        except PortTaken as taken:
            if time.monotonic() > deadline or before == taken.pid == 0 or not _lets_go(ctx, taken.pid, container):
                raise
            before = taken.pid
        time.sleep(_LOOK)


def _lets_go(ctx: Context, pid: int, container: ContainerId | None) -> bool:
    """0, whom nobody can find, may have let go already."""
    if not pid or watched.is_zygote(ctx, pid):
        return True
    holder = processes.pid_ref(pid)
    return bool(holder and container and watched.watches(holder, container))


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
