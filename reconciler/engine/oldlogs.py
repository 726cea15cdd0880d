"""Logs of what is gone: members that left a pod that lives, and pods without a record.

A pod's logs go with the pod, and of each member two are kept (``members``); the kubelet's rules (kuberuntime_gc.go:
evictPodLogsDirectories, one dead container each). What is left is what nobody else would come to. In a directory that
others write to as well (/var/log/pods, a kubelet's), what belongs to no pod of ours is not ours to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from reconciler.engine import files, recorded, records
from reconciler.engine.context import Context
from reconciler.engine.store import pods as index
from reconciler.model.key import Key, PodId


def sweep(ctx: Context, lock: Callable[[Key], AbstractContextManager[Any]]) -> None:
    """Delete them. A pod's own are looked at again with its ``lock``, as its members' are made with it."""
    if ctx.layout.owns_logs:
        for directory in _strangers(ctx):
            files.delete(directory)
    named = index.names_by_pod(ctx.store)
    for row in index.all_pods(ctx.store):
        if not named.get(row.id, frozenset()).issuperset(files.names(_logs(ctx, row.key, row.id))):
            with lock(row.key):
                for entry in tuple(_of_nobody(ctx, row.key, row.id)):
                    files.delete(entry)


def _strangers(ctx: Context) -> list[Path]:
    """Whose pod has neither a row nor a directory, of which it has both before it logs. What is there is listed first:
    pods may come meanwhile."""
    found = files.names(ctx.layout.logs)
    pods = {*files.names(ctx.layout.pods), *(row.id for row in index.all_pods(ctx.store))}
    known = {_uid(PodId(pod)) for pod in pods}
    return [ctx.layout.logs / name for name in found if name.rpartition("_")[2] not in known]


def _of_nobody(ctx: Context, key: Key, pod: PodId) -> Iterator[Path]:
    record = recorded.record_of_pod(ctx, pod)
    if record is None:
        return
    known = {c.name for c in record.spec.everyone} | index.names_by_pod(ctx.store).get(pod, frozenset())
    yield from (entry for entry in files.entries(_logs(ctx, key, pod)) if entry.name not in known)


def _logs(ctx: Context, key: Key, pod: PodId) -> Path:
    return ctx.layout.log(key, _uid(pod), "-", 0).parent.parent


def _uid(pod: PodId) -> str:
    """``-`` of what is no pod's id: a directory that somebody put there."""
    try:
        return records.uid_of(pod)
    except ValueError:
        return "-"
