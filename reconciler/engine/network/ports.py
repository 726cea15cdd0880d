"""Host ports: held by a bound socket while their pod lives, and who has those that cannot be had.

Forwarded traffic never reaches the socket. It is there so that nobody else can bind the port (we would take
their traffic), and so that a conflict is found when a pod is planned: binding is the one check the kernel
does not race with. The socket never listens: where the forwarding rule is gone, clients are reset at once.

Everything here is about the calling thread's network namespace.
"""

from __future__ import annotations

import errno
import fcntl
import resource
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from reconciler.engine.boundary import hint
from reconciler.engine.descriptors import make_room
from reconciler.engine.effects import effect
from reconciler.engine.network import sockets
from reconciler.engine.network.rules import HELD
from reconciler.model.errors import HostUnfit, InvalidInput, PortTaken, TryLater
from reconciler.model.observed import PortHolder
from reconciler.model.spec import EVERY, PortBinding, Protocol

_KINDS = {
    Protocol.TCP: (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    Protocol.UDP: (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    Protocol.SCTP: (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}

_SPARE = 512
"""Files that a process has open for other reasons, at most."""

_SELECTABLE = 1024
"""FD_SETSIZE: libnftables and others cannot wait for a descriptor with a higher number."""

_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


_reserved: dict[PortBinding, socket.socket] = {}
"""What this process has bound for a pod that it is about to make."""


@effect("ports.reserve")
def reserve(bindings: Iterable[PortBinding], *, ipv6: bool = True) -> tuple[PortBinding, ...]:
    """The same bindings, with a host port that was free for each that names none: this process has it from now on,
    until ``hold`` takes it over for the pod, so that nobody can come in between. For one thread.

    Raises InvalidInput for an address that is not this host's, a protocol that the kernel does not know, or where no
    port is free.
    """
    known = tuple(bindings)
    found, refused = [one for one in known if one.host_port], list[socket.socket]()
    try:
        for wanted in (one for one in known if not one.host_port):
            while True:
                one = _any_port(wanted, ipv6)
                chosen = replace(wanted, host_port=one.getsockname()[1])
                if not any(chosen.overlaps(other) for other in found):
                    break
                refused.append(one)  # kept for now, or it would be found again
            _reserved[chosen] = one
            found.append(chosen)
    finally:
        for one in refused:
            one.close()
    return tuple(sorted(found))


def _any_port(wanted: PortBinding, ipv6: bool) -> socket.socket:
    doing = f"cannot publish port {wanted.container_port}/{wanted.protocol.lower()}"
    if not _knows(wanted.protocol):
        raise InvalidInput(f"{doing}: this kernel has no {wanted.protocol} (modprobe {wanted.protocol.lower()})")
    try:
        return _bound(wanted, ipv6)
    except OSError as e:
        where = f" on {wanted.host_ip}" if wanted.host_ip else ""
        raise InvalidInput(f"{doing}{where}: {e.strerror}") from e


@effect("ports.hold")
def hold(bindings: Iterable[PortBinding], *, ipv6: bool = True) -> list[socket.socket]:
    """Bind every port, so that nobody else can; all or none. The holder closes the sockets to let go.

    ``ipv6`` False: what is asked for on every address is on every IPv4 one, for pods have no others. Raises PortTaken
    naming who has one, InvalidInput for a host IP that this host does not have, HostUnfit for a protocol that the
    kernel does not know, TryLater where this process has too many files open just now.
    """
    make_room()
    held: list[socket.socket] = []
    try:
        for binding in bindings:
            held.append(_out_of_the_way(_reserved.pop(binding) if binding in _reserved else _bind(binding, ipv6)))
    except BaseException:
        for one in held:
            one.close()
        raise
    return held


def holders(
    bindings: Iterable[PortBinding], *, ipv6: bool = True, gives_way: Callable[[], int] = lambda: 0
) -> tuple[PortHolder, ...]:
    """Who has those of the ports that cannot be bound now; what stands in the way otherwise is told by ``problems``.

    The caller leaves out the ports that its own pods hold. ``gives_way``: the process that lets go where it is asked.
    """
    taken: list[PortBinding] = []
    for binding in bindings:
        try:
            if binding not in _reserved:
                _bound(binding, ipv6).close()
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                taken.append(binding)
    if not taken:
        return ()
    owners, yielding = sockets.Owners(), gives_way()
    found = ((binding, owners.all_of(binding)) for binding in taken)
    return tuple(
        _told(binding, next((pid for pid in pids if pid != yielding), 0))
        for binding, pids in found
        if not pids or set(pids) != {yielding}
    )


def problems(bindings: Iterable[PortBinding], why_no_ipv6: str) -> Iterator[str]:
    """Why ports cannot be published here that nobody else has: a protocol that this kernel lacks, an address that is
    not this host's, more of them than a process may hold."""
    wanted = tuple(bindings)
    for protocol in sorted({binding.protocol for binding in wanted}):
        if not _knows(protocol):
            first = next(binding for binding in wanted if binding.protocol is protocol)
            yield f"port {first}: this kernel has no {protocol} (modprobe {protocol.lower()})"
    for address in sorted({binding.host_ip for binding in wanted if ":" in binding.host_ip} if why_no_ipv6 else ()):
        yield f"host address {address}: the pod has no IPv6: {why_no_ipv6}"
    for address in sorted({binding.host_ip for binding in wanted} - {"", *EVERY}):
        if not _is_here(address):
            yield f"host address {address}: this host does not have it"
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and 2 * len(wanted) + _SPARE > most:
        yield f"{len(wanted)} ports: each is held by an open socket, and a process here may have {most} files open"


def _knows(protocol: Protocol) -> bool:
    try:
        socket.socket(socket.AF_INET, *_KINDS[protocol]).close()
    except OSError as e:
        return e.errno not in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)
    return True


def _is_here(address: str) -> bool:
    """Asked by binding, as the port will be: an interface that is down counts, a link-local address needs its link."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as one:
        try:
            one.bind((address, 0))
        except OSError:
            return False
    return True


def _bind(binding: PortBinding, ipv6: bool) -> socket.socket:
    try:
        return _bound(binding, ipv6)
    except OSError as e:
        raise _refusal(binding, e) from e


def _out_of_the_way(holder: socket.socket) -> socket.socket:
    """The same with a high number, so that a thousand of them leave the low ones to those who need them."""
    try:
        high = fcntl.fcntl(holder.fileno(), fcntl.F_DUPFD_CLOEXEC, _SELECTABLE)
    except OSError:  # there is no more room, or none so high
        return holder
    with holder:
        return socket.socket(fileno=high)


def _refusal(binding: PortBinding, e: OSError) -> TryLater | InvalidInput | HostUnfit:
    doing = f"cannot publish port {binding}"
    if e.errno == errno.EADDRINUSE:
        holder = _told(binding, sockets.Owners().of(binding))
        return PortTaken(f"{doing}: it is held by {holder}", pid=holder.pid)
    if e.errno in (errno.EADDRNOTAVAIL, errno.EINVAL) or isinstance(e, socket.gaierror):
        return InvalidInput(f"{doing}: {binding.host_ip} is no address of this host")
    if e.errno in _SHORT_OF:
        return TryLater(f"{doing}: {e.strerror}", hint=hint(e))
    return HostUnfit(f"{doing}: {e.strerror}")


def _bound(binding: PortBinding, ipv6: bool) -> socket.socket:
    """A socket that has the port for itself; where it is asked for on every address, in both families. The mark of a
    UDP socket is what the rules know it by, to refuse what strays in here.
    """
    address = binding.host_ip or ("::" if ipv6 else "0.0.0.0")
    kind, protocol = _KINDS[binding.protocol]
    holder = socket.socket(_family(address), kind | socket.SOCK_CLOEXEC, protocol)
    try:
        if ":" in address:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(binding.host_ip != ""))
        if binding.protocol is Protocol.TCP and binding.host_port:
            _bind_tcp(holder, address, binding.host_port)
        else:
            holder.bind((address, binding.host_port))
        if binding.protocol is Protocol.UDP:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # nobody will read what strays in here
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, HELD)
    except BaseException:
        holder.close()
        raise
    return holder


def _bind_tcp(holder: socket.socket, address: str, port: int) -> None:
    """Connections in TIME_WAIT would refuse us for a minute; not with SO_REUSEADDR. But two sockets that have the
    option share a port, and some kernels (Debian 12's 6.1; no more 6.12) take a port for shared as long as anybody has
    it where the first one to bind had the option, whatever became of that since (inet_csk_get_port: ``fastreuse``). A
    listener ends this, so we are one for a moment; who connects just then is reset, as at any other time.
    """
    try:
        holder.bind((address, port))
        return
    except OSError as e:
        if e.errno != errno.EADDRINUSE:
            raise
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((address, port))
    holder.listen(0)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    holder.shutdown(socket.SHUT_RDWR)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _told(binding: PortBinding, pid: int) -> PortHolder:
    command = ""
    if pid:
        with suppress(OSError), open(f"/proc/{pid}/comm") as f:
            command = f.read().strip()
    return PortHolder(binding, pid=pid, command=command or ("?" if pid else ""))
