"""What pods' annotations ask of us that Kubernetes has no field for. Pure.

reconciler/publish    host ports in podman's ``-p`` syntax, ranges too
reconciler/network    the named network that the pod is in
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.model import publish
from reconciler.model.spec import PortBinding
from reconciler.model.words import did_you_mean, network_flaw

OURS = "reconciler/"
PUBLISH = "reconciler/publish"
NETWORK = "reconciler/network"
KNOWN = [NETWORK, PUBLISH]

_AT: Path = ("metadata", "annotations")


def check(pod: dict[str, Any]) -> Iterator[Flaw]:
    """Every flaw in annotations of ours, conflicts between host ports apart."""
    annotations = pod.get("metadata", {}).get("annotations", {})
    for name in annotations:
        if name.startswith(OURS) and name not in KNOWN:
            text = f"is not an annotation of reconciler's{did_you_mean(name, KNOWN)}"
            yield Flaw(text, Reason.INVALID_VALUE, (*_AT, name), on_key=True, warning=True)
    for entry in publish.entries(annotations.get(PUBLISH, "")):
        if text := publish.flaw(entry):
            yield Flaw(text, Reason.INVALID_VALUE, (*_AT, PUBLISH))
    if NETWORK in annotations and (text := network_flaw(annotations[NETWORK])):
        yield Flaw(text, Reason.INVALID_VALUE, (*_AT, NETWORK))
    if pod.get("spec", {}).get("hostNetwork"):
        for name in KNOWN:
            if annotations.get(name):
                text = "cannot be used with hostNetwork: the pod has the machine's addresses and ports"
                yield Flaw(text, Reason.INVALID_VALUE, (*_AT, name))


def published(pod: dict[str, Any]) -> Iterator[tuple[Path, PortBinding]]:
    """The host ports of the annotation, with its place; entries with a flaw are left out."""
    for entry in publish.entries(pod.get("metadata", {}).get("annotations", {}).get(PUBLISH, "")):
        if not publish.flaw(entry):
            yield from (((*_AT, PUBLISH), binding) for binding in publish.parse(entry).bindings)
