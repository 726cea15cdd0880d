"""Which of a pod's passwords are for an image, and how skopeo gets them.

A Login is for a host, or for a path on it; ``*`` stands for (part of) one label of a host's name. The longest counts
first, then the others, as the kubelet has it (pkg/credentialprovider: keyring.go). Pure.
"""

from __future__ import annotations

import base64
import fnmatch
import json
from collections.abc import Iterable, Iterator

from reconciler.engine.images.reference import DEFAULT_REGISTRY, Reference
from reconciler.model.login import Login

_DEFAULTS = (DEFAULT_REGISTRY, f"index.{DEFAULT_REGISTRY}")


def fitting(logins: Iterable[Login], reference: Reference) -> tuple[Login, ...]:
    """Those that may open the registry of ``reference`` (in full), the most particular first."""
    found = [login for login in logins if any(_fits(_place(login.place), name) for name in _names(reference))]
    return tuple(sorted(dict.fromkeys(found), key=lambda login: _place(login.place), reverse=True))


def auth_file(login: Login, reference: Reference) -> bytes:
    """A containers-auth.json(5) with this password, for the registry of ``reference`` alone."""
    entry = {"auth": login.auth} | ({"identitytoken": login.token} if login.token else {})
    return json.dumps({"auths": {reference.registry: entry}}).encode()


def login_of(registry: str, user: str, password: str) -> Login:
    return Login(registry, base64.b64encode(f"{user}:{password}".encode()).decode())


def _names(reference: Reference) -> Iterator[str]:
    for registry in _DEFAULTS if reference.registry == DEFAULT_REGISTRY else (reference.registry,):
        yield f"{registry}/{reference.path}"


def _place(text: str) -> str:
    """``https://host/v1/`` is how docker's client writes its first registry: the host alone is meant."""
    text = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, slash, path = text.partition("/")
    return host if path in ("v1", "v2") else f"{host}{slash}{path}"


def _fits(place: str, name: str) -> bool:
    host, _, path = place.partition("/")
    wanted, _, wanted_path = name.partition("/")
    return _host_fits(host, wanted) and wanted_path.startswith(path)


def _host_fits(pattern: str, host: str) -> bool:
    pattern, _, pattern_port = pattern.partition(":")
    host, _, port = host.partition(":")
    parts, wanted = pattern.split("."), host.split(".")
    return (
        pattern_port == port
        and len(parts) == len(wanted)
        and all(fnmatch.fnmatchcase(label, part) for part, label in zip(parts, wanted, strict=True))
    )
