"""A pod's hosts, hostname and resolv.conf: what they should say now, by its spec and by this host.

What was last written is remembered by its stamp, and the files are written again when something else should stand
there: the spec changed, the host's resolvers did (a laptop in another network), our name server came or went. So what
a process wrote there itself stays until then. Whoever holds the key's lock writes; anybody may ask.
"""

from __future__ import annotations

import platform
from functools import lru_cache

from reconciler.engine import nameserver
from reconciler.engine.context import Context
from reconciler.engine.dns import names, resolver
from reconciler.engine.files import Stamp, read_small, stamp
from reconciler.engine.network import files
from reconciler.engine.network.files import PodFiles
from reconciler.engine.records import PodRecord, PodState
from reconciler.engine.store import events
from reconciler.model.errors import ReconcilerError
from reconciler.model.events import EventType

_RESOLV_CONF, _HOSTS = "/etc/resolv.conf", "/etc/hosts"
_RESOLVED = "/run/systemd/resolve/resolv.conf"
"""What systemd-resolved asks itself, where /etc/resolv.conf names only its stub on loopback."""


def write(ctx: Context, record: PodRecord) -> str:
    """Write the files into the pod's directory, and tell what could not be as wanted; their stamp.

    Raises TryLater when the disk refuses.
    """
    wanted, told = _wanted(ctx, record)
    files.write(ctx.layout.pod(record.id), wanted)
    for reason, text in told:
        events.emit(ctx.store, ctx.clock, str(record.key), EventType.WARNING, reason, text)
    return wanted.stamp


def stale(ctx: Context, record: PodRecord, state: PodState) -> bool:
    """Whether something else should stand in the files than what was last written. Not where that cannot be known
    (the configuration file is wrong)."""
    try:
        facts = _facts(ctx, record)
        known = ctx.cache.etc.get(record.id)
        if known is None or known[0] != facts:
            known = ctx.cache.etc[record.id] = facts, _wanted(ctx, record)[0].stamp
        return known[1] != state.files
    except ReconcilerError:
        return False


def _facts(ctx: Context, record: PodRecord) -> object:
    """All that the files follow from: they are put together again only when something of it is another."""
    host = (_text(_RESOLV_CONF), _text(_RESOLVED), platform.node())
    hosts = _text(_HOSTS) if record.spec.sandbox.host_network else ""
    return record, host, hosts, nameserver.addresses(ctx, record), ctx.config.dns


def _wanted(ctx: Context, record: PodRecord) -> tuple[PodFiles, list[tuple[str, str]]]:
    """The files, and events to tell: reason and text."""
    spec, key, sandbox = record.spec, record.key, record.spec.sandbox
    domain = ctx.config.dns.domain
    host = _text(_RESOLV_CONF)
    if sandbox.host_network:
        base = resolver.parse(host)
        # the pod has the host's own name (kubelet: GeneratePodHostNameAndDomain, UTS of the node)
        hostname, hosts = platform.node(), files.host_hosts(_text(_HOSTS), spec.host_aliases)
    else:
        base = resolver.for_pods(host, _text(_RESOLVED), ctx.config.dns.servers)
        hostname = names.kernel_name(key, sandbox, domain)
        hosts = files.hosts(*names.told_to_itself(key, sandbox, domain), record.ips, spec.host_aliases)
    asks_us = resolver.asks_us(spec.dns, host_network=not sandbox.on_bridge)
    deaf = not base.nameservers and sandbox.on_bridge  # the host's own resolver is on its loopback
    ours = nameserver.addresses(ctx, record) if asks_us or deaf else ()
    conf, cut = resolver.of_pod(spec.dns, base, ours, key.namespace, domain, host_network=not sandbox.on_bridge)
    told = [(resolver.FORMING, text) for text in cut]
    if asks_us and not ours and ctx.config.dns.enabled and (why := nameserver.why_not(ctx)):
        told.append(("MissingClusterDNS", f"dnsPolicy is as Default, for pods' names are not served: {why}"))
    return PodFiles(hosts, f"{hostname}\n", str(conf)), told


def _text(path: str) -> str:
    return _text_of(path, stamp(path))


@lru_cache(maxsize=8)
def _text_of(path: str, _stamp: Stamp | None) -> str:
    """The host's files, which are the same for all pods: each is read once."""
    try:
        return read_small(path).decode(errors="replace")
    except OSError:
        return ""
