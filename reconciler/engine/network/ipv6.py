"""IPv6 on this host: whether it has any, and routing for pods without the host losing its own way out.

A host that forwards IPv6 ignores router advertisements, from which most hosts have their default route, unless an
interface's ``accept_ra`` is 2. So that is set first, on each interface that listened to them until now.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.engine.network import sysctls

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
    """Let this host forward IPv6, and go on listening to its routers. Raises HostUnfit."""
    if _read(conf / "all/forwarding") == "1":
        return
    for interface in sorted(conf.iterdir()):
        if interface.name not in _NOT_INTERFACES and _listens(interface):
            sysctls.ensure(interface / "accept_ra", "2")
    sysctls.ensure(conf / "all/forwarding", "1")


def prepare(interface: str, conf: Path = CONF) -> None:
    """Before an interface of ours comes up: IPv6 on, no waiting for duplicates (an address is leased to one pod), and
    no router but ours: a pod must not become the host's by advertising itself. Raises HostUnfit."""
    for setting, value in (("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0")):
        sysctls.ensure(conf / interface / setting, value)


def _listens(interface: Path) -> bool:
    return _read(interface / "accept_ra") == "1" and _read(interface / "forwarding") == "0"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
