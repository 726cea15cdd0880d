"""``system check --repair``: what ``check`` finds is put right where nothing can be lost by that; of the rest the
user is told what to do.

Nothing that runs is ended unless that is asked for: it has no record, but may do somebody's work. No data goes: a
directory without a record in which a container or a volume has left something stays. What the index
knows is touched with its pod's lock, as somebody may be between row and record; what has no row has no maker (rows come
first and go last). Each step finds nothing to do the second time, so whoever is killed here begins again.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reconciler.engine import (
    cgroups,
    containers,
    endings,
    files,
    firewalls,
    nameserver,
    networks,
    podgroups,
    processes,
    records,
    sandboxes,
    upkeep,
    verdicts,
)
from reconciler.engine.check import Leak, check, known_of, strange_groups, watched_by
from reconciler.engine.context import Context
from reconciler.engine.network import pod as links
from reconciler.engine.records import RECORD, ContainerRecord, PodRecord
from reconciler.engine.store import pods as index
from reconciler.engine.upkeep import LockKey
from reconciler.model.errors import ReconcilerError, TryLater
from reconciler.model.key import ContainerId, PodId

KILL_SECONDS = 10.0
MONITOR_SECONDS = 3.0
"""How long a monitor has to end by itself."""

END = "it runs: reconciler system check --repair --kill ends it"
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Repaired:
    """One thing that was found. ``left``: what is to be done about it; "" where it has been put right."""

    leak: Leak
    left: str = ""


def repair(ctx: Context, lock: LockKey, tidy: Callable[[], None], *, kill: bool = False) -> tuple[Repaired, ...]:
    """Put right what can be. ``kill``: also end what runs without a record.

    1. Look. 2. End what is to be ended. 3. What every controller collects when it starts. 4. The network of pods. 5.
    Containers, then pods, then links without a record. 6. Look again.
    """
    found = check(ctx)
    if not found:
        return ()
    failures = [failure for step in _steps(ctx, lock, tidy, kill=kill) if (failure := _tried(step))]
    left, advice = check(ctx), partial(_advice, living=_living(ctx), lost=networks.lost(ctx), failures=failures)
    return tuple(Repaired(one, advice(one) if one in left else "") for one in found) + tuple(
        Repaired(one, advice(one)) for one in left if one not in found
    )


def _steps(ctx: Context, lock: LockKey, tidy: Callable[[], None], *, kill: bool) -> Iterator[Callable[[], object]]:
    if kill:
        yield partial(_end_strangers, ctx)
    yield tidy
    yield lambda: upkeep.mend(ctx, lock)
    for container in sorted(_strange_containers(ctx)):
        yield partial(_remove_container, ctx, lock, container)
    for pod in sorted(_strange_pods(ctx)):
        yield partial(_remove_pod, ctx, lock, pod)
    yield partial(_remove_links, ctx)
    if not index.is_empty(ctx.store):
        yield partial(networks.follow, ctx)
    yield tidy  # rows that nothing is left of
    yield partial(nameserver.end_if_last, ctx)
    yield lambda: networks.remove_if_last(ctx, firewalls.close)


def _tried(step: Callable[[], object]) -> str:
    """Why it failed, or ""."""
    try:
        step()
    except ReconcilerError as e:
        return e.message
    except OSError as e:
        return f"cannot repair: {e.filename}: {e.strerror}"
    return ""


def _advice(leak: Leak, *, living: frozenset[str], lost: dict[str, tuple[str, str]], failures: list[str]) -> str:
    if leak.name in lost:
        return f"with --internal or --disable-dns, where it had them: {lost[leak.name][1]}"
    if leak.kind == "process" or leak.of in living:
        return END
    if leak.kind == "mount":
        return f"when you know whose it is: umount {leak.name}"
    if leak.kind == "directory":
        return f"it holds files; when nobody needs them: rm -r {leak.name}"
    if leak.kind in ("row", "name", "nft", "file") and living:
        return "it belongs to what runs without a record"
    return failures[0] if failures else "look again, it may be going"


def _living(ctx: Context) -> frozenset[str]:
    """The ids of pods and containers of which a process runs, recorded or not."""
    found: set[str] = set()
    for pod, paths in cgroups.pods(ctx.layout.tag).items():
        for path in paths:
            inside = {cgroups.container_of(one) for one in cgroups.containers(path) if cgroups.pids(one)}
            found |= {*inside, pod} if inside or cgroups.pids(path) else set()
    for container in filter(None, map(watched_by, cgroups.monitors(ctx.layout.tag))):
        pod_of_it = index.pod_of(ctx.store, ContainerId(container))
        found |= {container, pod_of_it} if pod_of_it else {container}
    return frozenset(found)


def _strange_containers(ctx: Context) -> frozenset[ContainerId]:
    """Those of which there is something, but no record."""
    layout = ctx.layout
    places = (layout.containers, layout.exits, layout.verdicts, layout.pids, *files.entries(layout.run / "runtime"))
    names = {entry.name.removesuffix(".oom") for place in places for entry in files.entries(place)}
    names |= set(index.all_containers(ctx.store))
    return frozenset(ContainerId(name) for name in names if _ID.fullmatch(name)) - set(known_of(ctx).containers)


def _strange_pods(ctx: Context) -> frozenset[PodId]:
    names = {entry.name for entry in files.entries(ctx.layout.pods)} | set(cgroups.pods(ctx.layout.tag))
    names |= {row.id for row in index.all_pods(ctx.store)}
    return frozenset(PodId(name) for name in names if _ID.fullmatch(name)) - set(known_of(ctx).pods)


def _remove_container(ctx: Context, lock: LockKey, container: ContainerId) -> None:
    """What lies about of a container that has ended, but what it has written."""
    pod = index.pod_of(ctx.store, container)
    with _locked(ctx, lock, pod):
        if _is_recorded(ctx, container) or container in _living(ctx):
            return
        if not _holds_files(ctx.layout.container(container) / "upper"):
            containers.remove(ctx, container, keep_volumes=True)
            return
        ctx.runtime_of(container).delete(container)
        endings.forget(ctx, container)
        verdicts.forget(ctx, container)
        index.remove_container(ctx.store, container)


def _is_recorded(ctx: Context, container: ContainerId) -> bool:
    """As ``known_of`` has it."""
    record = records.read(ctx.layout.container(container), RECORD, ContainerRecord)
    return record is not None and _is_recorded_pod(ctx, record.pod)


def _is_recorded_pod(ctx: Context, pod: PodId) -> bool:
    return records.read(ctx.layout.pod(pod), RECORD, PodRecord) is not None


def _remove_pod(ctx: Context, lock: LockKey, pod: PodId) -> None:
    """The same of a pod."""
    with _locked(ctx, lock, pod):
        if _is_recorded_pod(ctx, pod) or pod in _living(ctx):
            return
        if _holds_files(ctx.layout.pod(pod) / sandboxes.VOLUMES):
            podgroups.remove(ctx, pod)
            index.remove_pod(ctx.store, pod)
        else:
            sandboxes.remove_halves(ctx, pod)


def _remove_links(ctx: Context) -> None:
    known = known_of(ctx)
    for link in links.leaked_links(ctx.layout.tag, (*known.pods, *known.containers), patience=0):
        if not any(link.belongs_to(PodId(one)) for one in _living(ctx)):
            links.remove_link(link.name)


@contextmanager
def _locked(ctx: Context, lock: LockKey, pod: PodId | None) -> Iterator[None]:
    """With the lock of the key that the index knows the pod by, if any."""
    key = next((row.key for row in index.all_pods(ctx.store) if row.id == pod), None)
    with lock(key) if key else nullcontext():
        yield


def _end_strangers(ctx: Context) -> None:
    """Kill whatever runs without a record, and wait for its end. Its monitor then ends by itself."""
    known = known_of(ctx)
    for _, path in strange_groups(ctx, known):
        _kill(path)
    for pid in cgroups.monitors(ctx.layout.tag):
        container, ref = watched_by(pid), processes.pid_ref(pid)
        if container and container not in known.containers and ref and not processes.wait_gone(ref, MONITOR_SECONDS):
            processes.send_signal(ref, signal.SIGKILL)
            processes.wait_gone(ref, KILL_SECONDS)


def _kill(path: str) -> None:
    ends = [ref for pid in sorted(cgroups.pids(path)) if (ref := processes.pid_ref(pid))]
    cgroups.kill_all(path)
    for ref in ends:
        if not processes.wait_gone(ref, KILL_SECONDS):
            raise TryLater(f"cannot end process {ref.pid}: it was killed and runs still")


def _holds_files(tree: Path) -> bool:
    """Whether anything with a content lies there: a runtime leaves empty ones, to mount at."""
    return any((Path(top) / name).lstat().st_size for top, _, names in os.walk(tree) for name in names)
