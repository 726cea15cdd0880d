"""resolv.conf: the host's read, a pod's made by dnsPolicy and dnsConfig. Pure.

The rules are the kubelet's (pkg/kubelet/network/dns/dns.go: GetPodDNS): ClusterFirst asks our server alone and looks
in the pod's namespace first, dnsConfig is added behind with duplicates left out, its options win, and what libc would
not take is cut and told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.engine.dns import names
from reconciler.model.spec import Dns, DnsPolicy

NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
SEARCH_CHARACTERS_MAX = 2048
DOMAIN_MAX = 253

CLUSTER_OPTIONS = ("ndots:5",)
"""With five points in ``hostname.subdomain.namespace.svc`` and less, the search list comes first."""

FORMING = "DNSConfigForming"
"""The kubelet's reason for events about what was cut."""


@dataclass(frozen=True, slots=True)
class ResolvConf:
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The file."""
        lines = [f"search {' '.join(self.searches)}"] if self.searches else []
        lines += [f"nameserver {server}" for server in self.nameservers]
        lines += [f"options {' '.join(self.options)}"] if self.options else []
        return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> ResolvConf:
    """Read a file as resolv.conf(5) has it: of several ``search`` (or ``domain``) or ``options`` the last counts."""
    found = ResolvConf()
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "nameserver" and rest:
            found = replace(found, nameservers=(*found.nameservers, rest[0]))
        elif word in ("search", "domain"):
            wanted = rest if word == "search" else rest[:1]
            found = replace(found, searches=tuple(_unpointed(s) for s in wanted))
        elif word == "options":
            found = replace(found, options=tuple(rest))
    return found


def for_pods(host: str, resolved: str, servers: tuple[str, ...] = ()) -> ResolvConf:
    """What pods with a network of their own can use of the host's resolv.conf.

    Where that names only loopback resolvers, which a pod cannot reach, what systemd-resolved asks itself
    (``resolved``) stands in, as kubeadm has it. With neither, no name server is left. ``servers`` replaces them all.
    """
    own, behind = parse(host), parse(resolved)
    chosen = own if any(map(_reachable, own.nameservers)) else behind
    if servers or not any(map(_reachable, chosen.nameservers)):
        return replace(own, nameservers=servers)
    return replace(chosen, nameservers=tuple(filter(_reachable, chosen.nameservers)))


def of_pod(
    dns: Dns, host: ResolvConf, ours: tuple[str, ...], namespace: str, domain: str, *, host_network: bool
) -> tuple[ResolvConf, tuple[str, ...]]:
    """A pod's resolv.conf, and what had to be cut, as sentences. ``ours``: our server's addresses, empty where it
    cannot be had; then ClusterFirst is as Default."""
    if dns.policy is DnsPolicy.NONE:
        base = ResolvConf()
    elif ours and asks_us(dns, host_network=host_network):
        around = (*names.searches(namespace, domain), *host.searches)
        base = ResolvConf(ours, _once(around), CLUSTER_OPTIONS)
    elif ours and not host.nameservers:
        base = replace(host, nameservers=ours)  # the host's own resolver is on its loopback: ours asks it
    else:
        base = host
    return _within_limits(_merged(base, dns))


def asks_us(dns: Dns, *, host_network: bool) -> bool:
    """Whether a pod with this policy is to ask our server (kubelet: getPodDNSType)."""
    if dns.policy is DnsPolicy.CLUSTER_FIRST:
        return not host_network
    return dns.policy is DnsPolicy.CLUSTER_FIRST_WITH_HOST_NET


def _merged(base: ResolvConf, dns: Dns) -> ResolvConf:
    options = {_name(o): o for o in base.options} | {_name(o): o for o in dns.options}
    return ResolvConf(
        _once((*base.nameservers, *dns.nameservers)),
        _once((*base.searches, *map(_unpointed, dns.searches))),
        tuple(options.values()),
    )


def _within_limits(conf: ResolvConf) -> tuple[ResolvConf, tuple[str, ...]]:
    told = []
    servers = conf.nameservers[:NAMESERVERS_MAX]
    if servers != conf.nameservers:
        told.append(f"more than {NAMESERVERS_MAX} name servers: only {' '.join(servers)} are used")
    searches = tuple(s for s in conf.searches[:SEARCHES_MAX] if len(s) <= DOMAIN_MAX)
    while len(" ".join(searches)) > SEARCH_CHARACTERS_MAX:
        searches = searches[:-1]
    if searches != conf.searches:
        told.append(f"the list of search domains is too long: only {' '.join(searches)} are used")
    return ResolvConf(servers, searches, conf.options), tuple(told)


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _name(option: str) -> str:
    return option.partition(":")[0]


def _unpointed(domain: str) -> str:
    """Without the trailing point, so that two spellings count once; "." alone is itself."""
    return domain.removesuffix(".") or "."


def _reachable(address: str) -> bool:
    return not address.startswith("127.") and address != "::1"
