"""What only a cluster makes use of: accepted, so that what ``kubectl get -o yaml`` prints runs here, and named once.

Which fields these are is said in the schema (``x-support: ignored``). A field that is at its default, or empty, asks
for nothing and is not named. The service account's token, which a cluster's admission puts into every pod, is left
out as a whole: there is no API server that it could be shown to. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from reconciler.kube.problem import Flaw, Path, Reason, field_path
from reconciler.kube.schema import inlined, misspelt

IGNORED = "ignored"
"""The value of ``x-support`` in a schema for a field that is accepted and has no effect."""

TOKEN_PLACE = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECRET = re.compile(r".+-token-[a-z0-9]{5}")

NAMED = 12
"""Of the fields without effect, how many are named; the rest are counted."""


def check(pod: dict[str, Any], token: frozenset[str] = frozenset()) -> Iterator[Flaw]:
    """One warning for all that has no effect here, where the first of it stands; and names in it that Kubernetes does
    not know. ``token``: as from ``without_token``."""
    found = list(_ignored(pod, inlined("pod.json"), ()))
    for path, value, kind in found:
        yield from misspelt(path, value, kind)
    paths: list[tuple[Path, str]] = []
    for index, volume in enumerate(pod.get("spec", {}).get("volumes", ())):
        if isinstance(volume, dict) and volume.get("name") in token:
            paths.append((("spec", "volumes", index), " (a service account's token)"))
    paths = [*((path, "") for path, _, _ in found[:1]), *paths, *((path, "") for path, _, _ in found[1:])]
    if paths:
        (first, _), *others = paths
        text = _sentence([f"{field_path(path)}{remark}" for path, remark in others])
        yield Flaw(text, Reason.NOT_SUPPORTED, first, on_key=True, warning=True)


def without_token(pod: dict[str, Any]) -> frozenset[str]:
    """Put an emptyDir, in place, where a cluster's admission put the token of a service account; the names of these
    volumes. What is wrong with the rest keeps its place so; ``drop_volumes`` takes them out in the end."""
    spec = pod.get("spec")
    if not isinstance(spec, dict):
        return frozenset()
    names = set()
    for volume in _mappings(spec.get("volumes")):
        name = volume.get("name")
        if isinstance(name, str) and _is_token(volume) and _places(spec, name) == {TOKEN_PLACE}:
            names.add(name)
            for source in set(volume) - {"name"}:
                del volume[source]
    return frozenset(names)


def drop_volumes(pod: dict[str, Any], names: frozenset[str]) -> None:
    """Take volumes out of a pod, in place, and what mounts them."""
    if not names:
        return
    spec = pod["spec"]
    spec["volumes"] = [v for v in spec.get("volumes", ()) if v.get("name") not in names]
    for container in _containers(spec):
        if "volumeMounts" in container:
            container["volumeMounts"] = [m for m in container["volumeMounts"] if m.get("name") not in names]


def _is_token(volume: dict[str, Any]) -> bool:
    """Whether it is what the ServiceAccount admission adds: a projected token, or (before 1.21) a Secret of one."""
    projected, secret = volume.get("projected"), volume.get("secret")
    if isinstance(projected, dict):
        return any("serviceAccountToken" in source for source in _mappings(projected.get("sources")))
    return isinstance(secret, dict) and bool(_TOKEN_SECRET.fullmatch(str(secret.get("secretName", ""))))


def _places(spec: dict[str, Any], volume: str) -> set[str]:
    mounts = (mount for container in _containers(spec) for mount in _mappings(container.get("volumeMounts")))
    return {str(mount.get("mountPath")) for mount in mounts if mount.get("name") == volume}


def _containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("initContainers", "containers"):
        yield from _mappings(spec.get(kind))


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    yield from (item for item in (value if isinstance(value, list) else ()) if isinstance(item, dict))


def _sentence(others: list[str]) -> str:
    if not others:
        return "has no effect here: only a cluster uses it"
    if len(others) > NAMED:
        others = [*others[: NAMED - 1], f"{len(others) - NAMED + 1} more"]
    return f"has no effect here, nor have {', '.join(others)}: only a cluster uses them"


def _ignored(value: Any, schema: Any, path: Path) -> Iterator[tuple[Path, Any, str]]:
    """Each field that is set and has no effect: its path, its value and the name of its type."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _ignored(item, schema.get("items", {}), (*path, index))
    elif isinstance(value, dict):
        fields = schema.get("properties", {})
        for name, inner in value.items():
            field = fields.get(name, {})
            if field.get("x-support") != IGNORED:
                yield from _ignored(inner, field, (*path, name))
            elif inner not in ({}, [], "", field.get("default")):
                yield (*path, name), inner, field.get("x-type", "")
