"""From containers-common's seccomp profile to what applies to one container: by architecture, kernel and capabilities.

The profile's format is Docker's (``includes``/``excludes``, ``archMap``); OCI's ``linux.seccomp`` knows neither.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from reconciler.engine.oci.host import HostCapabilities
from reconciler.model.errors import HostUnfit

EPERM = 1

_GO_ARCH = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "x86",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
_SCMP_ARCH = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
    "armv7l": "SCMP_ARCH_ARM",
    "i686": "SCMP_ARCH_X86",
    "ppc64le": "SCMP_ARCH_PPC64LE",
    "riscv64": "SCMP_ARCH_RISCV64",
    "s390x": "SCMP_ARCH_S390X",
}


def resolve(facts: HostCapabilities, capabilities: frozenset[str]) -> dict[str, Any] | None:
    """OCI ``linux.seccomp`` for a container that is bounded by ``capabilities``; None where the host has no profile.

    Raises HostUnfit when the profile cannot be read.
    """
    if facts.seccomp_profile is None:
        return None
    profile = _load(facts.seccomp_profile)
    resolved: dict[str, Any] = {
        "defaultAction": profile["defaultAction"],
        "architectures": _architectures(profile, facts.machine),
        "syscalls": [_rule(r) for r in profile.get("syscalls", ()) if _applies(r, facts, capabilities)],
    }
    if profile.get("defaultErrnoRet") is not None:
        resolved["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return resolved


@lru_cache(maxsize=4)
def _load(path: Path) -> dict[str, Any]:
    try:
        profile: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as e:
        raise HostUnfit(f"cannot read seccomp profile {path}: {e}") from e
    return profile


def _architectures(profile: dict[str, Any], machine: str) -> list[str]:
    native = _SCMP_ARCH.get(machine)
    if native is None:
        return []  # empty means the native one, to the runtimes and to bpf.py
    entry: dict[str, Any] = next((a for a in profile.get("archMap", ()) if a["architecture"] == native), {})
    return [native, *entry.get("subArchitectures", ())]


def _applies(rule: dict[str, Any], facts: HostCapabilities, capabilities: frozenset[str]) -> bool:
    """As containers/common, pkg/seccomp (setupSeccomp): all included caps held, no excluded one."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    arch = _GO_ARCH.get(facts.machine, facts.machine)
    if arch in excludes.get("arches", ()) or capabilities & set(excludes.get("caps", ())):
        return False
    if "arches" in includes and arch not in includes["arches"]:
        return False
    if not set(includes.get("caps", ())) <= capabilities:
        return False
    return not ("minKernel" in includes and facts.kernel < _version(includes["minKernel"]))


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "names": list(rule.get("names") or (rule["name"],)),
        "action": rule["action"],
    }
    if rule["action"] == "SCMP_ACT_ERRNO":
        result["errnoRet"] = rule.get("errnoRet", EPERM)
    if rule.get("args"):
        result["args"] = [dict(a) for a in rule["args"]]
    return result
