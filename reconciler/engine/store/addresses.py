"""Leases of pod addresses. A lease belongs to a key, not to one life of its pod: a recreated pod keeps its address."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network

from reconciler.engine.store.tx import Store
from reconciler.model.errors import TryLater
from reconciler.model.key import Key


def lease(store: Store, key: Key, network: IPv4Network, taken: Collection[str] = ()) -> str:
    """The key's address in ``network``: the one it has, else the lowest free one (the first host address is
    the gateway's). ``taken`` are addresses that others use, known from elsewhere.

    Raises TryLater when the network is full.
    """
    with store.transaction() as tx:
        held = tx.execute(
            "SELECT address FROM addresses WHERE kind = ? AND namespace = ? AND name = ?",
            (key.kind, key.namespace, key.name),
        ).fetchone()
        if held and IPv4Address(held[0]) in network:
            return str(held[0])
        address = _lowest_free(tx, network, taken)
        tx.execute(
            "INSERT OR REPLACE INTO addresses (address, kind, namespace, name) VALUES (?, ?, ?, ?)",
            (address, key.kind, key.namespace, key.name),
        )
        return address


def release(store: Store, key: Key) -> None:
    """Give the key's address back; nothing happens where it has none."""
    with store.transaction() as tx:
        tx.execute(
            "DELETE FROM addresses WHERE kind = ? AND namespace = ? AND name = ?", (key.kind, key.namespace, key.name)
        )


def leases(store: Store) -> dict[Key, str]:
    """Every lease there is."""
    rows = store.read("SELECT kind, namespace, name, address FROM addresses")
    return {Key(str(ns), str(name), str(kind)): str(address) for kind, ns, name, address in rows}


def _lowest_free(tx: sqlite3.Connection, network: IPv4Network, taken: Collection[str]) -> str:
    used = {row[0] for row in tx.execute("SELECT address FROM addresses")} | set(taken)
    hosts = network.hosts()
    next(hosts)  # the gateway's
    for host in hosts:
        if str(host) not in used:
            return str(host)
    raise TryLater(f"cannot give the pod an address: all of {network} are in use")
