"""IPv6 on this host: whether it has any, and routing for pods without the host losing its own way out.

A host that forwards IPv6 ignores router advertisements, from which most hosts have their default route, unless an
interface's ``accept_ra`` is 2. So that is set first, on each interface that listened to them until now.

Linux forwards between all interfaces or none. Those that did not until now are marked as not forwarding (which
neighbours see, and nothing else), and so are those that come later, as they would have been without us; the rules keep
them from forwarding to each other: the host becomes its pods' router, and nobody else's. Whoever wants more marks an
interface as forwarding.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path

from reconciler.engine import files
from reconciler.engine.network import names, sysctls

CONF = Path("/proc/sys/net/ipv6/conf")
_NET = Path("/proc/thread-self/net")
_DEFAULT = "default"
_NOT_INTERFACES = ("all", _DEFAULT, "lo")

_SIOCETHTOOL, _ETHTOOL_GDRVINFO = 0x8946, 3
_RTF_GATEWAY = 2
"""<linux/sockios.h>, <linux/ethtool.h>, <linux/route.h>."""


def why_not(conf: Path = CONF) -> str:
    """Why pods cannot have IPv6 here, as this thread's network namespace has it; "" where they can."""
    if not os.access(f"{conf}/all", os.F_OK):  # asked several times for each pod: no Path
        return "this kernel has no IPv6 (ipv6.disable=1)"
    for which in ("all", _DEFAULT):
        if _setting(f"{conf}/{which}/disable_ipv6") == "1":
            return f"it is switched off (net.ipv6.conf.{which}.disable_ipv6 is 1)"
    return ""


def forward(memory: Path | None = None, conf: Path = CONF) -> None:
    """Let this host forward IPv6 for its pods, and go on listening to its routers.

    1. on forwarding, a router is heard only with accept_ra 2    2. what is to be closed is noted in ``memory``
    3. forwarding on, for all    4. and off again for what is noted

    ``memory``: a file that is gone after a reboot; with it, whoever was killed after step 3 is finished by the next.
    Raises HostUnfit, TryLater.
    """
    if _setting(conf / "all/forwarding") != "1":
        there = [path.name for path in (*_others(conf), conf / _DEFAULT)]
        closing = [name for name in there if _setting(conf / name / "forwarding") == "0"]
        for name in closing:
            if name != _DEFAULT and _setting(conf / name / "accept_ra") == "1":
                sysctls.ensure(conf / name / "accept_ra", "2")
        if memory:
            files.write_atomic(memory, "\n".join(closing).encode())
        sysctls.ensure(conf / "all/forwarding", "1")
    else:
        noted = files.read_or_none(memory) if memory else None
        if noted is None:
            return
        closing = noted.decode().split("\n")
    for name in closing:
        if name and (conf / name).is_dir():
            sysctls.ensure(conf / name / "forwarding", "0")
    if memory:
        files.delete(memory)


def closed(conf: Path = CONF, net: Path = _NET) -> tuple[str, ...]:
    """The interfaces of others that do not forward IPv6 to each other, though this host forwards.

    Two kinds are not counted. A bridge with an address and no gateway behind it is somebody's network of guests: its
    maker found forwarding on, and marked nothing. A veth without an address is the port of such a bridge.
    """
    if _setting(conf / "all/forwarding") != "1":
        return ()
    found = [interface.name for interface in _others(conf) if _setting(interface / "forwarding") == "0"]
    if not found:
        return ()
    addressed, uplinks = set(_addressed(net)), set(_uplinks(net))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
        drivers = {name: _driver(asked, name) for name in found}
    guests = {n for n in found if drivers[n] == "bridge" and n in addressed and n not in uplinks}
    ports = {n for n in found if drivers[n] == "veth" and n not in addressed and n not in uplinks}
    return tuple(n for n in found if n not in guests | ports)


def prepare(interface: str, conf: Path = CONF, *, router: bool = False) -> None:
    """Before an interface of ours comes up: IPv6 on, no waiting for duplicates (an address is leased to one pod), and
    no router but ours: a pod must not become the host's by advertising itself. ``router``: at a bridge of ours the host
    is one, and says so to its pods. Raises HostUnfit."""
    settings = {"disable_ipv6": "0", "accept_dad": "0", "accept_ra": "0"}
    sysctls.ensure_all(conf / interface, settings | {"forwarding": "1"} if router else settings)


def close(interface: str, conf: Path = CONF) -> None:
    """For an interface of ours without IPv6 addresses: no router is heard there, as any pod could claim to be one."""
    if (conf / interface).is_dir():
        sysctls.ensure(conf / interface / "accept_ra", "0")


def _others(conf: Path) -> list[Path]:
    """Every interface but loopback and our own."""
    ours = (names.parse_bridge, names.parse_link)
    there = (path for path in conf.iterdir() if path.name not in _NOT_INTERFACES)
    return sorted(path for path in there if not any(parse(path.name) for parse in ours))


def _addressed(net: Path) -> Iterator[str]:
    """The interfaces with an IPv6 address beyond their link's own (/proc/net/if_inet6)."""
    for fields in map(str.split, _read(net / "if_inet6").splitlines()):
        if len(fields) == 6 and not IPv6Address(bytes.fromhex(fields[0])).is_link_local:
            yield fields[5]


def _uplinks(net: Path) -> Iterator[str]:
    """The interfaces behind which a gateway lies (/proc/net/ipv6_route, /proc/net/route)."""
    for fields in map(str.split, _read(net / "ipv6_route").splitlines()):
        if len(fields) == 10 and int(fields[8], 16) & _RTF_GATEWAY:
            yield fields[9]
    for fields in map(str.split, _read(net / "route").splitlines()[1:]):
        if len(fields) > 3 and int(fields[3], 16) & _RTF_GATEWAY:
            yield fields[0]


def _driver(asked: socket.socket, interface: str) -> str:
    """Its kernel module's name ("veth", "bridge"), asked in this thread's network namespace: sysfs shows that of its
    mount. "" where it says none."""
    answer = array.array("B", struct.pack("I192x", _ETHTOOL_GDRVINFO))  # struct ethtool_drvinfo: driver at 4
    address, _ = answer.buffer_info()
    with suppress(OSError):
        fcntl.ioctl(asked, _SIOCETHTOOL, struct.pack("16sP8x", interface.encode(), address))
    return answer.tobytes()[4:36].partition(b"\0")[0].decode()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _setting(path: str | Path) -> str:
    try:
        return files.read_small(path).decode().strip()
    except OSError:
        return ""
