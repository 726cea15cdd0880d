"""A plan's kills, done: whoever is meant is found by what the kernel says, and gets SIGKILL."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

from reconciler.engine.runtime import Runtime
from reconciler.model.process import PidRef
from tests.host.conmon_box import pidfd
from tests.host.instance import start_time
from tests.slowness import seconds
from tests.torture import execs, kernel
from tests.torture.churn import INFRA, Strike, Victim

RUNTIME_SECONDS = 5.0
"""How long a process of the OCI runtime is waited for; it comes when a pod was edited."""
EXEC_SECONDS = 0.2
"""How long who was about to run a program may take to be it."""
VERBS = ("create", "delete")
_PACE = {"crun": 1.0, "runc": 4.0}
"""How long each takes for a container, beside the other."""

_POINTS = """
    bundle.write cgroup.kill cgroup.set container.forget file.write gate.open gate.remove lock.open log.prepare
    message.make monitor.create pod.make podfile.write ports.hold process.signal runtime.delete store.commit tree.bury
    tree.delete tree.discard volumes.prepare
"""
POINTS = tuple(_POINTS.split())
"""Effects that a controller often passes through in a run's churn (engine/effects.py)."""


def strike(tag: str, runtime: Runtime, what: Strike) -> bool:
    """Kill who is meant; False where nobody is there. ``runtime``: the one with which the instance makes containers."""
    if what.victim is Victim.RUNTIME:
        return _kill_runtime(runtime, what)
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


def _kill_runtime(runtime: Runtime, what: Strike) -> bool:
    """The n-th of its processes from now on that makes, starts or deletes a container, a while after its exec; where
    it has ended by then, the next one at once."""
    end = time.monotonic() + seconds(RUNTIME_SECONDS)
    seen: set[int] = set()
    becoming: dict[int, float] = {}
    with execs.execs(runtime.path, execs.loader()) as heard:
        while (left := end - time.monotonic()) > 0:
            select.select([heard], [], [], 0.0005 if becoming else left)
            until = time.monotonic() + seconds(EXEC_SECONDS)
            becoming |= {pid: until for pid in execs.pids(heard) if pid not in seen}  # crun may run itself once more
            for pid in _at_work(runtime, becoming):
                seen.add(pid)
                after = what.after * _PACE[runtime.name] if len(seen) == what.nth else 0
                if len(seen) >= what.nth and _kill_later(pid, after):
                    return True
    return False


def _at_work(runtime: Runtime, becoming: dict[int, float]) -> list[int]:
    """Who is the runtime by now and does something to a container of ours. Whoever turned out to do something
    else, or is nobody of them when his time is over, is dropped from ``becoming``."""
    found = []
    for pid, until in tuple(becoming.items()):
        command = kernel.command(pid)
        is_it = command.partition(" ")[0].endswith(runtime.name)
        if is_it and str(runtime.state_dir) in command and any(f" {verb} " in command for verb in VERBS):
            found.append(pid)
        if is_it or time.monotonic() > until:  # no command: in the midst of its exec, or gone
            del becoming[pid]
    return found


def _kill_later(pid: int, after: float) -> bool:
    """False where it has ended by then."""
    with suppress(ProcessLookupError), pidfd(pid) as process:
        if not _has_ended(process, after):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            return True
    return False


def _has_ended(process: int, within: float) -> bool:
    """``process``: a pidfd."""
    return bool(select.select([process], [], [], within)[0])
