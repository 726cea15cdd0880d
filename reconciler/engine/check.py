"""``system check``: what carries this instance's name but belongs to nothing that is recorded.

It looks with the naming rule alone, so it works with an empty store. Things in the making look like leaks for a
moment: what is found is looked for again until it is gone or ``PATIENCE`` is over.
"""

from __future__ import annotations

import re
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.engine import cgroups, files, firewalls, nameserver, networks, records, upkeep
from reconciler.engine.cgroups import names
from reconciler.engine.context import Context
from reconciler.engine.network import bridge, portmap
from reconciler.engine.network import pod as links
from reconciler.engine.oci.places import SHARED, propagation
from reconciler.engine.records import RECORD, ContainerRecord, PodRecord
from reconciler.engine.store import addresses
from reconciler.engine.store import pods as index
from reconciler.model.key import CONTAINER, ContainerId, Key, PodId

PATIENCE = 3.0
"""Seconds: a dying network namespace takes its link along within 0.1 s, a monitor ends within milliseconds."""

_MONITOR = re.compile(rb"-c[ \0]([0-9a-f]{64})")
"""A monitor names its container on the command line, which a fork of the zygote writes over its own."""


@dataclass(frozen=True, slots=True, order=True)
class Leak:
    """``kind`` is one of process, mount, link, nft, network, cgroup, directory, file, row, name. ``of``: the id of the
    pod or container that it was of, where its name says that."""

    kind: str
    name: str
    why: str
    of: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.why}"


@dataclass(frozen=True, slots=True)
class Known:
    """What has a record, and a pod with one."""

    pods: dict[PodId, PodRecord]
    containers: dict[ContainerId, ContainerRecord]

    @property
    def keys(self) -> frozenset[Key]:
        return frozenset(record.key for record in self.pods.values())


def check(ctx: Context, patience: float = PATIENCE) -> tuple[Leak, ...]:
    """Everything leaked, in order; empty when all is as it should be. Changes nothing."""
    deadline = time.monotonic() + patience
    found = frozenset(_look(ctx))
    while found and time.monotonic() < deadline:
        time.sleep(0.05)  # for things in the making to be made; nothing tells when
        found &= frozenset(_look(ctx))
    return tuple(sorted(found))


def _look(ctx: Context) -> Iterator[Leak]:
    known = known_of(ctx)
    yield from _processes(ctx, known)
    yield from _mounts(ctx, known)
    yield from _links(ctx, known)
    yield from _nft(ctx)
    yield from _network(ctx)
    yield from _cgroups(ctx, known)
    yield from _directories(ctx, known)
    yield from _files(ctx, known)
    yield from _rows(ctx, known)
    for path in ctx.images.leftovers():
        yield Leak("file", str(path), "belongs to no image; `image prune` deletes it")
    yield from (Leak(*one) for one in nameserver.strangers(ctx))


def known_of(ctx: Context) -> Known:
    pods, containers = {}, {}
    for directory in files.entries(ctx.layout.pods):
        pod = records.read(directory, RECORD, PodRecord)
        if pod is not None:
            pods[pod.id] = pod
    for directory in files.entries(ctx.layout.containers):
        container = records.read(directory, RECORD, ContainerRecord)
        if container is not None and container.pod in pods:
            containers[container.id] = container
    return Known(pods, containers)


def _processes(ctx: Context, known: Known) -> Iterator[Leak]:
    """Monitors tell their container on the command line, containers' processes by their cgroup."""
    for pid in cgroups.monitors(ctx.layout.tag):
        container = watched_by(pid)
        if container and container not in known.containers:
            why = f"monitor of container {container[:12]}, which has no record"
            yield Leak("process", str(pid), why, container)
    for pod, inside in strange_groups(ctx, known):
        container = cgroups.container_of(inside)
        for pid in cgroups.pids(inside):
            why = f"in the cgroup of container {container[:12]}, which has no record"
            yield Leak("process", str(pid), why, container or pod)


def strange_groups(ctx: Context, known: Known) -> Iterator[tuple[PodId, str]]:
    """The cgroups of containers that have no record, or whose pod has none, with the pod's id."""
    for pod, paths in cgroups.pods(ctx.layout.tag).items():
        for inside in (inside for path in paths for inside in cgroups.containers(path)):
            if pod not in known.pods or cgroups.container_of(inside) not in known.containers:
                yield pod, inside


