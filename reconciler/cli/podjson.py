"""What `pod inspect` tells of a pod, under podman's keys: what is known, and nothing that is not. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reconciler.cli.inspection import CPU_PERIOD, RESTART, port_bindings
from reconciler.cli.maps import Time
from reconciler.cli.rows import PodRow
from reconciler.model.spec import PodSpec

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SeenPod:
    """A pod as it was seen. ``cgroup``: the path of its own; ``command``: the words by which it was made by hand."""

    row: PodRow
    spec: PodSpec
    cgroup: str = ""
    command: tuple[str, ...] = field(default=())


def pod_json(seen: SeenPod) -> Json:
    row, spec = seen.row, seen.spec
    return {
        "Id": row.id,
        "Name": row.name,
        "Namespace": row.namespace,
        "Created": Time(row.created),
        "CreateCommand": list(seen.command),
        "ExitPolicy": "stop" if spec.stop_when_done else "continue",
        "State": row.status,
        "Hostname": spec.sandbox.hostname,
        "Labels": row.labels,
        "CreateCgroup": True,
        "CgroupParent": seen.cgroup.rpartition("/")[0],
        "CgroupPath": seen.cgroup,
        "CreateInfra": spec.sandbox.infra,
        "InfraContainerID": row.infra_id,
        "InfraConfig": _infra_config(row, spec),
        "SharedNamespaces": [*spec.sandbox.shared, *(["pid"] if spec.sandbox.share_pid else [])],
        "NumContainers": len(row.members),
        "Containers": [{"Id": m.id, "Name": m.name, "State": m.state} for m in row.members],
        "RestartPolicy": RESTART[spec.restart_policy],
        **_limits(spec),
    }


def _infra_config(row: PodRow, spec: PodSpec) -> Json:
    sandbox = spec.sandbox
    return {
        "PortBindings": port_bindings(sandbox.ports),
        "HostNetwork": sandbox.host_network,
        "StaticIP": sandbox.ip,
        "StaticMAC": sandbox.mac,
        "NoManageResolvConf": False,
        "DNSServer": list(spec.dns.nameservers),
        "DNSSearch": list(spec.dns.searches),
        "DNSOption": list(spec.dns.options),
        "NoManageHosts": sandbox.no_hosts,
        "HostAdd": [f"{name}:{alias.ip}" for alias in spec.host_aliases for name in alias.hostnames],
        "Networks": list(row.networks),
        "NetworkOptions": None,
        "pid_ns": "host" if sandbox.host_pid else "private",
        "userns": "host" if sandbox.host_users else "private",
        "uts_ns": "host" if sandbox.host_network else "private",
    }


def _limits(spec: PodSpec) -> Json:
    """What its members may use together, where that was said."""
    cpu, memory = spec.limits.cpu_limit, spec.limits.memory_limit
    return {
        **({"cpu_period": CPU_PERIOD, "cpu_quota": cpu * CPU_PERIOD // 1000} if cpu else {}),
        **({"memory_limit": memory} if memory else {}),
    }
