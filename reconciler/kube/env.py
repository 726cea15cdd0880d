"""``env`` and ``envFrom`` of a container: checked, and compiled to a program where something in them is not known
before the pod lives; and back.

What the manifest itself says (``metadata.name``, labels, the container's own limits) is filled in here, so a change of
a label that a variable shows is a change of that variable. Rules: core/validation (validateEnv, validateEnvFrom),
pkg/apis/core/pods (ConvertDownwardAPIFieldLabel), pkg/api/v1/resource. Pure.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kube import names, quantity
from reconciler.kube.objects import DEFAULT_NAMESPACE, key_flaw
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.kube.schema import NO
from reconciler.model.expansion import escape
from reconciler.model.objects import CONFIG_MAP, SECRET
from reconciler.model.sources import EnvEntry, FileKey, Reference
from reconciler.model.words import did_you_mean, path_below_flaw

Json = dict[str, Any]

KNOWN = ("metadata.name", "metadata.namespace", "spec.serviceAccountName")
LIVED = ("metadata.uid", "spec.nodeName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]\Z", re.DOTALL)

RESOURCES = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
_ELSEWHERE = ("limits.ephemeral-storage", "requests.ephemeral-storage")
_CPU_UNITS = {"1": 1000, "1m": 1}
_MEMORY_UNITS = {
    "1": 1,
    **{f"1{letter}": 1000**power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"1{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)},
}

_SOURCES = ("configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef", "fileKeyRef")
FILE_KEY_MAX = 128
_KINDS = {"configMapKeyRef": CONFIG_MAP, "secretKeyRef": SECRET, "configMapRef": CONFIG_MAP, "secretRef": SECRET}


# --- checking ---------------------------------------------------------------------------------------------------------


def check_value_from(variable: Json, at: Path, containers: list[str], volumes: Mapping[str, Json]) -> Iterator[Flaw]:
    """The rules of one variable's ``valueFrom``; ``containers`` are the pod's, by name, as its ``volumes`` are."""
    source = variable.get("valueFrom")
    if source is None:
        return
    place: Path = (*at, "valueFrom")
    if variable.get("value"):
        yield Flaw("a variable has a value or a valueFrom, not both", Reason.INVALID_VALUE, place, on_key=True)
    yield from _one_of(source, _SOURCES, place)
    for field in ("configMapKeyRef", "secretKeyRef"):
        if reference := source.get(field):
            yield from _check_name(reference, (*place, field))
            if "key" in reference and (wrong := key_flaw(reference["key"])):
                yield Flaw(wrong, Reason.INVALID_VALUE, (*place, field, "key"))
    if "fieldPath" in (selector := source.get("fieldRef", {})):
        yield from _flaw(_field_flaw(selector["fieldPath"]), (*place, "fieldRef", "fieldPath"))
    if selector := source.get("resourceFieldRef", {}):
        yield from _check_resource(selector, (*place, "resourceFieldRef"), containers)
    yield from _check_file(source.get("fileKeyRef", {}), (*place, "fileKeyRef"), volumes)


def _check_file(selector: Json, at: Path, volumes: Mapping[str, Json]) -> Iterator[Flaw]:
    """core/validation: validateFileKeySelector; an emptyDir is the one kind of volume that files are read from."""
    if "key" in selector:
        key = selector["key"]
        too_long = f"has {len(key)} characters, more than {FILE_KEY_MAX}" if len(key) > FILE_KEY_MAX else ""
        yield from _flaw(too_long or names.env_name(key), (*at, "key"))
    if "path" in selector:
        yield from _flaw(path_below_flaw(selector["path"]), (*at, "path"))
    name = selector.get("volumeName")
    if name is None:
        return
    if name not in volumes:
        yield from _flaw(f"there is no volume called {name!r}{did_you_mean(name, [*volumes])}", (*at, "volumeName"))
    elif volumes[name].keys() - {"name", "emptyDir"}:
        yield from _flaw(f"{name!r} must be an emptyDir", (*at, "volumeName"))


def check_env_from(source: Json, at: Path) -> Iterator[Flaw]:
    """The rules of one entry of ``envFrom``."""
    yield from _one_of(source, ("configMapRef", "secretRef"), at)
    if prefix := source.get("prefix"):
        yield from _flaw(names.env_name(prefix), (*at, "prefix"))
    for field in ("configMapRef", "secretRef"):
        yield from _check_name(source.get(field, {}), (*at, field))


def _one_of(source: Json, fields: tuple[str, ...], at: Path) -> Iterator[Flaw]:
    there = [field for field in fields if field in source]
    if not there:
        yield Flaw(f"needs one of {', '.join(fields)}", Reason.MISSING_FIELD, at)
    elif len(there) > 1:
        yield Flaw(f"has more than one source: {' and '.join(there)}", Reason.INVALID_VALUE, at)


def _check_name(reference: Json, at: Path) -> Iterator[Flaw]:
    if "name" in reference:
        yield from _flaw(names.dns_subdomain(reference["name"]), (*at, "name"))


def _field_flaw(path: str) -> str:
    if match := _SUBSCRIPT.match(path):
        return names.label_key(match[2])
    if path in KNOWN or path in LIVED:
        return ""
    if path in ("metadata.labels", "metadata.annotations"):
        return f"{path!r} has many values: name one, as {path}['KEY']"
    return f"{path!r} is no field that a variable can have{did_you_mean(path, [*KNOWN, *LIVED])}"


def _check_resource(selector: Json, at: Path, containers: list[str]) -> Iterator[Flaw]:
    resource, owner = selector.get("resource"), selector.get("containerName")
    if owner and owner not in containers:
        yield from _flaw(f"the pod has no container {owner!r}{did_you_mean(owner, containers)}", (*at, "containerName"))
    if resource is None:
        return
    if resource in _ELSEWHERE or resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        why = "huge pages" if "hugepages" in resource else "what a container writes to the disk"
        yield from _flaw(f"{resource} is {NO}: nothing here counts {why}", (*at, "resource"))
    elif resource not in RESOURCES:
        yield from _flaw(f"{resource!r} must be one of {', '.join(RESOURCES)}", (*at, "resource"))
    elif "divisor" in selector and _unit(selector) is None:
        units = ", ".join(_units(resource))
        yield from _flaw(f"{quantity.written(selector['divisor'])!r} must be one of {units}", (*at, "divisor"))


def _flaw(text: str, at: Path) -> Iterator[Flaw]:
    if text:
        yield Flaw(text, Reason.NOT_SUPPORTED if NO in text else Reason.INVALID_VALUE, at)


# --- compiling --------------------------------------------------------------------------------------------------------


def program_of(container: Json, pod: Json) -> tuple[EnvEntry, ...]:
    """The steps by which a container's environment comes about, what the manifest itself says filled in."""
    steps = [_all(source) for source in container.get("envFrom", ())]
    variables = [_variable(variable, container, pod) for variable in container.get("env", ())]
    refer = any("$(" in step.value for step in variables)
    optional = any(
        (one := step.source or step.file) and one.optional for step in variables
    )  # what is not set hides nothing
    if not refer and not optional:  # then their order means nothing
        variables = sorted({step.name: step for step in variables}.values(), key=lambda step: step.name)
    return (*steps, *variables)


