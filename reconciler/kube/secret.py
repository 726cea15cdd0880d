"""What Secrets of each type must hold (core/validation: ValidateSecret), and the passwords of registries in those
that are docker's config file, for imagePullSecrets.

No message quotes a value. Pure.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.kube.schema import kind_of
from reconciler.model.login import Login, Logins

CONFIG, CFG = "kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"
BASIC, SSH, TLS = "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "kubernetes.io/tls"
TOKEN = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"

_FILES = {CONFIG: ".dockerconfigjson", CFG: ".dockercfg"}
_NEEDED = {BASIC: ("username", "password"), SSH: ("ssh-privatekey",), TLS: ("tls.crt", "tls.key")}
_AND = {BASIC: " or "}


def check_type(secret: dict[str, Any]) -> Iterator[Flaw]:
    """What a Secret of its type must hold; other types than these hold what they like."""
    kind = secret.get("type") or "Opaque"
    if kind in _FILES:
        yield from _logins(secret, kind)[1]
        return
    there = {**secret.get("data", {}), **secret.get("stringData", {})}
    needed = [name for name in _NEEDED.get(kind, ()) if name not in there or (kind == SSH and not there[name])]
    if kind == BASIC and len(needed) < len(_NEEDED[kind]):
        return
    if needed:
        text = f"missing: a Secret of type {kind} has {_AND.get(kind, ' and ').join(needed)}"
        yield Flaw(text, Reason.MISSING_FIELD, ("stringData" if "stringData" in secret else "data",))
    if kind == TOKEN and not secret["metadata"].get("annotations", {}).get(ACCOUNT):
        text = f"missing: a Secret of type {kind} has the annotation {ACCOUNT}"
        yield Flaw(text, Reason.MISSING_FIELD, ("metadata", "annotations"))


def logins_of(secret: dict[str, Any]) -> Logins | None:
    """The passwords of a Secret without flaws; None of another object, or of another type."""
    kind = secret.get("type", "")
    return tuple(_logins(secret, kind)[0]) if secret["kind"] == "Secret" and kind in _FILES else None


def _logins(secret: dict[str, Any], kind: str) -> tuple[list[Login], list[Flaw]]:
    name = _FILES[kind]
    plain = secret.get("stringData") or {}
    where: Path = ("stringData" if name in plain else "data", name)
    try:
        text = plain[name] if name in plain else base64.b64decode(secret["data"][name], validate=True)
        said = json.loads(text)
    except (KeyError, TypeError):
        return [], [Flaw(f"missing: a Secret of type {kind} has a {name}", Reason.MISSING_FIELD, where[:1])]
    except binascii.Error:
        return [], [Flaw("must be base64 (plain text goes below stringData)", Reason.INVALID_VALUE, where)]
    except (ValueError, RecursionError):
        return [], [Flaw("must hold docker's config file, which is JSON", Reason.INVALID_VALUE, where)]
    places = said.get("auths") if isinstance(said, dict) and kind == CONFIG else said
    if not isinstance(places, dict):
        missing = "must hold docker's config file: a mapping" + (" with auths" if kind == CONFIG else "")
        return [], [Flaw(missing, Reason.INVALID_VALUE, where)]
    logins, flaws = [], []
    for place, entry in places.items():
        login, wrong = _login(place, entry)
        if wrong:
            flaws.append(Flaw(f"registry {place!r}: {wrong}", Reason.INVALID_VALUE, where))
        elif login:
            logins.append(login)
    return logins, flaws


def _login(place: str, entry: Any) -> tuple[Login | None, str]:
    """An entry of the file; (None, "") for one that says nothing, as docker's credential helpers leave them."""
    if not isinstance(entry, dict):
        return None, f"must be a mapping, not {kind_of(entry)}"
    auth, user, password, token = (entry.get(k) or "" for k in ("auth", "username", "password", "identitytoken"))
    if not all(isinstance(value, str) for value in (auth, user, password, token)):
        return None, "auth, username, password and identitytoken are strings"
    if auth:
        try:
            user, colon, _ = base64.b64decode(auth, validate=True).decode().rstrip("\n\0").partition(":")
        except ValueError:
            user, colon = "", ""
        if not colon:
            return None, "auth must be base64 of user:password"
    elif user or password:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    return (Login(place, auth, token) if auth or token else None), ""
