"""Which Linux capabilities a container's process gets, by Podman's rules (containers/common, pkg/capabilities)."""

from __future__ import annotations

from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Security

NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""In the kernel's order: the position is the bit (linux/capability.h)."""

ALL = frozenset(NAMES)

DEFAULT = frozenset(
    {
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_CHROOT",
    }
)
"""Podman 4's default_capabilities."""

NONE: dict[str, list[str]] = {"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []}


def names_of(bits: int) -> frozenset[str]:
    """The capabilities of a mask as /proc/PID/status shows it."""
    return frozenset(name for bit, name in enumerate(NAMES) if bits >> bit & 1)


def bounding(security: Security, available: frozenset[str]) -> frozenset[str]:
    """All that the container may ever have. ``ALL`` is added first and dropped first; a name wins over it.

    Raises InvalidInput for a capability that no kernel knows.
    """
    if security.privileged:
        return available
    add, drop = _named(security.cap_add), _named(security.cap_drop)
    base = frozenset() if "ALL" in drop else ALL if "ALL" in add else DEFAULT
    return ((base | (add & ALL)) - (drop & ALL)) & available


def process_capabilities(security: Security, uid: int, available: frozenset[str]) -> dict[str, list[str]]:
    """The five sets of OCI's ``process.capabilities``.

    Root holds what the bounding set holds. Another user holds only what was added by name or by ALL, and
    keeps it over execve (ambient); Podman does the same (specgen/generate/security.go).
    """
    bound = bounding(security, available)
    if uid == 0:
        return {**NONE, "bounding": _listed(bound), "effective": _listed(bound), "permitted": _listed(bound)}
    add = _named(security.cap_add)
    kept = _listed(bound & (ALL if "ALL" in add else add))
    return {
        "bounding": _listed(bound),
        "effective": kept,
        "permitted": kept,
        "inheritable": kept,
        "ambient": kept,
    }


def _listed(capabilities: frozenset[str]) -> list[str]:
    return [name for name in NAMES if name in capabilities]


def _named(words: tuple[str, ...]) -> frozenset[str]:
    """Kubernetes writes NET_ADMIN, Podman also cap_net_admin; both mean CAP_NET_ADMIN."""
    return frozenset(_name(word) for word in words)


def _name(word: str) -> str:
    upper = word.upper()
    if upper == "ALL":
        return upper
    name = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if name not in ALL:
        raise InvalidInput(f'cannot give capability "{word}": no such capability')
    return name
