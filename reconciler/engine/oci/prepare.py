"""The mount namespace in which one runtime ``create`` runs, as a script for the monitor's ``--prepare``.

One operation a line, fields separated by TAB and %-encoded. Nothing that it mounts is seen by the host, and
all of it ends with the container: the monitor's child unshares, does this, and becomes the runtime.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.host import HostCapabilities
from reconciler.model.errors import HostUnfit

Lowers = tuple[Path, tuple[str, ...]]
"""A directory, and names relative to it: the topmost layer first, as overlayfs wants them."""

OPTIONS_MAX = 4095
"""mount(2) takes one page of options."""

UNIFIED = "/sys/fs/cgroup/unified"


def prepare_script(bundle: Bundle, lowers: Lowers | None, facts: HostCapabilities) -> str:
    """``lowers`` None: the container has a rootfs that needs no overlay (the infra container).

    Raises HostUnfit when the layers are too many for one mount.
    """
    # slave, all the way down: what the host unmounts goes here too, nothing of ours gets back
    lines = [_line("unshare"), _line("slave", "/")]
    if facts.detach_unified:
        lines.append(_line("detach", UNIFIED))
    if bundle.infra is not None and bundle.own_shm:
        lines.append(_line("mkdir", str(bundle.shm), "0700"))
        lines.append(_line("graft", f"/proc/{bundle.infra.pid}/ns/mnt", "/dev/shm", str(bundle.shm)))
    if lowers is not None:
        directory, names = lowers
        lines.append(_line("chdir", str(directory)))
        lines.append(_line("mount", "overlay", str(bundle.rootfs), "overlay", "0", _overlay(bundle, names)))
    return "".join(lines)


def _overlay(bundle: Bundle, names: tuple[str, ...]) -> str:
    lower = ":".join(_escape(name, ":") for name in names)
    upper, work = (_escape(str(bundle.directory / name), "") for name in ("upper", "work"))
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    if len(options.encode()) > OPTIONS_MAX:
        raise HostUnfit(
            f"cannot mount the {len(names)} layers of container {bundle.container[:12]}: too many for mount(2)"
        )
    return options


def _escape(path: str, also: str) -> str:
    """Commas end an option and colons a layer (overlayfs: both are escaped with a backslash)."""
    return "".join(f"\\{c}" if c in "\\," + also else c for c in path)


def _line(*fields: str) -> str:
    return "\t".join(encode(f) for f in fields) + "\n"


def encode(field: str) -> str:
    """%-encode what would break a line or a field; the rest stays readable."""
    return "".join(f"%{ord(c):02X}" if c == "%" or ord(c) < 0x20 or ord(c) == 0x7F else c for c in field)
