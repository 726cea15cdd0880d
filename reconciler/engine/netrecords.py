"""The networks on record: state/networks/<name>.json is the truth of each, as record.json is of a pod.

The instance's own network, ``default``, is recorded when the first pod needs it; others are made by ``network create``.
Written by holders of ``layout.network_lock``; a reader sees a whole file, perhaps an older one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from reconciler.engine import records
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.network import ipv6
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.engine.network.subnet import Network
from reconciler.engine.store import settings
from reconciler.engine.store.addresses import Pool
from reconciler.model.errors import HostUnfit, TryLater
from reconciler.model.spec import DEFAULT_NETWORK as DEFAULT

_SUBNET = "network.subnet"
"""Where the store has the IPv4 network of an instance that began before networks were recorded."""


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """Networks and addresses as text; ``subnet6`` "" has no IPv6, a gateway "" is the first address of its network,
    ``mtu`` 0 is the uplink's."""

    name: str
    subnet: str
    subnet6: str = ""
    gateway: str = ""
    gateway6: str = ""
    internal: bool = False
    dns: bool = True
    mtu: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    created_wall: float = 0.0

    @property
    def id(self) -> str:
        """As Podman's: from the name alone."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def networks(self) -> tuple[Network, ...]:
        return (IPv4Network(self.subnet), *((IPv6Network(self.subnet6),) if self.subnet6 else ()))


def read(ctx: Context, name: str) -> NetworkRecord | None:
    """The network called ``name`` ("" for the instance's own), or None where it is not on record."""
    found = records.read(ctx.layout.networks, _file(name or DEFAULT), NetworkRecord)
    if found is None and (name or DEFAULT) == DEFAULT:
        known = settings.get(ctx.store, _SUBNET)
        return NetworkRecord(DEFAULT, known) if known else None
    return found


def every(ctx: Context) -> tuple[NetworkRecord, ...]:
    """All networks on record, the instance's own first."""
    names = {path.name.removesuffix(".json") for path in _files(ctx.layout.networks)} | {DEFAULT}
    found = (read(ctx, name) for name in sorted(names, key=lambda n: (n != DEFAULT, n)))
    return tuple(one for one in found if one is not None)


def write(ctx: Context, record: NetworkRecord) -> None:
    records.write(ctx.layout.networks, _file(record.name), record)


@effect("network.forget")
def remove(ctx: Context, name: str) -> None:
    """Nothing happens where it is not on record."""
    try:
        (ctx.layout.networks / _file(name)).unlink(missing_ok=True)
    except OSError as e:
        raise TryLater(f"cannot remove {ctx.layout.networks / _file(name)}: {e.strerror}") from e


def bridge_of(ctx: Context, record: NetworkRecord) -> BridgeConfig:
    """The network as the host has it; without IPv6 where that is not to be had now."""
    dual = bool(record.subnet6) and not why_no_ipv6(ctx)
    return _bridge_of(record, ctx.layout.tag, record.mtu or ctx.cache.mtu or 1500, dual=dual)


@lru_cache
def _bridge_of(record: NetworkRecord, tag: str, mtu: int, *, dual: bool) -> BridgeConfig:
    return BridgeConfig(
        tag=tag,
        network=IPv4Network(record.subnet),
        mtu=mtu,
        network6=IPv6Network(record.subnet6) if dual else None,
        id="" if record.name == DEFAULT else record.id,
        internal=record.internal,
        gateways=(record.gateway, record.gateway6),
    )


def pool_of(name: str, config: BridgeConfig) -> Pool:
    """Where the pods of the network called ``name`` get their addresses."""
    return Pool(name or DEFAULT, config.network, config.network6, config.addresses)


def why_no_ipv6(ctx: Context) -> str:
    """Why pods get no IPv6 on this host; "" where they do. The kernel is asked once a second at most: it is asked for
    seven times while a pod is made.

    Raises HostUnfit where the owner insists on it and the kernel has none.
    """
    wanted = ctx.config.network.ipv6
    if wanted is False:
        return "the configuration file says so ([network] ipv6)"
    due, why = ctx.cache.no_ipv6
    if (now := ctx.clock.now()) >= due:
        why = ipv6.why_not()
        ctx.cache.no_ipv6 = (now + 1, why)
    if why and wanted is True:
        raise HostUnfit(f"cannot give pods IPv6: {why}", hint="set [network] ipv6 = false in the configuration file")
    return why


def _file(name: str) -> str:
    return f"{name}.json"


def _files(directory: Path) -> Iterator[Path]:
    """Not those that are just being written."""
    if directory.is_dir():
        yield from (path for path in directory.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
