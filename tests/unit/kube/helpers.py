"""Manifests for the tests of this room: one good pod, and one-line changes to it."""

from __future__ import annotations

import copy
import json
from typing import Any

from reconciler.kube import Loaded, load
from reconciler.model.spec import PodSpec

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "a", "image": "busybox:1"}]},
}


def pod(spec: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    """The good pod with more in its spec, and more in its only container."""
    made = copy.deepcopy(POD)
    made["spec"].update(spec or {})
    made["spec"]["containers"][0].update(container)
    return made


def read(document: Any, path: str = "web.json") -> Loaded:
    return load(path, json.dumps(document).encode())


def read_yaml(text: str, path: str = "web.yaml") -> Loaded:
    return load(path, text.encode())


def spec_of(document: Any) -> PodSpec:
    """The only pod of a document that has no problems."""
    loaded = read(document) if not isinstance(document, str) else read_yaml(document)
    assert not [str(p) for p in loaded.problems if p.is_error]
    assert len(loaded.pods) == 1
    return loaded.pods[0].spec


def sentences(loaded: Loaded) -> list[str]:
    """Problems as ``field: message``, in order."""
    return [f"{p.field}: {p.message}" if p.field else p.message for p in loaded.problems]
