"""What a container may do: ``--cap-add``, ``--cap-drop``, ``--privileged``, ``--read-only``, ``--security-opt``,
``--group-add``, ``--device``, ``--ulimit``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.model.errors import InvalidInput
from reconciler.model.spec import Device, Pairs, Security
from reconciler.model.words import ALL, CAPABILITIES, ULIMITS, capability, clean_path, did_you_mean

UNCONFINED = "unconfined"
LOCALHOST = "localhost/"
ID_MAX = (1 << 31) - 1

_SELINUX = ("user", "role", "type", "level")
_WHOLE = re.compile(r"\d{1,19}", re.ASCII)
_UNLIMITED = ("-1", "unlimited")
_INFINITY = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Rights:
    """The options' values as they were given."""

    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    read_only: bool = False
    security_opt: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()


def security(wanted: Rights, directory: str) -> Security:
    """What confines the container; a seccomp profile is a file, relative to ``directory``. Raises InvalidInput."""
    found = Security(
        privileged=wanted.privileged,
        cap_add=_capabilities(wanted.cap_add, "--cap-add"),
        cap_drop=_capabilities(wanted.cap_drop, "--cap-drop"),
        read_only_root=wanted.read_only,
        groups=tuple(sorted({_group(text) for text in wanted.group_add})),
    )
    for text in wanted.security_opt:
        found = _with_option(found, text, directory)
    if wanted.privileged and not found.allow_privilege_escalation:
        raise InvalidInput(
            "cannot use --security-opt no-new-privileges with --privileged: that gives every privilege",
            hint="leave one of them away, or give single capabilities by --cap-add",
        )
    return found


def _capabilities(texts: Iterable[str], option: str) -> tuple[str, ...]:
    return tuple(sorted({_capability(text, option) for text in texts}))


def _capability(text: str, option: str) -> str:
    if name := capability(text):
        return name
    short = [c.removeprefix("CAP_") for c in sorted(CAPABILITIES)]
    near = did_you_mean(text.upper().removeprefix("CAP_"), short)
    raise InvalidInput(f"cannot use {option} {text!r}: there is no such capability{near}", hint=f"or write {ALL}")


def _group(text: str) -> int:
    if not _WHOLE.fullmatch(text) or int(text) > ID_MAX:
        why = "groups are added by number here" if text != "keep-groups" else "that is for containers without root"
        raise InvalidInput(f"cannot use --group-add {text!r}: {why}", hint=f"a number up to {ID_MAX}")
    return int(text)


def _with_option(s: Security, text: str, directory: str) -> Security:
    doing = f"cannot use --security-opt {text!r}"
    name, _, value = text.partition("=")
    if not _ and ":" in name:  # docker's older spelling
        name, _, value = text.partition(":")
    match name:
        case "no-new-privileges":
            return replace(s, allow_privilege_escalation=not _truth(doing, value))
        case "seccomp":
            return replace(s, seccomp=_seccomp(doing, value, directory))
        case "apparmor":
            return replace(s, apparmor=_apparmor(doing, value))
        case "label":
            return replace(s, selinux=_label(doing, s.selinux, value))
        case "unmask" if value.upper() == ALL:
            return replace(s, unmasked_proc=True)
        case "systempaths" if value == UNCONFINED:
            return replace(s, unmasked_proc=True)
        case "unmask" | "mask" | "proc-opts" | "systempaths":
            raise InvalidInput(f"{doing}: paths are hidden as a whole or not at all", hint="unmask=ALL shows them all")
    known = ("no-new-privileges", "seccomp", "apparmor", "label", "unmask")
    near = did_you_mean(name, known)
    raise InvalidInput(f"{doing}: there is no such option{near}", hint=f"known: {', '.join(known)}")


def _truth(doing: str, value: str) -> bool:
    if value.lower() not in ("", "true", "false", "1", "0"):
        raise InvalidInput(f"{doing}: {value!r} is neither true nor false")
    return value.lower() in ("", "true", "1")


def _seccomp(doing: str, value: str, directory: str) -> str:
    if not value:
        raise InvalidInput(f"{doing}: it names no profile", hint="write seccomp=unconfined or seccomp=FILE")
    return value if value == UNCONFINED else LOCALHOST + clean_path(posixpath.join(directory, value))


