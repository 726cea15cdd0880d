"""What a schema cannot say of volumes and their mounts, as the Kubernetes API checks it (core/validation). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from reconciler.kube import names, quantity
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.kube.schema import LATER
from reconciler.model.expansion import expand_strictly, known_env
from reconciler.model.words import PATH_MAX, clean_path, did_you_mean, path_below_flaw

Json = dict[str, Any]
Flaws = Iterator[Flaw]

SOURCES = (
    *("hostPath", "emptyDir", "configMap", "secret", "downwardAPI", "projected", "persistentVolumeClaim", "image"),
)
_PROJECTIONS = ("configMap", "secret", "downwardAPI")

_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
_RESOURCES = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")


def check_volumes(spec: Json) -> Flaws:
    """The volumes of a pod."""
    seen: set[str] = set()
    containers = {c.get("name") for name in ("containers", "initContainers") for _, c in items(spec, name, ())}
    for at, volume in items(spec, "volumes", ("spec",)):
        name = volume.get("name")
        if name is not None:
            yield from bad(names.dns_label(name), (*at, "name"))
            yield from unique(name, seen, (*at, "name"), "volume called")
        given = [source for source in SOURCES if source in volume]
        if len(given) > 1:
            yield from bad(f"a volume has one source: {' or '.join(given)}", at)
        for source in given:
            yield from _source(source, volume[source] or {}, (*at, source), containers)


def check_mounts(container: Json, at: Path, volumes: Collection[str]) -> Flaws:
    """Where they are mounted."""
    seen: set[str] = set()
    env = known_env(container)
    for place, mount in items(container, "volumeMounts", at):
        name, path = mount.get("name"), mount.get("mountPath")
        if name is not None and name not in volumes:
            hint = did_you_mean(name, sorted(volumes))
            yield from bad(f"there is no volume called {name!r}{hint}", (*place, "name"))
        yield from _sub_path(mount, place, env)
        yield from _how(mount, place, container)
        if path is None:
            continue
        yield from bad(mount_path(path), (*place, "mountPath"))
        yield from unique(clean_path(path), seen, (*place, "mountPath"), "mount at")


def items(parent: Json, name: str, path: Path) -> Iterator[tuple[Path, Json]]:
    """The mappings of a list, with their paths; what the schema refused is skipped."""
    for index, item in enumerate(parent.get(name, ())):
        if isinstance(item, dict):
            yield (*path, name, index), item


def everyone(spec: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """All containers of a pod, with their paths, in the order in which they begin."""
    yield from items(spec, "initContainers", ("spec",))
    yield from items(spec, "containers", ("spec",))


def bad(text: str, path: Path, on_key: bool = False) -> Flaws:
    """A flaw, where there is something to say."""
    if text:
        reason = Reason.NOT_SUPPORTED if LATER in text else Reason.INVALID_VALUE
        yield Flaw(text, reason, path, on_key=on_key)


def unique(name: str, seen: set[str], path: Path, what: str) -> Flaws:
    """A flaw where the name was seen before."""
    if name in seen:
        yield Flaw(f"a second {what} {name!r}", Reason.INVALID_VALUE, path)
    seen.add(name)


def _source(kind: str, source: Json, at: Path, containers: Collection[Any]) -> Flaws:
    match kind:
        case "hostPath":
            if "path" in source:
                yield from bad(_host_path(source["path"]), (*at, "path"))
        case "emptyDir":
            if "sizeLimit" in source:
                yield from bad(_amount(source["sizeLimit"]), (*at, "sizeLimit"))
        case "persistentVolumeClaim":
            if "claimName" in source:
                yield from bad(names.dns_subdomain(source["claimName"]), (*at, "claimName"))
        case "image":
            if "reference" in source:
                yield from bad(names.image(source["reference"]), (*at, "reference"))
        case "projected":
            yield from _projected(source, at, containers)
        case _:
            yield from _files(kind, source, at, containers)
            yield from _places([(at, kind, source)])


def _projected(source: Json, at: Path, containers: Collection[Any]) -> Flaws:
    found: list[tuple[Path, str, Json]] = []
    for place, projection in items(source, "sources", at):
        given = [kind for kind in _PROJECTIONS if kind in projection]
        if len(given) > 1:
            yield from bad(f"a source is one of {', '.join(given)}", place)
        for kind in given:
            inner = projection[kind] or {}
            found.append(((*place, kind), kind, inner))
            yield from _files(kind, inner, (*place, kind), containers)
    yield from _places(found)


def _files(kind: str, source: Json, at: Path, containers: Collection[Any]) -> Flaws:
    for field in ("name", "secretName"):
        if field in source:
            yield from bad(names.dns_subdomain(source[field]), (*at, field))
    for place, item in items(source, "items", at):
        if "path" in item:
            yield from bad(_file_path(item["path"]), (*place, "path"))
        if kind == "downwardAPI":
            yield from _downward(item, place, containers)
        elif "key" in item:
            yield from bad(_key(item["key"]), (*place, "key"))


def _places(sources: list[tuple[Path, str, Json]]) -> Flaws:
    """No two files at one place, and none where another has a directory."""
    taken: dict[str, str] = {}
    for at, _, source in sources:
        for place, item in items(source, "items", at):
            path = item.get("path")
            if not isinstance(path, str) or _file_path(path):
                continue
            clash = path if path in taken else next((t for t in taken if _nested(t, path)), "")
            if clash:
                what = f"{path!r} is there twice" if clash == path else f"{path!r} cannot be beside the file {clash!r}"
                yield from bad(what, (*place, "path"))
            taken[path] = path


def _nested(one: str, other: str) -> bool:
    return one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _downward(item: Json, at: Path, containers: Collection[Any]) -> Flaws:
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if (field is None) == (resource is None):
        yield from bad("a file says one thing: fieldRef or resourceFieldRef", at)
    if field and "fieldPath" in field:
        yield from bad(_field(field["fieldPath"]), (*at, "fieldRef", "fieldPath"))
    if resource is None:
        return
    place = (*at, "resourceFieldRef")
    if "resource" in resource:
        wanted = resource["resource"]
        if wanted not in _RESOURCES:
            hint = did_you_mean(wanted, list(_RESOURCES))
            yield from bad(f"{wanted!r} must be one of {', '.join(_RESOURCES)}{hint}", (*place, "resource"))
        elif resource.get("divisor"):
            yield from bad(_amount(resource["divisor"], cpu=wanted.endswith(".cpu")), (*place, "divisor"))
    name = resource.get("containerName")
    if not name:
        yield Flaw("missing", Reason.MISSING_FIELD, (*place, "containerName"), on_key=True)
    elif name not in containers:
        yield from bad(f"there is no container called {name!r}", (*place, "containerName"))


def _field(path: str) -> str:
    if match := _SUBSCRIPT.fullmatch(path):
        return names.label_key(match[2])
    hint = did_you_mean(path, list(_FIELDS))
    return "" if path in _FIELDS else f"{path!r} cannot be shown in a file, only {', '.join(_FIELDS)}{hint}"


def _amount(value: Any, *, cpu: bool = False) -> str:
    try:
        amount = (quantity.milli if cpu else quantity.whole)(quantity.written(value))
    except ValueError as error:
        return str(error)
    return f"{value} is less than 0" if amount < 0 else ""


def _key(key: str) -> str:
    """IsConfigMapKey."""
    if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key) or key in (".", "..") or key.startswith(".."):
        return f"{key!r} is no key: letters, digits, -, _ and . (at most 253), not beginning with .."
    return ""


def _file_path(path: str) -> str:
    """validateLocalNonReservedPath."""
    if wrong := path_below_flaw(path):
        return wrong
    return f"{path!r} must not start with '..'" if path.startswith("..") else ""


def _sub_path(mount: Json, at: Path, env: dict[str, str] | None) -> Flaws:
    path, expr = mount.get("subPath"), mount.get("subPathExpr")
    if path and expr:
        yield from bad("subPath and subPathExpr are mutually exclusive", (*at, "subPathExpr"), on_key=True)
    if path:
        yield from bad(path_below_flaw(path), (*at, "subPath"))
    if not expr:
        return
    wrong = path_below_flaw(expr)
    if not wrong and env is not None:
        try:
            wrong = path_below_flaw(expand_strictly(expr, env))
        except ValueError as error:
            wrong = str(error)
    yield from bad(wrong, (*at, "subPathExpr"))


def _how(mount: Json, at: Path, container: Json) -> Flaws:
    propagation = mount.get("mountPropagation", "None")
    privileged = container.get("securityContext", {}).get("privileged", False)
    if propagation == "Bidirectional" and not privileged:
        text = "Bidirectional mount propagation is available only to privileged containers"
        yield from bad(text, (*at, "mountPropagation"))
    if mount.get("recursiveReadOnly", "Disabled") == "Disabled":
        return
    if not mount.get("readOnly"):
        yield from bad("may only be specified when readOnly is true", (*at, "recursiveReadOnly"))
    if propagation != "None":
        text = "may only be specified when mountPropagation is None or not specified"
        yield from bad(text, (*at, "recursiveReadOnly"))


def _host_path(path: str) -> str:
    if not path.startswith("/"):
        return f"{path!r} must be an absolute path"
    if len(path.encode()) > PATH_MAX:
        return f"has {len(path.encode())} bytes, more than {PATH_MAX}"
    return f"{path!r} must not contain '..'" if ".." in path.split("/") else ""


def mount_path(path: str) -> str:
    """What is wrong with a place in a container, or ""."""
    if not path.startswith("/"):
        return f"{path!r} must be an absolute path"
    if len(path.encode()) > PATH_MAX:
        return f"has {len(path.encode())} bytes, more than {PATH_MAX}"
    if ":" in path:
        return f"{path!r} must not contain ':'"
    return "cannot mount over the container's root" if clean_path(path) == "/" else ""
