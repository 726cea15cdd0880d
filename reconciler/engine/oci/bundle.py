"""What is known of a container before its config.json is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.dns import names
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.observed import PidRef
from reconciler.model.qos import as_run
from reconciler.model.spec import Resources, SandboxSpec

IDS = 65536
"""How many user and group ids the user namespace of a pod has (kubelet: userNsUnitLength)."""


def own_hostname(container: ContainerId) -> str:
    """The name of a container that does not share its pod's (podman)."""
    return container[:12]


@dataclass(frozen=True, slots=True)
class Bundle:
    """One container to be: who it is and where its files lie.

    ``directory`` is the OCI bundle; ``pod_directory`` holds hosts, hostname, resolv.conf and volumes/NAME.
    ``cgroup_parent`` is relative to the root of each hierarchy. ``infra`` is the pod's infra process, None
    for the infra container itself. ``domain`` is that of the pods' names. ``ids`` is the first of the
    host's ids that the pod's user namespace has, 0 where it has none of its own. ``closed`` is the directory
    above all these that nobody but the machine's root may pass. ``volumes`` is where named volumes are,
    ``keep`` the pod's (PodSpec).
    """

    container: ContainerId
    pod: PodId
    key: Key
    directory: Path
    pod_directory: Path
    sandbox: SandboxSpec
    cgroup_parent: str
    infra: PidRef | None
    domain: str = ""
    ids: int = 0
    closed: Path | None = None
    volumes: Path = Path("/")
    keep: bool = False

    def as_run(self, resources: Resources) -> Resources:
        """A container's resources with its defaults in this pod."""
        return as_run(resources, keep=self.keep)

    @property
    def users(self) -> str | None:
        """The pod's user namespace, to be joined and mapped by; None where it has none, or is only being made."""
        return f"/proc/{self.infra.pid}/ns/user" if self.ids and self.infra is not None else None

    @property
    def rootfs(self) -> Path:
        return self.directory / "rootfs"

    @property
    def shm(self) -> Path:
        """Where the pod's /dev/shm is grafted while the member is created (only in that call's namespace)."""
        return self.directory / "shm"

    @property
    def hostname(self) -> str:
        """The pod's own host name, as the kernel knows it."""
        return names.kernel_name(self.key, self.sandbox, self.domain)

    @property
    def own_files(self) -> Path:
        """Where a member's own files of /etc lie, below the pod's directory, which shows them to it."""
        return Path("members") / self.container

    @property
    def cgroups_path(self) -> str:
        """As the runtime is told: a path, or for systemd the slice, and of what the scope's name is made."""
        if self.by_systemd:
            return f"{self.cgroup_parent.rpartition('/')[2]}:reconciler:{self.container}"
        return f"{self.cgroup_parent}/{self.container}"

    @property
    def by_systemd(self) -> bool:
        return self.cgroup_parent.endswith(".slice")

    @property
    def own_shm(self) -> bool:
        """Whether the pod has an IPC namespace of its own, with a /dev/shm that belongs to it."""
        return not self.sandbox.host_ipc

    @property
    def shares_shm(self) -> bool:
        """Whether a member has the pod's /dev/shm."""
        return self.own_shm and "ipc" in self.sandbox.shared
