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
EXEC_SECONDS = 1.0
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
    with execs.execs(runtime.path) as heard:
        while (left := end - time.monotonic()) > 0 and select.select([heard], [], [], left)[0]:
            for pid in execs.pids(heard):
                with suppress(ProcessLookupError), pidfd(pid) as process:
                    if pid in seen or not _is_at_work(runtime, pid, process):
                        continue  # crun runs itself once more
                    seen.add(pid)
                    after = what.after * _PACE[runtime.name] if len(seen) == what.nth else 0
                    if len(seen) >= what.nth and not _has_ended(process, after):
                        signal.pidfd_send_signal(process, signal.SIGKILL)
                        return True
    return False


def _is_at_work(runtime: Runtime, pid: int, process: int) -> bool:
    """Whether the process, as soon as it is the runtime, does something to a container of ours."""
    end = time.monotonic() + seconds(EXEC_SECONDS)
    while time.monotonic() < end and not _has_ended(process, 0.0005):
        command = kernel.command(pid)
        if command.partition(" ")[0].endswith(runtime.name):
            return str(runtime.state_dir) in command and any(f" {verb} " in command for verb in VERBS)
    return False


def _has_ended(process: int, within: float) -> bool:
    """``process``: a pidfd."""
    return bool(select.select([process], [], [], within)[0])
