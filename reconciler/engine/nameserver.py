"""The instance's name server, as pods' lives need it: who is on record there, that it runs, that it goes.

One aardvark-dns for the instance, started by whoever needs it first and by nobody's child; it outlives the
controller. All that it knows is derived from the records, so every function here can be called again, by any number
of threads and processes at once (``dns_lock``). Nothing here keeps a pod from running: where names cannot be served,
that is told once, ``info`` says why, and pods get the host's resolvers (``podfiles``) until it can.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from reconciler.engine import boundary, files, locks, netrecords, networks, recorded, records
from reconciler.engine.context import Context
from reconciler.engine.dns import names, redirect, resolver, server, table
from reconciler.engine.dns.server import PORT, Server
from reconciler.engine.network import ports
from reconciler.engine.network.bridge import BridgeConfig
from reconciler.engine.records import RECORD, STATE, ContainerRecord, PodRecord, PodState
from reconciler.engine.store import events
from reconciler.engine.store import pods as index
from reconciler.model.errors import HostUnfit, ReconcilerError, TryLater
from reconciler.model.events import EventType
from reconciler.model.key import Key
from reconciler.model.observed import PidRef
from reconciler.model.spec import DEFAULT_NETWORK as DEFAULT
from reconciler.model.spec import PodSpec, PortBinding, Protocol, SandboxSpec, share_address

ABOUT = "names"
"""What events about the name server are about."""

OTHER_PORTS = range(1053, 1153)
"""Where it listens when somebody else has port 53."""

_RESOLV_CONF = Path("/etc/resolv.conf")
_RESOLVERS = "resolvers"
_TROUBLE = "trouble"
_STARTED = "started"
"""Renamed into the directory at each start, for those who watch it."""


_INTERNAL = "%int"
"""Ends the name of a network's file that has no way out: nothing is asked of others for its pods (since 1.11)."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network whose pods are to find each other. ``name`` is that of its record."""

    name: str
    bridge: BridgeConfig

    @property
    def listen(self) -> tuple[str, ...]:
        return self.bridge.addresses

    @property
    def file(self) -> str:
        return self.bridge.name + (_INTERNAL if self.bridge.internal else "")


# --- what pods are told ---------------------------------------------------------------------------------------------


def addresses(ctx: Context, record: PodRecord) -> tuple[str, ...]:
    """Whom the pod asks: the gateway of its network, by one address (there is room for three servers in all); none
    where names cannot be served. Asked at each look at a pod, so it is cheap and changes nothing."""
    if why_not(ctx):
        return ()
    network = netrecords.read(ctx, record.spec.sandbox.network)
    if network is None or not network.dns:
        return ()
    return (network.gateway or _first_address(network.subnet),)


@cache
def _first_address(subnet: str) -> str:
    return str(IPv4Network(subnet)[1])


def why_not(ctx: Context) -> str:
    """Why names cannot be served, or ""."""
    if not ctx.config.dns.enabled:
        return "[dns] enabled is false in the configuration file"
    if server.program() is None:
        return "there is no aardvark-dns on this machine (Debian package aardvark-dns)"
    trouble = f"{ctx.layout.dns}/{_TROUBLE}"
    if not os.access(trouble, os.F_OK):
        return ""  # as nearly always: an exception would cost more than all else here
    return (files.read_or_none(trouble) or b"").decode(errors="replace")


def port(ctx: Context) -> int:
    """Where the gateways serve names: also where 53 leads elsewhere, that is what the host's own filters see."""
    found = server.find(ctx.layout.dns_tables)
    return found.port if found else PORT


# --- pods come and go -----------------------------------------------------------------------------------------------


@contextmanager
def registering(ctx: Context, record: PodRecord) -> Iterator[Callable[[], None]]:
    """Make the pod's names known, and what its link needs, beside the making of its first process; and beside each
    other: a server that starts is mostly waited for. It begins when what is yielded is called (``Beside.begin``), or at
    the end."""
    network = _network_of(ctx, record)  # in this thread, which has the store open

    def work(do: Callable[[], None]) -> None:
        do()
        ctx.store.close()

    todo: list[Callable[[], None]] = [lambda: _register(ctx, record, network)]
    if record.ip and not networks.is_prepared(ctx):
        todo.append(lambda: networks.prepare(ctx, record))
    threads = [threading.Thread(target=work, args=(do,), name="names") for do in todo]

    def begin() -> None:
        for thread in threads:
            if thread.ident is None:
                thread.start()

    try:
        yield begin
        begin()
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def register(ctx: Context, record: PodRecord) -> None:
    """Make the pod's names lead to it, and the server run. What is already so is left alone (0.2 ms)."""
    _register(ctx, record, _network_of(ctx, record))


