"""The host's own addresses as pods' statuses tell them: those that it reaches the world from, one of each family."""

from __future__ import annotations

import socket

_FAR = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses of documentation (RFC 5737, 3849): nobody's, so the way to them is the default route's."""


def host_ips() -> tuple[str, ...]:
    """IPv4 first; without a family that has no way out. Nothing is sent, and no netlink needed (0.02 ms)."""
    return tuple(ip for family, far in _FAR if (ip := _source(family, far)))


def _source(family: int, far: str) -> str:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((far, 9))  # only looks the route up
            return str(one.getsockname()[0])
    except OSError:
        return ""
