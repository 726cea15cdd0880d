"""The files of /etc that a pod gets: hosts, hostname, resolv.conf.

They are bind-mounted into containers, so they are rewritten in place: a renamed file would not be seen there.
A reader may meet a half-written one; killed in between, the next write mends it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.model.errors import TryLater
from reconciler.model.spec import HostAlias

HOSTS = "hosts"
HOSTNAME = "hostname"
RESOLV_CONF = "resolv.conf"

_HEADER = "# Kubernetes-managed hosts file.\n"
_HOST_HEADER = "# Kubernetes-managed hosts file (host network).\n"
_ALIASES = "\n# Entries added by HostAliases.\n"
_LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


@dataclass(frozen=True, slots=True)
class PodFiles:
    """What the three files say."""

    hosts: str
    hostname: str
    resolv_conf: str

    @property
    def stamp(self) -> str:
        """Equal for equal content: what was written last is remembered by it."""
        return hashlib.sha256("\0".join(astuple(self)).encode()).hexdigest()[:16]


def write(directory: Path, files: PodFiles) -> None:
    """Make the three files in ``directory`` say what they should. Raises TryLater when the disk refuses."""
    put(directory / HOSTS, files.hosts)
    put(directory / HOSTNAME, files.hostname)
    put(directory / RESOLV_CONF, files.resolv_conf)


def hosts(hostname: str, domain: str, ips: Sequence[str], aliases: Sequence[HostAlias] = ()) -> str:
    """/etc/hosts of a pod with addresses of its own (kubelet: kubelet_pods.go, managedHostsFileContent)."""
    called = f"{hostname}.{domain}\t{hostname}" if domain else hostname
    return _HEADER + _LOCAL + "".join(f"{ip}\t{called}\n" for ip in ips) + _lines(aliases)


def host_hosts(host: str, aliases: Sequence[HostAlias] = ()) -> str:
    """/etc/hosts of a pod in the host's network: the host's (kubelet: nodeHostsFileContent)."""
    return _HOST_HEADER + host + _lines(aliases)


def _lines(aliases: Sequence[HostAlias]) -> str:
    """kubelet: hostsEntriesFromHostAliases."""
    if not aliases:
        return ""
    return _ALIASES + "".join("\t".join((alias.ip, *alias.hostnames)) + "\n" for alias in aliases)


@effect("podfile.write")
def put(path: Path, text: str) -> None:
    """Make the file say ``text``, in the same inode; nothing is written where it does already.

    Containers may write there: whatever they wrote, of any size, is compared with what is wanted and no more.
    """
    want = text.encode()
    try:
        with open(path, "r+b" if path.exists() else "x+b") as f:
            if f.read(len(want) + 1) == want and f.tell() == len(want):
                return
            f.seek(0)
            f.write(want)
            f.truncate()
        path.chmod(0o644)
    except OSError as e:
        raise TryLater(f"cannot write {path}: {e.strerror}") from e
