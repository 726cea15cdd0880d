"""Volumes and their mounts, from a checked document to the model and back.

configMap, secret, downwardAPI and projected volumes are one kind: a projected volume with one source is the same as the
short form, and is shown as that. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.kube import quantity
from reconciler.kube.names import default_pull_policy
from reconciler.model import claims, downward
from reconciler.model.expansion import expand_strictly
from reconciler.model.projection import File, SourceKind, VolumeSource
from reconciler.model.spec import (
    Mount,
    Pairs,
    PodSpec,
    PullPolicy,
    RecursiveReadOnly,
    Volume,
    VolumeKind,
)
from reconciler.model.words import clean_path

Json = dict[str, Any]

MODE = 0o644
PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
"""Kubernetes' words to mount(8)'s (CRI: MountPropagation)."""

_OBJECTS = {"configMap": (SourceKind.CONFIG_MAP, "name"), "secret": (SourceKind.SECRET, "secretName")}


def compile_volume(volume: Json, namespace: str) -> Volume:
    """One volume. Without a source it is an emptyDir."""
    name = volume["name"]
    if source := volume.get("hostPath"):
        return Volume(name, VolumeKind.HOST_PATH, clean_path(source["path"]), source.get("type", ""))
    if source := volume.get("persistentVolumeClaim"):
        return Volume(name, VolumeKind.NAMED, claim=claims.volume_of(namespace, source["claimName"]))
    if source := volume.get("image"):
        reference = source["reference"]
        policy = PullPolicy(source.get("pullPolicy", default_pull_policy(reference)))
        return Volume(name, VolumeKind.IMAGE, image=reference, pull_policy=policy)
    if found := next((kind for kind in ("configMap", "secret", "downwardAPI", "projected") if kind in volume), ""):
        source = volume[found]
        each = source.get("sources", ()) if found == "projected" else ({found: source},)
        sources = tuple(s for one in each for s in _sources(one))
        return Volume(name, VolumeKind.PROJECTED, sources=sources, default_mode=source.get("defaultMode", MODE))
    source = volume.get("emptyDir") or {}
    limit = quantity.whole(quantity.written(source["sizeLimit"])) if "sizeLimit" in source else None
    return Volume(name, VolumeKind.EMPTY_DIR, memory=source.get("medium") == "Memory", size_limit=limit or None)


def compile_mount(mount: Json, volumes: Mapping[str, Volume], spec: Json, env: Mapping[str, str] | None) -> Mount:
    """One mount. ``spec`` is the pod's; ``env`` None: the container's environment is not known yet."""
    propagation = PROPAGATION.get(mount.get("mountPropagation", ""), "")
    expr = mount.get("subPathExpr", "")
    known = expand_strictly(expr, env) if expr and env is not None else ""
    bound = (v.get("persistentVolumeClaim") or {} for v in spec["volumes"] if v["name"] == mount["name"])
    return Mount(
        clean_path(mount["mountPath"]),
        volumes[mount["name"]],
        mount.get("readOnly", False) or any(claim.get("readOnly") for claim in bound),
        options=(propagation,) if propagation else (),
        sub_path=clean_relative(mount.get("subPath", "") or known),
        sub_path_expr="" if known else expr,
        recursive=RecursiveReadOnly(mount.get("recursiveReadOnly", RecursiveReadOnly.DISABLED)),
    )


def contents(spec: PodSpec) -> Pairs:
    """A stamp of what each volume's files say of the pod itself, so that a change of it is seen."""
    told = {v.name: downward.told(v, downward.PodFacts(spec)) for v in spec.volumes}
    return tuple((name, downward.stamp(pairs)) for name, pairs in sorted(told.items()) if pairs)


