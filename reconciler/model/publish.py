"""Host ports as podman's ``-p`` writes them, for the annotation ``reconciler/publish`` and options of commands. Pure.

[[IP:]HOST:]CONTAINER[/PROTOCOL]    each of HOST and CONTAINER a port or a range FIRST-LAST of the same length;
                                    an IPv6 address in brackets; several of them separated by commas or lines
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.model.spec import PortBinding, Protocol

_SEPARATOR = re.compile(r"[,\s]+")
_ENTRY = re.compile(
    r"(?:(?P<ip>\[[^\]]*\]|[^\[\]:/]*):)?(?:(?P<host>[^:/\[\]]*):)?(?P<inside>[^:/\[\]]*)(?:/(?P<protocol>.*))?"
)
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as written. ``host`` is empty where it names no host port (podman takes any free one then)."""

    text: str
    host_ip: str
    host: range
    inside: range
    protocol: Protocol

    @property
    def bindings(self) -> Iterator[PortBinding]:
        """One for each port. None for an entry without host ports."""
        for outside, inside in zip(self.host, self.inside, strict=False):
            yield PortBinding(outside, inside, self.protocol, self.host_ip)


def entries(text: str) -> Iterator[str]:
    """The entries of a list, as written."""
    yield from (entry for entry in _SEPARATOR.split(text) if entry)


def parse(entry: str) -> Entry:
    """Read one entry. Raises ValueError with a sentence that quotes it."""
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f"{entry!r} must be [[IP:]HOST:]CONTAINER[/PROTOCOL]; an IPv6 address needs brackets")
    ip, host, inside, protocol = match["ip"], match["host"], match["inside"], match["protocol"]
    if host is None:  # with one colon it is a host port that stands before it
        ip, host = None, ip
    if ip is None and host and (host.startswith("[") or "." in host):
        raise ValueError(f"{entry!r} has an address and one port: write IP:HOST:CONTAINER")
    ports = _ports(inside, "container port", entry)
    outside = _ports(host, "host port", entry) if host else range(0)
    if outside and len(outside) != len(ports):
        raise ValueError(f"{entry!r} has {_count(outside, 'host')} for {_count(ports, 'container')}")
    return Entry(entry, _address(ip, entry), outside, ports, _protocol(protocol, entry))


def bindings(text: str) -> tuple[PortBinding, ...]:
    """The host ports of a list without flaws."""
    return tuple(binding for entry in entries(text) for binding in parse(entry).bindings)


def flaw(entry: str) -> str:
    """What is wrong with an entry that has to name its host ports; "" for nothing."""
    try:
        parsed = parse(entry)
    except ValueError as error:
        return str(error)
    if not parsed.host:
        return f"{entry!r} names no host port: write {parsed.inside[0]}:{parsed.text.rpartition(':')[2]}"
    return address_flaw(parsed.host_ip)


def address_flaw(text: str) -> str:
    """What is wrong with the host address of a port; "" for nothing."""
    try:
        address = ipaddress.ip_address(text) if text else None
    except ValueError:
        return f"{text!r} is not an IP address"
    if address is not None and address.version == 6:
        if address.is_loopback:
            return f"ports cannot be published on {text}, from which Linux forwards nothing; use 127.0.0.1"
        if address.scope_id is not None or address.is_link_local or address.ipv4_mapped is not None:
            return f"{text!r} is not an address to publish ports on"
    return ""


def canonical(text: str) -> str:
    """An address in its one spelling; "" for every address stays."""
    return str(ipaddress.ip_address(text)) if text else ""


def _ports(text: str, what: str, entry: str) -> range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{entry!r}: {text!r} is not a {what} or a range of them")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= PORT_MAX or not 1 <= last <= PORT_MAX:
        raise ValueError(f"{entry!r}: a {what} is between 1 and {PORT_MAX}")
    if last < first:
        raise ValueError(f"{entry!r}: the range {text} ends before it begins")
    return range(first, last + 1)


def _address(text: str | None, entry: str) -> str:
    if not text:
        return ""
    bare = text.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(f"{entry!r}: {bare!r} is not an IP address") from None
    return str(address)


def _protocol(text: str | None, entry: str) -> Protocol:
    if text is None:
        return Protocol.TCP
    try:
        return Protocol(text.upper())
    except ValueError:
        raise ValueError(f"{entry!r}: {text!r} is not a protocol: tcp, udp or sctp") from None


def _count(ports: range, which: str) -> str:
    return f"{len(ports)} {which} port{'' if len(ports) == 1 else 's'}"
