"""What a change of a manifest's field costs, by the path at which its user finds it: for `explain` and docs/fields.md.

Derived from the costs of the spec's fields (``model/cost.py``) and their paths (``plan/disruption.py``). What specs do
not have one for one with manifests is in a table here. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from reconciler.model.cost import Cost
from reconciler.model.spec import PodSpec
from reconciler.plan.disruption import USER_PATHS

WORDS = {
    Cost.NOTHING: "nothing",
    Cost.RECORD: "recorded; no process is touched",
    Cost.LIVE: "applied while it runs",
    Cost.CONTAINER: "the container is replaced; its siblings keep their processes",
    Cost.POD: "the pod is recreated",
}

Price = tuple[tuple[Cost, ...], str]
"""What a change may cost, and a remark; () where nothing is known."""

_LISTS = {"PodSpec.containers": "spec.containers.", "PodSpec.init": "spec.initContainers."}
"""Fields that hold members, and what the paths of these begin with."""

_PUBLISHED = "where hostPort publishes the port"
_PLAIN_INIT = "the first of a sidecar, the second of any other"
_INIT, _MEMBERS = "spec.initContainers", "spec.containers"

_OTHERS: dict[str, Price] = {
    "apiVersion": ((Cost.NOTHING,), ""),
    "kind": ((Cost.NOTHING,), ""),
    "metadata.namespace": ((Cost.POD,), "another namespace is another pod"),
    "metadata.name": ((Cost.POD,), "another name is another pod"),
    "spec.os": ((Cost.NOTHING,), ""),
    "spec.containers": ((Cost.CONTAINER,), "one that comes is started, one that goes is stopped"),
    "spec.volumes": ((Cost.CONTAINER,), "those that mount it"),
    "spec.initContainers.restartPolicy": ((Cost.POD,), "it becomes a sidecar, or is none any more"),
    "spec.containers.ports.containerPort": ((Cost.NOTHING, Cost.POD), _PUBLISHED),
    "spec.containers.ports.hostIP": ((Cost.NOTHING, Cost.POD), _PUBLISHED),
    "spec.containers.ports.protocol": ((Cost.NOTHING, Cost.POD), _PUBLISHED),
}
"""Costs of fields that are no field of a spec, or of more than one; and what there is to say of them."""

_OF_CONTAINERS = {
    "spec.securityContext": "spec.containers.securityContext",
    "spec.imagePullSecrets": "spec.containers.imagePullSecrets",
}
"""What the spec has with each container, and a manifest with the pod."""


def price(path: str) -> Price:
    """The price of ``spec.containers.image``. What is below a field costs what the field does, unless it has a cost of
    its own."""
    while path and not own_price(path)[0]:
        path = path.rpartition(".")[0]
    return own_price(path)


def own_price(path: str) -> Price:
    """The price of this field itself, not of one that it is below of."""
    if path in _OTHERS:
        return _OTHERS[path]
    if path.startswith(_INIT):
        found, remark = own_price(path.replace(_INIT, _MEMBERS, 1))
        return ((Cost.CONTAINER, Cost.POD), _PLAIN_INIT) if Cost.CONTAINER in found else (found, remark)
    if path in _known():
        return (_known()[path],), ""
    for pods, members in _OF_CONTAINERS.items():
        cost = _known().get(path.replace(pods, members, 1)) if path.startswith(pods) else None
        if cost is not None:
            return (cost,), "of each container"
    return (), ""


@cache
def _known() -> dict[str, Cost]:
    return {path: cost for path, cost in _costs(PodSpec, "") if re.fullmatch(r"[a-zA-Z.]+", path)}


def _costs(cls: Any, prefix: str) -> Iterator[tuple[str, Cost]]:
    """Each field of a spec class with a cost, by its path; what only podman's options say has a path with dashes."""
    types = get_type_hints(cls)
    for spec_field in fields(cls):
        name = f"{cls.__name__}.{spec_field.name}"
        if "cost" in spec_field.metadata:
            path = USER_PATHS.get(name, spec_field.name).replace("[]", "")
            yield path if path.startswith(("spec.", "metadata.")) else f"{prefix}{path}", spec_field.metadata["cost"]
            continue
        kind = types[spec_field.name]
        inner = kind if is_dataclass(kind) else next((t for t in get_args(kind) if is_dataclass(t)), None)
        if inner is not None:
            yield from _costs(inner, prefix + _LISTS.get(name, USER_PATHS.get(name, "")))
