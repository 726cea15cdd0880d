"""The mount namespace in which one runtime ``create`` runs, as a script for the monitor's ``--prepare``.

One operation a line, fields separated by TAB and %-encoded. Nothing that it mounts is seen by the host, and
all of it ends with the container: the monitor's child unshares, does this, and becomes the runtime.
"""

from __future__ import annotations

from pathlib import Path

from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.host import HostCapabilities

Lowers = tuple[Path, tuple[str, ...]]
"""A directory, and names relative to it: the topmost layer first, as overlayfs wants them."""

UNIFIED = "/sys/fs/cgroup/unified"


def prepare_script(bundle: Bundle, lowers: Lowers | None, facts: HostCapabilities) -> str:
    """``lowers`` None: the container has a rootfs that needs no overlay (the infra container)."""
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
        lines.append(
            _line("overlay", str(bundle.rootfs), *(str(bundle.directory / n) for n in ("upper", "work")), *names)
        )
    return "".join(lines)


def _line(*fields: str) -> str:
    return "\t".join(encode(f) for f in fields) + "\n"


def encode(field: str) -> str:
    """%-encode what would break a line or a field; the rest stays readable."""
    return "".join(f"%{ord(c):02X}" if c == "%" or ord(c) < 0x20 or ord(c) == 0x7F else c for c in field)
