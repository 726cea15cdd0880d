"""A plan's kills, done: whoever is meant is found by what the kernel says, and gets SIGKILL."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

from reconciler.model.process import PidRef
from tests.host.instance import start_time
from tests.slowness import seconds
from tests.torture import kernel
from tests.torture.churn import INFRA, Strike, Victim

RUNTIME_SECONDS = 1.5
"""How long a process of the OCI runtime is waited for."""

_POINTS = """
    bundle.write cgroup.kill cgroup.set container.forget file.write lock.open log.prepare message.make monitor.create
    pod.make podfile.write ports.hold process.signal runtime.delete runtime.start store.commit tree.bury tree.delete
    tree.discard volumes.prepare
"""
POINTS = tuple(_POINTS.split())
"""Effects that a controller often passes through in a run's churn (engine/effects.py)."""


def strike(tag: str, what: Strike) -> bool:
    """Kill who is meant; False where nobody is there."""
    if what.victim is Victim.RUNTIME:
        return _kill_runtime(what.nth)
    sight = kernel.look(tag)
    if what.victim is Victim.NAMES:
        return _kill(*(p.ref for p in kernel.processes(tag) if p.name == "aardvark-dns"))
    if what.victim is Victim.ZYGOTE:
        return _kill(*sight.zygotes)
    ids = [one for one, name in sight.pods().items() if name == what.pod]
    crowd = (
        [c for one in ids for c in sight.infra(one)] if what.member == INFRA else sight.marked(what.pod, what.member)
    )
    if not crowd:
        return False
    first, monitor = crowd[0].first.ref, sight.monitors.get(crowd[0].id)
    wanted: dict[Victim, list[PidRef | None]] = {
        Victim.MEMBER: [first],
        Victim.INFRA: [first],
        Victim.MONITOR: [monitor],
        Victim.BOTH: [monitor, first],
        Victim.BEREFT: [*sight.zygotes, monitor],
    }
    return _kill(*(ref for ref in wanted[what.victim] if ref))


def _kill(*refs: PidRef) -> bool:
    """One right after the other."""
    done = False
    for ref in refs:
        if start_time(ref.pid) == ref.start:
            with suppress(ProcessLookupError):
                os.kill(ref.pid, signal.SIGKILL)
                done = True
    return done


def _kill_runtime(nth: int) -> bool:
    """The n-th of its processes that creates or starts a container from now on. It lives for milliseconds, and nobody
    tells of it: so it is looked for all the time, for a moment."""
    end = time.monotonic() + seconds(RUNTIME_SECONDS)
    seen: set[int] = set()
    while time.monotonic() < end:
        for pid, command in kernel.runtimes():
            if pid in seen or not (" create " in command or " start " in command):
                continue
            seen.add(pid)
            if len(seen) == nth:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return True
        select.select([], [], [], 0.001)
    return False
