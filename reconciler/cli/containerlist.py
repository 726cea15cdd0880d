"""What `ps` tells of each container: in columns, under podman's JSON keys, as fields of templates. Pure, but for the
namespaces of a process, which are looked up when somebody wants to see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.cli.maps import Time
from reconciler.cli.ports import ranges, run
from reconciler.cli.rows import ContainerRow
from reconciler.cli.table import ago
from reconciler.model.spec import PortBinding

NEVER = -62135596800
"""Podman's instant of what has not happened: Go's zero time, in seconds since 1970."""

COLUMNS = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
NAMESPACES = {
    "Cgroup": ("CGROUPNS", "cgroup"),
    "IPC": ("IPC", "ipc"),
    "MNT": ("MNT", "mnt"),
    "NET": ("NET", "net"),
    "PIDNS": ("PIDNS", "pid"),
    "User": ("USERNS", "user"),
    "UTS": ("UTS", "uts"),
}
"""Podman's names of namespaces, in the order of ``ps --ns``: heading, and what the kernel calls it."""

HEADINGS: Mapping[str, str] = {
    "ID": "CONTAINER ID",
    "ImageID": "IMAGE ID",
    "CreatedAt": "CREATED AT",
    "CreatedHuman": "CREATED",
    "RunningFor": "RUNNING FOR",
    "ExitCode": "EXIT CODE",
    "ExitedAt": "EXITED AT",
    "StartedAt": "STARTED AT",
    "IsInfra": "IS INFRA",
    "AutoRemove": "AUTO REMOVE",
    "Pod": "POD ID",
    **{name: heading for name, (heading, _) in NAMESPACES.items()},
}

ORDERS: Mapping[str, Callable[[ContainerRow], Any]] = {
    "command": lambda row: row.command,
    "created": lambda row: -row.created,
    "id": lambda row: row.id,
    "image": lambda row: row.image,
    "names": lambda row: row.name,
    "pod": lambda row: row.pod,
    "runningfor": lambda row: row.started,
    "status": lambda row: row.state,
}


def ordered(rows: Iterable[ContainerRow], by: str = "created") -> list[ContainerRow]:
    """By one of ``ORDERS``; a pod's infra container, which was made first, comes after its members."""
    return sorted(rows, key=ORDERS[by])


def status(row: ContainerRow, now: float) -> str:
    """Podman's words: Up 5 minutes ago, Exited (1) 3 seconds ago, Created; and ours for a kill for want of memory."""
    if row.runs:
        up = f"Up {ago(now - row.started)}"
        return f"{up} (stopping)" if row.stopping else up
    if row.state == "exited":
        return f"Exited ({row.exit_code}{', OOMKilled' if row.oom else ''}) {ago(now - row.finished)}"
    return row.state.capitalize()


def ports(bindings: Iterable[PortBinding]) -> str:
    """Published ports as podman lists them."""
    return ", ".join(
        f"{address(p.host_ip)}:{run(p.host_port, count)}->{run(p.container_port, count)}/{p.protocol.lower()}"
        for p, count in ranges(bindings)
    )


def address(host_ip: str) -> str:
    """As podman writes it, which has 0.0.0.0 for every address."""
    return f"[{host_ip}]" if ":" in host_ip else host_ip or "0.0.0.0"


def command(row: ContainerRow, *, full: bool) -> str:
    text = " ".join(row.command)
    return text if full or len(text) <= 17 else f"{text[:17]}..."


def cells(row: ContainerRow, now: float, *, full: bool, with_pod: bool) -> list[str]:
    """One line of the table; its last column is the pod's id."""
    short = slice(None) if full else slice(12)
    line = [
        row.id[short],
        row.image,
        command(row, full=full),
        ago(now - row.created),
        status(row, now),
        ports(row.ports),
        row.name,
    ]
    return [*line, row.pod[short]] if with_pod else line


