"""Words that manifests and podman's options have in common, in their one spelling: capabilities, sysctls, limits,
paths, names of networks and hosts. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

CAPABILITIES = frozenset(
    f"CAP_{name}"
    for name in """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH
    FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN
    NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT
    SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
    """.split()  # noqa: SIM905 (a list of one word a line would fill a page)
)
ALL = "ALL"

ULIMITS = (
    *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"),
    *("rtprio", "rttime", "sigpending", "stack"),
)
"""As setrlimit(2) has them, in small letters and without RLIMIT_."""

HOSTNAME_MAX = 63

DID_YOU_MEAN = ", did you mean "
CANDIDATES = 200
"""More names than this are not compared with a misspelt one: it takes 5 µs each."""

_SYSCTL = re.compile(r"[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?)*\Z")
_NETWORK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
"""As podman's."""


def capability(text: str) -> str:
    """The full name of a capability written with or without ``CAP_``, in any case (or ALL); "" for no such one."""
    name = text.upper().removeprefix("CAP_")
    if name == ALL:
        return ALL
    return f"CAP_{name}" if f"CAP_{name}" in CAPABILITIES else ""


def sysctl(text: str) -> str:
    """A sysctl's name with points between its parts, or "" for what is none.

    As sysctl(8) and the kubelet take them (NormalizeName): whichever of point and slash comes first divides the parts,
    and the other one belongs to a part (``net/ipv4/conf/eth0.1/forwarding``).
    """
    first = next((c for c in text if c in "./"), ".")
    name = text.translate(str.maketrans("./", "/.")) if first == "/" else text
    plain = name.replace("/", "x")
    return name if len(name) <= 253 and _SYSCTL.match(plain) else ""


def sysctl_namespace(name: str) -> str:
    """Which of the pod's namespaces a sysctl belongs to: "ipc", "net", or "" for the whole machine's (kubelet:
    pkg/kubelet/sysctl/namespace.go)."""
    if name in ("kernel.sem", "kernel.shm_rmid_forced") or name.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")):
        return "ipc"
    return "net" if name.startswith("net.") else ""


def clean_path(path: str) -> str:
    """One spelling for a path: no doubled, trailing or dotted parts."""
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else path


def network_flaw(name: str) -> str:
    """What is wrong with the name of a network; "" for nothing."""
    if _NETWORK_NAME.fullmatch(name):
        return ""
    return f"{name!r} must be letters, digits, '_', '.' and '-', a letter or digit first (128 at most)"


def default_hostname(pod: str) -> str:
    """The pod's name, cut to what a host name may hold (kubelet: truncatePodHostnameIfNeeded)."""
    return pod[:HOSTNAME_MAX].rstrip("-.")


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """``, did you mean X?`` with the closest known name, or ""."""
    import difflib

    by_lower = {k.lower(): k for k in known[:CANDIDATES]}
    near = difflib.get_close_matches(name.lower()[:64], list(by_lower), n=1, cutoff=0.6)
    return f"{DID_YOU_MEAN}{by_lower[near[0]]}?" if near else ""


def show_bytes(size: int) -> str:
    """The shortest exact form with a binary suffix, as manifests have it: ``128Mi``, ``1000``."""
    for power, letter in reversed(list(enumerate("KMGTPE", start=1))):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{letter}i"
    return str(size)


PATH_MAX = 4095
"""Bytes of a path (limits.h)."""


def path_below_flaw(path: str) -> str:
    """What is wrong with a path that is to lead to something in a volume (core/validation:
    validateLocalDescendingPath), or ""."""
    if not path:
        return "must not be empty"
    if path.startswith("/"):
        return f"{path!r} must be a relative path"
    if ".." in path.split("/"):
        return f"{path!r} must not contain '..'"
    return f"has {len(path.encode())} bytes, more than {PATH_MAX}" if len(path.encode()) > PATH_MAX else ""


def in_a_line(text: str, most: int) -> str:
    """What somebody else said, as one line that does nothing to a terminal, of at most so many characters."""
    line = " ".join(text[: 4 * most].split())
    line = "".join(c if c.isprintable() else "\ufffd" for c in line)
    return line if len(line) <= most else f"{line[: most - 1]}…"
