"""What this machine and its owner let manifests ask for: profiles, labels, sysctls, limits.

Looked at before anything is made (``problems``), so that what runs goes on running; ``settle`` puts the owner's
decisions into the facts that configs are made from.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconciler.engine import apparmor, files, users
from reconciler.engine.config import SecurityConfig
from reconciler.engine.context import Context
from reconciler.engine.images.image import Image
from reconciler.engine.layout import Layout
from reconciler.engine.oci import rlimits, seccomp
from reconciler.engine.oci.host import HostCapabilities, settled_rlimits
from reconciler.engine.oci.linux import given_devices
from reconciler.model.errors import CONFIG_ERROR, HostUnfit, InvalidInput, ReconcilerError
from reconciler.model.observed import Problem
from reconciler.model.spec import ContainerSpec, PodSpec, Security

FORBIDDEN = "SysctlForbidden"

SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""The kubelet's (pkg/kubelet/sysctl/safe_sysctls.go): isolated by a namespace, and of no harm to other pods."""

OVERLAY_MAPS = (5, 19)
"""The first Linux whose overlayfs takes layers that are mounted with other owners."""
MOST_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")

SELINUX = Path("/sys/fs/selinux/enforce")
SELINUX_LABEL = "system_u:system_r:container_t:s0"
"""What container-selinux calls a container, where a manifest does not say it all."""


def seccomp_root(layout: Layout, config: SecurityConfig) -> Path:
    """Where profiles of type Localhost lie (the kubelet: its root directory's ``seccomp``)."""
    return Path(config.seccomp_profiles) if config.seccomp_profiles else layout.state / "seccomp"


def settle(facts: HostCapabilities, layout: Layout, config: SecurityConfig) -> HostCapabilities:
    """The facts with what the owner decided, and with the security modules that this kernel runs."""
    wanted = rlimits.merged(map(rlimits.parse, config.default_ulimits))
    limits, clamped = settled_rlimits(wanted, facts.capabilities)
    try:
        profile = apparmor.default_profile()
    except HostUnfit as e:  # containers ran without before; told, rather than that none runs
        profile, clamped = None, (*clamped, f"no AppArmor profile: {e.message}")
    return dataclasses.replace(
        facts,
        rlimits=limits,
        clamped=clamped,
        seccomp_root=seccomp_root(layout, config),
        apparmor=profile,
        selinux=SELINUX_LABEL if SELINUX.exists() else None,
    )


def limited(facts: HostCapabilities, spec: ContainerSpec) -> tuple[HostCapabilities, tuple[str, ...]]:
    """The facts with a container's own limits in place of the machine's, and a sentence for each that is lower than
    wanted."""
    if not spec.ulimits:
        return facts, ()
    wanted = tuple(rlimits.parse(f"{name}={values}") for name, values in spec.ulimits)
    own, clamped = settled_rlimits(wanted, facts.capabilities)
    together = {limit.name: limit for limit in (*facts.rlimits, *own)}
    return dataclasses.replace(facts, rlimits=tuple(together.values())), clamped


def problems(ctx: Context, spec: ContainerSpec) -> Iterator[Problem]:
    """Why the container cannot be confined as its manifest says, as things stand."""
    wanted = spec.security.seccomp
    if wanted.startswith(seccomp.LOCALHOST) and not spec.security.privileged:
        try:
            seccomp.localhost(seccomp_root(ctx.layout, ctx.config.security), wanted.removeprefix(seccomp.LOCALHOST))
        except InvalidInput as e:
            yield Problem(CONFIG_ERROR, e.message, spec.name)
    profile = spec.security.apparmor
    name = profile.removeprefix(apparmor.LOCALHOST)
    if name != profile and (why := apparmor.missing(name)):
        yield Problem(CONFIG_ERROR, why, spec.name)
    for device in spec.devices:
        if not given_devices((device,)):
            why = "is no device" if Path(device.host_path).exists() else "does not exist"
            yield Problem(CONFIG_ERROR, f"cannot give it the device {device.host_path}: that {why}", spec.name)


def pod_problems(ctx: Context, spec: PodSpec) -> Iterator[Problem]:
    """Why the pod's sandbox must not be made on this machine. Who makes one by hand may set whatever belongs to its
    namespaces alone, which the options see to (podman's way)."""
    allowed = ctx.config.security.allowed_unsafe_sysctls if spec.sandbox.sysctls else ()
    for name, _ in spec.sandbox.sysctls:
        if name not in SAFE_SYSCTLS and not spec.keep and not any(_matches(name, pattern) for pattern in allowed):
            text = f"cannot set sysctl {name}: it is not one of the safe ones, and config.toml does not allow it"
            yield Problem(FORBIDDEN, f"{text} ([security] allowed_unsafe_sysctls)")
    if not spec.sandbox.host_users and (why := _no_users(ctx)):
        yield Problem(CONFIG_ERROR, why)


def _no_users(ctx: Context) -> str:
    """Why a pod cannot have users of its own here, as far as that can be told beforehand; "" where it can."""
    doing = "cannot give the pod users of its own (hostUsers: false)"
    release = platform.release().split(".")
    if (int(release[0]), int("".join(c for c in release[1] if c.isdigit()) or 0)) < OVERLAY_MAPS:
        return f"{doing}: layers with other owners need Linux 5.19, this is {platform.release()}"
    if (files.read_or_none(MOST_NAMESPACES) or b"0").strip() == b"0":
        return f"{doing}: user namespaces are switched off ({MOST_NAMESPACES})"
    if closed := users.closed(ctx.layout.state.parent):
        return f"{doing}: {closed} is closed to others, and their root is somebody else (chmod o+x {closed})"
    return ""


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def root_refused(security: Security, image: Image) -> str:
    """Why runAsNonRoot keeps the container from running, in the kubelet's words; "" where it does not.

    An image's user by name cannot be checked: its own /etc/passwd says who that is.
    """
    if not security.run_as_non_root:
        return ""
    if security.run_as_user is not None:
        return "container's runAsUser breaks non-root policy" if security.run_as_user == 0 else ""
    user = image.user.partition(":")[0]
    if user and not (user.isascii() and user.isdigit()):
        return f"container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
    return "" if user and int(user) else "container has runAsNonRoot and image will run as root"


def info(ctx: Context) -> dict[str, Any]:
    """What confines containers here, and what of it is less than wanted."""
    try:
        facts, ids = ctx.facts, users.ranges(ctx.config.security.userns_ids)
    except ReconcilerError as e:
        return {"problem": e.message}
    told: dict[str, Any] = {
        "seccomp": str(facts.seccomp_profile or "no filter: this kernel or machine has none"),
        "seccomp profiles": str(facts.seccomp_root),
        "apparmor": facts.apparmor or "not on this machine",
        "selinux": "on" if facts.selinux else "not on this machine",
        "ids of user namespaces": ", ".join(f"{first}:{count}" for first, count in ids) or "none are free",
        "limits": ", ".join(map(str, facts.rlimits)),
        "allowed unsafe sysctls": ", ".join(ctx.config.security.allowed_unsafe_sysctls) or "none",
    }
    lowered = list(facts.clamped)
    if facts.oom_score_adj_min > -1000:
        lowered.append(f"oom_score_adj is at least {facts.oom_score_adj_min}: our own, and CAP_SYS_RESOURCE is missing")
    if lowered:
        told["less than wanted"] = lowered
    return told
