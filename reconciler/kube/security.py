"""Security contexts: the pod's folded into each container's, and back into Kubernetes' shape.

Kubernetes has two levels; here each container knows all that confines it, and the sandbox only what the infra
container fixes (sysctls, the user namespace). What may stand in them is checked in ``security_rules``. Pure.
"""

from __future__ import annotations

from typing import Any

from reconciler.model import words
from reconciler.model.spec import Pairs, SandboxSpec, Security

Json = dict[str, Any]

UNCONFINED = "unconfined"
LOCALHOST = "localhost/"
SELINUX = ("user", "role", "type", "level")


def compile_security(own: Json, pods: Json) -> Security:
    """A container's: its own values win over the pod's, field by field, each as a whole (kubelet:
    DetermineEffectiveSecurityContext)."""
    capabilities = own.get("capabilities", {})

    def either(field: str, default: Any = None) -> Any:
        return own.get(field, pods.get(field, default))

    return Security(
        run_as_user=_number(either("runAsUser")),
        run_as_group=_number(either("runAsGroup")),
        privileged=own.get("privileged", False),
        cap_add=_capabilities(capabilities.get("add", ())),
        cap_drop=_capabilities(capabilities.get("drop", ())),
        read_only_root=own.get("readOnlyRootFilesystem", False),
        allow_privilege_escalation=own.get("allowPrivilegeEscalation", True),
        run_as_non_root=either("runAsNonRoot", False),
        seccomp=_profile(either("seccompProfile", {})),
        apparmor=_profile(either("appArmorProfile", {})),
        selinux=_selinux(either("seLinuxOptions", {})),
        unmasked_proc=own.get("procMount") == "Unmasked",
        groups=tuple(sorted({int(group) for group in pods.get("supplementalGroups", ())})),
        strict_groups=pods.get("supplementalGroupsPolicy") == "Strict",
        fs_group=_number(pods.get("fsGroup")),
        fs_group_on_mismatch=pods.get("fsGroupChangePolicy") == "OnRootMismatch",
        selinux_recursive=pods.get("seLinuxChangePolicy") == "Recursive",
    )


def sysctls(pods: Json) -> Pairs:
    """By name, points between the parts: ``net/ipv4/x`` is the same as ``net.ipv4.x``."""
    return tuple(sorted((words.sysctl(s["name"]), s["value"]) for s in pods.get("sysctls", ())))


def present_container(s: Security) -> Json:
    """What compiles to the same again, but for what only the pod can say (``present_pod``)."""
    out: Json = {}
    if s.run_as_user is not None:
        out["runAsUser"] = s.run_as_user
    if s.run_as_group is not None:
        out["runAsGroup"] = s.run_as_group
    if s.privileged:
        out["privileged"] = True
    if s.cap_add or s.cap_drop:
        both = {"add": s.cap_add, "drop": s.cap_drop}
        out["capabilities"] = {k: [n.removeprefix("CAP_") for n in v] for k, v in both.items() if v}
    if s.read_only_root:
        out["readOnlyRootFilesystem"] = True
    if not s.allow_privilege_escalation:
        out["allowPrivilegeEscalation"] = False
    if s.run_as_non_root:
        out["runAsNonRoot"] = True
    if s.unmasked_proc:
        out["procMount"] = "Unmasked"
    out |= {
        name: _present_profile(p) for name, p in (("seccompProfile", s.seccomp), ("appArmorProfile", s.apparmor)) if p
    }
    if s.selinux:
        out["seLinuxOptions"] = {k: v for k, v in zip(SELINUX, s.selinux.split(":", 3), strict=True) if v}
    return out


def present_pod(box: SandboxSpec, s: Security) -> Json:
    """What every container has of the pod; ``s`` is any container's."""
    out: Json = {}
    if s.groups:
        out["supplementalGroups"] = list(s.groups)
    if s.strict_groups:
        out["supplementalGroupsPolicy"] = "Strict"
    if s.fs_group is not None:
        out["fsGroup"] = s.fs_group
    if s.fs_group_on_mismatch:
        out["fsGroupChangePolicy"] = "OnRootMismatch"
    if s.selinux_recursive:
        out["seLinuxChangePolicy"] = "Recursive"
    if box.sysctls:
        out["sysctls"] = [{"name": name, "value": value} for name, value in box.sysctls]
    return out


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _capabilities(texts: list[str]) -> tuple[str, ...]:
    return tuple(sorted({words.capability(text) for text in texts}))


def _profile(profile: Json) -> str:
    """RuntimeDefault is what is done without a word, too."""
    match profile.get("type"):
        case "Unconfined":
            return UNCONFINED
        case "Localhost":
            return LOCALHOST + str(profile["localhostProfile"])
    return ""


def _present_profile(text: str) -> Json:
    if text == UNCONFINED:
        return {"type": "Unconfined"}
    return {"type": "Localhost", "localhostProfile": text.removeprefix(LOCALHOST)}


def _selinux(options: Json) -> str:
    parts = [options.get(name, "") for name in SELINUX]
    return ":".join(parts) if any(parts) else ""
