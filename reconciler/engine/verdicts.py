"""What probes have found of a container, on disk: so that others see it who look, and a controller that starts again.

A file in the run directory for each container that has probes and was asked. It speaks of one life of the container,
told by the instant of its start, and of the probes that there were then; what it says is weighed against those that
there are now. Written by whoever asks (one process), read by anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.engine import processes, records
from reconciler.engine.context import Context
from reconciler.engine.effects import effect
from reconciler.engine.records import ContainerFacts
from reconciler.model.key import ContainerId
from reconciler.model.observed import Instant
from reconciler.model.probe import ProbeKind, Verdict
from reconciler.model.spec import ContainerSpec


@dataclass(frozen=True, slots=True)
class _Said:
    since: Instant
    boot: str
    verdict: Verdict


def of(ctx: Context, container: ContainerId, facts: ContainerFacts, spec: ContainerSpec) -> Verdict:
    """What counts now, under the probes that ``spec`` has; nothing is known of one that was not asked yet."""
    probes = spec.probes
    if not probes:
        return Verdict()
    said = records.read(ctx.layout.verdicts, container, _Said)
    if said is None or (said.since, said.boot) != (facts.started, facts.boot):
        said = _Said(facts.started, facts.boot, Verdict(started_up=False, is_ready=False))
    started_up = said.verdict.started_up or ProbeKind.STARTUP not in probes
    return Verdict(
        started_up=started_up,
        is_ready=started_up and (said.verdict.is_ready or ProbeKind.READINESS not in probes),
        unhealthy=said.verdict.unhealthy if said.verdict.unhealthy in probes else "",
    )


def changed_wall(ctx: Context, container: ContainerId) -> float:
    """When something else was found last, by the wall clock; 0 where nothing was yet. Files are written at changes."""
    try:
        return (ctx.layout.verdicts / container).stat().st_mtime
    except OSError:
        return 0.0


def write(ctx: Context, container: ContainerId, since: Instant, verdict: Verdict) -> None:
    """Write down what was found of the life that began at ``since``; nothing where the container is gone. Raises
    TryLater."""
    if _is_there(ctx, container):
        records.write(ctx.layout.verdicts, container, _Said(since, processes.boot_id(), verdict))
        if not _is_there(ctx, container):
            forget(ctx, container)


@effect("probe.forget")
def forget(ctx: Context, container: ContainerId) -> None:
    """Drop what is known of a container whose record is gone: who writes looks for that, before and after."""
    (ctx.layout.verdicts / container).unlink(missing_ok=True)
    for cut_short in ctx.layout.verdicts.glob(f".{container}.*"):
        cut_short.unlink(missing_ok=True)


def _is_there(ctx: Context, container: ContainerId) -> bool:
    return ctx.layout.container(container).is_dir()
