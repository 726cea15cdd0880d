"""Specs and statuses in Kubernetes' shape, ready for JSON or YAML: what ``get -o json|yaml`` prints.

The manifest of a spec reads back as an equal spec. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from reconciler.kube import env as environment
from reconciler.kube import nameservice
from reconciler.kube.lifecycle import is_signal, present_lifecycle
from reconciler.kube.probes import present_probes
from reconciler.kube.resources import present_resources
from reconciler.kube.security import present_container, present_pod
from reconciler.kube.volumes import present_mount, present_volume
from reconciler.model.expansion import escape
from reconciler.model.observed import Exit
from reconciler.model.qos import pod_qos
from reconciler.model.spec import ContainerPort, ContainerSpec, PodSpec
from reconciler.model.status import Condition, ContainerStatus, PodStatus

RUNTIME = "reconciler"
"""The scheme of container ids, as in ``containerd://…``."""

LOST_EXIT_CODE = 137
"""What the kubelet reports for an exit it did not see (reason ContainerStatusUnknown)."""

Json = dict[str, Any]


def pod_list(items: Iterable[tuple[PodSpec, PodStatus]], host_ips: Sequence[str] = ()) -> Json:
    """A v1 PodList of pods with their status, on the machine that has these addresses."""
    return {
        "apiVersion": "v1",
        "kind": "PodList",
        "metadata": {},
        "items": [pod_object(spec, status, host_ips) for spec, status in items],
    }


def pod_object(spec: PodSpec, status: PodStatus, host_ips: Sequence[str] = ()) -> Json:
    """One v1 Pod as a cluster would answer it: manifest, identity and status."""
    pod = pod_manifest(spec)
    if status.uid:
        pod["metadata"]["uid"] = status.uid
    if status.created_wall:
        pod["metadata"]["creationTimestamp"] = time_of(status.created_wall)
    pod["status"] = _pod_status(spec, status, host_ips)
    return pod


def pod_manifest(spec: PodSpec) -> Json:
    """The spec as a manifest with every default spelled out; reading it gives an equal spec."""
    meta: Json = {"name": spec.key.name, "namespace": spec.key.namespace}
    if spec.labels:
        meta["labels"] = dict(spec.labels)
    if spec.annotations:
        meta["annotations"] = dict(spec.annotations)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _pod_spec(spec)}


