"""`kube generate`: a pod as a manifest, which plays back to an equal pod.

What came from a manifest is written as it was meant, every default spelled out. What podman's options made is first
brought into a manifest's terms (``_in_terms``: the same pod); what those lack is left out (``_cut``), and told. The
text is read again before anybody gets it, and what is told is what differs then. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from reconciler.kube import load, names, pod_manifest
from reconciler.kube.lifecycle import is_signal
from reconciler.kube.ours import NETWORK, PUBLISH
from reconciler.kube.problem import one_line
from reconciler.kube.resources import PIDS_LIMIT
from reconciler.kube.service import APP, present_service
from reconciler.kube.volumes import PROPAGATION
from reconciler.kube.written import to_yaml
from reconciler.model import claims, publish
from reconciler.model.cost import Cost
from reconciler.model.errors import InvalidInput
from reconciler.model.key import Key
from reconciler.model.spec import (
    NO_NETWORK,
    ContainerPort,
    ContainerSpec,
    Mount,
    Pairs,
    PodSpec,
    PortBinding,
    Resources,
    SandboxSpec,
    Volume,
    VolumeKind,
)
from reconciler.plan.disruption import Change, in_short, pod_changes, show

_IDS = re.compile(r"(\d+)(?::(\d+))?", re.ASCII)
_SIZE = re.compile(r"size=(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Written:
    """``text``: YAML, with what else there is to say as comments. ``lost``: what a manifest has no words for."""

    text: str
    lost: tuple[str, ...] = ()


def generated(spec: PodSpec, *, service: bool = False) -> Written:
    """The manifest of a pod, with ``service`` also that of a Service for its ports, which selects it by its label
    ``app`` (given to it where it has none). Raises InvalidInput where there can be none."""
    if not spec.containers:
        raise InvalidInput(f'cannot write a manifest of pod "{spec.key.name}": it has no containers')
    meant = _in_terms(spec)
    if service:
        meant = replace(meant, labels=_with_app(meant))
    cut = _cut(meant)
    documents = [*_claims(cut), pod_manifest(cut), *([present_service(cut)] if service else [])]
    text = "---\n".join(map(to_yaml, documents))
    read = load("manifest", text.encode())
    if problem := next((p for p in read.problems if p.is_error), None):
        what = f"{problem.field}: {problem.message}" if problem.field else problem.message
        raise InvalidInput(f'cannot write a manifest of pod "{spec.key.name}": {what}')
    lost = (*_renamed(spec, meant), *_lost_mounts(meant), *_lost(meant, read.pods[0].spec))
    return Written("".join(f"# {line}\n" for line in _comments(spec, lost)) + text, lost)


def _comments(spec: PodSpec, lost: Iterable[str]) -> Iterator[str]:
    yield f"reconciler kube generate {spec.key.name}"
    said = [one_line(text, 300) for text in lost]
    if said:
        yield "A manifest has no words for all of it. What is played from this one differs:"
        yield from (f"  {text}" for text in said)
    if secrets := dict.fromkeys(name for c in spec.everyone for name in c.pull_secrets):
        yield f"It needs what is not in it: Secret {', '.join(secrets)}"


def _with_app(spec: PodSpec) -> Pairs:
    """Its labels, and one for a Service to select it by (podman's)."""
    return tuple(sorted({APP: spec.key.name[:63].rstrip("-."), **dict(spec.labels)}.items()))


# --- the same in a manifest's terms ----------------------------------------------------------------------------------


def _in_terms(spec: PodSpec) -> PodSpec:
    policies = {spec.policy_of(c) for c in spec.containers} if spec.keep else set()  # a manifest says its own
    graces = {spec.grace_of(c) for c in spec.containers}
    called = _labels_for([c.name for c in spec.containers])
    members = [replace(c, name=name) for c, name in zip(spec.containers, called, strict=True)]
    if len(policies) == 1:
        members = [replace(c, restart=None) for c in members]
    if len(graces) == 1:
        members = [replace(c, grace=None) for c in members]
    labels = dict(spec.labels)
    if len(members) == 1:
        labels |= dict(members[0].labels)
        members = [replace(members[0], labels=())]
    annotations = _annotations(spec, members)
    published = _published(spec, members, annotations)
    return replace(
        spec,
        key=Key(spec.key.namespace, _pod_name(spec.key.name)),
        containers=tuple(map(_in_kubernetes_words, _with_volumes(published, spec.key.namespace))),
        labels=tuple(sorted(labels.items())),
        annotations=tuple(sorted(annotations.items())),
        restart_policy=policies.pop() if len(policies) == 1 else spec.restart_policy,
        grace_period=max(graces),
        keep=False,
        stop_when_done=False,
        mounts=(),
    )


def _in_kubernetes_words(c: ContainerSpec) -> ContainerSpec:
    if (ids := _IDS.fullmatch(c.user)) and c.security.run_as_user is None:
        group = int(ids[2]) if ids[2] else c.security.run_as_group
        c = replace(c, user="", security=replace(c.security, run_as_user=int(ids[1]), run_as_group=group))
    return replace(c, command=c.args, args=None) if c.command == () and c.args else c


def _annotations(spec: PodSpec, members: Iterable[ContainerSpec]) -> dict[str, str]:
    """With what Kubernetes has no field for, and without ports that are not published any more."""
    limits = ((c.name, c.resources.pids_limit) for c in members)
    found = {f"{PIDS_LIMIT}{name}": str(limit) for name, limit in limits if limit is not None}
    network = "" if spec.sandbox.host_network else spec.sandbox.network
    if network not in ("", NO_NETWORK):
        found[NETWORK] = network
    said = dict(spec.annotations)
    if not {*publish.bindings(said.get(PUBLISH, ""))} <= {*spec.sandbox.ports}:
        del said[PUBLISH]
    return said | found


def _published(spec: PodSpec, members: list[ContainerSpec], annotations: dict[str, str]) -> list[ContainerSpec]:
    """Every port that the pod publishes as the host port of a member: of one that says it listens there, or the first.
    They share their network."""
    if spec.sandbox.host_network:
        return members
    lasting = (*spec.sidecars, *members)
    said = {PortBinding(p.host_port, p.container_port, p.protocol, p.host_ip) for c in lasting for p in c.ports}
    said |= {*publish.bindings(annotations.get(PUBLISH, ""))}
    ports = [[*c.ports] for c in members]
    for binding in spec.sandbox.ports:
        if binding not in said:
            _publish(ports, binding)
    return [replace(c, ports=tuple(sorted(own))) for c, own in zip(members, ports, strict=True)]


def _publish(ports: list[list[ContainerPort]], binding: PortBinding) -> None:
    """Say it of the port of a member, in place."""
    inside, host = (binding.container_port, binding.protocol), (binding.host_port, binding.host_ip)
    for own in ports:
        for place, port in enumerate(own):
            if (port.container_port, port.protocol) == inside and not port.host_port:
                own[place] = replace(port, host_port=host[0], host_ip=host[1])
                return
    ports[0].append(ContainerPort(*inside, host_port=host[0], host_ip=host[1]))


def _with_volumes(members: Iterable[ContainerSpec], namespace: str) -> Iterator[ContainerSpec]:
    """Volumes have names that a manifest can write; of a tmpfs each member has one of its own."""
    members = tuple(members)
    volumes = tuple(dict.fromkeys(_own(m.volume, c) for c in members for m in c.mounts))
    labels = zip(volumes, _labels_for([v.name for v in volumes]), strict=True)
    called = {volume: replace(_as_claim(volume, namespace), name=label) for volume, label in labels}
    for c in members:
        yield replace(c, mounts=tuple(replace(m, volume=called[_own(m.volume, c)]) for m in c.mounts))


def _claims(spec: PodSpec) -> Iterator[dict[str, Any]]:
    """The claims of a pod, as podman has them: a cluster wants to know a size."""
    for name in dict.fromkeys(v.claim for v in spec.volumes if v.claim):
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claims.claim_of(spec.key.namespace, name), "namespace": spec.key.namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }


