"""Requests and limits of containers and of whole pods (KEP 2837): checked, compiled, and back. Pure.

Rules: core/validation (validatePodResources, ValidateContainerResourceRequirements), core/v1/defaults.go
(defaultPodRequests), kubelet: a container without a limit has its pod's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from reconciler.kube import quantity
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.kube.quantity import STORAGE, show_cpu, show_memory
from reconciler.kube.volume_rules import bad, everyone, items, unique
from reconciler.model.qos import pod_resources
from reconciler.model.spec import ContainerSpec, PodSpec, Resources, RestartPolicy

Json = dict[str, Any]
Flaws = Iterator[Flaw]

PIDS_LIMIT = "io.podman.annotations.pids-limit/"
"""Podman's annotation for what Kubernetes has no field for; the container's name follows."""
PIDS_MAX = 4194304
"""The most that Linux has (PID_MAX_LIMIT on 64 bits)."""

_COUNTED: dict[str, tuple[Callable[[str], int], Callable[[int], str]]] = {
    "cpu": (quantity.milli, show_cpu),
    "memory": (quantity.whole, show_memory),
}


# --- checking ---------------------------------------------------------------------------------------------------------


def check_pids_limits(annotations: dict[str, str], spec: Json) -> Flaws:
    """Podman's annotations in a manifest."""
    names_there = {c.get("name") for _, c in everyone(spec)}
    for key, value in annotations.items():
        if not key.startswith(PIDS_LIMIT):
            continue
        at: Path = ("metadata", "annotations", key)
        number = value.removeprefix("-")
        if not number.isascii() or not number.isdigit() or int(value) < -1 or int(value) > PIDS_MAX:
            yield from bad(f"{value!r} is not a number of processes (-1 for no limit)", at)
        elif key.removeprefix(PIDS_LIMIT) not in names_there:
            text = f"the pod has no container {key.removeprefix(PIDS_LIMIT)!r}"
            yield Flaw(text, Reason.INVALID_VALUE, at, on_key=True, warning=True)


def check_container_resources(container: Json, at: Path) -> Flaws:
    """What one container asks for."""
    yield from _check(container.get("resources", {}), (*at, "resources"))
    seen: set[str] = set()
    for place, policy in items(container, "resizePolicy", at):
        if name := policy.get("resourceName"):
            yield from unique(name, seen, (*place, "resourceName"), "policy for")


def check_pod_resources(spec: Json) -> Flaws:
    """What the pod asks for as a whole: no container may have more, nor all of them together request more."""
    said, at = spec.get("resources", {}), ("spec", "resources")
    yield from _check(said, at)
    for name, (_, show) in _COUNTED.items():
        limit, request = (_amount(said, which, name) for which in ("limits", "requests"))
        for place, container in everyone(spec):
            own = _amount(container.get("resources", {}), "limits", name)
            if own and limit and own > limit:
                text = f"{show(own)} is more than the pod's limit of {show(limit)}"
                yield from bad(text, (*place, "resources", "limits", name))
        together = _requested(spec, name)
        if request is not None and together > request:
            text = f"{show(request)} is less than the {show(together)} that its containers request together"
            yield from bad(text, (*at, "requests", name))
        elif request is None and limit and together > limit:
            text = f"{show(limit)} is less than the {show(together)} that its containers request together"
            yield from bad(text, (*at, "limits", name))


def _check(resources: Json, at: Path) -> Flaws:
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    parsers = {name: parse for name, (parse, _) in _COUNTED.items()} | {STORAGE: quantity.whole}
    for name, parse in parsers.items():
        amounts: dict[str, int] = {}
        for kind, chosen in (("limits", limits), ("requests", requests)):
            if name not in chosen:
                continue
            text = quantity.written(chosen[name])
            try:
                amounts[kind] = parse(text)
            except ValueError as error:
                yield from bad(str(error), (*at, kind, name))
                continue
            if name == "memory" and text.endswith("m"):
                hint = f"{text} are thousandths of a byte; did you mean {text[:-1]}Mi?"
                yield Flaw(hint, Reason.INVALID_VALUE, (*at, kind, name), warning=True)
        if amounts.get("limits", 0) and amounts.get("requests", 0) > amounts["limits"]:
            wanted, limit = quantity.written(requests[name]), quantity.written(limits[name])
            yield from bad(f"{wanted} is more than the limit of {limit}", (*at, "requests", name))


