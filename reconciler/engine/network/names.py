"""How things of ours are called on the host: by the instance's tag and the pod's id.

An interface name has 15 bytes, so a link shows the first nine digits of its pod's id, a bridge the first six of its
network's; the whole id stands in the alias.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from reconciler.model.key import ContainerId, PodId

_BRIDGE = re.compile(r"rc-([a-z2-7]{4})(?:-([0-9a-f]{6}))?")
_LINK = re.compile(r"v([a-z2-7]{4})([0-9a-f]{9})")


def bridge_name(tag: str, network: str = "") -> str:
    """Of the instance's own network, or of the named one with this id."""
    return f"rc-{tag}-{network[:6]}" if network else f"rc-{tag}"


def parse_bridge(name: str) -> tuple[str, str] | None:
    """Tag and beginning of the network id ("" for the instance's own) of a bridge named by us, or None."""
    match = _BRIDGE.fullmatch(name)
    return (match[1], match[2] or "") if match else None


def link_name(tag: str, pod: PodId | ContainerId) -> str:
    """The host's end of a pod's link."""
    return f"{link_prefix(tag)}{pod[:9]}"


def link_prefix(tag: str) -> str:
    """How the links of all pods of an instance begin."""
    return f"v{tag}"


def table_name(tag: str) -> str:
    return f"reconciler_{tag}"


def parse_link(name: str) -> tuple[str, str] | None:
    """Tag and beginning of the pod id of a link named by us, or None."""
    match = _LINK.fullmatch(name)
    return (match[1], match[2]) if match else None


def mac_of(ip: str) -> str:
    """The MAC that belongs to an address: locally administered, unicast, the same in every life of a pod.

    Neighbours' ARP entries stay right when a pod is recreated.
    """
    return ":".join(f"{b:02x}" for b in b"\x0a\x58" + IPv4Address(ip).packed)