def _as_claim(volume: Volume, namespace: str) -> Volume:
    """A named volume under the name that a claim of the namespace gives it, where it can have that."""
    claim = claims.claim_of(namespace, volume.named)
    can = not volume.anonymous and claims.volume_of(namespace, claim) == volume.named and not names.dns_subdomain(claim)
    return replace(volume, claim=volume.named) if volume.kind is VolumeKind.NAMED and can else volume


def _in_memory(volume: Volume) -> Volume:
    """A container's own tmpfs as the pod's."""
    size = next((int(m[1]) for option in volume.options if (m := _SIZE.fullmatch(option))), None)
    return Volume(volume.name, VolumeKind.EMPTY_DIR, memory=True, size_limit=size or None)


def _own(volume: Volume, member: ContainerSpec) -> Volume:
    return replace(volume, name=f"{member.name}-{volume.name}") if volume.kind is VolumeKind.TMPFS else volume


def _pod_name(name: str) -> str:
    return _labels_for([name])[0] if names.dns_subdomain(name) else name


def _labels_for(texts: Iterable[str]) -> list[str]:
    """A DNS label for each text, each another one, as like it as can be."""
    found: list[str] = []
    for text in texts:
        base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "x"
        label, number = base if names.dns_label(text) else text, 2
        while label in found:
            label, number = f"{base}-{number}", number + 1
        found.append(label)
    return found


# --- without what a manifest cannot say ------------------------------------------------------------------------------


