"""A pod's volumes as kubectl describes them (pkg/describe/describe.go: describeVolumes). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]
Lines = Iterator[str]

UNSET = "<unset>"


def volumes(found: Sequence[Json]) -> Lines:
    """The section, or that there are none."""
    if not found:
        yield "Volumes:\t<none>"
        return
    yield "Volumes:"
    for volume in found:
        yield f"  {volume['name']}:"
        kind = next((kind for kind in _KINDS if kind in volume), None)
        lines = _KINDS[kind](volume[kind]) if kind else iter(("Type:\t<unknown>",))
        yield from (f"    {line}" for line in lines)


def _host_path(source: Json) -> Lines:
    yield "Type:\tHostPath (bare host directory volume)"
    yield f"Path:\t{source['path']}"
    yield f"HostPathType:\t{source.get('type', '')}"


def _empty_dir(source: Json) -> Lines:
    yield "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)"
    yield f"Medium:\t{source.get('medium', '')}"
    yield f"SizeLimit:\t{source.get('sizeLimit', UNSET)}"


def _secret(source: Json) -> Lines:
    yield "Type:\tSecret (a volume populated by a Secret)"
    yield f"SecretName:\t{source.get('secretName', '')}"
    yield f"Optional:\t{_optional(source)}"


def _config_map(source: Json) -> Lines:
    yield "Type:\tConfigMap (a volume populated by a ConfigMap)"
    yield f"Name:\t{source.get('name', '')}"
    yield f"Optional:\t{_optional(source)}"


def _downward(source: Json) -> Lines:
    yield "Type:\tDownwardAPI (a volume populated by information about the pod)"
    yield "Items:"
    for item in source.get("items", ()):
        found = item.get("fieldRef", {}).get("fieldPath") or item.get("resourceFieldRef", {}).get("resource", "")
        yield f"  {found} -> {item['path']}"


def _projected(source: Json) -> Lines:
    yield "Type:\tProjected (a volume that contains injected data from multiple sources)"
    for part in source.get("sources", ()):
        if secret := part.get("secret"):
            yield f"SecretName:\t{secret.get('name', '')}"
            yield f"Optional:\t{_optional(secret)}"
        if config := part.get("configMap"):
            yield f"ConfigMapName:\t{config.get('name', '')}"
            yield f"Optional:\t{_optional(config)}"
        if "downwardAPI" in part:
            yield "DownwardAPI:\ttrue"


def _claim(source: Json) -> Lines:
    yield "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)"
    yield f"ClaimName:\t{source['claimName']}"
    yield f"ReadOnly:\t{str(bool(source.get('readOnly'))).lower()}"


def _image(source: Json) -> Lines:
    yield "Type:\tImage (a container image or OCI artifact)"
    yield f"Reference:\t{source.get('reference', '')}"
    yield f"PullPolicy:\t{source.get('pullPolicy', '')}"


def _optional(source: Json) -> str:
    return str(bool(source.get("optional"))).lower()


_KINDS: dict[str, Callable[[Json], Lines]] = {
    "hostPath": _host_path,
    "emptyDir": _empty_dir,
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward,
    "projected": _projected,
    "persistentVolumeClaim": _claim,
    "image": _image,
}
