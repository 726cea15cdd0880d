"""What the infra container fixes for a pod: ``--network`` and addresses, ``--share``, ``--userns``, ``--pid``,
``--ipc``, ``--hostname``, ``--sysctl``; and what its files of /etc say: ``--dns``, ``--add-host``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.model.errors import InvalidInput
from reconciler.model.spec import DEFAULT_NETWORK, NO_NETWORK, SHARED, Dns, DnsPolicy, HostAlias, Pairs
from reconciler.model.words import (
    HOSTNAME_MAX,
    did_you_mean,
    network_flaw,
    sysctl,
    sysctl_namespace,
)

NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
NAMESPACES = ("cgroup", "ipc", "net", "pid", "uts")

_OTHER_MODES = {
    "container": "a container joins others' network as a member of their pod",
    "ns": "network namespaces that somebody else made are not joined",
    "slirp4netns": "that is for containers without root",
    "pasta": "that is for containers without root",
}
_OWN = ("bridge", "private", DEFAULT_NETWORK, "")
_USERNS_OTHER = {
    "keep-id": "that is for containers without root",
    "nomap": "that is for containers without root",
    "container": "members of a pod have its users",
    "ns": "user namespaces that somebody else made are not joined",
    "private": "which ids it has must be said",
}
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_MAC = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}", re.IGNORECASE | re.ASCII)
_DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


@dataclass(frozen=True, slots=True)
class Network:
    """Where a pod's packets go. ``name`` "" is the instance's own network."""

    name: str = ""
    host: bool = False
    ip: str = ""
    ip6: str = ""
    mac: str = ""


def network(modes: Iterable[str], ip: str | None = None, ip6: str | None = None, mac: str | None = None) -> Network:
    """``--network MODE[:ip=…,ip6=…,mac=…]``, ``--ip``, ``--ip6`` and ``--mac-address`` together.

    Raises InvalidInput.
    """
    said = [*modes]
    if len(said) > 1 or (said and "," in said[0].partition(":")[0]):
        raise InvalidInput(f"cannot use --network {' '.join(said)}: a pod is in one network", hint="name one of them")
    found = _mode(said[0] if said else "")
    for option, value, field in (("--ip", ip, "ip"), ("--ip6", ip6, "ip6"), ("--mac-address", mac, "mac")):
        if value:
            found = _with_address(found, field, value, f"{option} {value!r}")
    if (found.ip or found.ip6 or found.mac) and (found.host or found.name == NO_NETWORK):
        name = "host" if found.host else NO_NETWORK
        raise InvalidInput(f"cannot give the pod an address: with --network {name} it has no network of its own")
    return found


def _mode(text: str) -> Network:
    name, _, options = text.partition(":")
    if name in _OTHER_MODES:
        raise InvalidInput(f"cannot use --network {text!r}: {_OTHER_MODES[name]}")
    if name in ("host", NO_NETWORK):
        if options:
            raise InvalidInput(f"cannot use --network {text!r}: {name} takes no options")
        return Network(host=True) if name == "host" else Network(NO_NETWORK)
    if name not in _OWN and (flaw := network_flaw(name)):
        raise InvalidInput(f"cannot use --network {text!r}: {flaw}")
    found = Network("" if name in _OWN else name)
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key not in ("ip", "ip6", "mac"):
            why = f"there is no option {key!r} of networks{did_you_mean(key, ['ip', 'ip6', 'mac'])}"
            raise InvalidInput(f"cannot use --network {text!r}: {why}", hint="options are ip, ip6 and mac")
        found = _with_address(found, key, value, f"--network {text!r}")
    return found


def _with_address(n: Network, field: str, value: str, what: str) -> Network:
    if getattr(n, field):
        raise InvalidInput(f"cannot use {what}: another address of this kind is given")
    if field == "mac":
        return replace(n, mac=_mac(value, what))
    version = 6 if field == "ip6" else 4
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise InvalidInput(f"cannot use {what}: {value!r} is not an IP address") from None
    if address.version != version:
        raise InvalidInput(f"cannot use {what}: that is an IPv{address.version} address", hint="use --ip and --ip6")
    if address.is_multicast or address.is_unspecified or address.is_loopback or "%" in value:
        raise InvalidInput(f"cannot use {what}: it is no address for a pod")
    return replace(n, ip=str(address)) if version == 4 else replace(n, ip6=str(address))


def _mac(text: str, what: str) -> str:
    if not _MAC.fullmatch(text):
        raise InvalidInput(f"cannot use {what}: {text!r} is not a hardware address", hint="as 92:d0:c6:0a:29:33")
    mac = text.lower().replace("-", ":")
    if int(mac[:2], 16) & 1:
        raise InvalidInput(f"cannot use {what}: {mac} is a group's address (its first byte is odd)")
    return mac


@dataclass(frozen=True, slots=True)
class Share:
    """What members have in common: ``shared`` as in SandboxSpec, and the pid namespace. ``infra``: whether that needs
    an infra container."""

    shared: tuple[str, ...] = SHARED
    pid: bool = False
    infra: bool = True


def share(text: str | None) -> Share:
    """``--share``: a list of namespaces, ``+LIST`` beside the default ones, ``none`` or "" for none. Raises
    InvalidInput."""
    if text is None:
        return Share()
    if text in ("", "none"):
        return Share((), infra=False)
    names = {name.strip() for name in text.removeprefix("+").split(",")}
    for name in sorted(names):
        if name == "user":
            raise InvalidInput(f"cannot use --share {text!r}: members always have the pod's users")
        if name not in NAMESPACES:
            near = did_you_mean(name, NAMESPACES)
            hint = f"namespaces are {', '.join(NAMESPACES)}"
            raise InvalidInput(f"cannot use --share {text!r}: there is no namespace {name!r}{near}", hint=hint)
    if text.startswith("+"):
        names |= {*SHARED}
    return Share(tuple(sorted(names - {"pid"})), "pid" in names)


def host_users(text: str | None) -> bool:
    """``--userns``: False for ``auto``, users of its own. Raises InvalidInput."""
    if text in (None, "", "host"):
        return True
    name, colon, _ = str(text).partition(":")
    if name == "auto" and not colon:
        return False
    if name == "auto":
        raise InvalidInput(f"cannot use --userns {text!r}: a pod has 65536 ids", hint="write --userns=auto")
    why = _USERNS_OTHER.get(name, f"there is no such mode{did_you_mean(name, ['auto', 'host'])}")
    raise InvalidInput(f"cannot use --userns {text!r}: {why}", hint="use host or auto")


def is_host(text: str | None, option: str) -> bool:
    """``--pid`` and ``--ipc``: whether it is the machine's namespace. Raises InvalidInput."""
    if text in (None, "", "private", "host"):
        return text == "host"
    near = did_you_mean(str(text), ["host", "private"])
    raise InvalidInput(f"cannot use {option} {text!r}: it is host or private{near}", hint="others are shared in a pod")


