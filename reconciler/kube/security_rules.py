"""What a schema cannot say of security contexts, as the Kubernetes API checks them (core/validation).

Needs of this machine (a profile that is not there, a sysctl that its owner does not allow) are not looked at here: they
are found before a container is made, and may change.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from reconciler.kube import names
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.model import words
from reconciler.model.words import did_you_mean

Flaws = Iterator[Flaw]
Json = dict[str, Any]

PROFILES = ("seccompProfile", "appArmorProfile")
SELINUX_PLAIN = ("user", "role", "type")
IDS = 65536
TOO_HIGH = f"is more than {IDS - 1}, the last id of a pod with hostUsers: false"
HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")


def check_pod_security(spec: Json) -> Flaws:
    """The pod's own context, and its user namespace."""
    context, at = _mapping(spec.get("securityContext")), ("spec", "securityContext")
    yield from _profiles(context, at)
    yield from _sysctls(context, (*at, "sysctls"), spec)
    if spec.get("hostUsers") is False:
        for name in HOST_NAMESPACES:
            if spec.get(name):
                yield _bad("cannot be true together with hostUsers: false", ("spec", name))
        yield from _ids(context, at)


def check_container_security(context: Json, at: Path, spec: Json) -> Flaws:
    """One container's context in the pod ``spec``."""
    yield from _profiles(context, at)
    if spec.get("hostUsers") is False:
        yield from _ids(context, at)
    added = yield from _capabilities(context, (*at, "capabilities"))
    if context.get("procMount") == "Unmasked" and spec.get("hostUsers") is not False:
        yield _bad("Unmasked needs hostUsers: false in the pod", (*at, "procMount"))
    if context.get("allowPrivilegeEscalation") is not False:
        return
    place = (*at, "allowPrivilegeEscalation")
    if context.get("privileged"):
        yield _bad("cannot be false in a privileged container", place)
    if added & {"CAP_SYS_ADMIN", words.ALL}:
        yield _bad("cannot be false together with the capability SYS_ADMIN", place)


def _ids(context: Json, at: Path) -> Flaws:
    """A user namespace of a pod has so many ids."""
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        if isinstance(context.get(name), int) and context[name] >= IDS:
            yield _bad(f"{context[name]} {TOO_HIGH}", (*at, name))
    for index, group in enumerate(context.get("supplementalGroups", ())):
        if isinstance(group, int) and group >= IDS:
            yield _bad(f"{group} {TOO_HIGH}", (*at, "supplementalGroups", index))


def _bad(text: str, at: Path) -> Flaw:
    return Flaw(text, Reason.INVALID_VALUE, at)


def _capabilities(context: Json, at: Path) -> Generator[Flaw, None, set[str]]:
    """Yields flaws, returns the names that are added."""
    added: set[str] = set()
    for which in ("add", "drop"):
        for index, text in enumerate(_mapping(context.get("capabilities")).get(which, ())):
            name = words.capability(text) if isinstance(text, str) else "?"
            if which == "add":
                added.add(name)
            if not name:
                known = [c.removeprefix("CAP_") for c in sorted(words.CAPABILITIES)]
                hint = did_you_mean(text.upper().removeprefix("CAP_"), known)
                yield _bad(f"{text!r} is not a Linux capability{hint}", (*at, which, index))
    return added


def _profiles(context: Json, at: Path) -> Flaws:
    for name in PROFILES:
        profile = _mapping(context.get(name))
        kind, file = profile.get("type"), profile.get("localhostProfile")
        place = (*at, name, "localhostProfile")
        if kind == "Localhost" and not file:
            yield Flaw("missing: type Localhost needs the profile's name", Reason.MISSING_FIELD, place, on_key=True)
        elif kind in ("RuntimeDefault", "Unconfined") and file is not None:
            yield _bad(f"can only be given with type Localhost, not {kind}", place)
        elif file and name == "seccompProfile":
            yield from (_bad(wrong, place) for wrong in (names.relative_path(file),) if wrong)
        elif file and file != file.strip():
            yield _bad(f"{file!r} must not begin or end with a space", place)
    selinux = _mapping(context.get("seLinuxOptions"))
    for part in SELINUX_PLAIN:
        if ":" in str(selinux.get(part, "")):
            yield _bad(f"{selinux[part]!r} must not contain ':'", (*at, "seLinuxOptions", part))


def _sysctls(context: Json, at: Path, spec: Json) -> Flaws:
    seen: set[str] = set()
    for index, sysctl in enumerate(context.get("sysctls", ())):
        if not isinstance(sysctl, dict) or not isinstance(sysctl.get("name"), str):
            continue
        place, name = (*at, index, "name"), words.sysctl(sysctl["name"])
        if not name:
            yield _bad(f"{sysctl['name']!r} is not the name of a sysctl", place)
            continue
        if name in seen:
            yield _bad(f"a second sysctl called {name!r}", place)
        seen.add(name)
        namespace = words.sysctl_namespace(name)
        if namespace == "net" and spec.get("hostNetwork"):
            yield _bad(f"{name} cannot be set together with hostNetwork: it would be the machine's", place)
        if namespace == "ipc" and spec.get("hostIPC"):
            yield _bad(f"{name} cannot be set together with hostIPC: it would be the machine's", place)
        if not namespace:
            yield _bad(f"{name} is not namespaced: it would be set for the whole machine", place)


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
