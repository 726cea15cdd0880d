"""Host ports: held by a bound socket while their pod lives, and who has those that cannot be had.

Forwarded traffic never reaches the socket. It is there so that nobody else can bind the port (we would take
their traffic), and so that a conflict is found when a pod is planned: binding is the one check the kernel
does not race with. The socket never listens: where the forwarding rule is gone, clients are reset at once.

Everything here is about the calling thread's network namespace.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress

from reconciler.engine.effects import effect
from reconciler.engine.network import sockets
from reconciler.model.errors import HostUnfit, InvalidInput, PortTaken
from reconciler.model.observed import PortHolder
from reconciler.model.spec import PortBinding, Protocol

_KINDS = {
    Protocol.TCP: (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    Protocol.UDP: (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    Protocol.SCTP: (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}


@effect("ports.hold")
def hold(bindings: Iterable[PortBinding]) -> list[socket.socket]:
    """Bind every port, so that nobody else can; all or none. The holder closes the sockets to let go.

    Raises PortTaken naming who has one, InvalidInput for a host IP that this host does not have, HostUnfit for
    a protocol that the kernel does not know.
    """
    held: list[socket.socket] = []
    try:
        for binding in bindings:
            held.append(_bind(binding))
    except BaseException:
        for one in held:
            one.close()
        raise
    return held


def holders(bindings: Iterable[PortBinding]) -> tuple[PortHolder, ...]:
    """Who has those of the ports that cannot be bound now; a host IP that is not there is nobody's.

    The caller leaves out the ports that its own pods hold.
    """
    taken: list[PortBinding] = []
    for binding in bindings:
        try:
            _bound(binding).close()
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                taken.append(binding)
    if not taken:
        return ()
    owners = sockets.Owners()
    return tuple(_holder(binding, owners) for binding in taken)


def overlap(one: PortBinding, other: PortBinding) -> bool:
    """Whether two bindings cannot be held at the same time."""
    return (one.host_port, one.protocol) == (other.host_port, other.protocol) and (
        one.host_ip == other.host_ip or sockets.is_any(one.host_ip) or sockets.is_any(other.host_ip)
    )


def _bind(binding: PortBinding) -> socket.socket:
    try:
        return _bound(binding)
    except OSError as e:
        raise _refusal(binding, e) from e


def _refusal(binding: PortBinding, e: OSError) -> PortTaken | InvalidInput | HostUnfit:
    doing = f"cannot publish port {binding}"
    if e.errno == errno.EADDRINUSE:
        return PortTaken(f"{doing}: it is held by {_holder(binding, sockets.Owners())}")
    if e.errno in (errno.EADDRNOTAVAIL, errno.EINVAL) or isinstance(e, socket.gaierror):
        return InvalidInput(f"{doing}: {binding.host_ip} is no IPv4 address of this host")
    return HostUnfit(f"{doing}: {e.strerror}")


def _bound(binding: PortBinding) -> socket.socket:
    """A socket that has the port for itself.

    For TCP with SO_REUSEADDR while it binds, or connections in TIME_WAIT would refuse us for a minute; without
    afterwards, or the next one who sets it could bind as well. UDP has no TIME_WAIT, and two sockets with the
    option share a port.
    """
    kind, protocol = _KINDS[binding.protocol]
    holder = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC, protocol)
    try:
        connections = binding.protocol is not Protocol.UDP
        if connections:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((binding.host_ip or "0.0.0.0", binding.host_port))
        if connections:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        else:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # nobody will read what strays in here
    except BaseException:
        holder.close()
        raise
    return holder


def _holder(binding: PortBinding, owners: sockets.Owners) -> PortHolder:
    pid = owners.of(binding)
    command = ""
    if pid:
        with suppress(OSError), open(f"/proc/{pid}/comm") as f:
            command = f.read().strip()
    return PortHolder(binding, pid=pid, command=command or ("?" if pid else ""))
