"""The service manager's ear (sd_notify(3)): one datagram for each message, to the socket that NOTIFY_SOCKET names.

Without one (started by hand) everything here does nothing. The variables are taken out of the environment: OCI
runtimes would pass the socket on to containers.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notifier:
    """``watchdog``: seconds within which the manager wants to hear from us again and again; 0: it does not."""

    address: str = ""
    watchdog: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.address)

    def tell(self, **facts: str | int) -> None:
        """``tell(READY=1, STATUS="3 pods")``. A manager that does not listen is no reason to fail."""
        if not self.address:
            return
        name = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        words = "\n".join(f"{key}={str(value).replace(chr(10), ' ')}" for key, value in facts.items())
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.setblocking(False)
            to.sendto(words.encode(), name)


def from_environment() -> Notifier:
    """The manager of this process, if it has one."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    usec, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
    for_us = usec.isdecimal() and (not pid or pid == str(os.getpid()))
    return Notifier(address if address[:1] in ("/", "@") else "", int(usec) / 1e6 if for_us else 0.0)
