"""Services of the manifests: names that lead to pods, and what of a Service this machine does not do. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.kube import names
from reconciler.kube.problem import Flaw, Reason
from reconciler.model.key import Key
from reconciler.model.service import Service
from reconciler.model.spec import PodSpec, Protocol

_WITHOUT_ADDRESS = ("", "None")
_PUBLISHED = ("NodePort", "LoadBalancer")


def check_service(service: dict[str, Any]) -> Iterator[Flaw]:
    """What the schema cannot say. What is left of the document has its types right; anything may lack."""
    spec = service.get("spec") or {}
    name = (service.get("metadata") or {}).get("name", "")
    if not names.dns_subdomain(name) and (text := names.dns_label(name)):
        yield Flaw(text, Reason.INVALID_VALUE, ("metadata", "name"))
    if spec.get("type") == "ExternalName" or spec.get("externalName"):
        yield Flaw(
            "ExternalName is not supported: only the names of pods are served", Reason.NOT_SUPPORTED, ("spec", "type")
        )
        return
    yield from _told(spec)


def _told(spec: dict[str, Any]) -> Iterator[Flaw]:
    """What clients of this Service would have in a cluster, and have not here."""
    if spec.get("clusterIP", "") not in _WITHOUT_ADDRESS:
        yield _warning("a Service has no address of its own here: its name leads to the pods'", "clusterIP")
    if spec.get("type") in _PUBLISHED:
        yield _warning(f"{spec['type']} is taken as ClusterIP: hostPort in the pod publishes a port", "type")
    if not spec.get("selector"):
        yield Flaw(
            "without a selector its name leads to no pod, as there are no Endpoints here",
            Reason.NOT_SUPPORTED,
            ("spec",) if spec else ("metadata", "name"),
            on_key=True,
            warning=True,
        )
        return
    for index, port in enumerate(spec.get("ports") or ()):
        offered = (port or {}).get("port")
        target = (port or {}).get("targetPort", offered)
        if isinstance(target, int) and offered is not None and target != offered:
            text = f"clients reach the pods at {target}, not at {offered}: there is no proxy"
            yield Flaw(text, Reason.NOT_SUPPORTED, ("spec", "ports", index, "targetPort"), warning=True)


def _warning(text: str, field: str) -> Flaw:
    return Flaw(text, Reason.NOT_SUPPORTED, ("spec", field), warning=True)


def compile_service(service: dict[str, Any]) -> Service:
    """The names of a Service without flaws."""
    meta, spec = service["metadata"], service.get("spec") or {}
    return Service(
        Key(meta.get("namespace") or "default", meta["name"]),
        tuple(sorted((spec.get("selector") or {}).items())),
        spec.get("publishNotReadyAddresses", False),
    )


NODE_PORTS = range(30000, 32768)
"""Those that a cluster gives out (--service-node-port-range)."""


def present_service(pod: PodSpec) -> dict[str, Any]:
    """The Service by which a cluster makes the ports of a pod reachable (podman's ``kube generate --service``): of type
    NodePort, and of one that has no ports headless. It selects by the pod's label ``app``."""
    ports = dict.fromkeys(
        (p.container_port, p.protocol, p.host_port if p.host_port in NODE_PORTS else 0)
        for c in pod.lasting
        for p in c.ports
    )
    meta = {"name": _service_name(pod.key.name), "namespace": pod.key.namespace, "labels": dict(pod.labels)}
    spec: dict[str, Any] = {"selector": {APP: dict(pod.labels)[APP]}}
    if not ports:
        spec["clusterIP"] = "None"
    else:
        numbers = [number for number, _, _ in ports]
        spec |= {"type": "NodePort", "ports": [_service_port(*port, numbers.count(port[0]) > 1) for port in ports]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


APP = "app"
"""The label that podman gives a pod for its Service."""


def _service_name(pod: str) -> str:
    return pod.replace(".", "-")[:63].strip("-")


def _service_port(number: int, protocol: Protocol, node_port: int, ambiguous: bool) -> dict[str, Any]:
    name = f"{number}-{protocol.lower()}" if ambiguous else f"{number}"
    port = {"name": name, "port": number, "protocol": protocol.value, "targetPort": number}
    return {**port, "nodePort": node_port} if node_port else port
