"""From a seccomp profile to what applies to one container: by architecture, kernel and capabilities.

The profile is containers-common's or one of the machine owner's (``localhost``). Both may be written in Docker's format
(``includes``/``excludes``, ``archMap``) or in that of OCI's ``linux.seccomp``, which knows neither.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from reconciler.engine.oci.host import HostCapabilities
from reconciler.model.errors import HostUnfit, InvalidInput
from reconciler.model.typed import decoder

EPERM = 1
UNCONFINED = "unconfined"
LOCALHOST = "localhost/"
PASSED_ON = ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")

Action = Literal[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_NOTIFY",
]

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


def resolve(facts: HostCapabilities, capabilities: frozenset[str], wanted: str = "") -> dict[str, Any] | None:
    """OCI ``linux.seccomp`` for a container that is bounded by ``capabilities``; None for no filter, which is also the
    answer to a default where the host has no profile.

    ``wanted`` is ``Security.seccomp``. Raises HostUnfit when the default cannot be read, InvalidInput for another.
    """
    if wanted == UNCONFINED:
        return None
    if wanted:
        profile = localhost(facts.seccomp_root, wanted.removeprefix(LOCALHOST))
        return _resolved(profile, facts.machine, facts.kernel, capabilities)
    if facts.seccomp_profile is None:
        return None
    return _default(facts.seccomp_profile, facts.machine, facts.kernel, capabilities)


@lru_cache(maxsize=16)
def _default(path: Path, machine: str, kernel: tuple[int, int], capabilities: frozenset[str]) -> dict[str, Any]:
    """The same for nearly every container: nobody changes it."""
    return _resolved(_load(path), machine, kernel, capabilities)


def _resolved(
    profile: dict[str, Any], machine: str, kernel: tuple[int, int], capabilities: frozenset[str]
) -> dict[str, Any]:
    rules = (r for r in profile.get("syscalls") or () if _applies(r, machine, kernel, capabilities))
    resolved: dict[str, Any] = {
        "defaultAction": profile["defaultAction"],
        "architectures": _architectures(profile, machine),
        "syscalls": [_rule(r) for r in rules],
    }
    for name in PASSED_ON:
        if profile.get(name) is not None:
            resolved[name] = profile[name]
    return resolved


def localhost(root: Path, name: str) -> dict[str, Any]:
    """The profile ``name`` below ``root``, checked; of a container made by hand also any file, by its absolute path
    (which a manifest cannot name). Raises InvalidInput with what is wrong."""
    path = root / name
    try:
        real = path.resolve(strict=True)
        if not name.startswith("/") and not real.is_relative_to(root.resolve()):
            raise InvalidInput(f"cannot use seccomp profile {name}: {path} leads out of {root}")
        data = real.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"cannot use seccomp profile {name}: {path} does not exist") from None
    except OSError as e:
        raise InvalidInput(f"cannot use seccomp profile {name}: {path}: {e.strerror}") from e
    try:
        profile = msgspec.json.decode(data)
        decoder(Profile).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise InvalidInput(f"cannot use seccomp profile {name}: {path}: {_sentence(str(e))}") from e
    checked: dict[str, Any] = profile
    return checked


def _sentence(words: str) -> str:
    """msgspec's ``Object missing required field `x` - at `$.syscalls[0]``` with the place first."""
    what, at, where = words.partition(" - at `$")
    place = where.rstrip("`").lstrip(".") if at else ""
    return f"{place}: {what}" if place else what


def _load(path: Path) -> dict[str, Any]:
    try:
        profile: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as e:
        raise HostUnfit(f"cannot read seccomp profile {path}: {e}") from e
    return profile


def _architectures(profile: dict[str, Any], machine: str) -> list[str]:
    if profile.get("architectures"):
        return list(profile["architectures"])
    native = _SCMP_ARCH.get(machine)
    if native is None:
        return []  # empty means the native one, to the runtimes and to bpf.py
    entry: dict[str, Any] = next((a for a in profile.get("archMap") or () if a["architecture"] == native), {})
    return [native, *(entry.get("subArchitectures") or ())]


class Condition(msgspec.Struct, forbid_unknown_fields=True):
    """A comparison of one argument."""

    index: Annotated[int, msgspec.Meta(ge=0, le=5)]
    value: Annotated[int, msgspec.Meta(ge=0)]
    op: Literal[
        "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"
    ]
    valueTwo: int | None = 0  # noqa: N815 (the format's names)


class Filter(msgspec.Struct, forbid_unknown_fields=True):
    """Docker's ``includes`` and ``excludes``."""

    caps: list[str] | None = None
    arches: list[str] | None = None
    minKernel: Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+$")] | None = None  # noqa: N815


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """What is done with some system calls. ``errno`` is a name for ``errnoRet``, which counts."""

    action: Action
    names: list[str] | None = None
    name: str | None = None
    args: list[Condition] | None = None
    errnoRet: int | None = None  # noqa: N815
    errno: str | None = None
    comment: str | None = None
    includes: Filter | None = None
    excludes: Filter | None = None

    def __post_init__(self) -> None:
        if not self.names and not self.name:
            raise ValueError("a rule needs the names of its system calls")
        if self.names and self.name:
            raise ValueError("a rule has either name or names")


class ArchMap(msgspec.Struct, forbid_unknown_fields=True):
    """Docker's architectures."""

    architecture: str
    subArchitectures: list[str] | None = None  # noqa: N815


class Profile(msgspec.Struct, forbid_unknown_fields=True):
    """What a profile of the machine's owner may hold. Strict: a misspelt list of denials would deny nothing."""

    defaultAction: Action  # noqa: N815
    defaultErrnoRet: int | None = None  # noqa: N815
    defaultErrno: str | None = None  # noqa: N815
    architectures: list[str] | None = None
    archMap: list[ArchMap] | None = None  # noqa: N815
    flags: list[str] | None = None
    listenerPath: str | None = None  # noqa: N815
    listenerMetadata: str | None = None  # noqa: N815
    syscalls: list[Rule] | None = None


def _applies(rule: dict[str, Any], machine: str, kernel: tuple[int, int], capabilities: frozenset[str]) -> bool:
    """As containers/common, pkg/seccomp (setupSeccomp): all included caps held, no excluded one."""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    arch = _GO_ARCH.get(machine, machine)
    if arch in (excludes.get("arches") or ()) or capabilities & set(excludes.get("caps") or ()):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if not set(includes.get("caps") or ()) <= capabilities:
        return False
    return not (includes.get("minKernel") and kernel < _version(includes["minKernel"]))


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "names": list(rule.get("names") or (rule["name"],)),
        "action": rule["action"],
    }
    if rule["action"] == "SCMP_ACT_ERRNO":
        number = rule.get("errnoRet")
        result["errnoRet"] = EPERM if number is None else number
    if rule.get("args"):
        result["args"] = [dict(a) for a in rule["args"]]
    return result
