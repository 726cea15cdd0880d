"""What `pod ps` tells of each pod: in columns, under podman's JSON keys, as fields of templates. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.cli.maps import Time
from reconciler.cli.rows import ContainerRow, PodRow
from reconciler.cli.table import ago

HEADINGS: Mapping[str, str] = {
    "ID": "POD ID",
    "Id": "POD ID",
    "InfraID": "INFRA ID",
    "InfraId": "INFRA ID",
    "NumberOfContainers": "# OF CONTAINERS",
    "ContainerIds": "IDS",
    "ContainerNames": "NAMES",
    "ContainerStatuses": "STATUS",
    "Namespace": "NAMESPACES",
}

ORDERS: Mapping[str, Callable[[PodRow], Any]] = {
    "created": lambda row: -row.created,
    "id": lambda row: row.id,
    "name": lambda row: row.name,
    "number": lambda row: len(row.members),
    "status": lambda row: row.status,
}

CgroupOf = Callable[[PodRow], str]
"""Where a pod's cgroup is made, in each hierarchy."""


def ordered(rows: Iterable[PodRow], by: str) -> list[PodRow]:
    """By one of ``ORDERS``."""
    return sorted(rows, key=ORDERS[by])


def columns(*, ids: bool = False, names: bool = False, statuses: bool = False, spaces: bool = False) -> list[str]:
    """The fields that make up a line; what is told of each container takes the place of their number."""
    of_each = [
        *(["ContainerIds"] if ids else []),
        *(["ContainerNames"] if names else []),
        *(["ContainerStatuses"] if statuses else []),
    ]
    more = ["Cgroup", "Namespace"] if spaces else []
    return ["ID", "Name", "Status", "Created", *(of_each or ["NumberOfContainers"]), "InfraID", *more]


def heading(field: str) -> str:
    return HEADINGS.get(field, field.upper())


def fields(row: PodRow, now: float, cgroup_of: CgroupOf, *, full: bool) -> dict[str, Any]:
    """What templates may ask of it, by podman's names."""
    short = slice(None) if full else slice(12)
    return {
        "Cgroup": lambda: cgroup_of(row),
        "ContainerIds": ",".join(member.id[short] for member in row.members),
        "ContainerNames": ",".join(member.name for member in row.members),
        "ContainerStatuses": ",".join(member.state for member in row.members),
        "Containers": [member_json(member) for member in row.members],
        "Created": ago(now - row.created),
        "ID": row.id[short],
        "Id": row.id[short],
        "InfraID": row.infra_id[short],
        "InfraId": row.infra_id[short],
        "Labels": row.labels,
        "Name": row.name,
        "Namespace": row.namespace,
        "Networks": ",".join(row.networks),
        "NumberOfContainers": len(row.members),
        "Restarts": sum(member.restarts for member in row.members),
        "Status": row.status,
    }


def as_json(row: PodRow, cgroup_of: CgroupOf) -> dict[str, object]:
    """One object of ``--format json``, with podman's keys. ``Namespace`` is Kubernetes'."""
    return {
        "Cgroup": cgroup_of(row),
        "Containers": [member_json(member) for member in row.members],
        "Created": Time(row.created).json(),
        "Id": row.id,
        "InfraId": row.infra_id,
        "Name": row.name,
        "Namespace": row.namespace,
        "Networks": list(row.networks),
        "Status": row.status,
        "Labels": row.labels,
    }


def member_json(member: ContainerRow) -> dict[str, object]:
    return {"Id": member.id, "Names": member.name, "Status": member.state, "RestartCount": member.restarts}
