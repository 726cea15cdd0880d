"""Connections to what listens in pods, from this machine's own network, each bounded by an instant of the monotonic
clock. Any number of threads may dial at once.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

Deadline = float
"""An instant of ``time.monotonic``."""


class Unreachable(Exception):
    """No connection came about; the words are Go's, as people know them from kubelets."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


def left(until: Deadline) -> float:
    """Seconds until then. Raises TimeoutError where there are none."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


@contextlib.contextmanager
def dialled(host: str, port: int, until: Deadline) -> Iterator[socket.socket]:
    """A connection, closed at the end; a name's addresses are tried in turn. Raises Unreachable."""
    try:
        found = _addresses(host, port, until)
    except TimeoutError:
        raise Unreachable(f"dial tcp: lookup {host}: i/o timeout", timed_out=True) from None
    except (OSError, UnicodeError) as e:  # a label of a name may be too long to be asked for
        raise Unreachable(f"dial tcp: lookup {host}: {_words(e)}") from e
    trouble = Unreachable(f"dial tcp: lookup {host}: no such host")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left(until))
            connection.connect(address)
        except TimeoutError:
            connection.close()
            raise Unreachable(f"dial tcp {joined(str(address[0]), port)}: i/o timeout", timed_out=True) from None
        except OSError as e:
            connection.close()
            trouble = Unreachable(f"dial tcp {joined(str(address[0]), port)}: connect: {_words(e)}")
            continue
        with connection:
            yield connection
        return
    raise trouble


_Found = list[tuple[Any, ...]]
"""As from getaddrinfo."""

_lookups: dict[tuple[str, int], Future[_Found]] = {}
_looking = threading.Lock()


def _addresses(host: str, port: int, until: Deadline) -> _Found:
    """Where a host is. A resolver cannot be hurried, and may take half a minute to say that nobody answers: so a name
    is looked up by a thread of its own, and who asks for the same name meanwhile waits for that.

    Raises TimeoutError, OSError, UnicodeError.
    """
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.partition("%")[0])
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    with _looking:
        lookup = _lookups.get((host, port))
        if lookup is None:
            lookup = _lookups[host, port] = Future()
            threading.Thread(target=_look_up, args=(host, port), name="lookup", daemon=True).start()
    return lookup.result(left(until))


def _look_up(host: str, port: int) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as e:
        _ended(host, port).set_exception(e)
    else:
        _ended(host, port).set_result(found)


def _ended(host: str, port: int) -> Future[_Found]:
    """A lookup that is over: the next one asks again."""
    with _looking:
        return _lookups.pop((host, port))


def joined(host: str, port: int) -> str:
    """``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _words(trouble: Exception) -> str:
    text = str(trouble)
    if isinstance(trouble, OSError) and trouble.errno:
        text = str(trouble.strerror) if isinstance(trouble, socket.gaierror) else os.strerror(trouble.errno)
    return text[:1].lower() + text[1:]