def is_known(program: tuple[EnvEntry, ...]) -> bool:
    """Whether all of it is in the manifest."""
    return all(step.is_known for step in program)


def _all(source: Json) -> EnvEntry:
    field = "configMapRef" if "configMapRef" in source else "secretRef"
    reference = Reference(_KINDS[field], source[field]["name"], optional=source[field].get("optional", False))
    return EnvEntry(source.get("prefix", ""), source=reference)


def _variable(variable: Json, container: Json, pod: Json) -> EnvEntry:
    name, source = variable["name"], variable.get("valueFrom")
    if source is None:
        return EnvEntry(name, variable.get("value", ""))
    for field in ("configMapKeyRef", "secretKeyRef"):
        if said := source.get(field):
            reference = Reference(_KINDS[field], said["name"], said["key"], said.get("optional", False))
            return EnvEntry(name, source=reference)
    if said := source.get("fileKeyRef"):
        file = FileKey(said["volumeName"], posixpath.normpath(said["path"]), said["key"], said.get("optional", False))
        return EnvEntry(name, file=file)
    if said := source.get("fieldRef"):
        return _of_field(name, said["fieldPath"], pod)
    return _of_resource(name, source["resourceFieldRef"], container, pod)


def _of_field(name: str, path: str, pod: Json) -> EnvEntry:
    meta, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.match(path):
        return EnvEntry(name, escape(meta.get(match[1].partition(".")[2], {}).get(match[2], "")))
    known = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta.get("namespace") or DEFAULT_NAMESPACE,
        "spec.nodeName": spec.get("nodeName"),
        # A cluster gives a pod that names none this one (admission: serviceaccount).
        "spec.serviceAccountName": spec.get("serviceAccountName") or spec.get("serviceAccount") or "default",
    }
    if known.get(path):
        return EnvEntry(name, escape(known[path]))
    return EnvEntry(name, field=path)


