"""Which containers of a pod are to be probed, and with what. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.hook import HookState
from reconciler.model.key import ContainerId
from reconciler.model.observed import Container, ContainerState, Instant, Observed
from reconciler.model.probe import Probe, ProbeKind, Verdict


@dataclass(frozen=True, slots=True)
class Patient:
    """A running container that has probes. ``since``: when this life of it began; ``resting``: it is not to be
    disturbed, as it is being ended or left alone, and only its readiness is asked for; ``paused``: not even that.
    ``label`` goes before what is told of it, where its pod has others."""

    container: ContainerId
    since: Instant
    probes: tuple[tuple[ProbeKind, Probe], ...]
    known: Verdict
    resting: bool = False
    paused: bool = False
    label: str = ""


def patients(have: Observed, *, left_alone: bool = False) -> tuple[Patient, ...]:
    """Who is to be asked of a pod, by the probes that are on record for it."""
    applied = have.applied
    if applied is None:
        return ()
    return tuple(
        Patient(
            container=c.id,
            since=c.started,
            probes=tuple(spec.probes.items()),
            known=Verdict(c.started_up, c.is_ready, c.unhealthy),
            resting=left_alone or c.stopping is not None,
            paused=c.paused,
            label=f"container {c.name}: " if len(applied.everyone) > 1 else "",
        )
        for c, spec in ((c, applied.container(c.name)) for c in have.containers if _runs(c))
        if spec is not None and spec.probes
    )


def _runs(container: Container) -> bool:
    """It counts as being created until its postStart hook has passed (kubelet: it is not Running before)."""
    return container.state is ContainerState.RUNNING and container.post_start in (None, HookState.PASSED)
