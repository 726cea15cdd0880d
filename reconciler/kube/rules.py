"""What a schema cannot say: names, references, conflicts; as the Kubernetes API checks them (core/validation).

Works on a plain document from which the schema has already removed what has a wrong type, so absent values
are normal here and everything present has its type. Pure; every rule only adds flaws.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kube import names, nameservice, ours
from reconciler.kube.env import check_env_from, check_value_from
from reconciler.kube.lifecycle import check_lifecycle
from reconciler.kube.probes import check_probes
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.kube.resources import check_container_resources, check_pids_limits, check_pod_resources
from reconciler.kube.security_rules import check_container_security, check_pod_security
from reconciler.kube.volume_rules import bad, check_mounts, check_volumes, everyone, items, mount_path, unique
from reconciler.model import publish
from reconciler.model.expansion import expand
from reconciler.model.spec import RestartPolicy, share_address

ANNOTATIONS_MAX = 256 * 1024
PROCESS_MAX = 2 * 1024 * 1024
"""What Linux passes to a new process in all, with the usual stack limit (execve(2))."""

_LASTING = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
"""What an init container that is no sidecar cannot have (core/validation: validateInitContainers)."""

Flaws = Iterator[Flaw]


def check_rules(pod: dict[str, Any]) -> Flaws:
    """Every rule over one document."""
    yield from _metadata(pod.get("metadata", {}))
    spec = pod.get("spec", {})
    yield from check_pids_limits(pod.get("metadata", {}).get("annotations", {}), spec)
    yield from _pod(spec)
    yield from nameservice.check(spec)
    yield from check_volumes(spec)
    yield from _init(spec)
    yield from _containers(spec)
    yield from _same_ports(spec)
    yield from _host_ports(pod)
    yield from ours.check(pod)
    yield from check_pod_security(spec)
    yield from check_pod_resources(spec)


def _metadata(meta: dict[str, Any]) -> Flaws:
    at: Path = ("metadata",)
    if "name" in meta:
        yield from bad(names.dns_subdomain(meta["name"]), (*at, "name"))
    if meta.get("namespace"):
        yield from bad(names.dns_label(meta["namespace"]), (*at, "namespace"))
    for key, value in meta.get("labels", {}).items():
        yield from bad(names.label_key(key), (*at, "labels", key), on_key=True)
        yield from bad(names.label_value(value), (*at, "labels", key))
    size = 0
    for key, value in meta.get("annotations", {}).items():
        yield from bad(names.label_key(key), (*at, "annotations", key), on_key=True)
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_MAX:
        text = f"the annotations have {size} bytes, more than {ANNOTATIONS_MAX}"
        yield Flaw(text, Reason.TOO_LARGE, (*at, "annotations"), on_key=True)


def _pod(spec: dict[str, Any]) -> Flaws:
    if spec.get("hostname"):
        yield from bad(names.dns_label(spec["hostname"]), ("spec", "hostname"))
    for at, secret in items(spec, "imagePullSecrets", ("spec",)):
        if "name" in secret:
            yield from bad(names.dns_subdomain(secret["name"]), (*at, "name"))
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        text = "cannot be true together with hostPID"
        yield from bad(text, ("spec", "shareProcessNamespace"))
    if spec.get("hostname") and spec.get("hostNetwork"):
        text = "has no effect with hostNetwork: the machine's name is used"
        yield Flaw(text, Reason.INVALID_VALUE, ("spec", "hostname"), warning=True)


def is_plain(at: Path, container: dict[str, Any]) -> bool:
    """Whether it is an init container that ends before the members begin."""
    return "initContainers" in at and container.get("restartPolicy") != RestartPolicy.ALWAYS


def _init(spec: dict[str, Any]) -> Flaws:
    for at, container in everyone(spec):
        yield from _restart_rules(container, at)
        for field in _LASTING if is_plain(at, container) else ():
            if field in container:
                text = "only members and sidecars (restartPolicy: Always) may have it"
                yield from bad(text, (*at, field), on_key=True)


def _restart_rules(container: dict[str, Any], at: Path) -> Flaws:
    if "restartPolicyRules" not in container:
        return
    place = (*at, "restartPolicyRules")
    if "restartPolicy" not in container:
        yield from bad("needs a restartPolicy beside it, for all other exit codes", place, on_key=True)
    elif "initContainers" in at and container["restartPolicy"] == RestartPolicy.ALWAYS:
        yield from bad("a sidecar (restartPolicy: Always) is restarted whatever its exit code", place, on_key=True)


def _containers(spec: dict[str, Any]) -> Flaws:
    seen: set[str] = set()
    volumes = {v["name"] for _, v in items(spec, "volumes", ("spec",)) if "name" in v}
    for at, container in everyone(spec):
        if "name" in container:
            yield from bad(names.dns_label(container["name"]), (*at, "name"))
            yield from unique(container["name"], seen, (*at, "name"), "container called")
        if "image" in container:
            yield from bad(names.image(container["image"]), (*at, "image"))
        yield from _env(container, at, spec)
        yield from _expansions(container, at)
        yield from _ports(container, at)
        yield from check_probes(container, at)
        yield from check_mounts(container, at, volumes)
        yield from check_container_resources(container, at)
        yield from check_lifecycle(container, at, spec)
        yield from check_container_security(container.get("securityContext", {}), (*at, "securityContext"), spec)
        if container.get("terminationMessagePath"):
            yield from bad(mount_path(container["terminationMessagePath"]), (*at, "terminationMessagePath"))
        if container.get("workingDir") and not container["workingDir"].startswith("/"):
            yield from bad(f"{container['workingDir']!r} must be an absolute path", (*at, "workingDir"))


def _env(container: dict[str, Any], at: Path, spec: dict[str, Any]) -> Flaws:
    seen: set[str] = set()
    siblings = [c["name"] for _, c in everyone(spec) if "name" in c]
    volumes = {v["name"]: v for _, v in items(spec, "volumes", ("spec",)) if "name" in v}
    for place, source in items(container, "envFrom", at):
        yield from check_env_from(source, place)
    for place, variable in items(container, "env", at):
        yield from check_value_from(variable, place, siblings, volumes)
        name = variable.get("name")
        if name is None:
            continue
        yield from bad(names.env_name(name), (*place, "name"))
        if name in seen:
            text = f"{name!r} is set twice: the later value wins"
            yield Flaw(text, Reason.INVALID_VALUE, (*place, "name"), warning=True)
        seen.add(name)


def _expansions(container: dict[str, Any], at: Path) -> Flaws:
    """References multiply: thirty variables of two references each would be gigabytes."""
    values: dict[str, str] = {}
    total = 0
    for place, text, name in _expandable(container, at):
        result, wrong = _expanded(text, values)
        yield from bad(wrong, place)
        if name:
            values[name] = result
        total += len(result)
        if total > PROCESS_MAX:
            yield Flaw("command, args and env are longer than 2 MiB in all", Reason.TOO_LARGE, place)
            return


def _expandable(container: dict[str, Any], at: Path) -> Iterator[tuple[Path, str, str]]:
    """Place and text of all that is expanded, in order, and the name of the variable it sets."""
    for place, variable in items(container, "env", at):
        if "name" in variable:
            yield (*place, "value"), variable.get("value", ""), variable["name"]
    for field in ("command", "args"):
        for index, word in enumerate(container.get(field, ())):
            if isinstance(word, str):
                yield (*at, field, index), word, ""


def _expanded(text: str, values: dict[str, str]) -> tuple[str, str]:
    try:
        return expand(text, values), ""
    except ValueError as error:
        return "", str(error)


def _ports(container: dict[str, Any], at: Path) -> Flaws:
    seen: set[str] = set()
    for place, port in items(container, "ports", at):
        if port.get("name"):
            yield from bad(names.port_name(port["name"]), (*place, "name"))
            yield from unique(port["name"], seen, (*place, "name"), "port called")
        if port.get("hostIP"):
            yield from bad(publish.address_flaw(port["hostIP"]), (*place, "hostIP"))


def _host_ports(pod: dict[str, Any]) -> Flaws:
    """Two ports of the pod cannot be published at one place; with hostNetwork both sides are one port."""
    taken: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for place, owner, port, protocol, address in _published(pod):
        others = taken.setdefault((port, protocol), [])
        there = next((who for where, who in others if share_address(where, address)), "")
        if there:
            yield from bad(f"{port}/{protocol.lower()} is already published by {there}", place)
        others.append((address, owner))


def _published(pod: dict[str, Any]) -> Iterator[tuple[Path, str, int, str, str]]:
    """Every host port: place, who publishes it, port, protocol, address."""
    spec = pod.get("spec", {})
    host_network = spec.get("hostNetwork", False)
    for at, container in everyone(spec):
        for place, port in () if is_plain(at, container) else items(container, "ports", at):
            outside = port.get("hostPort") or (port.get("containerPort") if host_network else None)
            address = port.get("hostIP", "")
            if outside and not publish.address_flaw(address):
                field = (*place, "hostPort") if "hostPort" in port else (*place, "containerPort")
                owner = f"container {container.get('name', '?')!r}"
                yield field, owner, outside, port.get("protocol", "TCP"), publish.canonical(address)
    for place, binding in ours.published(pod):
        yield place, "the annotation", binding.host_port, binding.protocol.value, binding.host_ip


def _same_ports(spec: dict[str, Any]) -> Flaws:
    """On the machine's network a port is the machine's."""
    for at, container in everyone(spec):
        for place, port in items(container, "ports", at):
            inside, outside = port.get("containerPort"), port.get("hostPort")
            if spec.get("hostNetwork") and inside is not None and outside and outside != inside:
                yield from bad(f"must be {inside} as containerPort, because of hostNetwork", (*place, "hostPort"))
