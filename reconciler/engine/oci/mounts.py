"""OCI ``mounts``: Podman's defaults, the pod's files, the container's volumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.places import PROPAGATION, SHARED, SLAVE, pod_directory, propagation, source
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

INFRA_MASKED = (*(path for path in MASKED if not path.startswith("/sys/")), "/sys")
"""A member that shares the pid namespace reaches /proc/1/root, and must not find a writable sysfs there."""

NOT_RUN = ("noexec", "nosuid", "nodev")
"""How an image's files are shown: they are data, not programs (Kubernetes: ImageVolumeSource)."""

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
    return [_bind(pod_directory(bundle) / place, path, *options) for path, place in places.items()]


def _volume(bundle: Bundle, mount: Mount, number: int) -> OciMount:
    kind = mount.volume.kind
    fixed = kind in (VolumeKind.PROJECTED, VolumeKind.IMAGE)  # (kubelet: their mounters' Attributes are ReadOnly)
    options = [*mount.options, "ro" if mount.read_only or fixed else "rw"]
    if kind is VolumeKind.TMPFS:
        return {
            "destination": _clean(mount.path),
            "type": "tmpfs",
            "source": "tmpfs",
            "options": [*options, *mount.volume.options],
        }
    how = "bind" if "bind" in options else "rbind"
    flags = [option for option in options if option not in ("bind", "nocopy", *PROPAGATION)]
    flags += NOT_RUN if kind is VolumeKind.IMAGE else ()
    return {
        "destination": _clean(mount.path),
        "type": "bind",
        "source": str(source(bundle, mount, number)),
        "options": [how, propagation(mount), *flags],
    }


def _message(bundle: Bundle, spec: ContainerSpec) -> Iterator[OciMount]:
    """The file for the container's last words; over a volume at the same place, as with the kubelet (makeMounts)."""
    if has_message(spec, keep=bundle.keep):
        yield _bind(bundle.directory / MESSAGE, _clean(spec.message_path))


def has_message(spec: ContainerSpec, *, keep: bool) -> bool:
    """Whether a container is given a file for its last words. ``keep``: the pod's."""
    return bool(spec.message_path) and not keep


def root_propagation(spec: ContainerSpec) -> str:
    """What a container's root must be for the propagation of what is mounted in it: the runtimes change all that it
    has to this before they mount anything (podman: the same)."""
    wanted = {propagation(mount) for mount in spec.mounts}
    return "shared" if wanted & SHARED else "rslave" if wanted & SLAVE else "rprivate"


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