def _register(ctx: Context, record: PodRecord, network: Network | None) -> None:
    if network is None or not ctx.config.dns.enabled:
        return
    with _remembering(ctx), _locked(ctx):
        _require_program(ctx)
        fresh = _unheard(ctx, (network,))
        _serve(ctx, (network,), fresh, changed=_write(ctx, network, record))


def register_member(ctx: Context, pod: PodRecord, member: ContainerRecord) -> None:
    """The same of a member that has addresses of its own: it is found by its name."""
    network = _network_of(ctx, pod)
    if network is None or not ctx.config.dns.enabled:
        return
    with _remembering(ctx), _locked(ctx):
        _require_program(ctx)
        fresh, file = _unheard(ctx, (network,)), ctx.layout.dns_tables / network.file
        before = table.read(file)
        first = table.head(network.listen, ctx.config.dns.servers)
        after = table.with_entry(before, first, _member_entry(ctx, member))
        changed = _put(ctx, file, after, before) if before else _write_all(ctx, network, _records(ctx))
        _serve(ctx, (network,), fresh, changed=changed)


def withdraw(ctx: Context, key: Key) -> None:
    """Nothing leads to the pod any more. Where that cannot be written the others' names are served all the same: it is
    told, and mended by ``tend``."""
    if not ctx.layout.dns_tables.exists():
        return
    try:
        with _locked(ctx):
            changed = [_put(ctx, file, table.without(table.read(file), key)) for file in _tables(ctx)]
            if any(changed) and (found := server.find(ctx.layout.dns_tables)):
                server.read_again(found)
    except ReconcilerError as e:
        with contextlib.suppress(ReconcilerError):
            _emit(
                ctx, EventType.WARNING, "NameNotWithdrawn", f"names still lead to pod {key}, which is gone: {e.message}"
            )


def make_room(ctx: Context, spec: PodSpec) -> None:
    """Before a pod holds its host ports, or listens at them itself: where one of them is the server's, that goes to
    another port, to which port 53 is led."""
    if _is_in_the_way(ctx, server.find(ctx.layout.dns_tables), spec):
        with _remembering(ctx), _locked(ctx):
            if _is_in_the_way(ctx, server.find(ctx.layout.dns_tables), spec):
                _start(ctx, spec)


def gives_way(ctx: Context) -> int:
    """The process that lets go of a host port where a pod wants it (``make_room``), or 0."""
    found = server.find(ctx.layout.dns_tables)
    return found.ref.pid if found else 0


def tend(ctx: Context) -> PidRef | None:
    """See that the server runs where pods need it, with all of them on record, and does not where none does; who it
    is now. For the controller, when it starts, when the server died and now and then."""
    if not _in_use(ctx) and not any(_stands(ctx, record) for record in _records(ctx)):
        return None
    # records are read with the lock: one that is written meanwhile registers itself after us
    with _remembering(ctx), _locked(ctx):
        pods = [record for record in _records(ctx) if _matters(record)]
        if not pods or not ctx.config.dns.enabled:
            _end(ctx)
            return None
        _require_program(ctx)
        one_of_each = {record.spec.sandbox.network: record for record in pods}
        wanted = tuple(filter(None, (_network_of(ctx, record) for record in one_of_each.values())))
        fresh = _unheard(ctx, wanted)
        changed = [_write_all(ctx, network, pods) for network in wanted]
        files = {network.file for network in wanted}
        changed += [_put(ctx, file, "") for file in _tables(ctx) if file.name not in files]
        if wanted:
            _serve(ctx, wanted, fresh, changed=any(changed), thoroughly=True)
    running = server.find(ctx.layout.dns_tables)
    return running.ref if running else None


def lost_a_bridge(ctx: Context) -> bool:
    """Whether somebody took away a bridge that pods stand on. ``tend`` would make it stand without a word: whoever
    mends the network (``upkeep``) is to come first, and tells."""
    known = {record.name: netrecords.bridge_of(ctx, record) for record in netrecords.every(ctx)}
    lost = {name for name, one in known.items() if not all(map(server.is_here, one.addresses))}
    pods = (record for record in _records(ctx) if record.spec.sandbox.on_bridge and _name_of(record) in lost)
    return bool(lost) and any(_stands(ctx, record) for record in pods)


