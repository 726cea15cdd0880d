"""The instance's configuration file: what its owner decides once for this machine, not per command or manifest.

TOML, one table for each part of the engine, every setting with a default that suits most machines:

    [network]
    subnet = "10.101.0.0/20"
    subnet6 = "fd00:1234:5678::/64"
    ipv6 = "auto"
    firewall = "tell"

    [dns]
    enabled = true
    domain = "cluster.local"
    servers = ["192.0.2.53"]

It is read once by each process, so a change counts from the controller's next start. A setting that is not known is an
error, never ignored: a misspelt limit would be no limit.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from reconciler.engine.oci import rlimits
from reconciler.model.errors import HostUnfit
from reconciler.model.stock import ImagePolicy
from reconciler.model.strictness import Strictness

_LABEL = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IDS = re.compile(r"[0-9]{1,10}:[0-9]{1,10}")
_AGE = re.compile(r"(?=.)(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?")
_PATTERN = re.compile(r"[a-z0-9][-_a-z0-9/]*(\.[-_a-z0-9/]+)*(\.?\*)?")

NEVER = 101
"""Per cent of a disk that nothing fills."""


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[network]``. ``subnet`` and ``subnet6``: the pods' IPv4 and IPv6 networks, instead of the first that are free
    on this host. ``ipv6``: whether pods get IPv6 addresses too; "auto" where the kernel has IPv6.
    ``firewall``: whether others' firewalls are opened where they have a place for it, or only told of."""

    subnet: str | None = None
    subnet6: str | None = None
    ipv6: bool | Literal["auto"] = "auto"
    firewall: Literal["open", "tell"] = "open"


class DnsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[dns]``. ``enabled``: whether pods find each other by name. ``domain``: what pods' names end in. ``servers``:
    who is asked for all other names, by IP address, instead of the host's resolvers."""

    enabled: bool = True
    domain: str = "cluster.local"
    servers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.domain) > 200 or not _DOMAIN.fullmatch(self.domain):
            raise ValueError(f"{self.domain!r} is no domain")
        for server in self.servers:
            ip_address(server)


class ImagesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[images]``. ``auth_file``: passwords of registries (containers-auth.json(5)), instead of those that skopeo
    finds for root: REGISTRY_AUTH_FILE, /run/containers/0/auth.json, ~/.config/containers, ~/.docker/config.json.

    Unused images are removed by a controller when their disk is as full as ``gc_high_percent`` (100: never), down to
    ``gc_low_percent``; none that came or was named within ``gc_min_age``; and whatever nobody has needed for
    ``gc_max_age`` ("0s": no age is too old). The kubelet's imageGC… and image…GCAge, with its defaults. ``gc_local``:
    also those that were loaded, and that nobody could give again."""

    auth_file: Annotated[str, msgspec.Meta(pattern="^/")] | None = None
    gc_high_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 85
    gc_low_percent: Annotated[int, msgspec.Meta(ge=0, le=99)] = 80
    gc_min_age: str = "2m"
    gc_max_age: str = "0s"
    gc_local: bool = False

    def __post_init__(self) -> None:
        if self.gc_low_percent >= self.gc_high_percent:
            raise ValueError(f"gc_low_percent ({self.gc_low_percent}) is not below gc_high_percent")
        for age in (self.gc_min_age, self.gc_max_age):
            if not _AGE.fullmatch(age):
                raise ValueError(f"{age!r} is not an age such as 2m or 168h")

    @property
    def policy(self) -> ImagePolicy:
        """The same, ages in seconds."""
        high = self.gc_high_percent if self.gc_high_percent < 100 else NEVER
        youngest, oldest = _seconds(self.gc_min_age), _seconds(self.gc_max_age)
        return ImagePolicy(high, self.gc_low_percent, youngest, oldest, self.gc_local)


class ResourcesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[resources]``. ``pod_pids_limit``: how many processes and threads a pod may have (-1: as many as the host).
    ``cgroup_driver``: who makes the cgroups of new pods; "auto": systemd where it runs and cgroups are v2."""

    pod_pids_limit: int = 4096
    cgroup_driver: Literal["auto", "systemd", "cgroupfs"] = "auto"

    def __post_init__(self) -> None:
        if self.pod_pids_limit == 0 or self.pod_pids_limit < -1:
            raise ValueError("pod_pids_limit is a number above 0, or -1 for no limit")

    @property
    def pids_limit(self) -> int | None:
        return self.pod_pids_limit if self.pod_pids_limit > 0 else None


class SecurityConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[security]``. ``seccomp_profiles``: the directory of profiles of type Localhost, instead of ``seccomp`` below
    the state directory. ``allowed_unsafe_sysctls``: names, or beginnings as ``net.*``, that manifests may set beside
    the safe ones. ``default_ulimits``: as ``nofile=1024:2048``, instead of Podman's defaults. ``userns_ids``: the
    user and group ids of this machine that pods with hostUsers: false get, as ``first:count``."""

    seccomp_profiles: str | None = None
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    default_ulimits: tuple[str, ...] = ()
    userns_ids: str | None = None

    def __post_init__(self) -> None:
        if self.seccomp_profiles is not None and not self.seccomp_profiles.startswith("/"):
            raise ValueError(f"{self.seccomp_profiles!r} must be an absolute path")
        if self.userns_ids is not None and not _IDS.fullmatch(self.userns_ids):
            raise ValueError(f"{self.userns_ids!r} is not a range of ids such as 1879048192:6553600")
        for text in self.default_ulimits:
            rlimits.parse(text)
        for pattern in self.allowed_unsafe_sysctls:
            if not _PATTERN.fullmatch(pattern):
                raise ValueError(f"{pattern!r} is neither the name of a sysctl nor a beginning such as net.*")


def _seconds(age: str) -> float:
    match = _AGE.fullmatch(age)
    assert match
    return sum(int(part or 0) * unit for part, unit in zip(match.groups(), (86_400, 3_600, 60, 1), strict=True))


_SIZE = re.compile(r"([0-9]{1,15})(|k|M|G|Ki|Mi|Gi)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class ManifestsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[manifests]``. ``strictness``: what a field is that nobody knows or that is not supported, where a command does
    not say: an error ("strict"), a warning ("warn") or nothing ("ignore"), and the pod runs without it."""

    strictness: Strictness = Strictness.STRICT


class LogsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[logs]``. ``max_size``: how large a container's log becomes before it is rotated ("0": it never is).
    ``max_files``: how many files of it there are at most, the one being written among them. The kubelet's
    containerLogMaxSize and containerLogMaxFiles, with its defaults. They count from a container's next start."""

    max_size: str = "10Mi"
    max_files: int = 5

    def __post_init__(self) -> None:
        if not _SIZE.fullmatch(self.max_size):
            raise ValueError(f"{self.max_size!r} is not a size in bytes such as 10Mi or 500k")
        if self.max_files < 2:
            raise ValueError("max_files is 2 at least: one that is full, and one that is written")

    @property
    def size(self) -> int:
        """Bytes; 0 for no limit."""
        match = _SIZE.fullmatch(self.max_size)
        assert match
        return int(match[1]) * _UNITS[match[2]]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; each table is described by its class."""

    network: NetworkConfig = NetworkConfig()
    dns: DnsConfig = DnsConfig()
    images: ImagesConfig = ImagesConfig()
    resources: ResourcesConfig = ResourcesConfig()
    security: SecurityConfig = SecurityConfig()
    logs: LogsConfig = LogsConfig()
    manifests: ManifestsConfig = ManifestsConfig()


def read(path: Path) -> Config:
    """The file's settings, or the defaults where there is no file.

    Raises HostUnfit naming the file and the setting that is wrong.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Config()
    except OSError as e:
        raise HostUnfit(f"cannot read {path}: {e.strerror}") from e
    try:
        return msgspec.toml.decode(text, type=Config)
    except msgspec.ValidationError as e:
        raise HostUnfit(f"cannot use {path}: {_sentence(str(e))}", hint="correct it, or remove the file") from e
    except (msgspec.DecodeError, ValueError) as e:
        raise HostUnfit(f"cannot read {path}: {e}", hint="correct it, or remove the file") from e


def _sentence(words: str) -> str:
    """msgspec's ``Expected `str`, got `int` - at `$.network.subnet``` with the setting first."""
    what, at, where = words.partition(" - at `$.")
    return f"{where.rstrip('`')}: {what}" if at else what
