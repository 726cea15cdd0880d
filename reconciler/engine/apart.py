"""What a member has for itself where its pod shares less than the usual: addresses, a link, names, files of /etc.

Of a member with a network of its own the addresses are in its record, leased before anything else is done; the link is
made when the container is created and before its program starts. Both are found by the container's id, and go with it.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from reconciler.engine import files as trees
from reconciler.engine import processes, recorded
from reconciler.engine.context import Context
from reconciler.engine.dns import names
from reconciler.engine.effects import effect
from reconciler.engine.network import files
from reconciler.engine.oci.bundle import own_hostname
from reconciler.engine.records import ContainerRecord, PodRecord
from reconciler.engine.store import addresses
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Lease
from reconciler.engine.watched import process_of
from reconciler.model.errors import TryLater
from reconciler.model.key import CONTAINER, ContainerId, Key
from reconciler.model.spec import HostAlias

MEMBERS = "members"
"""In a pod's directory: for each member with files of its own a directory, called by the container's id."""


def settled(ctx: Context, pod: PodRecord, record: ContainerRecord) -> ContainerRecord:
    """The record with the addresses that the container has or gets, and its files written.

    Raises TryLater, NotFound.
    """
    sandbox = pod.spec.sandbox
    if sandbox.separate:
        from reconciler.engine import networks

        index.add_container(ctx.store, record.id, record.pod)  # whoever tidies up knows whose the address is
        lease = networks.lease_for(ctx, key_of(record), sandbox.network) if sandbox.apart else Lease("")
        record = replace(record, ip=lease.ip, ip6=lease.ip6)
        write(ctx, pod, record)
    return record


def key_of(record: ContainerRecord) -> Key:
    """Under which its addresses and names are filed."""
    return Key(record.key.namespace, record.id, CONTAINER)


def connect(ctx: Context, container: ContainerId) -> None:
    """Link a created container that has a network of its own, and make it known by its name. Again is fine.

    Raises TryLater when its process is gone or the kernel refuses.
    """
    record = recorded.require(ctx, container)
    if not record.ip:
        return
    pod, process = recorded.require_pod(ctx, record.pod), process_of(recorded.facts_of(ctx, container))
    if not processes.alive(process):
        raise TryLater(f"cannot connect container {record.name}: its process is gone")
    from reconciler.engine import nameserver, networks

    networks.attach_member(ctx, pod.spec.sandbox.network, container, process, (record.ip, record.ip6))
    nameserver.register_member(ctx, pod, record)


def leave(ctx: Context, record: ContainerRecord) -> None:
    """Give back what a container had that is gone; its link went with its namespace."""
    directory = ctx.layout.pod(record.pod) / MEMBERS / record.id
    if directory.exists():
        trees.discard(directory, ctx.layout.trash)
    if record.ip:
        from reconciler.engine import nameserver

        nameserver.withdraw(ctx, key_of(record))
        addresses.release(ctx.store, key_of(record))


def write(ctx: Context, pod: PodRecord, record: ContainerRecord) -> None:
    """The container's own hosts and hostname. Raises TryLater when the disk refuses."""
    directory = ctx.layout.pod(pod.id) / MEMBERS / record.id
    _make(directory)
    sandbox = pod.spec.sandbox
    called = _host_name(pod, record)
    ips = tuple(filter(None, (record.ip, record.ip6))) if "net" not in sandbox.shared else pod.ips
    own = tuple(HostAlias(ip, (record.name,)) for ip in ips)
    files.put(directory / files.HOSTNAME, f"{called}\n")
    files.put(directory / files.HOSTS, files.hosts(called, "", ips, (*own, *pod.spec.host_aliases)))


def rewrite(ctx: Context, pod: PodRecord) -> None:
    """The same of every member of the pod that has such files. Raises TryLater."""
    top = ctx.layout.pod(pod.id) / MEMBERS
    for directory in sorted(top.iterdir()) if top.is_dir() else ():
        record = recorded.record_of(ctx, ContainerId(directory.name))
        if record is not None:
            write(ctx, pod, record)


def _host_name(pod: PodRecord, record: ContainerRecord) -> str:
    sandbox = pod.spec.sandbox
    if "uts" not in sandbox.shared:
        return own_hostname(record.id)
    return platform.node() if sandbox.host_network else names.short_name(pod.key, sandbox)


@effect("member.make")
def _make(directory: Path) -> None:
    try:
        directory.parent.mkdir(mode=0o711, exist_ok=True)
        directory.mkdir(mode=0o711, exist_ok=True)
    except OSError as e:
        raise TryLater(f"cannot write {directory}: {e.strerror}") from e