def time_of(wall: float) -> str:
    """Seconds since the epoch as Kubernetes' metav1.Time: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(int(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _pod_spec(spec: PodSpec) -> Json:
    box = spec.sandbox
    out: Json = {
        "restartPolicy": spec.restart_policy.value,
        "terminationGracePeriodSeconds": spec.grace_period,
    }
    if spec.deadline is not None:
        out["activeDeadlineSeconds"] = spec.deadline
    if any(is_signal(c.stop_signal) for c in spec.everyone):
        out["os"] = {"name": "linux"}  # Kubernetes asks for it
    if box.hostname:
        out["hostname"] = box.hostname
    flags = {
        "hostNetwork": box.host_network,
        "hostPID": box.host_pid,
        "hostIPC": box.host_ipc,
        "shareProcessNamespace": box.share_pid,
    }
    out |= {name: True for name, on in flags.items() if on}
    out |= nameservice.present(spec)
    if secrets := dict.fromkeys(name for c in spec.everyone for name in c.pull_secrets):
        out["imagePullSecrets"] = [{"name": name} for name in secrets]
    if not box.host_users:
        out["hostUsers"] = False
    if security := present_pod(box, spec.containers[0].security):
        out["securityContext"] = security
    if resources := present_resources(spec.limits):
        out["resources"] = resources
    if spec.init:
        out["initContainers"] = [_container(c) for c in spec.init]
    out["containers"] = [_container(c) for c in spec.containers]
    if spec.volumes:
        out["volumes"] = [present_volume(v, spec.key.namespace) for v in spec.volumes]
    return out


def _container(c: ContainerSpec) -> Json:
    out: Json = {"name": c.name, "image": c.image, "imagePullPolicy": c.pull_policy.value}
    for name, words in (("command", c.command), ("args", c.args)):
        if words is not None:
            out[name] = [word if c.program else escape(word) for word in words]
    if c.working_dir:
        out["workingDir"] = c.working_dir
    if c.env:
        out["env"] = [{"name": name, "value": escape(value)} for name, value in c.env]
    out |= environment.present(c.program)
    if c.ports:
        out["ports"] = [_port(p) for p in c.ports]
    if resources := present_resources(c.resources, c.storage_limit):
        out["resources"] = resources
    if c.resize_restarts:
        restarts = ({"resourceName": name, "restartPolicy": "RestartContainer"} for name in c.resize_restarts)
        out["resizePolicy"] = list(restarts)
    if c.mounts:
        out["volumeMounts"] = [present_mount(m) for m in c.mounts]
    if security := present_container(c.security):
        out["securityContext"] = security
    out |= _restarts(c)
    out |= present_probes(c.probes)
    out |= {"terminationMessagePath": c.message_path, "terminationMessagePolicy": c.message_policy.value}
    if lifecycle := present_lifecycle(c):
        out["lifecycle"] = lifecycle
    streams = {"stdin": c.stdin, "stdinOnce": c.stdin_once, "tty": c.tty}
    return out | {name: True for name, wanted in streams.items() if wanted}


def _restarts(c: ContainerSpec) -> Json:
    """Its own restart policy, and the rules that come before it."""
    out: Json = {"restartPolicy": c.restart.value} if c.restart else {}
    if c.restart_rules:
        out["restartPolicyRules"] = [
            {"action": "Restart", "exitCodes": {"operator": "In" if r.among else "NotIn", "values": list(r.codes)}}
            for r in c.restart_rules
        ]
    return out


def _port(port: ContainerPort) -> Json:
    out: Json = {"containerPort": port.container_port, "protocol": port.protocol.value}
    if port.name:
        out["name"] = port.name
    if port.host_port:
        out["hostPort"] = port.host_port
    if port.host_ip:
        out["hostIP"] = port.host_ip
    return out


def _pod_status(spec: PodSpec, status: PodStatus, host_ips: Sequence[str]) -> Json:
    out: Json = {"phase": status.phase.value, "qosClass": pod_qos(spec).value}
    if status.reason:
        out["reason"] = status.reason
    if status.message:
        out["message"] = status.message
    if status.conditions:
        out["conditions"] = [_condition(c) for c in status.conditions]
    if host_ips:
        out |= {"hostIP": host_ips[0], "hostIPs": [{"ip": ip} for ip in host_ips]}
    if ips := status.ips or (host_ips if spec.sandbox.host_network and status.uid else ()):
        out |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    if begun := status.begun_wall or status.created_wall:
        out["startTime"] = time_of(begun)
    if status.init:
        out["initContainerStatuses"] = [_container_status(c) for c in status.init]
    if status.containers:
        out["containerStatuses"] = [_container_status(c) for c in status.containers]
    return out


def _condition(condition: Condition) -> Json:
    out: Json = {"type": condition.type, "status": "True" if condition.status else "False"}
    if condition.reason:
        out["reason"] = condition.reason
    if condition.message:
        out["message"] = condition.message
    if condition.since_wall:
        out["lastTransitionTime"] = time_of(condition.since_wall)
    return out


def _container_status(c: ContainerStatus) -> Json:
    out: Json = {
        "name": c.name,
        "image": c.image,
        "imageID": c.image_id,
        "ready": c.ready,
        "started": c.started,
        "restartCount": c.restarts,
        "state": _state(c),
        "lastState": {} if c.last is None else {"terminated": _terminated(c.last)},
    }
    if c.container_id:
        out["containerID"] = f"{RUNTIME}://{c.container_id}"
    return out


def _state(c: ContainerStatus) -> Json:
    if c.state == "running":
        return {"running": {"startedAt": time_of(c.started_wall)} if c.started_wall else {}}
    if c.state == "terminated" and c.exit is not None:
        own = {"containerID": f"{RUNTIME}://{c.container_id}"} if c.container_id else {}
        return {"terminated": _terminated(c.exit, c.reason, c.message) | own}
    out = {"reason": c.reason or "ContainerCreating"}
    return {"waiting": out | ({"message": c.message} if c.message else {})}


def _terminated(ended: Exit, reason: str = "", message: str = "") -> Json:
    lost = ended.code < 0
    usual = "OOMKilled" if ended.oom else "Completed" if ended.code == 0 else "Error"
    usual = "ContainerStatusUnknown" if lost else usual
    out: Json = {"exitCode": LOST_EXIT_CODE if lost else ended.code, "reason": reason or usual}
    if message or ended.message:
        out["message"] = message or ended.message
    if ended.started_wall:
        out["startedAt"] = time_of(ended.started_wall)
    if ended.finished_wall:
        out["finishedAt"] = time_of(ended.finished_wall)
    return out