def watched_by(pid: int) -> str:
    """The container that this monitor watches, or "" (the zygote, or gone)."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    match = _MONITOR.search(command)
    return match[1].decode() if match else ""


def _mounts(ctx: Context, known: Known) -> Iterator[Leak]:
    """But those that containers were allowed to make in volumes, to be seen outside."""
    may = any(propagation(m) in SHARED for c in known.containers.values() for m in c.spec.mounts)
    volumes = (*(f"{ctx.layout.pod(pod)}/volumes/" for pod in known.pods), f"{ctx.layout.volumes}/")
    ours = (str(ctx.layout.state) + "/", str(ctx.layout.run) + "/")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = line.split()[4]
        if target.startswith(ours) and not (may and target.startswith(volumes)):
            yield Leak("mount", target, "no mount of ours is ever on the host")


def _links(ctx: Context, known: Known) -> Iterator[Leak]:
    for link in links.leaked_links(ctx.layout.tag, (*known.pods, *known.containers), patience=0):
        yield Leak("link", link.name, f"of pod {link.pod[:12] or '?'}, which has no record", link.pod)
    recorded = {network.name for network in networks.known(ctx)}
    strange = [name for name in bridge.bridges(ctx.layout.tag) if name not in recorded]
    lost = networks.lost(ctx) if strange else {}
    for name in strange:
        of, _ = lost.get(name, ("", ""))
        why = f"bridge of network {of}, whose record is lost" if of else "bridge of a network that has no record"
        yield Leak("link", name, why)


def _nft(ctx: Context) -> Iterator[Leak]:
    wanted = {element for one in networks.published(ctx) for element in portmap.elements(one)}
    for element in sorted(portmap.current(ctx.layout.tag) - wanted):
        yield Leak("nft", f"{element.host_port}/{element.protocol}", f"leads to {element.ip}, but no pod publishes it")


def _network(ctx: Context) -> Iterator[Leak]:
    """The other way round: what recorded pods need, and somebody took away."""
    for opened in firewalls.left(ctx):
        yield Leak("network", "firewall", f"{opened}, but no pod is there")
    for flaw in upkeep.flaws(ctx):
        yield Leak("network", str(flaw.part), f"{flaw.text}; a controller or the next apply puts it right")


def _cgroups(ctx: Context, known: Known) -> Iterator[Leak]:
    for path in cgroups.leaked(ctx.layout.tag, known.pods):
        yield Leak("cgroup", str(path), "of a pod that has no record", names.pod_of(str(path)) or "")


def _directories(ctx: Context, known: Known) -> Iterator[Leak]:
    layout = ctx.layout
    yield from _strangers("directory", layout.pods, known.pods, "pod without a record")
    yield from _strangers("directory", layout.containers, known.containers, "container without a record")
    for trash in (layout.trash, layout.run_trash):
        yield from _strangers("directory", trash, (), "left by a removal that was cut short")
    logs = {f"{r.key.namespace}_{r.key.name}_{r.uid}" for r in known.pods.values()}
    if layout.owns_logs:
        yield from _strangers("directory", layout.logs, logs, "logs of a pod that has no record")
    for runtime in files.entries(layout.run / "runtime"):
        yield from _strangers("directory", runtime, known.containers, "runtime state without a record")


def _files(ctx: Context, known: Known) -> Iterator[Leak]:
    layout = ctx.layout
    exits = {name for c in known.containers for name in (c, layout.oom_count(c).name)}
    yield from _strangers("file", layout.exits, exits, "exit of a container that has no record")
    yield from _strangers("file", layout.verdicts, known.containers, "findings of a container that has no record")
    yield from _strangers("file", layout.pids, known.containers, "pid of a container that has no record")
    locks = {layout.key_lock(key).name for key in known.keys}
    yield from _strangers("file", layout.locks, locks, "lock of a pod that is not there")


def _rows(ctx: Context, known: Known) -> Iterator[Leak]:
    for row in index.all_pods(ctx.store):
        if row.id not in known.pods:
            yield Leak("row", f"pods {row.id[:12]}", f"pod {row.key} has no record", row.id)
    for container in index.all_containers(ctx.store):
        if container not in known.containers:
            yield Leak("row", f"containers {container[:12]}", "container has no record", container)
    for key, lease in addresses.leases(ctx.store).items():
        if key not in known.keys and not (key.kind == CONTAINER and key.name in known.containers):
            yield Leak("row", f"leases {' '.join(lease.ips)}", f"leased to {key}, which is not there")


def _strangers(kind: str, directory: Path, known: Container[str], why: str) -> Iterator[Leak]:
    for entry in files.entries(directory):
        if entry.name not in known:
            yield Leak(kind, str(entry), why, entry.name.removesuffix(".oom"))
