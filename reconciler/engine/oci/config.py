"""The whole config.json of an infra container and of a member."""

from __future__ import annotations

import base64
from typing import Any

from reconciler.engine.images.image import Image
from reconciler.engine.images.users import User
from reconciler.engine.oci import bpf, linux, mounts, process, seccomp
from reconciler.engine.oci.bundle import Bundle, own_hostname
from reconciler.engine.oci.capabilities import bounding
from reconciler.engine.oci.host import HostCapabilities
from reconciler.model.errors import ImageProblem
from reconciler.model.qos import Qos
from reconciler.model.spec import ContainerSpec, Security

OCI_VERSION = "1.0.2"

BPF_ANNOTATION = "run.oci.seccomp_bpf_data"
"""crun(1): a base64 BPF program to load in place of ``linux.seccomp``."""


SCOPE = {
    "org.systemd.property.DefaultDependencies": "false",
    "org.systemd.property.CollectMode": "'inactive-or-failed'",
}
"""How the runtime has systemd make a container's scope: not stopped when the machine begins to shut down, as
``system stop`` ends containers in order then; forgotten when it has ended, also by an OOM kill."""

UNBOUNDED = {"org.systemd.property.TasksMax": f"uint64 {(1 << 64) - 1}"}
"""The pod bounds its containers, not systemd's default for services."""


def infra_config(
    bundle: Bundle, facts: HostCapabilities, image: Image | None = None, user: User = process.ROOT
) -> dict[str, Any]:
    """The infra container: new namespaces, catatonit (or what its image has) in a read-only rootfs, no rights at all.

    Raises ImageProblem where neither the spec nor the image says what to run.
    """
    root, doing = str(facts.infra_rootfs), process.infra_process(facts)
    if image is not None:
        command = bundle.sandbox.infra_command or (*image.entrypoint, *image.cmd)
        if not command:
            raise ImageProblem(f"cannot run image {bundle.sandbox.infra_image} as infra container: it names no command")
        root, doing = str(bundle.rootfs), process.infra_process(facts, command, image.env, user)
    config: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "root": {"path": root, "readonly": True},
        "process": doing,
        "mounts": mounts.infra_mounts(bundle),
        "linux": linux.infra_linux(bundle, facts),
        "annotations": _annotations(bundle, "", None),
    }
    if not bundle.sandbox.host_network:
        config["hostname"] = bundle.hostname
    _confine(config, facts, frozenset())
    return config


def member_config(
    bundle: Bundle,
    spec: ContainerSpec,
    image: Image,
    user: User,
    facts: HostCapabilities,
    qos: Qos | None = None,
) -> dict[str, Any]:
    """A member of the pod whose infra process is ``bundle.infra``.

    ``qos`` is the pod's (``qos_of``); None: judged by this container alone.
    Raises ImageProblem (nothing to run) and InvalidInput (an unknown capability).
    """
    config: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "root": {"path": str(bundle.rootfs), "readonly": spec.security.read_only_root},
        "process": process.member_process(bundle, spec, image, user, facts, qos),
        "mounts": mounts.member_mounts(bundle, spec),
        "linux": linux.member_linux(bundle, spec, facts),
        "annotations": _annotations(bundle, spec.name, spec.resources.pids_limit),
    }
    if "uts" not in bundle.sandbox.shared:
        config["hostname"] = own_hostname(bundle.container)
    if not spec.security.privileged:
        _confine(config, facts, bounding(spec.security, facts.capabilities), spec.security.seccomp)
    return config


def compile_usual_filters(facts: HostCapabilities) -> None:
    """Have the seccomp filters of infra containers and of members without wishes of their own ready in the cache."""
    for capabilities in (frozenset[str](), bounding(Security(), facts.capabilities)):
        _confine({"annotations": {}, "linux": {}}, facts, capabilities)


def _confine(config: dict[str, Any], facts: HostCapabilities, capabilities: frozenset[str], wanted: str = "") -> None:
    """Add the seccomp filter: compiled where the runtime takes it, as JSON otherwise."""
    profile = seccomp.resolve(facts, capabilities, wanted)
    if profile is None:
        return
    if facts.bpf:
        try:
            compiled = bpf.program(profile, facts.cache)
        except bpf.CannotCompile:
            pass
        else:
            config["annotations"][BPF_ANNOTATION] = base64.b64encode(compiled).decode()
            return
    config["linux"]["seccomp"] = profile


def _annotations(bundle: Bundle, name: str, pids_limit: int | None) -> dict[str, str]:
    """Who it is, for people who look at the runtime's own state."""
    return {
        "reconciler.pod": str(bundle.key),
        "reconciler.pod-id": bundle.pod,
        "reconciler.container": name or "infra",
        **(SCOPE if bundle.by_systemd else {}),
        **(UNBOUNDED if bundle.by_systemd and not pids_limit else {}),
    }