def namespaces(row: ContainerRow) -> dict[str, str]:
    """The numbers of its namespaces; empty for what does not run."""
    return {name: _namespace(row.pid, kind) for name, (_, kind) in NAMESPACES.items()}


def _namespace(pid: int, kind: str) -> str:
    try:
        return Path(f"/proc/{pid}/ns/{kind}").readlink().name.strip(f"{kind}:[]") if pid else ""
    except OSError:  # it has just ended
        return ""


def fields(row: ContainerRow, now: float, *, full: bool) -> dict[str, object]:
    """What templates may ask of it, by podman's names."""
    short = slice(None) if full else slice(12)
    return {
        "AutoRemove": row.passing,
        "Command": command(row, full=full),
        "Created": Time(row.created),
        "CreatedAt": Time(row.created),
        "CreatedHuman": ago(now - row.created),
        "ExitCode": row.exit_code,
        "Exited": row.state == "exited",
        "ExitedAt": unix(row.finished),
        "ID": row.id[short],
        "Id": row.id[short],
        "Image": row.image,
        "ImageID": row.image_id[short],
        "IsInfra": row.infra,
        "Labels": row.labels,
        "Mounts": [mount.path for mount in row.mounts],
        "Names": row.name,
        "Namespaces": lambda: namespaces(row),
        "Networks": ",".join(row.networks),
        "Pid": row.pid,
        "Pod": row.pod[short],
        "PodName": row.pod_name,
        "Ports": ports(row.ports),
        "Restarts": row.restarts,
        "RunningFor": ago(now - row.created),
        "Size": _no_size,
        "StartedAt": unix(row.started),
        "State": row.state,
        "Status": status(row, now),
        **{name: _namespace_of(row, kind) for name, (_, kind) in NAMESPACES.items()},
    }


def _namespace_of(row: ContainerRow, kind: str) -> Callable[[], str]:
    return lambda: _namespace(row.pid, kind)


def _no_size() -> str:
    from reconciler.cli.template_syntax import refused

    raise refused("sizes are not known here: each would have to be counted, file by file")


def as_json(row: ContainerRow, now: float, *, with_namespaces: bool) -> dict[str, object]:
    """One object of ``--format json``, with podman's keys."""
    found = namespaces(row) if with_namespaces else {}
    return {
        "AutoRemove": row.passing,
        "Command": list(row.command) or None,
        "CreatedAt": ago(now - row.created),
        "Exited": row.state == "exited",
        "ExitedAt": unix(row.finished),
        "ExitCode": row.exit_code,
        "Id": row.id,
        "Image": row.image,
        "ImageID": row.image_id,
        "IsInfra": row.infra,
        "Labels": row.labels,
        "Mounts": [mount.path for mount in row.mounts],
        "Names": [row.name],
        "Namespaces": {name.capitalize(): number for name, number in found.items() if number},
        "Networks": list(row.networks),
        "Pid": row.pid,
        "Pod": row.pod,
        "PodName": row.pod_name,
        "Ports": [port_mapping(binding, count) for binding, count in ranges(row.ports)] or None,
        "Restarts": row.restarts,
        "Size": None,
        "StartedAt": unix(row.started),
        "State": row.state,
        "Status": status(row, now),
        "Created": int(row.created),
        # not podman's:
        "Namespace": row.namespace,
        "OOMKilled": row.oom,
    }


def port_mapping(binding: PortBinding, count: int) -> dict[str, object]:
    """Podman's PortMapping: ``range`` is how many ports in a row."""
    return {
        "host_ip": binding.host_ip,
        "container_port": binding.container_port,
        "host_port": binding.host_port,
        "range": count,
        "protocol": binding.protocol.lower(),
    }


def unix(wall: float) -> int:
    return int(wall) if wall else NEVER


def ns_cells(row: ContainerRow, *, full: bool) -> Sequence[object]:
    """One line of ``ps --ns``."""
    return [row.id if full else row.id[:12], row.name, row.pid, *namespaces(row).values()]
