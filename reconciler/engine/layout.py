"""Where everything of one instance lies. All paths follow ``--root``, so two roots share nothing.

state/  (survives a reboot)             run/  (gone after one)
  pods/<pod id>/record.json, objects.json controller.lock
    hosts, hostname, resolv.conf          locks/<kind>.<namespace>.<name>
    volumes/<name>/                       zygote.sock, zygote.lock
  containers/<container id>/              exits/<container id>   exit codes, renamed into place; ID.oom
                                          probes/<container id>  what probes have found
    record.json, config.json              pids/<container id>    init pid, written by the runtime
    rootfs/ (empty) upper/ work/          runtime/<crun|runc>/   the OCI runtime's own state
    prepare; life-<n>/                    instance.lock, network.lock, firewall.lock, ...
  images/, volumes/<name>/_data         logs/
  state.db, hand/<namespace>/<name>.json  <namespace>_<pod>_<uid>/<container>/<attempt>.log
  cache/                                dns/networks/<bridge>   what the name server knows
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.model.key import ContainerId, Key, PodId

STATE = Path("/var/lib/reconciler")
RUN = Path("/run/reconciler")
LOGS = Path("/var/log/pods")
CONFIG = Path("/etc/reconciler/config.toml")

PRIVATE = 0o700


@dataclass(frozen=True)
class Layout:
    """The directories of one instance. Those that each look at a pod asks for are put together once."""

    state: Path
    run: Path
    logs: Path

    @classmethod
    def at(cls, root: Path | None) -> Layout:
        """The layout below ``root``, or the system's own directories for None."""
        if root is None:
            return cls(STATE, RUN, LOGS)
        root = root.resolve()
        return cls(root / "state", root / "run", root / "logs")

    @cached_property
    def tag(self) -> str:
        """Marks whatever of the instance lives outside its directories (links, cgroups, nft)."""
        return _tag(STATE if self.state == STATE else self.state.parent)

    @property
    def owns_logs(self) -> bool:
        """Whether the log directory is this instance's alone; the system's own is shared with others."""
        return self.logs != LOGS

    @cached_property
    def config(self) -> Path:
        """The instance's configuration file: ``config.toml`` below its root, or the system's."""
        return CONFIG if self.state == STATE else self.state.parent / "config.toml"

    @cached_property
    def pods(self) -> Path:
        return self.state / "pods"

    @cached_property
    def containers(self) -> Path:
        return self.state / "containers"

    @cached_property
    def images(self) -> Path:
        return self.state / "images"

    @cached_property
    def networks(self) -> Path:
        return self.state / "networks"

    @cached_property
    def volumes(self) -> Path:
        """Named volumes (``named``); made with the first of them."""
        return self.state / "volumes"

    @property
    def volumes_lock(self) -> Path:
        """Held by whoever makes or removes named volumes."""
        return self.run / "volumes.lock"

    @cached_property
    def cache(self) -> Path:
        return self.state / "cache"

    @cached_property
    def hand(self) -> Path:
        """What commands want of the pods that they made (``sources.hand``)."""
        return self.state / "hand"

    @property
    def digest_key(self) -> Path:
        """By which values of objects are told apart without being written down."""
        return self.state / "digest.key"

    @property
    def suspended(self) -> Path:
        """Which pods are to be left alone (``sources.suspended``)."""
        return self.state / "suspended"

    @property
    def turns(self) -> Path:
        """The last word of a command on each source."""
        return self.run / "turns"

    @cached_property
    def trash(self) -> Path:
        return self.state / "trash"

    @property
    def run_trash(self) -> Path:
        """The same for what lies below ``run``, which is on another file system than the state (/run is a tmpfs)."""
        return self.run / "trash"

    @cached_property
    def database(self) -> Path:
        return self.state / "state.db"

    @cached_property
    def troubles(self) -> Path:
        """What the last sync of each pod ran into, for those who look on."""
        return self.state / "troubles"

    @cached_property
    def exits(self) -> Path:
        return self.run / "exits"

    @cached_property
    def verdicts(self) -> Path:
        """What probes have found, a file for each container."""
        return self.run / "probes"

    def oom_count(self, container: ContainerId) -> Path:
        """How often the kernel killed in the container for want of memory, where that is noticed at once."""
        return self.exits / f"{container}.oom"

    @cached_property
    def pids(self) -> Path:
        return self.run / "pids"

    @cached_property
    def locks(self) -> Path:
        return self.run / "locks"

    @property
    def zygote_socket(self) -> Path:
        return self.run / "zygote.sock"

    @property
    def controller_lock(self) -> Path:
        return self.run / "controller.lock"

    @property
    def halted(self) -> Path:
        """There after ``system stop``, until somebody asks for something to run: what ended by it is not brought back
        by its monitor."""
        return self.run / "halted"

    @property
    def instance_lock(self) -> Path:
        """Held by those who begin something of this instance, together; by the one who ends it, alone."""
        return self.run / "instance.lock"

    @property
    def forwarding(self) -> Path:
        """What is still to be closed where this host was made to forward IPv6."""
        return self.run / "forwarding"

    @property
    def shares_lock(self) -> Path:
        """Held by whoever writes what the pods of a level weigh together."""
        return self.run / "shares.lock"

    @property
    def network_lock(self) -> Path:
        return self.run / "network.lock"

    @property
    def firewall_lock(self) -> Path:
        """Held by whoever changes others' firewalls."""
        return self.run / "firewall.lock"

    @property
    def dns_lock(self) -> Path:
        return self.run / "dns.lock"

    @cached_property
    def dns(self) -> Path:
        """The name server's: what it reads, what it said; it stays, for those who watch it."""
        return self.run / "dns"

    @cached_property
    def dns_tables(self) -> Path:
        """What it reads: a file for each network. There as long as the server is needed."""
        return self.dns / "networks"

    def runtime_state(self, runtime: str) -> Path:
        return self.run / "runtime" / runtime

    def pod(self, pod: PodId) -> Path:
        return _below(self.pods, pod)

    def container(self, container: ContainerId) -> Path:
        """Also the OCI bundle of the container."""
        return _below(self.containers, container)

    def key_lock(self, key: Key) -> Path:
        return _below(self.locks, f"{key.kind}.{key.namespace}.{key.name}")

    def log(self, key: Key, uid: str, container: str, attempt: int) -> Path:
        """The CRI log of one attempt, where log agents look (kubelet: BuildContainerLogsDirectory)."""
        return self.logs / f"{key.namespace}_{key.name}_{uid}" / container / f"{attempt}.log"

    def cgroup_parent(self, pod: PodId) -> str:
        """The pod's cgroup, relative to the root of each hierarchy, where its record does not say another."""
        return f"/reconciler-{self.tag}/pod-{pod}"

    def make(self) -> None:
        """Create the directories, and close those that an older version left open (0711).

        State and run are for root alone: layers, containers and volumes hold files that are set-user-id to root, which
        no user of this machine may run. A container whose root is somebody else is shown the way (``oci/prepare``).
        Logs can be read by log agents.
        """
        lasting = (self.pods, self.containers, self.hand, self.networks, self.images, self.cache, self.trash)
        passing = (self.exits, self.verdicts, self.pids, self.locks, self.run / "runtime")
        for path in (self.state, *lasting, self.run, *passing):
            _directory(path, PRIVATE)
        _directory(self.logs, 0o755)

    def make_dns(self) -> None:
        for path in (self.dns, self.dns_tables):
            _directory(path, PRIVATE)


@lru_cache(maxsize=4096)
def _below(directory: Path, name: str) -> Path:
    """Asked for a dozen times at each look at a pod; what is remembered has its text ready, too."""
    return directory / name


@effect("layout.make")
def _directory(path: Path, mode: int) -> None:
    """One that is there stays as it is, unless it is to be private and is not."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True, mode=mode)
        path.chmod(mode)  # mkdir's mode is cut by the umask
    elif mode == PRIVATE and (has := stat.S_IMODE(path.stat().st_mode)) & ~PRIVATE:
        path.chmod(has & PRIVATE)


def _tag(root: Path) -> str:
    """Four characters of [a-z2-7], the same for the same root: stateless, so it survives the loss of everything."""
    import base64
    import hashlib  # loads all of libcrypto: 2 ms

    return base64.b32encode(hashlib.sha256(str(root).encode()).digest())[:4].decode().lower()