def _amount(resources: Json, which: str, name: str) -> int | None:
    """None where it is not said, or is wrong, which is told where it stands."""
    said = resources.get(which, {}).get(name)
    try:
        return None if said is None else _COUNTED[name][0](quantity.written(said))
    except ValueError:
        return None


def _requested(spec: Json, name: str) -> int:
    """What the pod's containers request together, at the time at which it is most."""

    def asks(container: Json) -> ContainerSpec:
        said = container.get("resources", {})
        wanted, limit = (_amount(said, which, name) for which in ("requests", "limits"))
        restart = RestartPolicy.ALWAYS if container.get("restartPolicy") == RestartPolicy.ALWAYS else None
        return ContainerSpec("", "", restart=restart, resources=Resources(wanted if wanted is not None else limit))

    members, init = ([asks(c) for _, c in items(spec, kind, ())] for kind in ("containers", "initContainers"))
    return pod_resources(members, init).cpu_request or 0


# --- compiling --------------------------------------------------------------------------------------------------------


def compile_resources(resources: Json, pids: str | None = None) -> Resources:
    """What one container asks for."""
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    cpu = _amounts(requests.get("cpu"), limits.get("cpu"), quantity.milli)
    memory = _amounts(requests.get("memory"), limits.get("memory"), quantity.whole)
    limit = int(pids) if pids is not None else 0
    return Resources(cpu[0], cpu[1], memory[0], memory[1], limit if limit > 0 else None)


def compile_storage_limit(resources: Json) -> int | None:
    """The bytes of disk that one container may have."""
    return _amounts(None, resources.get("limits", {}).get(STORAGE), quantity.whole)[1]


def _amounts(request: Any, limit: Any, parse: Callable[[str], int]) -> tuple[int | None, int | None]:
    """Request and limit. A request not set is the limit; a limit of 0 is none, as the kubelet has it."""
    ceiling = parse(quantity.written(limit)) or None if limit is not None else None
    floor = parse(quantity.written(request)) if request is not None else ceiling
    return (floor or None) if ceiling is None else floor, ceiling


def with_resources(pod: PodSpec, said: Json) -> PodSpec:
    """The pod with what it asks for as a whole. Where it has any limit, a request that it does not say is what its
    containers request together, or its limit."""
    own = compile_resources(said)
    limits, requests = said.get("limits", {}), said.get("requests", {})
    if not limits and not requests:
        return pod
    together = pod_resources(pod.containers, pod.init)
    if limits and "cpu" not in requests:
        own = replace(own, cpu_request=together.cpu_request or own.cpu_limit)
    if limits and "memory" not in requests:
        own = replace(own, memory_request=together.memory_request or own.memory_limit)
    return replace(pod, limits=own).with_everyone(lambda c: replace(c, resources=_inheriting(c.resources, own)))


def _inheriting(own: Resources, pods: Resources) -> Resources:
    """A container's with its pod's limits where it has none: what it sees of its own cgroup is what it can have."""
    has = {"cpu": (own.cpu_limit, pods.cpu_limit), "memory": (own.memory_limit, pods.memory_limit)}
    names = tuple(name for name, (mine, limit) in has.items() if mine is None and limit is not None)
    return replace(
        own,
        cpu_limit=pods.cpu_limit if "cpu" in names else own.cpu_limit,
        memory_limit=pods.memory_limit if "memory" in names else own.memory_limit,
        of_pod=names,
    )


def present_resources(resources: Resources, storage_limit: int | None = None) -> Json:
    """What compiles to the same again; limits of a pod are said by the pod."""
    own = resources.own

    def amounts(cpu: int | None, memory: int | None) -> Json:
        out = {} if cpu is None else {"cpu": show_cpu(cpu)}
        return out if memory is None else {**out, "memory": show_memory(memory)}

    storage = {} if storage_limit is None else {STORAGE: show_memory(storage_limit)}
    both = {
        "limits": amounts(own.cpu_limit, own.memory_limit) | storage,
        "requests": amounts(own.cpu_request, own.memory_request),
    }
    return {name: chosen for name, chosen in both.items() if chosen}
