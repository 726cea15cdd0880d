"""OCI ``mounts``: Podman's defaults, the pod's files, the container's volumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconciler.engine.oci.bundle import Bundle
from reconciler.model.spec import ContainerSpec, Mount, VolumeKind

OciMount = dict[str, Any]

SHM_SIZE = "65536k"
"""Podman's and Docker's default for /dev/shm."""

MESSAGE = "termination-log"
"""A container's last words, in its bundle."""

POD_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""Files of the pod directory that every member sees, unless it mounts something there itself."""

MASKED = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)
"""Podman's list (specgen/generate/config_linux.go), and powercap: CVE-2020-8694 reads secrets from it."""

INFRA_MASKED = (*MASKED, "/sys")
"""A member that shares the pid namespace reaches /proc/1/root, and must not find a writable sysfs there."""

SHARED, SLAVE = frozenset({"shared", "rshared"}), frozenset({"slave", "rslave"})
PROPAGATION = SHARED | SLAVE | {"private", "rprivate", "unbindable", "runbindable"}

READ_ONLY = ("/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def infra_mounts(bundle: Bundle) -> list[OciMount]:
    """The least that catatonit needs, and the tmpfs that becomes every member's /dev/shm.

    sysfs belongs to the network namespace, and its first mount decides for all: read-only here would be
    read-only for a privileged member. So it is writable, and hidden at once (``INFRA_MASKED``).
    """
    mounts = [_PROC, _DEV, _sysfs(writable=True)]
    return [*mounts, _own_shm(bundle.sandbox.shm_size)] if bundle.own_shm else mounts


def member_mounts(bundle: Bundle, spec: ContainerSpec) -> list[OciMount]:
    """Defaults, then volumes, parents before what lies in them. A volume at a default's place replaces it."""
    mine = [*(_volume(bundle, m, n) for n, m in enumerate(spec.mounts)), *_message(bundle, spec)]
    mine.sort(key=lambda m: m["destination"].count("/"))
    taken = {m["destination"] for m in mine}
    defaults = [*_system(bundle, spec.security.privileged), *_pod_files(bundle, spec.security.read_only_root)]
    return [m for m in defaults if m["destination"] not in taken] + mine


def _system(bundle: Bundle, privileged: bool) -> list[OciMount]:
    return [
        _PROC,
        _DEV,
        _DEVPTS,
        _MQUEUE,
        _shm(bundle),
        _sysfs(writable=privileged),
        _cgroup(writable=privileged),
    ]


def _pod_files(bundle: Bundle, read_only: bool) -> list[OciMount]:
    """As read-only as the root that they are seen in (Podman, containerd)."""
    options = ("ro", "nosuid", "noexec", "nodev") if read_only else ()
    given = [path for path in POD_FILES if not (path == "/etc/hosts" and bundle.sandbox.no_hosts)]
    own = {"/etc/hosts", "/etc/hostname"} if bundle.sandbox.separate else set()
    places = {path: (bundle.own_files if path in own else Path()) / Path(path).name for path in given}
    return [_bind(_pod_directory(bundle) / place, path, *options) for path, place in places.items()]


def _volume(bundle: Bundle, mount: Mount, number: int) -> OciMount:
    options = [*mount.options, "ro" if mount.read_only else "rw"]
    if mount.volume.kind is VolumeKind.TMPFS:
        return {
            "destination": _clean(mount.path),
            "type": "tmpfs",
            "source": "tmpfs",
            "options": [*options, *mount.volume.options],
        }
    how = "bind" if "bind" in options else "rbind"
    flags = [option for option in options if option not in ("bind", "nocopy", *PROPAGATION)]
    return {
        "destination": _clean(mount.path),
        "type": "bind",
        "source": str(_source(bundle, mount, number)),
        "options": [how, propagation(mount), *flags],
    }


def _message(bundle: Bundle, spec: ContainerSpec) -> Iterator[OciMount]:
    """The file for the container's last words; over a volume at the same place, as with the kubelet (makeMounts)."""
    if has_message(spec, keep=bundle.keep):
        yield _bind(bundle.directory / MESSAGE, _clean(spec.message_path))


def has_message(spec: ContainerSpec, *, keep: bool) -> bool:
    """Whether a container is given a file for its last words. ``keep``: the pod's."""
    return bool(spec.message_path) and not keep


def _source(bundle: Bundle, mount: Mount, number: int) -> Path:
    outside = _outside(bundle, mount)
    if outside is None:
        return volume_directory(bundle, mount.volume.name)
    if bundle.users or propagation(mount) in SHARED:
        return _placed(bundle, number)
    return outside


def _outside(bundle: Bundle, mount: Mount) -> Path | None:
    """The directory or file that is mounted, where it is none of the pod's own."""
    match mount.volume.kind:
        case VolumeKind.HOST_PATH:
            return Path(mount.volume.host_path)
        case VolumeKind.NAMED:
            return data_of(bundle.volumes, mount.volume.name)
    return None


def data_of(volumes: Path, name: str) -> Path:
    """Where the files of a named volume lie."""
    return volumes / name / "_data"


def propagation(mount: Mount) -> str:
    """Which mounts made later on one side are seen on the other."""
    return next((option for option in mount.options if option in PROPAGATION), "rprivate")


def root_propagation(spec: ContainerSpec) -> str:
    """What a container's root must be for the propagation of what is mounted in it: the runtimes change all that it
    has to this before they mount anything (podman: the same)."""
    wanted = {propagation(mount) for mount in spec.mounts}
    return "shared" if wanted & SHARED else "rslave" if wanted & SLAVE else "rprivate"


def peers(bundle: Bundle, spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    """What is to be mounted as the host has it, so that mounts are seen on both sides: source, and the place where it
    is (made by ``prepare``)."""
    for number, mount in enumerate(spec.mounts):
        if propagation(mount) in SHARED and not bundle.users:
            yield mount.volume.host_path, str(_placed(bundle, number))


def id_mapped(bundle: Bundle, spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    """What is mounted from the host into a container of a pod with users of its own: source, and the place where it
    has the pod's ids (made by ``prepare``)."""
    yield str(bundle.pod_directory), str(_pod_directory(bundle))
    for number, mount in enumerate(spec.mounts):
        if (outside := _outside(bundle, mount)) is not None:
            yield str(outside), str(_placed(bundle, number))


def _placed(bundle: Bundle, number: int) -> Path:
    return bundle.directory / f"mapped-{number}"


def _pod_directory(bundle: Bundle) -> Path:
    return bundle.directory / "mapped-pod" if bundle.users else bundle.pod_directory


def volume_directory(bundle: Bundle, name: str) -> Path:
    return _pod_directory(bundle) / "volumes" / name


def _clean(path: str) -> str:
    """Without a trailing slash or doubled ones, so that two spellings are one place."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _bind(source: Path, destination: str, *options: str) -> OciMount:
    return {
        "destination": destination,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", "rprivate", *options],
    }


def _shm(bundle: Bundle) -> OciMount:
    """The IPC namespace's: the pod's, grafted from the infra container (oci/prepare.py), the host's, or its own."""
    if "ipc" not in bundle.sandbox.shared:
        return _own_shm(bundle.sandbox.shm_size)
    source = bundle.shm if bundle.own_shm else Path("/dev/shm")
    return _bind(source, "/dev/shm", "nosuid", "noexec", "nodev")


def _own_shm(size: int | None) -> OciMount:
    """``size`` as SandboxSpec.shm_size; none at all is tmpfs' own: half of the machine's memory."""
    bounds = [f"size={SHM_SIZE}"] if size is None else [f"size={size}"] if size else []
    return {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", *bounds],
    }


def _sysfs(*, writable: bool) -> OciMount:
    return {
        "destination": "/sys",
        "type": "sysfs",
        "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", "rw" if writable else "ro"],
    }


def _cgroup(*, writable: bool) -> OciMount:
    return {
        "destination": "/sys/fs/cgroup",
        "type": "cgroup",
        "source": "cgroup",
        "options": ["rprivate", "nosuid", "noexec", "nodev", "relatime", "rw" if writable else "ro"],
    }


_PROC: OciMount = {
    "destination": "/proc",
    "type": "proc",
    "source": "proc",
    "options": ["nosuid", "noexec", "nodev"],
}
_DEV: OciMount = {
    "destination": "/dev",
    "type": "tmpfs",
    "source": "tmpfs",
    "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"],
}
_DEVPTS: OciMount = {
    "destination": "/dev/pts",
    "type": "devpts",
    "source": "devpts",
    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
}
_MQUEUE: OciMount = {
    "destination": "/dev/mqueue",
    "type": "mqueue",
    "source": "mqueue",
    "options": ["nosuid", "noexec", "nodev"],
}