def mend(ctx: Context) -> tuple[str, ...]:
    """Lead port 53 to the server again where somebody changed that; the sentence to tell."""
    found = server.find(ctx.layout.dns_tables)
    if found is None or redirect.leads(ctx.layout.tag, _listen(ctx), found.port):
        return ()
    with locks.exclusive(ctx.layout.dns_lock):
        found = server.find(ctx.layout.dns_tables)  # it may be another one by now
        if found is None or not redirect.ensure(ctx.layout.tag, _listen(ctx), found.port):
            return ()
    return (f"the table {redirect.table_name(ctx.layout.tag)} did not lead to the name server: put right",)


def end_if_last(ctx: Context) -> None:
    """End the server when no pod is left. Cheap where there is none."""
    if _in_use(ctx) and index.is_empty(ctx.store):
        with locks.exclusive(ctx.layout.dns_lock):
            if index.is_empty(ctx.store):
                _end(ctx)


# --- the server -----------------------------------------------------------------------------------------------------


@contextmanager
def _locked(ctx: Context) -> Iterator[None]:
    with locks.exclusive(ctx.layout.dns_lock), boundary.told("serve names"):
        yield


@contextmanager
def _remembering(ctx: Context) -> Iterator[None]:
    """What goes wrong is remembered and told when it is news, and keeps nobody from anything."""
    try:
        yield
    except ReconcilerError as e:
        with contextlib.suppress(ReconcilerError), locks.exclusive(ctx.layout.dns_lock):
            _trouble(ctx, e.message)


def _require_program(ctx: Context) -> None:
    """Raises HostUnfit where there is no server to be had."""
    if server.program() is None:
        raise HostUnfit(why_not(ctx))


def _unheard(ctx: Context, networks: Iterable[Network]) -> tuple[str, ...]:
    """Addresses of networks that the server was not told of yet."""
    known = set(_listen(ctx))
    return tuple(address for one in networks for address in one.listen if address not in known)


def _serve(
    ctx: Context, networks: tuple[Network, ...], fresh: tuple[str, ...], *, changed: bool, thoroughly: bool = False
) -> None:
    """Make a server run that knows what is written, by another port where somebody has its at a ``fresh`` address.

    ``thoroughly``: look at what was not touched, too.
    """
    _stand(ctx, networks)
    found = server.find(ctx.layout.dns_tables)
    fits = found is not None and found.runs(_command(ctx, found.port))
    if found is None or not fits or any(server.is_taken(address, found.port) for address in fresh):
        _start(ctx)  # and lead port 53 there
    else:
        if changed or (thoroughly and _resolvers_changed(ctx)):
            server.read_again(found)
        if fresh or thoroughly:
            redirect.ensure(ctx.layout.tag, _listen(ctx), found.port)
    _trouble(ctx, "")


def _stand(ctx: Context, wanted: Iterable[Network]) -> None:
    """Make the bridges stand: the server gives up on an address that is not there when it reads."""
    missing = [one.bridge for one in wanted if not all(map(server.is_here, one.listen))]
    if missing:
        with locks.exclusive(ctx.layout.network_lock):
            for one in missing:
                networks.stand(ctx, one)


def _command(ctx: Context, port: int) -> tuple[str, ...]:
    binary = server.program()
    assert binary is not None, "asked for only where there is one"
    return server.command(binary, ctx.layout.dns_tables, port, ctx.config.dns.domain)


def _write(ctx: Context, network: Network, record: PodRecord) -> bool:
    """The network's file with this pod as it is now; whether there was anything to write."""
    before = table.read(ctx.layout.dns_tables / network.file)
    if not before:
        return _write_all(ctx, network, _records(ctx))
    first = table.head(network.listen, ctx.config.dns.servers)
    after = table.with_entry(before, first, _entry(ctx, record)) if record.ips else before
    return _put(ctx, ctx.layout.dns_tables / network.file, after, before)


def _write_all(ctx: Context, network: Network, pods: Iterable[PodRecord]) -> bool:
    """The network's file from the records; whether there was anything to write."""
    first = table.head(network.listen, ctx.config.dns.servers)
    here = [record for record in pods if _name_of(record) == network.name]
    entries = [_entry(ctx, one) for one in here if one.ips]
    entries += [_member_entry(ctx, member) for one in here for member in _members_of(ctx, one)]
    return _put(ctx, ctx.layout.dns_tables / network.file, table.make(first, entries))


def _put(ctx: Context, file: Path, text: str, before: str | None = None) -> bool:
    if text == (table.read(file) if before is None else before):
        return False
    ctx.layout.make_dns()
    table.write(file, text)
    return True


