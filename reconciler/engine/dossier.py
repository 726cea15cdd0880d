"""All that lies on this host of one container or pod, for who wants to see it as it is (`inspect`). Only looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from reconciler.engine import files, podgroups, processes, recorded, watched
from reconciler.engine.cgroups.names import container_path
from reconciler.engine.context import Context
from reconciler.engine.images.image import Image
from reconciler.engine.network.names import mac_of
from reconciler.model.errors import ReconcilerError
from reconciler.model.key import ContainerId, PodId
from reconciler.model.observed import Sandbox


@dataclass(frozen=True, slots=True)
class ContainerDossier:
    """``config`` is what the OCI runtime was told (config.json), empty where that is lost; ``runtime`` its name, and
    ``monitor`` the monitor's pid, empty and 0 for what does not run; ``cgroup`` its path in each hierarchy. ``image``
    is None where it is not here any more."""

    bundle: Path
    pod_directory: Path
    pid_file: Path
    config: dict[str, Any] = field(default_factory=dict)
    runtime: str = ""
    monitor: int = 0
    cgroup: str = ""
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a pod is found on its network. Empty and 0 for what it has not."""

    network: str = ""
    network_id: str = ""
    bridge: str = ""
    ip: str = ""
    prefix: int = 0
    gateway: str = ""
    mac: str = ""
    ip6: str = ""
    prefix6: int = 0
    gateway6: str = ""


def of_container(ctx: Context, container: ContainerId, pod: PodId, image_id: str) -> ContainerDossier:
    """What there is of a container."""
    bundle = ctx.layout.container(container)
    monitor = watched.monitor_of(bundle)
    lives = monitor is not None and processes.alive(monitor) and watched.watches(monitor, container)
    group = cgroup_of(ctx, pod)
    return ContainerDossier(
        bundle=bundle,
        pod_directory=ctx.layout.pod(pod),
        pid_file=ctx.layout.pids / container,
        config=_shown(ctx, container, _config(bundle)),
        runtime=_runtime(ctx, container),
        monitor=monitor.pid if monitor is not None and lives else 0,
        cgroup=container_path(group, container) if group else "",
        image=_image(ctx, image_id),
    )


def _config(bundle: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(files.read_or_none(bundle / "config.json") or b"{}")
    except msgspec.MsgspecError:
        return {}
    return found


def _shown(ctx: Context, container: ContainerId, config: dict[str, Any]) -> dict[str, Any]:
    from reconciler.engine import kept

    record = recorded.record_of(ctx, container)
    return kept.as_shown(ctx, record, config) if record is not None else config


def _runtime(ctx: Context, container: ContainerId) -> str:
    """The one that has state of it."""
    places = sorted((ctx.layout.run / "runtime").glob(f"*/{container}"))
    return places[0].parent.name if places else ""


def _image(ctx: Context, image_id: str) -> Image | None:
    try:
        return ctx.images.get(image_id) if image_id else None
    except ReconcilerError:
        return None


def cgroup_of(ctx: Context, pod: PodId) -> str:
    """The path of the pod's cgroup in each hierarchy; "" where its record is lost."""
    record = recorded.record_of_pod(ctx, pod)
    return podgroups.of_record(ctx, record) if record else ""


def address_of(ctx: Context, pod: Sandbox) -> Address:
    """Where the pod is found on its network; nothing for one that has none of its own, or does not run."""
    from reconciler.engine import netrecords

    if not pod.ip or not pod.ready:
        return Address()
    spec = pod.applied.sandbox
    network, mac = netrecords.read(ctx, spec.network), spec.mac or mac_of(pod.ip)
    if network is None:
        return Address(ip=pod.ip, ip6=pod.ip6, mac=mac)
    bridge = netrecords.bridge_of(ctx, network)
    return Address(
        network=network.name,
        network_id=network.id,
        bridge=bridge.name,
        ip=pod.ip,
        prefix=bridge.network.prefixlen,
        gateway=bridge.gateway,
        mac=mac,
        ip6=pod.ip6,
        prefix6=bridge.network6.prefixlen if bridge.network6 and pod.ip6 else 0,
        gateway6=bridge.gateway6 if pod.ip6 else "",
    )
