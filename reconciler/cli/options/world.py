"""What options need of the world around the command: our environment, files, free ports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.flags import ports
from reconciler.model.errors import InvalidInput
from reconciler.model.spec import PortBinding, Protocol

if TYPE_CHECKING:
    import socket

LARGEST_FILE = 16 << 20
"""No list of variables or labels is longer: somebody named another file."""

_TRIES = 50


@dataclass(frozen=True, slots=True)
class World:
    """``directory``: against which relative paths are read. ``read``: the text of a file that an option names.
    ``free_ports``: the same bindings with a host port for each."""

    environment: Mapping[str, str]
    directory: str
    read: Callable[[str, str], str]
    exists: Callable[[str], bool]
    new_name: Callable[[], str]
    free_ports: Callable[[tuple[PortBinding, ...]], tuple[PortBinding, ...]]


def here() -> World:
    """This process's."""
    directory = os.getcwd()  # noqa: PTH109 (a text is wanted)
    return World(os.environ, directory, text_of, os.path.exists, _new_name, free_ports)


def _new_name() -> str:
    """As podman calls volumes that nobody gave a name."""
    return os.urandom(32).hex()


def text_of(path: str, option: str) -> str:
    """The text of a file. Raises InvalidInput."""
    doing = f"cannot read {option} {path}"
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise InvalidInput(f"{doing}: it is larger than {LARGEST_FILE >> 20} MiB")
        return data.decode()
    except OSError as e:
        raise InvalidInput(f"{doing}: {e.strerror}") from e
    except UnicodeDecodeError:
        raise InvalidInput(f"{doing}: it is not UTF-8 text") from None


def free_ports(bindings: Iterable[PortBinding]) -> tuple[PortBinding, ...]:
    """The same bindings with a host port for each that is free now: somebody may take it before the pod does.

    Raises InvalidInput for an address that is not this host's, or where no port is free.
    """
    known = tuple(bindings)
    taken = {(binding.host_port, binding.protocol) for binding in known}
    with ExitStack() as held:

        def choose(binding: PortBinding) -> int:
            for _ in range(_TRIES):
                port = held.enter_context(_bound(binding)).getsockname()[1]
                if (port, binding.protocol) not in taken:
                    taken.add((port, binding.protocol))
                    return int(port)
            raise InvalidInput(f"cannot publish port {binding.container_port}: no port of the host was found free")

        return ports.chosen(known, choose)


def _bound(binding: PortBinding) -> socket.socket:
    """A socket at any port of the address; of all addresses where it names none. SCTP is asked for as TCP: few hosts
    have it."""
    import socket

    kind = socket.SOCK_DGRAM if binding.protocol is Protocol.UDP else socket.SOCK_STREAM
    families = [socket.AF_INET6 if ":" in binding.host_ip else socket.AF_INET]
    if not binding.host_ip:
        families.insert(0, socket.AF_INET6)
    why = ""
    for family in families:
        try:
            return _bound_to(family, kind, binding.host_ip)
        except OSError as e:  # perhaps a kernel without IPv6
            why = e.strerror or str(e)
    raise InvalidInput(f"cannot publish port {binding.container_port} on {binding.host_ip or 'this host'}: {why}")


def _bound_to(family: socket.AddressFamily, kind: socket.SocketKind, address: str) -> socket.socket:
    import socket

    with ExitStack() as unless_done:
        one = unless_done.enter_context(socket.socket(family, kind))
        if family is socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bool(address))
        one.bind((address, 0))
        unless_done.pop_all()
        return one