def _cut(spec: PodSpec) -> PodSpec:
    members = tuple(_cut_member(c) for c in spec.containers)
    volumes = {v.name: v for v in spec.volumes if _has_words(v) and not names.dns_label(v.name)}
    volumes |= {m.volume.name: m.volume for c in members for m in c.mounts}
    return replace(
        spec,
        sandbox=_cut_sandbox(spec.sandbox),
        containers=members,
        init=tuple(replace(_cut_member(c), restart=c.restart) for c in spec.init),
        labels=_valid(spec.labels, values=True),
        annotations=_valid(spec.annotations, values=False),
        volumes=tuple(volumes[name] for name in sorted(volumes)),
    )


def _cut_sandbox(box: SandboxSpec) -> SandboxSpec:
    return SandboxSpec(
        hostname=_labels_for([box.hostname])[0] if box.hostname else "",
        ports=box.ports,
        host_network=box.host_network,
        host_pid=box.host_pid,
        host_ipc=box.host_ipc,
        share_pid=box.share_pid and not box.host_pid,
        hostname_override=box.hostname_override,
        subdomain=box.subdomain,
        fqdn_as_hostname=box.fqdn_as_hostname,
        network="" if box.network == NO_NETWORK else box.network,
        sysctls=box.sysctls,
        host_users=box.host_users,
    )


def _cut_member(c: ContainerSpec) -> ContainerSpec:
    return replace(
        c,
        command=c.command or None,
        resources=_cut_resources(c.resources),
        mounts=tuple(_cut_mount(m, c) for m in c.mounts if _has_words(m.volume) or m.volume.kind is VolumeKind.TMPFS),
        labels=(),
        restart=None,
        retries=0,
        grace=None,
        stop_signal=c.stop_signal if is_signal(c.stop_signal) else "",
        user="",
        devices=(),
        ulimits=(),
    )


def _has_words(volume: Volume) -> bool:
    """Whether a manifest can have it."""
    return bool(volume.claim) if volume.kind is VolumeKind.NAMED else volume.kind is not VolumeKind.TMPFS


def _cut_mount(mount: Mount, member: ContainerSpec) -> Mount:
    volume = mount.volume if mount.volume.kind is not VolumeKind.TMPFS else _in_memory(mount.volume)
    return replace(mount, volume=volume, options=tuple(o for o in mount.options if _can_be_said(o, member)))


def _can_be_said(option: str, member: ContainerSpec) -> bool:
    return option in PROPAGATION.values() and (option != PROPAGATION["Bidirectional"] or member.security.privileged)


def _cut_resources(r: Resources) -> Resources:
    """A manifest asks for no more than its limit."""
    cpu = r.cpu_request if None in (r.cpu_request, r.cpu_limit) else min(r.cpu_request or 0, r.cpu_limit or 0)
    memory = r.memory_request
    if memory is not None and r.memory_limit is not None:
        memory = min(memory, r.memory_limit)
    return replace(r, cpu_request=cpu, memory_request=memory)


def _valid(pairs: Pairs, *, values: bool) -> Pairs:
    return tuple((k, v) for k, v in pairs if not names.label_key(k) and not (values and names.label_value(v)))


# --- what is lost ----------------------------------------------------------------------------------------------------


def _renamed(spec: PodSpec, meant: PodSpec) -> Iterator[str]:
    if spec.key.name != meant.key.name:
        yield f"the pod is called {meant.key.name}"
    for before, after in zip(spec.containers, meant.containers, strict=True):
        if before.name != after.name:
            yield f"container {before.name} is called {after.name}"


def _lost_mounts(meant: PodSpec) -> Iterator[str]:
    for c in meant.everyone:
        for m in c.mounts:
            if m.volume.kind is VolumeKind.NAMED and not m.volume.claim:
                yield f"container {c.name}: nothing is mounted at {m.path} (volume {m.volume.name})"
            elif lost := [*_lost_options(m, c)]:
                yield f"container {c.name}: {m.path} is mounted without {', '.join(lost)}"


def _lost_options(mount: Mount, member: ContainerSpec) -> Iterator[str]:
    """A claim's volume is not filled from the image anyway."""
    said = {"nocopy"} if mount.volume.claim else set()
    yield from (o for o in mount.options if o not in said and not _can_be_said(o, member))
    yield from (o for o in mount.volume.options if not _SIZE.fullmatch(o))


def _lost(meant: PodSpec, read: PodSpec) -> Iterator[str]:
    told_elsewhere = ("spec.volumes[", "volumeMounts[")
    for change in pod_changes(meant, read):
        if change.cost is not Cost.NOTHING and not any(field in change.field for field in told_elsewhere):
            yield _told(change)


def _told(change: Change) -> str:
    field = in_short(change, change.field)
    where = f"container {change.container}: " if change.container else ""
    after = "" if change.after in (None, "", (), False) else f" becomes {show(change.after)}"
    return f"{where}{field} {show(change.before)}{after or ' is left out'}"
