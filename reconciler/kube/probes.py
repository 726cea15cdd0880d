"""Probes of a container: checked as the Kubernetes API does (core/validation: validateProbe and its callers), compiled
with its defaults, and written out again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kube.handlers import KINDS, check_handler, compile_handler, present_handler
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.model.expansion import escape, expand, expand_env
from reconciler.model.probe import ExecAction, Probe, ProbeKind

Json = dict[str, Any]

FIELDS = {kind: f"{kind}Probe" for kind in ProbeKind}
"""What manifests call each."""

GRACE = "terminationGracePeriodSeconds"
_NUMBERS = {
    "initial_delay": ("initialDelaySeconds", 0),
    "timeout": ("timeoutSeconds", 1),
    "period": ("periodSeconds", 10),
    "success": ("successThreshold", 1),
    "failure": ("failureThreshold", 3),
}
"""Fields of ``Probe``, their names in manifests, and what 0 and nothing mean (core/v1/defaults.go)."""


def check_probes(container: Json, at: Path) -> Iterator[Flaw]:
    """Flaws of every probe of a container."""
    for kind, field in FIELDS.items():
        if isinstance(probe := container.get(field), dict):
            yield from _check(kind, probe, (*at, field), container)


def _check(kind: ProbeKind, probe: Json, at: Path, container: Json) -> Iterator[Flaw]:
    yield from check_handler({name: probe[name] for name in KINDS if name in probe}, at, container)
    if kind is not ProbeKind.READINESS and probe.get("successThreshold", 1) not in (0, 1):
        yield Flaw(f"must be 1 for a {FIELDS[kind]}", Reason.INVALID_VALUE, (*at, "successThreshold"))
    if kind is ProbeKind.READINESS and GRACE in probe:
        text = "a readinessProbe ends nothing, so it has no grace"
        yield Flaw(text, Reason.INVALID_VALUE, (*at, GRACE), on_key=True)


def compile_probe(container: Json, kind: ProbeKind) -> Probe | None:
    """The probe of that kind that a container without flaws has. The words of a command are expanded with what its env
    says in the manifest; what comes from elsewhere is empty (kubelet: ExpandContainerCommandOnlyStatic)."""
    probe = container.get(FIELDS[kind])
    if probe is None:
        return None
    handler = compile_handler(probe, container)
    if isinstance(handler, ExecAction):
        env = expand_env((entry["name"], entry.get("value", "")) for entry in container.get("env", ()))
        handler = ExecAction(tuple(expand(word, env) for word in handler.command))
    numbers = {name: int(probe.get(field) or usual) for name, (field, usual) in _NUMBERS.items()}
    return Probe(handler, **numbers, grace=int(probe[GRACE]) if GRACE in probe else None)


def present_probes(probes: dict[ProbeKind, Probe]) -> Json:
    """As a manifest says them, every default spelled out; reading it gives equal ones."""
    return {FIELDS[kind]: _present(probe) for kind, probe in probes.items()}


def _present(probe: Probe) -> Json:
    handler = probe.handler
    if isinstance(handler, ExecAction):
        handler = ExecAction(tuple(map(escape, handler.command)))
    out = present_handler(handler) | {field: getattr(probe, name) for name, (field, _) in _NUMBERS.items()}
    return out if probe.grace is None else {**out, GRACE: probe.grace}