def _start(ctx: Context, coming: PodSpec | None = None) -> None:
    """A new server in place of any other, at no port that a pod wants or the ``coming`` one will. It would not start
    with an address that is not there: a network whose bridge does not stand is left out until somebody needs it."""
    if (ctx.layout.dns_tables / table.PID_FILE).exists() and not server.find(ctx.layout.dns_tables):
        _emit(ctx, EventType.WARNING, "NameServerDied", "the name server had ended: it is started again")
    for other in server.all_of(ctx.layout.dns_tables):
        server.end(other)
    for file in _tables(ctx):
        if not all(map(server.is_here, table.listens_at(table.read(file)))):
            table.write(file, "")
    listen = _listen(ctx)
    port = _free_port(ctx, listen, coming)
    _resolvers_changed(ctx)
    server.start(_command(ctx, port), ctx.layout.dns / "log", ctx.enter_monitors)
    found = server.await_listening(ctx.layout.dns_tables, listen, port)
    redirect.ensure(ctx.layout.tag, listen, port)
    files.write_atomic(ctx.layout.dns / _STARTED, f"{found.ref.pid}\n".encode())


def _resolvers_changed(ctx: Context) -> bool:
    """Whether the host has other resolvers than when this was last asked; the server learns of them when it reads."""
    try:
        now = " ".join(resolver.parse(_RESOLV_CONF.read_text(errors="replace")).nameservers)
    except OSError:
        now = ""
    return _put(ctx, ctx.layout.dns / _RESOLVERS, now)


def _listen(ctx: Context) -> tuple[str, ...]:
    """Every address at which the server is to listen."""
    return tuple(address for file in _tables(ctx) for address in table.listens_at(table.read(file)))


def _is_in_the_way(ctx: Context, found: Server | None, spec: PodSpec) -> bool:
    return found is not None and _is_wanted(spec, found.port, _listen(ctx))


def _is_wanted(spec: PodSpec, port: int, listen: Iterable[str]) -> bool:
    """Whether the pod is to have this host port, by either protocol, at one of the addresses; one on the host's
    network listens there itself."""
    mine = [(one.host_port, one.host_ip) for one in spec.sandbox.ports]
    if spec.sandbox.host_network:
        mine += [(one.host_port, one.host_ip) for container in spec.everyone for one in container.ports]
    places = [host_ip for host_port, host_ip in mine if host_port == port]
    return any(share_address(place, address) for place in places for address in listen)


def _free_port(ctx: Context, listen: tuple[str, ...], coming: PodSpec | None) -> int:
    """Port 53, or another one where somebody has that or is to have it, which is told."""
    pods = [record.spec for record in _records(ctx)] + ([coming] if coming else [])
    holder = _who_has(PORT, listen, pods)
    if not holder:
        return PORT
    for port in OTHER_PORTS:
        if not _who_has(port, listen, pods):
            text = f"port 53 is {holder}: names are served at port {port}, where 53 leads to"
            _emit(ctx, EventType.NORMAL, "DNSPortTaken", text)
            return port
    raise TryLater(f"cannot serve names: port 53 is {holder}, and no other is free")


def _who_has(port: int, listen: tuple[str, ...], pods: Iterable[PodSpec]) -> str:
    """Why the server cannot have the port, as what follows "is"; "" where it can."""
    for pod in pods:
        if _is_wanted(pod, port, listen):
            return f"pod {pod.key}'s"
    taken = next((address for address in listen if server.is_taken(address, port)), None)
    if taken is None:
        return ""
    bindings = [PortBinding(port, port, protocol, taken) for protocol in (Protocol.UDP, Protocol.TCP)]
    holder = next((str(holder) for holder in ports.holders(bindings)), "another process")
    return f"held by {holder} at {taken}"


def _end(ctx: Context) -> None:
    """End every server of ours and forget what it knew."""
    for one in server.all_of(ctx.layout.dns_tables):
        server.end(one)
    redirect.remove(ctx.layout.tag)
    files.discard(ctx.layout.dns_tables, ctx.layout.run_trash)
    table.write(ctx.layout.dns / _TROUBLE, "")


def _network_of(ctx: Context, record: PodRecord) -> Network | None:
    """The network on which the pod is found, or from which it asks; None where it does neither."""
    if not _matters(record):
        return None
    known = netrecords.read(ctx, record.spec.sandbox.network)
    if not known.dns if known else _name_of(record) != DEFAULT:
        return None
    return Network(_name_of(record), networks.ensure(ctx, record.spec.sandbox.network))


def _name_of(record: PodRecord) -> str:
    return record.spec.sandbox.network or DEFAULT


