"""What containers use of this machine: read from their cgroups, and from the network namespace of their pod.

Reading only, and without the pod's lock: a container that ends meanwhile is left out.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from reconciler.engine import cgroups, podgroups, processes
from reconciler.engine.context import Context
from reconciler.model.key import ContainerId, PodId
from reconciler.model.observed import Container, ContainerState, Observed, PidRef, Sandbox
from reconciler.model.usage import Reading, Usage

LOOPBACK = "lo"


def of_pod(ctx: Context, pod: Observed) -> dict[ContainerId, Usage]:
    """Of each container that runs, the infra container included."""
    sandbox = pod.sandbox
    if sandbox is None:
        return {}
    infra = (sandbox.infra,) if sandbox.infra else ()
    found: dict[ContainerId, Usage] = {}
    networks: dict[PidRef, tuple[int | None, int | None]] = {}
    for container in (*pod.containers, *infra):
        own = _reading(ctx, sandbox.id, container.id) if container.state is ContainerState.RUNNING else None
        if own is None:
            continue
        process = _in_its_network(sandbox, container)
        if process and process not in networks:
            networks[process] = traffic(process)
        found[container.id] = Usage(ctx.clock.now(), own, *(networks[process] if process else (None, None)))
    return found


def _in_its_network(sandbox: Sandbox, container: Container) -> PidRef | None:
    """A process in the container's network; None where that is the machine's. Members have the infra container's, or
    each its own."""
    spec = sandbox.applied.sandbox
    if "net" not in spec.shared and container != sandbox.infra:
        return container.pid
    if spec.host_network:
        return None
    return sandbox.infra.pid if sandbox.infra and sandbox.infra_up else container.pid


def traffic(process: PidRef) -> tuple[int | None, int | None]:
    """Bytes received and sent in the network namespace of a process, loopback left out; None when it is gone."""
    try:
        text = Path(f"/proc/{process.pid}/net/dev").read_text()
    except OSError:
        return None, None
    return bytes_of(text) if processes.alive(process) else (None, None)  # looked at after reading: that was it


def bytes_of(text: str) -> tuple[int, int]:
    """Bytes received and sent by /proc/PID/net/dev, whose two first lines are headings; without loopback."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != LOOPBACK:
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def _reading(ctx: Context, pod: PodId, container: ContainerId) -> Reading | None:
    for path in podgroups.container_places(ctx, pod, container):
        own = cgroups.read(path)
        if own != Reading():
            return replace(own, limit=_limit(path))
    return None


def _limit(path: str) -> int:
    """What a container may have of memory: the machine's, or what its cgroup, the pod's, or the one that crun makes
    inside a scope (crun 1.8 writes the limit there alone) lets it have."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (cgroups.memory_limit(one) for one in (cgroups.leaf_of(path), path, path.rpartition("/")[0]))
    return min([machine, *(limit for limit in limits if limit is not None)])
