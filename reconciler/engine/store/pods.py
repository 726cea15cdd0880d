"""The index of records: which pod has a key, which containers a pod has, which host ports are whose.

A row is written before the record file it points to and deleted after it, so no record is ever invisible;
a row without a record means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.engine.store.tx import Store
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.spec import PortBinding, Protocol


@dataclass(frozen=True, slots=True)
class PodRow:
    """``published``: its host ports are (to be) in the nftables maps."""

    id: PodId
    key: Key
    ports: tuple[PortBinding, ...]
    published: bool


def add_pod(store: Store, pod: PodId, key: Key, ports: Iterable[PortBinding]) -> None:
    """File a pod under its key."""
    text = _text(ports)
    with store.transaction() as tx:
        tx.execute(
            "INSERT OR IGNORE INTO pods (id, kind, namespace, name, ports) VALUES (?, ?, ?, ?, ?)",
            (pod, key.kind, key.namespace, key.name, text),
        )


def set_published(store: Store, pod: PodId, published: bool) -> None:
    with store.transaction() as tx:
        tx.execute("UPDATE pods SET published = ? WHERE id = ?", (int(published), pod))


def publish(store: Store, pod: PodId, ports: Iterable[PortBinding]) -> None:
    """The pod has these host ports, and they lead to it."""
    with store.transaction() as tx:
        tx.execute("UPDATE pods SET ports = ?, published = 1 WHERE id = ?", (_text(ports), pod))


def set_ports(store: Store, pod: PodId, ports: Iterable[PortBinding]) -> None:
    """The pod has these host ports."""
    with store.transaction() as tx:
        tx.execute("UPDATE pods SET ports = ? WHERE id = ?", (_text(ports), pod))


def release_ports(store: Store, pod: PodId) -> None:
    """The pod has no host ports any more, published or held."""
    with store.transaction() as tx:
        tx.execute("UPDATE pods SET ports = '[]', published = 0 WHERE id = ?", (pod,))


def remove_pod(store: Store, pod: PodId) -> None:
    """Forget a pod and its containers."""
    with store.transaction() as tx:
        tx.execute("DELETE FROM containers WHERE pod = ?", (pod,))
        tx.execute("DELETE FROM pods WHERE id = ?", (pod,))


def pods_of(store: Store, key: Key) -> tuple[PodId, ...]:
    """The pods filed under a key, oldest first (two only in the middle of a repair)."""
    rows = store.read(
        "SELECT id FROM pods WHERE kind = ? AND namespace = ? AND name = ? ORDER BY rowid",
        (key.kind, key.namespace, key.name),
    )
    return tuple(PodId(str(row[0])) for row in rows)


def with_containers_of(store: Store, key: Key) -> dict[PodId, list[ContainerId]]:
    """The same with their containers, in the order in which they were filed: for each look at a pod one question."""
    rows = store.read(
        "SELECT pods.id, containers.id FROM pods LEFT JOIN containers ON containers.pod = pods.id"
        " WHERE kind = ? AND namespace = ? AND pods.name = ? ORDER BY pods.rowid, containers.rowid",
        (key.kind, key.namespace, key.name),
    )
    found: dict[PodId, list[ContainerId]] = {}
    for pod, container in rows:
        mine = found.setdefault(PodId(str(pod)), [])
        if container is not None:
            mine.append(ContainerId(str(container)))
    return found


def all_pods(store: Store, *, with_ports: bool = False) -> tuple[PodRow, ...]:
    """Every row, or only those of pods that have host ports."""
    where = " WHERE ports != '[]'" if with_ports else ""
    rows = store.read(f"SELECT id, kind, namespace, name, ports, published FROM pods{where}")
    return tuple(
        PodRow(PodId(str(pod)), Key(str(ns), str(name), str(kind)), _bindings(str(ports)), bool(published))
        for pod, kind, ns, name, ports, published in rows
    )


def request(store: Store, pod: PodId, thousandths: int) -> int:
    """Write what a Burstable pod requests, in thousandths of a CPU; returns what all of them do together."""
    with store.transaction() as tx:
        tx.execute("UPDATE pods SET requested = ? WHERE id = ?", (thousandths, pod))
        return int(tx.execute("SELECT TOTAL(requested) FROM pods").fetchone()[0])


def is_empty(store: Store) -> bool:
    """Whether no pod is filed."""
    return not store.read("SELECT 1 FROM pods LIMIT 1")


def add_container(store: Store, container: ContainerId, pod: PodId, name: str = "", attempt: int = 0) -> None:
    """File a container of a pod. ``name`` "": it is none that anybody may name (an infra container)."""
    with store.transaction() as tx:
        tx.execute(
            "INSERT INTO containers (id, pod, name, attempt) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, attempt = excluded.attempt",
            (container, pod, name, attempt),
        )


def remove_container(store: Store, container: ContainerId) -> None:
    with store.transaction() as tx:
        tx.execute("DELETE FROM containers WHERE id = ?", (container,))


def containers_of(store: Store, pod: PodId) -> tuple[ContainerId, ...]:
    rows = store.read("SELECT id FROM containers WHERE pod = ? ORDER BY rowid", (pod,))
    return tuple(ContainerId(str(row[0])) for row in rows)


def pod_of(store: Store, container: ContainerId) -> PodId | None:
    rows = store.read("SELECT pod FROM containers WHERE id = ?", (container,))
    return PodId(str(rows[0][0])) if rows else None


def all_containers(store: Store) -> dict[ContainerId, PodId]:
    return {ContainerId(str(c)): PodId(str(p)) for c, p in store.read("SELECT id, pod FROM containers")}


def names_by_pod(store: Store) -> dict[PodId, frozenset[str]]:
    """What each pod's containers are called."""
    found: dict[PodId, set[str]] = {}
    for pod, name in store.read("SELECT DISTINCT pod, name FROM containers"):
        found.setdefault(PodId(str(pod)), set()).add(str(name))
    return {pod: frozenset(names) for pod, names in found.items()}


def key_of_container(store: Store, container: ContainerId) -> Key | None:
    """The key whose pod the container belongs to."""
    rows = store.read(
        "SELECT p.kind, p.namespace, p.name FROM containers c JOIN pods p ON p.id = c.pod WHERE c.id = ?", (container,)
    )
    return Key(str(rows[0][1]), str(rows[0][2]), str(rows[0][0])) if rows else None


def label_of(store: Store, container: ContainerId) -> tuple[str, int]:
    """What a container is called in its pod, and which attempt it is; "" and 0 where that is not known."""
    rows = store.read("SELECT name, attempt FROM containers WHERE id = ?", (container,))
    return (str(rows[0][0]), int(str(rows[0][1]))) if rows else ("", 0)


def _text(ports: Iterable[PortBinding]) -> str:
    return json.dumps([[p.host_port, p.container_port, p.protocol.value, p.host_ip] for p in ports])


def _bindings(text: str) -> tuple[PortBinding, ...]:
    return tuple(PortBinding(host, inner, Protocol(protocol), ip) for host, inner, protocol, ip in json.loads(text))
