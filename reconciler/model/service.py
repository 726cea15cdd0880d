"""A Service, of which only its names count here: they lead to the ready pods that it selects, at their own ports."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.key import Key

Labels = tuple[tuple[str, str], ...]
"""As a spec has them (spec.Pairs), which is not imported for this: commands that only look come by here."""


@dataclass(frozen=True, slots=True, order=True)
class ServiceName:
    """A Service that selects a pod. ``unready_too``: its name leads to the pod also while that is not ready
    (publishNotReadyAddresses)."""

    name: str
    unready_too: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """``selector`` () selects nothing (core/v1: a Service without a selector has no endpoints of its own)."""

    key: Key
    selector: Labels = ()
    unready_too: bool = False

    def selects(self, key: Key, labels: Labels) -> bool:
        """Whether the pod of ``key`` with these labels is one of its own."""
        return key.namespace == self.key.namespace and bool(self.selector) and set(self.selector) <= set(labels)
