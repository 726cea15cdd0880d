"""What systemd says of a unit, over its private socket (org.freedesktop.systemd1(5))."""

from __future__ import annotations

from pathlib import Path

from reconciler.linux.dbus import Connection, DBusError

PRIVATE = Path("/run/systemd/private")
"""systemd's own socket, for root (go-systemd uses it the same way)."""

_MANAGER = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_TIMEOUT = 10.0


def active_state(unit: str) -> str:
    """active, activating (also: to be started again), inactive, failed...; "" where nobody can say."""
    try:
        with Connection(PRIVATE, _TIMEOUT) as systemd:
            (path,) = systemd.call(*_MANAGER, "GetUnit", "s", unit)
            wanted = ("org.freedesktop.systemd1.Unit", "ActiveState")
            ((_, state),) = systemd.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", *wanted)
            return str(state)
    except (OSError, DBusError):
        return ""