def _of_resource(name: str, selector: Json, container: Json, pod: Json) -> EnvEntry:
    """A request or limit; where no limit is set, the machine's (kubelet: defaultPodLimitsForDownwardAPI)."""
    said = selector.get("containerName") or container["name"]
    owner = next((c for c in _containers(pod["spec"]) if c["name"] == said), container)
    which, _, resource = selector["resource"].partition(".")
    limit = _amount(owner, "limits", resource)
    request = _amount(owner, "requests", resource)
    amount = limit if which == "limits" else limit or 0 if request is None else request
    unit = _unit(selector) or 1
    if not amount and which == "limits":
        amount = _amount(pod["spec"], "limits", resource)  # kubelet: defaultPodLimitsForDownwardAPI
    if not amount and which == "limits":
        whose = "" if said == container["name"] else said
        return EnvEntry(name, field=f"node.{resource}", divisor=unit, container=whose)
    return EnvEntry(name, str(-(-(amount or 0) // unit)))


def _containers(spec: Json) -> list[Json]:
    return [*spec.get("initContainers", ()), *spec["containers"]]


def _amount(container: Json, which: str, resource: str) -> int | None:
    said = container.get("resources", {}).get(which, {}).get(resource)
    if said is None:
        return None
    return (quantity.milli if resource == "cpu" else quantity.whole)(quantity.written(said))


def _units(resource: str) -> Mapping[str, int]:
    return _CPU_UNITS if resource.endswith("cpu") else _MEMORY_UNITS


def _unit(selector: Json) -> int | None:
    """What one of the variable's units is, in thousandths of a core or bytes; None where it cannot be that."""
    text = quantity.written(selector.get("divisor", "1"))
    return _units(selector["resource"]).get("1" if text == "0" else text)


# --- and back ---------------------------------------------------------------------------------------------------------


def present(program: tuple[EnvEntry, ...]) -> Json:
    """``envFrom`` and ``env`` that compile to this program again, in a container whose limits are the same."""
    out: Json = {}
    if sources := [_present_all(step) for step in program if step.is_all]:
        out["envFrom"] = sources
    if variables := [_present_variable(step) for step in program if not step.is_all]:
        out["env"] = variables
    return out


def _present_all(step: EnvEntry) -> Json:
    assert step.source is not None
    field = "configMapRef" if step.source.kind == CONFIG_MAP else "secretRef"
    return ({"prefix": step.name} if step.name else {}) | {field: _present_reference(step.source)}


def _present_variable(step: EnvEntry) -> Json:
    if step.source is not None:
        field = "configMapKeyRef" if step.source.kind == CONFIG_MAP else "secretKeyRef"
        said = {field: {"key": step.source.key, **_present_reference(step.source)}}
    elif (file := step.file) is not None:
        optional = {"optional": True} if file.optional else {}
        said = {"fileKeyRef": {"volumeName": file.volume, "path": file.path, "key": file.key, **optional}}
    elif step.field.startswith("node."):
        resource = step.field.replace("node.", "limits.")
        unit = next(text for text, size in _units(resource).items() if size == step.divisor)
        whose = {"containerName": step.container} if step.container else {}
        said = {"resourceFieldRef": {**whose, "resource": resource, "divisor": unit}}
    elif step.field:
        said = {"fieldRef": {"apiVersion": "v1", "fieldPath": step.field}}
    else:
        return {"name": step.name, "value": step.value}
    return {"name": step.name, "valueFrom": said}


def _present_reference(source: Reference) -> Json:
    return {"name": source.name} | ({"optional": True} if source.optional else {})
