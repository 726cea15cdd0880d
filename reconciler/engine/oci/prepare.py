"""The mount namespace in which one runtime ``create`` runs, as a script for the monitor's ``--prepare``.

One operation a line, fields separated by TAB and %-encoded. Nothing that it mounts is seen by the host, and
all of it ends with the container: the monitor's child unshares, does this, and becomes the runtime.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reconciler.engine.oci.bundle import Bundle
from reconciler.engine.oci.host import HostCapabilities
from reconciler.engine.oci.places import after_root, before_root
from reconciler.model.spec import ContainerSpec

Lowers = tuple[Path, tuple[str, ...]]
"""A directory, and names relative to it: the topmost layer first, as overlayfs wants them."""

_ODD = re.compile(r"[%\x00-\x1f\x7f]")

COVER_UNIFIED = ("mount", "tmpfs", "/sys/fs/cgroup/unified", "tmpfs", "0", "mode=755")
"""crun, where it sees no cgroup2 there, makes ``unified/NAME/cgroup.procs`` all the same (enter_cgroup_v1), and fails
where it cannot. In a file system of its own that goes with the namespace. In the directory below the mount it would
stay for good, seen by nobody, and each file keep alive the memory cgroup of its container (300 KiB of the kernel's)."""


def prepare_script(
    bundle: Bundle,
    lowers: Lowers | None,
    facts: HostCapabilities,
    spec: ContainerSpec | None = None,
    layers: Mapping[str, tuple[str, ...]] = {},
) -> str:
    """``lowers`` None: the container has a rootfs that needs no overlay (the infra container). ``spec`` is a member's:
    it says what is mounted into it; ``layers`` are those of images that are, relative to the same directory as
    ``lowers``."""
    # slave, all the way down: what the host unmounts goes here too, nothing of ours gets back
    lines = [_line("unshare"), _line("slave", "/")]
    if facts.cover_unified:
        lines.append(_line(*COVER_UNIFIED))
    if bundle.infra is not None and bundle.shares_shm:
        lines.append(_line("mkdir", str(bundle.shm), "0711" if bundle.ids else "0700"))
        lines.append(_line("graft", f"/proc/{bundle.infra.pid}/ns/mnt", "/dev/shm", str(bundle.shm)))
    if spec is not None:
        lines += [_line(*step) for step in before_root(bundle, spec)]
    if lowers is not None:
        lines += _root(bundle, *lowers)
    if spec is not None:
        lines += [_line(*step) for step in after_root(bundle, spec, layers)]
    if bundle.ids and bundle.closed is not None:
        lines.append(_line("reveal", *map(str, (bundle.closed, bundle.directory, *_shared_root(lowers, facts)))))
    return "".join(lines)


def _shared_root(lowers: Lowers | None, facts: HostCapabilities) -> tuple[Path, ...]:
    """A rootfs that lies elsewhere than in the bundle."""
    return () if lowers is not None else (facts.infra_rootfs,)


def _root(bundle: Bundle, directory: Path, names: tuple[str, ...]) -> list[str]:
    """The layers lie on disk as they came, seen with the pod's ids; what the container writes over them lies there
    with the ids that it has on this host (the kernel's overlayfs makes its own files as our root, whom the pod's ids
    do not know)."""
    upper, work = (str(bundle.directory / name) for name in ("upper", "work"))
    lines = []
    if bundle.users:
        layers = str(bundle.directory / "mapped-layers")
        lines += [_line("idmap", bundle.users, str(directory), layers), _line("own", upper, str(bundle.ids))]
        directory = Path(layers)
    return [*lines, _line("chdir", str(directory)), _line("overlay", str(bundle.rootfs), upper, work, *names)]


def _line(*fields: str) -> str:
    return "\t".join(encode(f) for f in fields) + "\n"


def encode(field: str) -> str:
    """%-encode what would break a line or a field; the rest stays readable."""
    if _ODD.search(field) is None:
        return field
    return "".join(f"%{ord(c):02X}" if c == "%" or ord(c) < 0x20 or ord(c) == 0x7F else c for c in field)
