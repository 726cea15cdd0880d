"""Leases of pod addresses, IPv4 and IPv6. A lease belongs to a key, not to one life of its pod: a recreated pod keeps
its addresses as long as it stays in its network."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from reconciler.engine.store.tx import Store
from reconciler.model.errors import InvalidInput, TryLater
from reconciler.model.key import Key

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Pool:
    """Where a network's addresses come from. ``reserved`` are those that no pod gets: the gateways'."""

    name: str
    network: IPv4Network
    network6: IPv6Network | None = None
    reserved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """``ip6`` "" where the network had no IPv6 when the pod got it."""

    ip: str
    ip6: str = ""
    network: str = ""

    @property
    def ips(self) -> tuple[str, ...]:
        return tuple(ip for ip in (self.ip, self.ip6) if ip)


def lease(
    store: Store, key: Key, pool: Pool, taken: Collection[str] = (), *, wanted: tuple[str, str] = ("", "")
) -> Lease:
    """The key's addresses in the pool: those that it is to have (``wanted``: an IPv4 and an IPv6 address, "" for any),
    else those it has, else the lowest free one, and the IPv6 address at the same place in its network. ``taken`` are
    addresses that others use, known from elsewhere.

    Raises TryLater when the network is full, InvalidInput when a wanted address cannot be had.
    """
    with store.transaction() as tx:
        held = _held(tx, key)
        networks = {4: pool.network, 6: pool.network6}
        kept = {f: a for f, a in held.items() if _is_of(a, pool.name, networks[f])}
        kept |= {f: (a, pool.name) for f, a in zip((4, 6), wanted, strict=True) if a}
        _delete(tx, key)
        for address in filter(None, wanted):
            _require_free(tx, address, pool)
        used = {str(row[0]) for row in tx.execute("SELECT address FROM leases")} | set(taken) | set(pool.reserved)
        ip = kept[4][0] if 4 in kept else _first_free(_hosts(pool.network), used, pool.network)
        ip6 = kept[6][0] if 6 in kept else _beside(ip, pool, used)
        _write(tx, key, Lease(ip, ip6, pool.name))
        return Lease(ip, ip6, pool.name)


def _require_free(tx: sqlite3.Connection, address: str, pool: Pool) -> None:
    asked = ip_address(address)
    doing = f"cannot give the pod the address {address}"
    network = pool.network if asked.version == 4 else pool.network6
    if network is None:
        raise InvalidInput(f"{doing}: network {pool.name} has no IPv6")
    if asked not in network:
        raise InvalidInput(f"{doing}: it is not in network {pool.name}, which is {network}")
    if address in pool.reserved:
        raise InvalidInput(f"{doing}: it is the gateway of network {pool.name}")
    if asked == network[0] or (asked.version == 4 and asked == network[-1]):
        raise InvalidInput(f"{doing}: it stands for all of {network}")
    holders = tx.execute("SELECT namespace, name FROM leases WHERE address = ?", (address,))
    for namespace, name in holders:
        raise InvalidInput(f"{doing}: pod {namespace}/{name} has it")


def file(store: Store, key: Key, lease: Lease) -> None:
    """Write down a lease that is known from a record; one that is there stays as it is."""
    with store.transaction() as tx:
        for address in lease.ips:
            tx.execute(
                "INSERT OR IGNORE INTO leases (address, family, network, kind, namespace, name)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (address, ip_address(address).version, lease.network, key.kind, key.namespace, key.name),
            )


def release(store: Store, key: Key) -> None:
    """Give the key's addresses back; nothing happens where it has none."""
    with store.transaction() as tx:
        _delete(tx, key)


def leases(store: Store, *, published: bool = False) -> dict[Key, Lease]:
    """Every lease there is, or those of pods whose host ports are ``published``."""
    found: dict[Key, Lease] = {}
    keys = (
        " WHERE (kind, namespace, name) IN (SELECT kind, namespace, name FROM pods WHERE published AND ports != '[]')"
    )
    where = keys if published else ""
    for kind, ns, name, network, address in store.read(
        f"SELECT kind, namespace, name, network, address FROM leases{where} ORDER BY family"
    ):
        key = Key(str(ns), str(name), str(kind))
        before = found.get(key)
        if ":" in str(address):
            found[key] = Lease(before.ip if before else "", str(address), str(network))
        else:
            found[key] = Lease(str(address), "", str(network))
    return found


def users(store: Store, network: str) -> tuple[Key, ...]:
    """The keys that have an address in the network called ``network``."""
    return tuple(sorted(key for key, lease in leases(store).items() if lease.network == network))


def _held(tx: sqlite3.Connection, key: Key) -> dict[int, tuple[str, str]]:
    """Address and network by family."""
    rows = tx.execute(
        "SELECT family, address, network FROM leases WHERE kind = ? AND namespace = ? AND name = ?",
        (key.kind, key.namespace, key.name),
    )
    return {int(family): (str(address), str(network)) for family, address, network in rows}


def _is_of(held: tuple[str, str], name: str, network: Network | None) -> bool:
    return network is not None and held[1] == name and ip_address(held[0]) in network


def _write(tx: sqlite3.Connection, key: Key, lease: Lease) -> None:
    for address in lease.ips:
        tx.execute(
            "INSERT INTO leases (address, family, network, kind, namespace, name) VALUES (?, ?, ?, ?, ?, ?)",
            (address, ip_address(address).version, lease.network, key.kind, key.namespace, key.name),
        )


def _delete(tx: sqlite3.Connection, key: Key) -> None:
    tx.execute("DELETE FROM leases WHERE kind = ? AND namespace = ? AND name = ?", (key.kind, key.namespace, key.name))


def _beside(ip: str, pool: Pool, used: Collection[str]) -> str:
    """The IPv6 address with the number that ``ip`` has in its network, or the lowest free one; "" without IPv6."""
    network = pool.network6
    if network is None:
        return ""
    number = int(ip_address(ip)) - int(pool.network.network_address)
    same = str(network[number]) if number < network.num_addresses else ""
    return same if same and same not in used else _first_free(_hosts(network), used, network)


def _hosts(network: Network) -> Iterator[str]:
    """All but the first host's, which is the gateway's unless it was set. As many are passed as there are pods: of IPv4
    each takes a tenth of the time that an object of ``ipaddress`` takes."""
    numbers = range(2, network.num_addresses - (network.version == 4))
    first = int(network.network_address)
    if network.version == 4:
        return (socket.inet_ntoa((first + n).to_bytes(4)) for n in numbers)
    return (str(network[n]) for n in numbers)


def _first_free(hosts: Iterator[str], used: Collection[str], network: Network) -> str:
    for host in hosts:
        if host not in used:
            return host
    raise TryLater(f"cannot give the pod an address: all of {network} are in use")
