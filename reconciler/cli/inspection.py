"""What `inspect` tells of a container, under podman's keys: what is known, and nothing that is not.

Pure: from the row of listings, what was observed, and what lies of it on this host. What the OCI runtime was told
counts before what the spec says, because it is what the container really has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.cli.maps import Map, Time
from reconciler.cli.resolve import shown_infra
from reconciler.cli.rows import ContainerRow
from reconciler.model.observed import Container, Observed
from reconciler.model.spec import ContainerSpec, Mount, PodSpec, PortBinding, RestartPolicy, VolumeKind

if TYPE_CHECKING:
    from reconciler.engine.dossier import Address, ContainerDossier

Json = dict[str, Any]

CPU_PERIOD = 100_000
"""Microseconds in which a container may use its quota of CPU."""
SHM_SIZE = 64 << 20
"""Bytes of a pod's /dev/shm where nothing else is said."""
RESTART = {RestartPolicy.ALWAYS: "always", RestartPolicy.ON_FAILURE: "on-failure", RestartPolicy.NEVER: "no"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A container as it was seen. ``command``: the words by which it was made by hand, () where nobody knows."""

    row: ContainerRow
    container: Container
    pod: Observed
    lies: ContainerDossier
    address: Address
    command: tuple[str, ...] = ()

    @property
    def spec(self) -> ContainerSpec:
        return self.container.spec

    @property
    def pod_spec(self) -> PodSpec:
        assert self.pod.applied is not None  # a pod that was observed has a record
        return self.pod.applied

    @property
    def process(self) -> Json:
        found: Json = self.lies.config.get("process", {})
        return found

    @property
    def linux(self) -> Json:
        found: Json = self.lies.config.get("linux", {})
        return found


def container_json(seen: Seen) -> Json:
    row, lies, process = seen.row, seen.lies, seen.process
    args, capabilities = process.get("args", []), process.get("capabilities", {})
    return {
        "Id": row.id,
        "Created": Time(row.created),
        "Path": args[0] if args else "",
        "Args": args[1:],
        "State": _state(seen),
        "Image": row.image_id,
        "ImageDigest": lies.image.digest if lies.image else "",
        "ImageName": row.image,
        "Rootfs": "",
        "Pod": row.pod,
        **_places(seen),
        "Name": row.name,
        "RestartCount": row.restarts,
        "Driver": "overlay",
        "ProcessLabel": process.get("selinuxLabel", ""),
        "AppArmorProfile": process.get("apparmorProfile", ""),
        "EffectiveCaps": sorted(capabilities.get("effective", [])),
        "BoundingCaps": sorted(capabilities.get("bounding", [])),
        "GraphDriver": _graph_driver(seen),
        "Mounts": [_mount(seen, mount) for mount in seen.spec.mounts],
        "Dependencies": [_infra_id(seen)] if _infra_id(seen) else [],
        "NetworkSettings": _network_settings(seen),
        "Namespace": row.namespace,
        "IsInfra": row.infra,
        "Config": _config(seen),
        "HostConfig": _host_config(seen),
    }


def _infra_id(seen: Seen) -> str:
    """The infra container on which it depends; a container of its own seems to have none."""
    infra = shown_infra(seen.pod)
    return infra.id if infra and not seen.row.infra and seen.row.pod else ""


def _state(seen: Seen) -> Json:
    row = seen.row
    return {
        "OciVersion": seen.lies.config.get("ociVersion", ""),
        "Status": row.state,
        "Running": row.runs,
        "Paused": row.state == "paused",
        "Restarting": False,
        "OOMKilled": row.oom,
        "Dead": False,
        "Pid": row.pid,
        "ConmonPid": seen.lies.monitor,
        "ExitCode": row.exit_code,
        "Error": "",
        "StartedAt": Time(row.started),
        "FinishedAt": Time(row.finished),
        "Health": {"Status": "", "FailingStreak": 0, "Log": None},
        "CgroupPath": seen.lies.cgroup,
    }


def _places(seen: Seen) -> Json:
    """Where its files lie; an infra container sees none of the pod's files of /etc."""
    lies = seen.lies
    files = {"ResolvConfPath": "resolv.conf", "HostnamePath": "hostname", "HostsPath": "hosts"}
    return {
        **{key: "" if seen.row.infra else str(lies.pod_directory / name) for key, name in files.items()},
        "StaticDir": str(lies.bundle),
        "OCIConfigPath": str(lies.bundle / "config.json") if lies.config else "",
        "OCIRuntime": lies.runtime,
        "ConmonPidFile": str(lies.bundle / "monitor.pid"),
        "PidFile": str(lies.pid_file),
    }


def _graph_driver(seen: Seen) -> Json:
    bundle, image = seen.lies.bundle, seen.lies.image
    data = {"UpperDir": str(bundle / "upper"), "WorkDir": str(bundle / "work")}
    lower = {"LowerDir": ":".join(str(layer) for layer in reversed(image.layers))} if image else {}
    return {"Name": "overlay", "Data": Map() if seen.row.infra else Map(lower | data)}


def _mount(seen: Seen, mount: Mount) -> Json:
    """What the runtime was told of it; a volume has a name, a path of the host's has none."""
    told: Json = next((m for m in seen.lies.config.get("mounts", []) if m.get("destination") == mount.path), {})
    options = list(told.get("options", []))
    kinds = {VolumeKind.HOST_PATH: "bind", VolumeKind.TMPFS: "tmpfs", VolumeKind.IMAGE: "image"}
    kind = "tmpfs" if mount.volume.in_memory else kinds.get(mount.volume.kind, "volume")
    return {
        "Type": kind,
        **({"Name": mount.volume.named} if kind == "volume" else {}),
        "Source": _source(seen, mount, told),
        "Destination": mount.path,
        "Driver": "local" if kind == "volume" else "",
        "Mode": "",
        "Options": [option for option in options if option not in ("ro", "rw") and option not in PROPAGATIONS],
        "RW": "ro" not in options if options else not mount.read_only,
        "Propagation": next((option for option in options if option in PROPAGATIONS), ""),
    }


def _source(seen: Seen, mount: Mount, told: Json) -> str:
    """Where it is from; nobody else sees the places that are made of it for the runtime."""
    source: str = told.get("source", mount.volume.host_path)
    if Path(source).parent != seen.lies.bundle:
        return source
    return mount.volume.host_path or mount.volume.image or ("tmpfs" if mount.volume.in_memory else source)


PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable")


def _network_settings(seen: Seen) -> Json:
    where, pid = seen.address, seen.row.pid
    address = {
        "Gateway": where.gateway,
        "IPAddress": where.ip,
        "IPPrefixLen": where.prefix,
        "IPv6Gateway": where.gateway6,
        "GlobalIPv6Address": where.ip6,
        "GlobalIPv6PrefixLen": where.prefix6,
        "MacAddress": where.mac,
    }
    networks = {where.network: {**address, "NetworkID": where.network_id}} if where.network else {}
    return {
        **address,
        "Bridge": where.bridge,
        "Ports": port_bindings(seen.row.ports),
        "SandboxKey": f"/proc/{pid}/ns/net" if pid else "",
        "Networks": Map(networks),
    }


def port_bindings(ports: Iterable[PortBinding]) -> Map:
    """Docker's shape: for each port inside where it is had outside."""
    found = Map()
    for port in ports:
        inside = found.setdefault(f"{port.container_port}/{port.protocol.lower()}", [])
        inside.append({"HostIp": port.host_ip, "HostPort": str(port.host_port)})
    return found


def _config(seen: Seen) -> Json:
    row, spec, process, image = seen.row, seen.spec, seen.process, seen.lies.image
    entrypoint = spec.command if spec.command is not None else image.entrypoint if image else ()
    cmd = spec.args if spec.args is not None else image.cmd if image and not spec.command else ()
    env = process.get("env", [])
    umask = process.get("user", {}).get("umask")
    return {
        "Hostname": next((item.partition("=")[2] for item in env if item.startswith("HOSTNAME=")), ""),
        "User": _user(spec) or (image.user if image else ""),
        "Tty": process.get("terminal", spec.tty),
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin_once,
        "Env": env,
        "Cmd": list(cmd),
        "Image": row.image,
        "WorkingDir": process.get("cwd", ""),
        "Entrypoint": list(entrypoint),
        "Labels": row.labels,
        "Annotations": Map(seen.pod_spec.annotations),
        "StopSignal": spec.stop_signal or (image.stop_signal if image else "") or "SIGTERM",
        "CreateCommand": list(seen.command),
        "Umask": f"{umask:04o}" if isinstance(umask, int) else "",
        "StopTimeout": seen.pod_spec.grace_of(spec),
    }


def _user(spec: ContainerSpec) -> str:
    security = spec.security
    if security.run_as_user is None:
        return spec.user
    group = "" if security.run_as_group is None else f":{security.run_as_group}"
    return f"{security.run_as_user}{group}"


def _host_config(seen: Seen) -> Json:
    row, spec, pod, infra = seen.row, seen.spec, seen.pod_spec, _infra_id(seen)
    security, parent = spec.security, seen.lies.cgroup.rpartition("/")[0]
    own = {namespace["type"] for namespace in seen.linux.get("namespaces", []) if "path" not in namespace}
    return {
        "Binds": [_bind(seen, mount) for mount in spec.mounts if mount.volume.kind is not VolumeKind.TMPFS],
        "CgroupManager": "systemd" if parent.endswith(".slice") else "cgroupfs",
        "CgroupMode": "private" if "cgroup" in own else "host",
        "CgroupParent": parent,
        "LogConfig": {"Type": "k8s-file", "Path": seen.container.log_path},
        "NetworkMode": _network_mode(pod, infra),
        "PortBindings": Map() if infra else port_bindings(row.ports),
        "RestartPolicy": {
            "Name": "no" if row.infra else RESTART[pod.policy_of(spec)],
            "MaximumRetryCount": spec.retries,
        },
        "AutoRemove": row.passing,
        "CapAdd": list(security.cap_add),
        "CapDrop": list(security.cap_drop),
        "Dns": list(pod.dns.nameservers),
        "DnsOptions": list(pod.dns.options),
        "DnsSearch": list(pod.dns.searches),
        "ExtraHosts": [f"{name}:{alias.ip}" for alias in pod.host_aliases for name in alias.hostnames],
        "GroupAdd": [str(group) for group in security.groups],
        "IpcMode": _mode("ipc", own, infra),
        "PidMode": _mode("pid", own, infra),
        "UTSMode": _mode("uts", own, infra),
        "UsernsMode": "" if pod.sandbox.host_users else "private",
        "OomScoreAdj": seen.process.get("oomScoreAdj", 0),
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only_root,
        "SecurityOpt": _security_options(seen),
        "Tmpfs": Map({m.path: ",".join(m.volume.options) for m in spec.mounts if m.volume.kind is VolumeKind.TMPFS}),
        "Runtime": "oci",
        "ShmSize": SHM_SIZE if pod.sandbox.shm_size is None else pod.sandbox.shm_size,
        "CpuShares": seen.linux.get("resources", {}).get("cpu", {}).get("shares", 0),
        **_limits(spec),
        "Devices": [
            {"PathOnHost": d.host_path, "PathInContainer": d.path, "CgroupPermissions": d.permissions}
            for d in spec.devices
        ],
        "Ulimits": [
            {"Name": limit["type"], "Soft": limit["soft"], "Hard": limit["hard"]}
            for limit in seen.process.get("rlimits", [])
        ],
    }


def _bind(seen: Seen, mount: Mount) -> str:
    told = _mount(seen, mount)
    options = ["rw" if told["RW"] else "ro", *filter(None, [told["Propagation"]]), *told["Options"]]
    return f"{told.get('Name') or told['Source']}:{mount.path}:{','.join(options)}"


def _network_mode(pod: PodSpec, infra: str) -> str:
    if pod.sandbox.host_network:
        return "host"
    return f"container:{infra}" if infra and "net" in pod.sandbox.shared else pod.sandbox.network or "bridge"


def _mode(kind: str, own: set[str], infra: str) -> str:
    """Whose namespace it has: one of its own, the infra container's, or else the machine's."""
    if kind in own:
        return "private"
    return f"container:{infra}" if infra else "host"


def _security_options(seen: Seen) -> list[str]:
    security = seen.spec.security
    options = ["no-new-privileges"] if seen.process.get("noNewPrivileges") else []
    options += [f"seccomp={security.seccomp}"] if security.seccomp else []
    return options + ([f"apparmor={security.apparmor}"] if security.apparmor else [])


def _limits(spec: ContainerSpec) -> Json:
    """What it may use; 0 is no limit of its own."""
    resources = spec.resources
    thousandths = resources.cpu_limit or 0
    return {
        "CpuPeriod": CPU_PERIOD if thousandths else 0,
        "CpuQuota": thousandths * CPU_PERIOD // 1000,
        "NanoCpus": thousandths * 1_000_000,
        "Memory": resources.memory_limit or 0,
        "PidsLimit": resources.pids_limit or 0,
    }
