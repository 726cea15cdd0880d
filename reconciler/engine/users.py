"""User namespaces of pods (hostUsers: false): which of this machine's ids each of them has.

A pod gets 65536 ids that nobody else on this machine has, for its life; its record says which. So ids are chosen under
a lock that all instances share, by what is on record and in use, and used before it is released. Volumes and layers lie
on disk with the ids that containers see (idmapped mounts), so a later life of the pod may have others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.engine import idmaps, locks, records
from reconciler.engine.context import Context
from reconciler.engine.idmaps import Range
from reconciler.engine.oci.bundle import IDS
from reconciler.engine.records import RECORD, PodRecord
from reconciler.engine.store import pods as index
from reconciler.model.errors import HostUnfit
from reconciler.model.spec import PodSpec

LOCK = Path("/run")
"""What instances lock: their ids come out of one pool."""

SUBIDS = (Path("/etc/subuid"), Path("/etc/subgid"))
OWNERS = ("containers", "kubelet")
"""Whose subordinate ids are ours, where they are given any (Podman's and the kubelet's names for it)."""

FALLBACK: Range = (0x70000000, 0x0FFF0000)
"""Above the ids of systemd-nspawn's containers and systemd's dynamic users, below those that some read as negative."""

ID_MAX = 0xFFFFFFFE


@contextmanager
def choosing(ctx: Context, spec: PodSpec) -> Iterator[int]:
    """The first id for a pod that is about to be made, 0 for one that shares the machine's users. No instance on this
    machine chooses others until the block ends: then its first process has them, which the others see.

    Raises HostUnfit when none are free, Busy.
    """
    if spec.sandbox.host_users:
        yield 0
        return
    with locks.among_instances(LOCK, "give the pod users of its own"):
        pods = (records.read(ctx.layout.pod(row.id), RECORD, PodRecord) for row in index.all_pods(ctx.store))
        ours = {(pod.ids, IDS) for pod in pods if pod and pod.ids}
        yield choose(ranges(ctx.config.security.userns_ids), ours | idmaps.in_use(), ctx.layout.tag)


def choose(allowed: Collection[Range], taken: Collection[Range], tag: str) -> int:
    """A free range among those that are allowed.

    Podman takes the lowest that is free, and does not look at ours: so the lower half comes last. Instances (by their
    tag) begin to look at different ones, so that what one left on disk is seldom another's.

    Raises HostUnfit.
    """
    slots = [first for begin, count in allowed for first in range(begin, begin + count - IDS + 1, IDS)]
    low, high = slots[: len(slots) // 2], slots[len(slots) // 2 :]
    start = int.from_bytes(tag.encode(), "big") % max(len(high), 1)
    for first in (*high[start:], *high[:start], *reversed(low)):
        if all(first + IDS <= other or other + count <= first for other, count in taken):
            return first
    raise HostUnfit(
        f"cannot give the pod users of its own: none of the {len(slots)} ranges of {IDS} ids is free",
        hint="give more ids: [security] userns_ids in the configuration file, or /etc/subuid",
    )


def ranges(setting: str | None) -> tuple[Range, ...]:
    """The ids that pods may have: as set, else those of OWNERS, else what nobody has of the fallback.

    Raises HostUnfit for a setting that cannot be meant.
    """
    if setting is not None:
        first, count = map(int, setting.split(":"))
        if first < IDS or count < IDS or first + count - 1 > ID_MAX:
            raise HostUnfit(
                f"cannot use userns_ids {setting}: it must lie between {IDS} and {ID_MAX}, with {IDS} ids or more"
            )
        return ((first, count),)
    entries = [_entries(path) for path in SUBIDS]
    for owner in OWNERS:
        mine = [{entry[1:] for entry in file if entry[0] == owner} for file in entries]
        if both := mine[0] & mine[1]:
            return tuple(sorted(both))
    others = [entry[1:] for file in entries for entry in file]
    return tuple(_without(FALLBACK, others))


def _without(whole: Range, others: Collection[Range]) -> Iterator[Range]:
    """The parts of a range that none of the others touches."""
    begin, end = whole[0], whole[0] + whole[1]
    for first, count in sorted(others):
        if first + count > begin and first < end:
            if first - begin >= IDS:
                yield begin, first - begin
            begin = first + count
    if end - begin >= IDS:
        yield begin, end - begin


def _entries(path: Path) -> list[tuple[str, int, int]]:
    """Lines ``NAME:FIRST:COUNT``; others mean nothing (subuid(5))."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    fields = (line.strip().split(":") for line in lines)
    return [(f[0], int(f[1]), int(f[2])) for f in fields if len(f) == 3 and f[1].isdecimal() and f[2].isdecimal()]


def closed(path: Path) -> Path | None:
    """The first directory on the way to ``path`` that others cannot pass: to them belongs a pod's root here."""
    return next((p for p in reversed((path, *path.parents)) if p.is_dir() and not p.stat().st_mode & 0o001), None)
