"""Whose socket has a port: from /proc, looked at only when there is a conflict to explain.

/proc/net lists sockets that listen, are connected, or (UDP) are bound. A TCP socket that is bound and does not
listen is in no list; it is found by duplicating the sockets that are in none (pidfd_getfd) and asking each for its
address. What ends meanwhile is simply not found.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from reconciler.linux.syscalls import KERNEL, Syscalls
from reconciler.model.spec import PortBinding, Protocol, share_address

_SO_NETNS_COOKIE = 71
"""Linux 5.14; tells sockets of another network namespace apart."""

_LISTEN = 0x0A
_LISTS = (
    "tcp",
    "tcp6",
    "udp",
    "udp6",
    "udplite",
    "udplite6",
    "raw",
    "raw6",
    "icmp",
    "icmp6",
    "unix",
    "netlink",
    "packet",
)
_LINK = re.compile(r"socket:\[(\d+)\]")
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class Line:
    """One socket of /proc/net/{tcp,udp}{,6}. A v4-mapped address is shown as IPv4."""

    ip: str
    port: int
    state: int
    inode: int


class Owners:
    """Answers for one moment; made anew for each question and its like."""

    def __init__(self, proc: Path = Path("/proc"), kernel: Syscalls = KERNEL) -> None:
        self._proc = proc
        self._kernel = kernel
        self._pids: dict[int, tuple[int, int]] | None = None

    def of(self, binding: PortBinding) -> int:
        """The pid that has the port, or 0 where that cannot be known."""
        return next(iter(self.all_of(binding)), 0)

    def all_of(self, binding: PortBinding) -> tuple[int, ...]:
        """Every pid that has the port at one of its addresses, as far as that can be known."""
        owners = (self._by_inode().get(line.inode) for line in self._lines(binding))
        listed = tuple(dict.fromkeys(owner[0] for owner in owners if owner))
        return listed or tuple(filter(None, (self._unlisted(binding),)))

    def _lines(self, binding: PortBinding) -> list[Line]:
        """Who may be in the way: listeners first."""
        name = binding.protocol.lower()
        found = [line for file in (name, f"{name}6") for line in parse(_read(self._proc / "thread-self/net" / file))]
        found = [line for line in found if line.port == binding.host_port and in_the_way(line.ip, binding.host_ip)]
        return sorted(found, key=lambda line: line.state != _LISTEN)

    def _by_inode(self) -> dict[int, tuple[int, int]]:
        """Inode to pid and descriptor, of every socket of every process that we may look into."""
        if self._pids is None:
            self._pids = dict(_open_sockets(self._proc))
        return self._pids

    def _unlisted(self, binding: PortBinding) -> int:
        listed = {inode for name in _LISTS for inode in _inodes(_read(self._proc / "thread-self/net" / name))}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            cookie = _cookie(here)
        for inode, (pid, fd) in self._by_inode().items():
            if inode not in listed and self._is_bound(pid, fd, binding, cookie):
                return pid
        return 0

    def _is_bound(self, pid: int, fd: int, binding: PortBinding, cookie: int) -> bool:
        with suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                copy = self._kernel.pidfd_getfd(pidfd, fd)
            finally:
                os.close(pidfd)
            with socket.socket(fileno=copy) as one:
                return _matches(one, binding, cookie)
        return False


def parse(text: str) -> Iterator[Line]:
    """Read /proc/net/tcp and its like (proc(5)): the local address in host byte order, hexadecimal."""
    for row in text.splitlines()[1:]:
        fields = row.split()
        if len(fields) < 10:
            continue
        address, _, port = fields[1].partition(":")
        yield Line(_address(bytes.fromhex(address)), int(port, 16), int(fields[3], 16), int(fields[9]))


def in_the_way(held: str, wanted: str) -> bool:
    """Whether a socket on ``held`` may keep another from binding ``wanted``; one on :: may have IPv4 as well."""
    return held == "::" or share_address(held, wanted)


def _matches(one: socket.socket, binding: PortBinding, cookie: int) -> bool:
    if one.family not in _FAMILIES or _protocol(one) != binding.protocol or _cookie(one) != cookie:
        return False
    ip, port = one.getsockname()[:2]
    return bool(port == binding.host_port and in_the_way(ip.removeprefix("::ffff:"), binding.host_ip))


def _protocol(one: socket.socket) -> Protocol | None:
    known = {socket.IPPROTO_TCP: Protocol.TCP, socket.IPPROTO_UDP: Protocol.UDP, socket.IPPROTO_SCTP: Protocol.SCTP}
    return known.get(one.proto)


def _cookie(one: socket.socket) -> int:
    """0 on a kernel that has none: then every namespace counts as ours."""
    try:
        return int(struct.unpack("=Q", one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8))[0])
    except OSError:
        return 0


def _address(raw: bytes) -> str:
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    if len(raw) == 4:
        return str(IPv4Address(raw))
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)


def _inodes(text: str) -> Iterator[int]:
    """Every number of the list: which column is the inode differs from one to the next. At worst a socket whose
    inode is another's pid is not asked."""
    for row in text.splitlines()[1:]:
        yield from (int(field) for field in row.split() if field.isdigit())


def _open_sockets(proc: Path) -> Iterator[tuple[int, tuple[int, int]]]:
    """A socket that several processes have open is told of the one with the highest pid: the latest to get it."""
    pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())
    for pid in pids:
        with suppress(OSError):
            for fd in (proc / str(pid) / "fd").iterdir():
                with suppress(OSError):
                    if match := _LINK.fullmatch(str(fd.readlink())):
                        yield int(match[1]), (pid, int(fd.name))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