def hostname(text: str | None) -> str:
    """A host name; "" for the default. Raises InvalidInput."""
    if text and (len(text) > HOSTNAME_MAX or not _HOSTNAME.fullmatch(text)):
        why = (
            f"it must be {HOSTNAME_MAX} letters, digits, '-', '_' and '.' at most, with a letter or digit at both ends"
        )
        raise InvalidInput(f"cannot use --hostname {text!r}: {why}")
    return text or ""


def sysctls(texts: Iterable[str]) -> Pairs:
    """``--sysctl NAME=VALUE`` by name; of two for one name the later counts. Raises InvalidInput."""
    found: dict[str, str] = {}
    for text in texts:
        doing = f"cannot use --sysctl {text!r}"
        written, equals, value = text.partition("=")
        name = sysctl(written)
        if not equals or not name:
            raise InvalidInput(f"{doing}: it is not a sysctl", hint="write NAME=VALUE, as net.core.somaxconn=1024")
        if not sysctl_namespace(name):
            raise InvalidInput(f"{doing}: it would be set for the whole machine")
        found[name] = value
    return tuple(sorted(found.items()))


def dns(servers: Iterable[str], options: Iterable[str] = (), searches: Iterable[str] = ()) -> Dns:
    """With ``--dns`` these servers alone are asked (and pods' names are not found); the rest is added to what the pod
    has anyway. Raises InvalidInput."""
    asked = tuple(dict.fromkeys(_server(text) for text in servers))
    if len(asked) > NAMESERVERS_MAX:
        why = f"programs ask {NAMESERVERS_MAX} at most (resolv.conf(5))"
        raise InvalidInput(f"cannot use --dns {' '.join(asked)}: {why}")
    domains = tuple(dict.fromkeys(_domain(text) for text in searches))
    if len(domains) > SEARCHES_MAX:
        raise InvalidInput(f"cannot use {len(domains)} domains for --dns-search: {SEARCHES_MAX} at most")
    policy = DnsPolicy.NONE if asked else DnsPolicy.CLUSTER_FIRST
    return Dns(policy, asked, domains, tuple(dict.fromkeys(_option(text) for text in options)))


def _server(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        why = "the image's resolv.conf is not used" if text == "none" else "it is not an IP address"
        raise InvalidInput(f"cannot use --dns {text!r}: {why}") from None


def _domain(text: str) -> str:
    if text == ".":
        why = "pods are found by the domains that are there anyway"
        raise InvalidInput("cannot use --dns-search '.': " + why, hint="--dns alone gives a pod none of them")
    if len(text) > 253 or not _DOMAIN.fullmatch(text):
        raise InvalidInput(f"cannot use --dns-search {text!r}: it is not a domain")
    return text.removesuffix(".")


def _option(text: str) -> str:
    if not text or any(c.isspace() for c in text):
        raise InvalidInput(f"cannot use --dns-option {text!r}: it is not an option of resolv.conf", hint="as ndots:2")
    return text


def aliases(texts: Iterable[str]) -> tuple[HostAlias, ...]:
    """``--add-host NAME[;NAME...]:IP``, in their order. Raises InvalidInput."""
    return tuple(dict.fromkeys(_alias(text) for text in texts))


def _alias(text: str) -> HostAlias:
    doing, hint = f"cannot use --add-host {text!r}", "write NAME[;NAME...]:IP, as db:10.0.0.5"
    joined, colon, address = text.partition(":")
    names = joined.split(";")
    if not colon or not all(_DOMAIN.fullmatch(name) for name in names):
        raise InvalidInput(f"{doing}: it is not NAME:IP", hint=hint)
    if address == "host-gateway":
        raise InvalidInput(f"{doing}: host-gateway is not supported", hint="write an address of this machine's")
    try:
        found = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise InvalidInput(f"{doing}: {address!r} is not an IP address", hint=hint) from None
    return HostAlias(str(found), tuple(names))
