"""OCI ``process``: what runs, as whom, with which rights and limits."""

from __future__ import annotations

from typing import Any

from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User as User  # part of this interface
from reconciler.engine.oci.bundle import Bundle, own_hostname
from reconciler.engine.oci.capabilities import NONE, process_capabilities
from reconciler.engine.oci.host import HostCapabilities
from reconciler.model.errors import ImageProblem
from reconciler.model.qos import Qos, qos_of
from reconciler.model.spec import ContainerSpec, Resources, Security

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ROOT = User()

PAUSE = ("/catatonit", "-P")

INFRA_OOM_SCORE = -998
"""kubelet (qos/policy.go, PodInfraOOMAdj): the last of a pod to be killed."""


def infra_process(
    facts: HostCapabilities, command: tuple[str, ...] = PAUSE, env: tuple[str, ...] = (), user: User = ROOT
) -> dict[str, Any]:
    """catatonit in pause mode: it holds the namespaces, and as pid 1 of a shared pid namespace it reaps. Or what an
    image has for it."""
    return {
        "terminal": False,
        "user": {"uid": user.uid, "gid": user.gid},
        "args": list(command),
        "env": list(env) or [f"PATH={PATH}"],
        "cwd": "/",
        "capabilities": NONE,
        "noNewPrivileges": True,
        "oomScoreAdj": max(INFRA_OOM_SCORE, facts.oom_score_adj_min),
        **_labels(Security(), facts),
    }


def member_process(
    bundle: Bundle, spec: ContainerSpec, image: Image, user: User, facts: HostCapabilities, qos: Qos | None
) -> dict[str, Any]:
    """Raises ImageProblem when neither the spec nor the image says what to run."""
    security = spec.security
    args = arguments(spec, image)
    if not args:
        raise ImageProblem(
            f"cannot run container {spec.name}: neither the manifest nor image {spec.image} names a command"
        )
    hostname = facts.hostname if bundle.sandbox.host_network else bundle.hostname
    if "uts" not in bundle.sandbox.shared:
        hostname = own_hostname(bundle.container)
    return {
        "terminal": spec.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": groups(security, user), "umask": 0o22},
        "args": list(args),
        "env": environment(spec, image, hostname, user.home),
        "cwd": spec.working_dir or image.working_dir or "/",
        "capabilities": process_capabilities(security, user.uid, facts.capabilities),
        "noNewPrivileges": not (security.allow_privilege_escalation or security.privileged),
        "rlimits": [limit.oci() for limit in facts.rlimits],
        "oomScoreAdj": member_score(spec.resources, qos, facts, keep=bundle.keep),
        **_labels(security, facts),
    }


def groups(security: Security, user: User) -> list[int]:
    """The main group first: left out, a process could shed it by setgroups where it only restricts (CVE-2022-2989).

    Policy Merge adds those that the image gives its user, Strict does not.
    """
    others = {*security.groups, *(() if security.strict_groups else user.extra_gids)}
    if security.fs_group is not None:
        others.add(security.fs_group)
    return [user.gid, *sorted(others - {user.gid})]


def _labels(security: Security, facts: HostCapabilities) -> dict[str, Any]:
    """Names of what the host's security modules confine the process by, where it has them."""
    labels: dict[str, Any] = {}
    if facts.apparmor is not None:
        labels["apparmorProfile"] = apparmor_profile(security, facts.apparmor)
    if facts.selinux is not None and security.selinux:
        labels["selinuxLabel"] = selinux_label(security.selinux, facts.selinux)
    return labels


def selinux_label(wanted: str, default: str) -> str:
    """``wanted`` (user:role:type:level), and of ``default`` what it leaves empty."""
    return ":".join(a or b for a, b in zip(wanted.split(":", 3), default.split(":", 3), strict=True))


def apparmor_profile(security: Security, default: str) -> str:
    """A privileged container is unconfined unless its manifest names a profile (Podman, containerd)."""
    kind, _, name = security.apparmor.partition("/")
    if kind == "localhost":
        return name
    return kind or ("unconfined" if security.privileged else default)


def arguments(spec: ContainerSpec, image: Image) -> tuple[str, ...]:
    """``command`` replaces the entrypoint and drops the image's Cmd; ``args`` replaces Cmd; the command () is no
    entrypoint, and keeps Cmd (podman: --entrypoint "").

    Source: Kubernetes, "Define a Command and Arguments for a Container". Empty when nobody says what to run.
    """
    if spec.command:
        return spec.command + (spec.args or ())
    entrypoint = image.entrypoint if spec.command is None else ()
    return entrypoint + (spec.args or image.cmd)


def search_path(spec: ContainerSpec, image: Image) -> str:
    """The PATH by which the runtime looks for the command."""
    env = dict(item.partition("=")[::2] for item in image.env) | dict(spec.env)
    return env.get("PATH", PATH)


def environment(spec: ContainerSpec, image: Image, hostname: str, home: str) -> list[str]:
    """Defaults, then the image's, then the spec's. Without HOME crun would set none for a user that has no entry."""
    merged = {"PATH": PATH, "HOSTNAME": hostname, **({"HOME": home} if home else {})}
    if spec.tty:
        merged["TERM"] = "xterm"  # as containerd and CRI-O
    for item in image.env:
        name, _, value = item.partition("=")
        merged[name] = value
    merged.update(spec.env)
    return [f"{name}={value}" for name, value in merged.items()]


BY_HAND_OOM_SCORE = 0
"""Podman's, whatever a container reserves: the kernel chooses by what it uses, as among the machine's own services."""


def member_score(resources: Resources, qos: Qos | None, facts: HostCapabilities, *, keep: bool) -> int:
    """The oom_score_adj of a member's processes, as far down as this host lets us go. ``keep``: the pod's (PodSpec)."""
    wanted = BY_HAND_OOM_SCORE if keep else oom_score(resources, qos, facts.memory)
    return max(wanted, facts.oom_score_adj_min)


def oom_score(resources: Resources, qos: Qos | None, memory: int) -> int:
    """kubelet's rule (qos/policy.go). ``qos`` None: as if the container were alone in its pod."""
    if qos is None:
        qos = qos_of((ContainerSpec("", "", resources=resources),))
    if qos is Qos.GUARANTEED:
        return -997
    if qos is Qos.BEST_EFFORT:
        return 1000
    request = resources.memory_request if resources.memory_request is not None else resources.memory_limit or 0
    return min(max(1000 - 1000 * request // max(memory, 1), 3), 999)
