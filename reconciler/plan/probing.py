"""What a probe's results come to, and when it is run next. Pure.

The kubelet's rules (pkg/kubelet/prober/worker.go, doProbe): a result counts when there were as many of its kind in a
row as the threshold says; before that, a container is alive and not ready. Liveness and readiness wait until startup
has passed, which is over then. When liveness or startup has failed, that probe is on hold: the container is to be
replaced. A container that is being ended is asked for its readiness alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.model.observed import Instant
from reconciler.model.probe import Probe, ProbeKind, Verdict

LIVENESS, READINESS, STARTUP = ProbeKind.LIVENESS, ProbeKind.READINESS, ProbeKind.STARTUP


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one probe of one life of a container stands. ``passed``: what counts, None where nothing does yet; ``run``:
    how many results there were in a row like the ``last``."""

    passed: bool | None = None
    last: bool | None = None
    run: int = 0


Standings = Mapping[ProbeKind, Standing]


def after(standing: Standing, probe: Probe, passed: bool) -> Standing:
    """The standing after one more result."""
    run = standing.run + 1 if standing.last is passed else 1
    counts = run >= (probe.success if passed else probe.failure)
    return Standing(passed if counts else standing.passed, passed, run)


def begun(kind: ProbeKind, known: Verdict) -> Standing:
    """The standing of a probe that nobody asks yet, of a container about which so much is known."""
    passed = {
        STARTUP: known.started_up,
        READINESS: known.is_ready,
        LIVENESS: False,
    }[kind]
    if known.unhealthy == kind:
        return Standing(passed=False)
    return Standing(passed=True if passed else None)


def verdict(standings: Standings) -> Verdict:
    """What follows from all probes of a container."""
    started_up = STARTUP not in standings or standings[STARTUP].passed is True
    ready = started_up and (READINESS not in standings or standings[READINESS].passed is True)
    ill = next((kind for kind in (STARTUP, LIVENESS) if kind in standings and standings[kind].passed is False), "")
    return Verdict(started_up, ready, str(ill))


def is_asked(kind: ProbeKind, standings: Standings, *, ending: bool) -> bool:
    """Whether a probe is run at all as things stand. ``ending``: the container was told to stop."""
    standing, now = standings[kind], verdict(standings)
    if kind is STARTUP:
        return not ending and standing.passed is None
    if not now.started_up:
        return False
    return kind is READINESS or (not ending and standing.passed is not False)


def first_due(probe: Probe, since: Instant, now: Instant) -> Instant:
    """When a probe is run for the first time, of a container that runs ``since`` then: after its delay; and where that
    is long ago (a controller begins), at the next of the times at which it would be run anyway."""
    start = since + probe.initial_delay
    if now < start + probe.period:
        return max(start, now)
    return next_due(probe, start, now)


def next_due(probe: Probe, due: Instant, now: Instant) -> Instant:
    """When a probe is run next that was due at ``due``: periods are counted from there, and those that are missed by
    now are left out."""
    missed = max(0, int((now - due) // probe.period))
    return due + (missed + 1) * probe.period


def renewed(standing: Standing) -> Standing:
    """The standing of a probe that was edited: what counts goes on to count, until the new one says otherwise; but what
    the old one failed is forgiven."""
    return Standing(passed=standing.passed or None)