def _tables(ctx: Context) -> list[Path]:
    try:
        return [file for file in ctx.layout.dns_tables.iterdir() if file.name != table.PID_FILE]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _records(ctx: Context) -> Iterator[PodRecord]:
    for row in index.all_pods(ctx.store):
        record = records.read(ctx.layout.pod(row.id), RECORD, PodRecord)
        if record is not None:
            yield record


def _members_of(ctx: Context, pod: PodRecord) -> Iterator[ContainerRecord]:
    """The members that have addresses of their own."""
    if pod.spec.sandbox.apart:
        found = (recorded.record_of(ctx, container) for container in index.containers_of(ctx.store, pod.id))
        yield from (record for record in found if record is not None and record.ip)


def _member_entry(ctx: Context, member: ContainerRecord) -> table.Entry:
    key = Key(member.key.namespace, member.name)
    known_as = names.known_as(key, SandboxSpec(), ctx.config.dns.domain)
    return table.Entry(Key(member.key.namespace, member.id), tuple(filter(None, (member.ip, member.ip6))), known_as)


def _matters(record: PodRecord) -> bool:
    """Whether it has an address for others to find, or asks us for theirs."""
    sandbox = record.spec.sandbox
    return bool(record.ips) or sandbox.apart or resolver.asks_us(record.spec.dns, host_network=not sandbox.on_bridge)


def _stands(ctx: Context, record: PodRecord) -> bool:
    """Whether a pod's network was set up, by its record: one that is only being made sees to its names itself."""
    state = records.read(ctx.layout.pod(record.id), STATE, PodState) or PodState()
    return _matters(record) and state.networked is not None and not (state.removing or state.ended)


def _in_use(ctx: Context) -> bool:
    return ctx.layout.dns_tables.exists() or (ctx.layout.dns / _TROUBLE).exists()


def _entry(ctx: Context, record: PodRecord) -> table.Entry:
    services = recorded.state_of_pod(ctx, record.id).services
    known_as = names.known_as(record.key, record.spec.sandbox, ctx.config.dns.domain, services)
    return table.Entry(record.key, record.ips, known_as)


# --- what is told ---------------------------------------------------------------------------------------------------


def _trouble(ctx: Context, text: str) -> None:
    """Remember what keeps names from being served ("": nothing), and tell it where it is news."""
    file = ctx.layout.dns / _TROUBLE
    with contextlib.suppress(ReconcilerError):
        before = table.read(file)
        if text != before:
            if text:
                ctx.layout.make_dns()
            table.write(file, text)
            if text:
                _emit(ctx, EventType.WARNING, "NoNames", f"{text}: pods get this host's resolvers instead")


def _emit(ctx: Context, kind: EventType, reason: str, text: str) -> None:
    events.emit(ctx.store, ctx.clock, ABOUT, kind, reason, text)


def info(ctx: Context) -> dict[str, Any]:
    """The name server as things stand."""
    known = netrecords.read(ctx, DEFAULT)
    found = server.find(ctx.layout.dns_tables)
    told: dict[str, Any] = {"domain": ctx.config.dns.domain}
    if why := why_not(ctx):
        return told | {"server": f"none: {why}; pods get this host's resolvers"}
    if found is None or known is None:
        return told | {"server": "none: no pod has needed it yet"}
    gateway = known.gateway or str(IPv4Network(known.subnet)[1])
    port = "" if found.port == PORT else f", port {found.port} (53 is taken, and led there)"
    asked = " ".join(ctx.config.dns.servers) or "this host's resolvers"
    return told | {
        "server": f"aardvark-dns, pid {found.ref.pid}{port}",
        "other names": f"from {asked}",
        "ask it from here": f"dig @{gateway} POD.NAMESPACE.svc.{ctx.config.dns.domain}",
    }


def strangers(ctx: Context) -> Iterator[tuple[str, str, str]]:
    """What is here of the server that belongs to no pod: kind, name, why (for ``system check``)."""
    known = list(_records(ctx))
    pods = {f"{record.key.namespace}/{record.key.name}" for record in known}
    pods |= {f"{one.key.namespace}/{one.id}" for record in known for one in _members_of(ctx, record)}
    main = server.find(ctx.layout.dns_tables)
    for one in server.all_of(ctx.layout.dns_tables):
        if not pods:
            yield "process", str(one.ref.pid), "name server, but there is no pod"
        elif main is None or one.ref != main.ref:
            yield "process", str(one.ref.pid), "a second name server"
    for file in _tables(ctx):
        for key in sorted(table.keys(table.read(file)) - pods):
            yield "name", key, f"known to the name server in {file.name}, but there is no such pod"
