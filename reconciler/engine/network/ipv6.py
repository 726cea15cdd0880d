"""IPv6 on this host: whether it has any, and routing for pods without the host losing its own way out.

A host that forwards IPv6 ignores router advertisements, from which most hosts have their default route, unless an
interface's ``accept_ra`` is 2. So that is set first, on each interface that listened to them until now.

Linux forwards between all interfaces or none. Those that were there before are marked as not forwarding (which
neighbours see, and nothing else), and the rules keep them from forwarding to each other: the host becomes its pods'
router, and nobody else's.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.engine.network import names, sysctls

CONF = Path("/proc/sys/net/ipv6/conf")
_NOT_INTERFACES = ("all", "default", "lo")


def why_not(conf: Path = CONF) -> str:
    """Why pods cannot have IPv6 here, as this thread's network namespace has it; "" where they can."""
    if not (conf / "all").is_dir():
        return "this kernel has no IPv6 (ipv6.disable=1)"
    for which in ("all", "default"):
        if _read(conf / which / "disable_ipv6") == "1":
            return f"it is switched off (net.ipv6.conf.{which}.disable_ipv6 is 1)"
    return ""


def forward(conf: Path = CONF) -> None:
    """Let this host forward IPv6 for its pods, and go on listening to its routers. Raises HostUnfit."""
    if _read(conf / "all/forwarding") == "1":
        return
    closed = [interface for interface in _others(conf) if _read(interface / "forwarding") == "0"]
    for interface in closed:
        if _read(interface / "accept_ra") == "1":
            sysctls.ensure(interface / "accept_ra", "2")
    sysctls.ensure(conf / "all/forwarding", "1")
    for interface in closed:
        sysctls.ensure(interface / "forwarding", "0")


def closed(conf: Path = CONF) -> tuple[str, ...]:
    """The interfaces of others that do not forward IPv6 to each other, though this host forwards."""
    if _read(conf / "all/forwarding") != "1":
        return ()
    return tuple(interface.name for interface in _others(conf) if _read(interface / "forwarding") == "0")


def prepare(interface: str, conf: Path = CONF) -> None:
    """Before an interface of ours comes up: IPv6 on, no waiting for duplicates (an address is leased to one pod), and
    no router but ours: a pod must not become the host's by advertising itself. Raises HostUnfit."""
    for setting, value in (("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0")):
        sysctls.ensure(conf / interface / setting, value)


def close(interface: str, conf: Path = CONF) -> None:
    """For an interface of ours without IPv6 addresses: no router is heard there, as any pod could claim to be one."""
    if (conf / interface).is_dir():
        sysctls.ensure(conf / interface / "accept_ra", "0")


def _others(conf: Path) -> list[Path]:
    """Every interface but loopback and our own."""
    ours = (names.parse_bridge, names.parse_link)
    there = (path for path in conf.iterdir() if path.name not in _NOT_INTERFACES)
    return sorted(path for path in there if not any(parse(path.name) for parse in ours))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