def _apparmor(doing: str, value: str) -> str:
    if not value:
        raise InvalidInput(f"{doing}: it names no profile", hint="write apparmor=unconfined or apparmor=PROFILE")
    return value if value == UNCONFINED else LOCALHOST + value


def _label(doing: str, before: str, value: str) -> str:
    """SELinux's label with one more part of it: user, role, type or level."""
    if value == "disable":
        return ""
    part, _, text = value.partition(":")
    if part not in _SELINUX or not text:
        why = f"{part!r} is not supported" if part in ("nested", "filetype") else "it is no part of a label"
        hint = "write label=disable, or label=PART:VALUE with user, role, type or level"
        raise InvalidInput(f"{doing}: {why}", hint=hint)
    if ":" in text and part != "level":
        raise InvalidInput(f"{doing}: {text!r} must not contain a colon")
    parts = dict(zip(_SELINUX, before.split(":", 3), strict=True)) if before else dict.fromkeys(_SELINUX, "")
    return ":".join((parts | {part: text}).values())


def devices(texts: Iterable[str]) -> tuple[Device, ...]:
    """``--device HOST[:PLACE][:PERMISSIONS]``, sorted by place. Raises InvalidInput."""
    found: dict[str, Device] = {}
    for text in texts:
        device = _device(text)
        if found.setdefault(device.path, device) != device:
            raise InvalidInput(f"cannot use --device {text!r}: another device is to be {device.path}")
    return tuple(sorted(found.values()))


def _device(text: str) -> Device:
    doing = f"cannot use --device {text!r}"
    host, *rest = text.split(":")
    if not host.startswith("/"):
        why = "devices by their vendor's name (CDI) are not supported" if "=" in text else "it is not a device's path"
        raise InvalidInput(
            f"{doing}: {why}", hint="write HOST[:PLACE][:PERMISSIONS], as /dev/fuse or /dev/sdc:/dev/xvdc:r"
        )
    permissions = rest.pop() if rest and not rest[-1].startswith("/") else "rwm"
    place = rest[0] if rest else host
    if len(rest) > 1 or not place.startswith("/"):
        raise InvalidInput(f"{doing}: it has too many parts", hint="write HOST[:PLACE][:PERMISSIONS]")
    if not permissions or set(permissions) - set("rwm"):
        raise InvalidInput(f"{doing}: {permissions!r} must be made of r, w and m (mknod)")
    return Device(clean_path(place), clean_path(host), "".join(c for c in "rwm" if c in permissions))


def ulimits(texts: Iterable[str]) -> Pairs:
    """``--ulimit NAME=SOFT[:HARD]`` by name; of two for one name the later counts. Raises InvalidInput."""
    return tuple(sorted(dict(map(_ulimit, texts)).items()))


def _ulimit(text: str) -> tuple[str, str]:
    doing, hint = f"cannot use --ulimit {text!r}", "write NAME=SOFT[:HARD], as nofile=1024:2048 (-1: unlimited)"
    name, equals, values = text.partition("=")
    name = name.lower()
    if text == "host":
        raise InvalidInput(f"{doing}: limits are not taken over from this shell", hint=hint)
    if not equals or name not in ULIMITS:
        near = did_you_mean(name, ULIMITS) if equals else ""
        raise InvalidInput(f"{doing}: it is not a limit{near}", hint=hint)
    soft, colon, hard = values.partition(":")
    low, high = (_amount(v, doing, hint) for v in (soft, hard if colon else soft))
    if low > high:
        raise InvalidInput(f"{doing}: the soft limit is more than the hard one", hint=hint)
    return name, f"{_shown(low)}:{_shown(high)}"


def _amount(text: str, doing: str, hint: str) -> int:
    if text in _UNLIMITED:
        return _INFINITY
    if not _WHOLE.fullmatch(text):
        raise InvalidInput(f"{doing}: {text!r} is not a number", hint=hint)
    return int(text)


def _shown(amount: int) -> str:
    return "-1" if amount == _INFINITY else str(amount)
