"""The files of /etc that a pod gets: hosts, hostname, resolv.conf.

They are bind-mounted into containers, so they are rewritten in place: a renamed file would not be seen there.
A reader may meet a half-written one; killed in between, the next write mends it.
"""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.engine.effects import effect
from reconciler.model.errors import TryLater

HOSTS = "hosts"
HOSTNAME = "hostname"
RESOLV_CONF = "resolv.conf"

_HEADER = "# Kubernetes-managed hosts file.\n"
_HOST_HEADER = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
_NAMESERVER = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)
_SYSTEMD = Path("/run/systemd/resolve/resolv.conf")
"""What systemd-resolved asks itself, where /etc/resolv.conf names only its stub on loopback."""


def write(directory: Path, hostname: str, ip: str, etc: Path = Path("/etc"), resolved: Path = _SYSTEMD) -> None:
    """Write the three files into ``directory``. ``ip`` "" means the pod has the host's network.

    Raises TryLater when the disk refuses.
    """
    put(directory / HOSTS, hosts(hostname, ip) if ip else host_hosts(_text(etc / "hosts")))
    put(directory / HOSTNAME, hostname + "\n")
    host = _text(etc / "resolv.conf")
    put(directory / RESOLV_CONF, host if not ip else resolv_conf(host, _text(resolved)))


def hosts(hostname: str, ip: str) -> str:
    """/etc/hosts of a pod with an address of its own (kubelet: kubelet_pods.go, managedHostsFileContent)."""
    return f"{_HEADER}{_LOCAL}{ip}\t{hostname}\n"


def host_hosts(host: str) -> str:
    """/etc/hosts of a pod in the host's network: the host's (kubelet: nodeHostsFileContent)."""
    return _HOST_HEADER + host


def resolv_conf(host: str, resolved: str) -> str:
    """The host's resolv.conf, or what systemd-resolved asks where the host's only names loopback resolvers,
    which a pod cannot reach (kubelet: --resolv-conf as kubeadm sets it). With neither, loopback ones go."""
    if any(not _is_loopback(n) for n in _NAMESERVER.findall(host)):
        return _without_loopback(host)
    if any(not _is_loopback(n) for n in _NAMESERVER.findall(resolved)):
        return _without_loopback(resolved)
    return _without_loopback(host)


@effect("podfile.write")
def put(path: Path, text: str) -> None:
    """Make the file say ``text``, in the same inode; nothing is written where it does already."""
    try:
        if path.exists() and path.read_text() == text:
            return
        with open(path, "r+" if path.exists() else "x") as f:
            f.write(text)
            f.truncate()
        path.chmod(0o644)
    except OSError as e:
        raise TryLater(f"cannot write {path}: {e.strerror}") from e


def _without_loopback(text: str) -> str:
    def kept(line: str) -> bool:
        match = _NAMESERVER.match(line)
        return match is None or not _is_loopback(match[1])

    return "".join(line for line in text.splitlines(keepends=True) if kept(line))


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