def clean_relative(path: str) -> str:
    """Without what makes no difference: two spellings are one place."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def present_volume(volume: Volume, namespace: str) -> Json:
    """The volume as a manifest has it."""
    return {"name": volume.name, **_source(volume, namespace)}


def present_mount(mount: Mount) -> Json:
    """The mount as a manifest has it."""
    out: Json = {"name": mount.volume.name, "mountPath": mount.path}
    words = {kubernetes: word for word, kubernetes in PROPAGATION.items()}
    said = {
        "readOnly": mount.read_only,
        "subPath": mount.sub_path,
        "subPathExpr": mount.sub_path_expr,
        "mountPropagation": next((words[option] for option in mount.options if option in words), ""),
    }
    if mount.recursive is not RecursiveReadOnly.DISABLED:
        said["recursiveReadOnly"] = mount.recursive.value
    return out | {name: value for name, value in said.items() if value}


def _sources(projection: Json) -> Iterable[VolumeSource]:
    for word, (kind, name) in _OBJECTS.items():
        if (source := projection.get(word)) is not None:
            files = tuple(File(i["path"], key=i["key"], mode=i.get("mode")) for i in source.get("items", ()))
            named = source.get(name) or source.get("name", "")
            yield VolumeSource(kind, named, _cleaned(files), source.get("optional", False))
    if (source := projection.get("downwardAPI")) is not None:
        yield VolumeSource(SourceKind.DOWNWARD, files=_cleaned(tuple(_field(i) for i in source.get("items", ()))))


def _cleaned(files: tuple[File, ...]) -> tuple[File, ...]:
    return tuple(sorted(files, key=lambda file: file.path))


def _field(item: Json) -> File:
    path, mode = item["path"], item.get("mode")
    if "fieldRef" in item:
        return File(path, field=item["fieldRef"]["fieldPath"], mode=mode)
    ref = item["resourceFieldRef"]
    unit = _unit(ref["resource"], quantity.written(ref.get("divisor", "")))
    return File(path, resource=ref["resource"], container=ref["containerName"], divisor=unit, mode=mode)


def _unit(resource: str, divisor: str) -> int:
    """0 for one of it, which is what 0 and nothing mean as well."""
    if not divisor:
        return 0
    cpu = resource.endswith(".cpu")
    unit = quantity.milli(divisor) if cpu else quantity.whole(divisor)
    return 0 if unit == (1000 if cpu else 1) else unit


def _source(volume: Volume, namespace: str) -> Json:
    match volume.kind:
        case VolumeKind.EMPTY_DIR:
            said = {"medium": "Memory"} if volume.memory else {}
            limit = {} if volume.size_limit is None else {"sizeLimit": quantity.show_memory(volume.size_limit)}
            return {"emptyDir": said | limit}
        case VolumeKind.TMPFS:
            return {"emptyDir": {"medium": "Memory"}}
        case VolumeKind.NAMED:
            return {"persistentVolumeClaim": {"claimName": claims.claim_of(namespace, volume.named)}}
        case VolumeKind.IMAGE:
            return {"image": {"reference": volume.image, "pullPolicy": volume.pull_policy.value}}
        case VolumeKind.PROJECTED:
            return _projected(volume)
        case VolumeKind.HOST_PATH:
            return {"hostPath": {"path": volume.host_path, "type": volume.host_path_type}}


def _projected(volume: Volume) -> Json:
    mode = {} if volume.default_mode == MODE else {"defaultMode": volume.default_mode}
    shown = [_projection(source) for source in volume.sources]
    if len(shown) != 1:
        return {"projected": {"sources": shown, **mode}}
    (word, source) = next(iter(shown[0].items()))
    if word == "secret":
        source = {"secretName": source["name"], **{k: v for k, v in source.items() if k != "name"}}
    return {word: {**source, **mode}}


def _projection(source: VolumeSource) -> Json:
    items = [_item(file) for file in source.files]
    if source.kind is SourceKind.DOWNWARD:
        return {source.kind.value: {"items": items}}
    out: Json = {"name": source.name} | ({"items": items} if items else {})
    return {source.kind.value: out | ({"optional": True} if source.optional else {})}


def _item(file: File) -> Json:
    mode = {} if file.mode is None else {"mode": file.mode}
    if file.key:
        return {"key": file.key, "path": file.path, **mode}
    if file.field:
        return {"path": file.path, "fieldRef": {"fieldPath": file.field}, **mode}
    show = quantity.show_cpu if file.resource.endswith(".cpu") else quantity.show_memory
    divisor = {"divisor": show(file.divisor)} if file.divisor else {}
    return {
        "path": file.path,
        "resourceFieldRef": {"containerName": file.container, "resource": file.resource, **divisor},
        **mode,
    }
