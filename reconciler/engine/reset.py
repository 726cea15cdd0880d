"""``system reset``: an instance and everything that carries its name, gone from this machine.

What has a record was removed in order before (the controller does that); here the naming rule alone counts, as in
``check``, so it also works where the index is lost or the records are broken. Each step takes "gone already" for an
answer: whoever is killed anywhere here begins again and ends the same. The caller holds the controller's lock.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from reconciler.engine import cgroups, files, firewalls, processes
from reconciler.engine.context import Context
from reconciler.engine.dns import redirect
from reconciler.engine.effects import effect
from reconciler.engine.network import bridge, portmap
from reconciler.engine.network import pod as links
from reconciler.engine.store import pods as index
from reconciler.model.errors import ReconcilerError, TryLater
from reconciler.model.key import Key

KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an instance has. ``pods`` None: the index cannot be read. ``directories``: those that are there."""

    pods: tuple[Key, ...] | None
    images: int
    directories: tuple[Path, ...]


def holdings(ctx: Context) -> Holdings:
    try:
        pods: tuple[Key, ...] | None = tuple(sorted({row.key for row in index.all_pods(ctx.store)}))
    except ReconcilerError:
        pods = None
    return Holdings(pods, len(ctx.images.list()), tuple(path for path in _directories(ctx) if path.exists()))


def erase(ctx: Context) -> None:
    """1. Processes. 2. What firewalls let through; links, ports, bridges. 3. cgroups. 4. Directories, the index last.

    Raises TryLater where something does not go.
    """
    tag = ctx.layout.tag
    _end_processes(tag)
    with contextlib.suppress(ReconcilerError):  # a broken index: what others' firewalls let through is told there
        firewalls.close(ctx)
    for link in links.leaked_links(tag, (), patience=0):
        links.remove_link(link.name)
    portmap.remove_table(tag)
    redirect.remove(tag)
    for name in bridge.bridges(tag):
        bridge.remove_bridge(name)
    cgroups.remove_instance(tag, cgroups.elsewhere(tag))
    ctx.store.close()
    for directory in _directories(ctx):
        _remove(directory)
    if not ctx.layout.owns_logs:
        _remove_if_empty(ctx.layout.logs)


def _directories(ctx: Context) -> tuple[Path, ...]:
    """The state comes last: as long as it is there, an attempt that was cut short can be seen and repeated."""
    layout = ctx.layout
    return (*((layout.logs,) if layout.owns_logs else ()), layout.run, layout.state)


def _end_processes(tag: str) -> None:
    """Containers, their monitors, the zygote: all that is in the instance's cgroups."""
    places = (*cgroups.tops(tag), *cgroups.elsewhere(tag))
    inside = {pid for path in places for pid in cgroups.pids(path)}
    ends = [ref for pid in sorted(inside - {os.getpid()}) if (ref := processes.pid_ref(pid))]
    for path in places:
        cgroups.kill_all(path)
    for ref in ends:
        if not processes.wait_gone(ref, KILL_SECONDS):
            raise TryLater(f"cannot remove everything: process {ref.pid} does not die")


def _remove(directory: Path) -> None:
    """A file system that somebody mounted there is emptied, and stays."""
    files.delete(directory)
    if directory.exists() and not (directory.is_mount() and not files.names(directory)):
        raise TryLater(f"cannot remove {directory}: something is left in it", hint="is a file system mounted below it?")


@effect("layout.remove-empty")
def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):  # others use it, or it is not there
        directory.rmdir()
