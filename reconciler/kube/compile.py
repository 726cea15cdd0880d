"""A checked document to ``model.PodSpec``: defaults filled in, quantities as integers, ``$(VAR)`` expanded.

Normal form: what means the same compiles to the same spec, since a difference between specs is what restarts
containers. Defaults are those of Kubernetes (core/v1/defaults.go) and of the kubelet. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.kube import env as environment
from reconciler.kube import nameservice, ours
from reconciler.kube.lifecycle import GRACE_SECONDS, hook_of, stop_signal_of
from reconciler.kube.names import default_pull_policy
from reconciler.kube.objects import DEFAULT_NAMESPACE
from reconciler.kube.probes import compile_probe
from reconciler.kube.resources import PIDS_LIMIT, compile_resources, compile_storage_limit, with_resources
from reconciler.kube.security import compile_security, sysctls
from reconciler.kube.volumes import compile_mount, compile_volume, contents
from reconciler.model import publish
from reconciler.model.expansion import expand, expand_env
from reconciler.model.hook import Hook
from reconciler.model.key import Key
from reconciler.model.probe import ProbeKind
from reconciler.model.spec import (
    MESSAGE_PATH,
    ContainerPort,
    ContainerSpec,
    MessagePolicy,
    Mount,
    Pairs,
    PodSpec,
    PortBinding,
    Protocol,
    PullPolicy,
    RestartPolicy,
    RestartRule,
    SandboxSpec,
    Volume,
)
from reconciler.model.words import clean_path, default_hostname

RESTART_CONTAINER = "RestartContainer"


def compile_pod(pod: dict[str, Any]) -> PodSpec:
    """The spec of a plain document without flaws."""
    meta, spec = pod["metadata"], pod["spec"]
    namespace = meta.get("namespace") or DEFAULT_NAMESPACE
    volumes = {v["name"]: compile_volume(v, namespace) for v in spec.get("volumes", ())}
    annotations = meta.get("annotations", {})
    containers = tuple(_container(c, pod, volumes) for c in spec["containers"])
    init = tuple(_container(c, pod, volumes) for c in spec.get("initContainers", ()))
    sidecars = tuple(c for c in init if c.restart is RestartPolicy.ALWAYS)  # ports of plain ones are nobody's (kubelet)
    compiled = PodSpec(
        key=Key(namespace, meta["name"]),
        sandbox=_sandbox(meta, spec, (*sidecars, *containers)),
        containers=containers,
        init=init,
        labels=_pairs(meta.get("labels", {})),
        annotations=_pairs(annotations),
        restart_policy=RestartPolicy(spec.get("restartPolicy", RestartPolicy.ALWAYS)),
        grace_period=int(spec.get("terminationGracePeriodSeconds", GRACE_SECONDS)),
        deadline=int(spec["activeDeadlineSeconds"]) if "activeDeadlineSeconds" in spec else None,
        volumes=tuple(volumes[name] for name in sorted(volumes)),
        dns=nameservice.compile_dns(spec),
        host_aliases=nameservice.compile_aliases(spec),
    )
    compiled = with_resources(compiled, spec.get("resources", {}))
    return replace(compiled, contents=contents(compiled))


def _pairs(mapping: dict[str, str]) -> Pairs:
    return tuple(sorted(mapping.items()))


def _sandbox(meta: dict[str, Any], spec: dict[str, Any], containers: tuple[ContainerSpec, ...]) -> SandboxSpec:
    host_network = spec.get("hostNetwork", False)
    asked = meta.get("annotations", {})
    published = {
        PortBinding(p.host_port, p.container_port, p.protocol, p.host_ip)
        for container in containers
        for p in container.ports
        if p.host_port and not host_network
    }
    published |= {*publish.bindings(asked.get(ours.PUBLISH, ""))}
    subdomain = "" if host_network else spec.get("subdomain", "")
    return SandboxSpec(
        # On the host's network the host's name is used too (kubelet: generatePodSandboxConfig).
        hostname="" if host_network else spec.get("hostname") or default_hostname(meta["name"]),
        ports=tuple(sorted(published)),
        host_network=host_network,
        host_pid=spec.get("hostPID", False),
        host_ipc=spec.get("hostIPC", False),
        share_pid=spec.get("shareProcessNamespace", False),
        network=asked.get(ours.NETWORK, ""),
        hostname_override="" if host_network else spec.get("hostnameOverride", ""),
        subdomain=subdomain,
        fqdn_as_hostname=bool(subdomain) and spec.get("setHostnameAsFQDN", False),
        sysctls=sysctls(spec.get("securityContext", {})),
        host_users=spec.get("hostUsers", True),
    )


def _container(c: dict[str, Any], pod: dict[str, Any], volumes: dict[str, Volume]) -> ContainerSpec:
    spec, annotations = pod["spec"], pod["metadata"].get("annotations", {})
    program = environment.program_of(c, pod)
    known = environment.is_known(program)
    env = expand_env((step.name, step.value) for step in program) if known else {}
    ports = {_port(p, spec.get("hostNetwork", False)) for p in c.get("ports", ())}
    return ContainerSpec(
        name=c["name"],
        image=c["image"],
        pull_policy=PullPolicy(c.get("imagePullPolicy", default_pull_policy(c["image"]))),
        command=_words(c.get("command"), env if known else None),
        args=_words(c.get("args"), env if known else None),
        working_dir=clean_path(c["workingDir"]) if c.get("workingDir") else "",
        env=_pairs(env),
        program=() if known else program,
        ports=tuple(sorted(ports)),
        mounts=_mounts(c, spec, volumes, env if known else None),
        resources=compile_resources(c.get("resources", {}), annotations.get(PIDS_LIMIT + c["name"])),
        security=compile_security(c.get("securityContext", {}), spec.get("securityContext", {})),
        pull_secrets=tuple(dict.fromkeys(secret["name"] for secret in spec.get("imagePullSecrets", ()))),
        stdin=c.get("stdin", False),
        stdin_once=c.get("stdinOnce", False),
        tty=c.get("tty", False),
        post_start=hook_of(c, Hook.POST_START),
        pre_stop=hook_of(c, Hook.PRE_STOP),
        stop_signal=stop_signal_of(c),
        message_path=clean_path(c.get("terminationMessagePath") or MESSAGE_PATH),
        message_policy=MessagePolicy(c.get("terminationMessagePolicy") or MessagePolicy.FILE),
        storage_limit=compile_storage_limit(c.get("resources", {})),
        resize_restarts=tuple(
            sorted(p["resourceName"] for p in c.get("resizePolicy", ()) if p["restartPolicy"] == RESTART_CONTAINER)
        ),
        restart=RestartPolicy(c["restartPolicy"]) if c.get("restartPolicy") else None,
        restart_rules=tuple(map(_restart_rule, c.get("restartPolicyRules", ()))),
        liveness=compile_probe(c, ProbeKind.LIVENESS),
        readiness=compile_probe(c, ProbeKind.READINESS),
        startup=compile_probe(c, ProbeKind.STARTUP),
    )


def _restart_rule(rule: dict[str, Any]) -> RestartRule:
    codes = rule["exitCodes"]
    return RestartRule(tuple(sorted(set(codes.get("values", ())))), codes["operator"] == "In")


def _mounts(
    c: dict[str, Any], spec: dict[str, Any], volumes: dict[str, Volume], env: dict[str, str] | None
) -> tuple[Mount, ...]:
    mounts = (_mount(m, spec, volumes, env) for m in c.get("volumeMounts", ()))
    return tuple(sorted(mounts, key=lambda m: m.path))


def _mount(
    mount: dict[str, Any], spec: dict[str, Any], volumes: dict[str, Volume], env: dict[str, str] | None
) -> Mount:
    """With an expression that leads nowhere as it is, which is told when a container is to be made."""
    try:
        return compile_mount(mount, volumes, spec, env)
    except ValueError:
        return compile_mount(mount, volumes, spec, None)


def _words(words: list[str] | None, env: dict[str, str] | None) -> tuple[str, ...] | None:
    """None for an empty list too: to Kubernetes both mean "the image's". Where ``env`` is not known yet, as written."""
    if not words:
        return None
    return tuple(words) if env is None else tuple(expand(word, env) for word in words)


def _port(port: dict[str, Any], host_network: bool) -> ContainerPort:
    inside = int(port["containerPort"])
    return ContainerPort(
        container_port=inside,
        protocol=Protocol(port.get("protocol", Protocol.TCP)),
        name=port.get("name", ""),
        host_port=int(port.get("hostPort", 0)) or (inside if host_network else 0),
        host_ip=publish.canonical(port.get("hostIP", "")),
    )
