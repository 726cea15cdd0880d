"""ConfigMaps and Secrets of the manifests (core/validation: ValidateConfigMap, ValidateSecret); of claims and
Services the names.

No message quotes a value: who reads it may be somebody else than who may read the object. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from reconciler.kube import names
from reconciler.kube.lenience import check_without, heard, prune
from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.kube.schema import check_object
from reconciler.kube.secret import check_type, logins_of
from reconciler.kube.service import check_service, compile_service
from reconciler.model.objects import CLAIM, CONFIG_MAP, SECRET, SERVICE, Contents, Object
from reconciler.model.strictness import Strictness

DEFAULT_NAMESPACE = "default"

MOST = 1024 * 1024
"""Bytes of all values of an object (core.MaxSecretSize)."""

_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
_SCHEMAS = {
    CONFIG_MAP: "configmap.json",
    SECRET: "secret.json",
    CLAIM: "persistentvolumeclaim.json",
    SERVICE: "service.json",
}
_IN_BASE64 = {SECRET: "data", CONFIG_MAP: "binaryData"}
_AS_TEXT = {SECRET: "stringData", CONFIG_MAP: "data"}

TEXTS = ("data", "binaryData", "stringData")
"""Mappings in which null is an empty value (Go's map[string]string)."""


def read_object(
    kind: str, document: dict[str, Any], most: int, strictness: Strictness = Strictness.STRICT
) -> tuple[Object | None, list[Flaw]]:
    """The object of a plain document, where nothing is wrong with it; and at most ``most`` flaws of its shape."""
    shape, _, _ = check_without(document, lambda d: check_object(_SCHEMAS[kind], d, most), strictness)
    prune(document, shape)
    is_whole = not any(not flaw.warning for flaw in shape)
    flaws = [*shape, *heard(_check(kind, document, is_whole), strictness)]
    if any(not flaw.warning for flaw in flaws):
        return None, flaws
    meta = document["metadata"]
    data, binary = _contents(kind, document)
    service = compile_service(document) if kind == SERVICE else None
    namespace = meta.get("namespace") or DEFAULT_NAMESPACE
    name, immutable = meta["name"], document.get("immutable", False)
    return Object(kind, namespace, name, data, binary, logins_of(document), service, immutable), flaws


def key_flaw(text: str) -> str:
    """What is wrong with a key (apimachinery/util/validation: IsConfigMapKey), or ""."""
    if len(text) > 253:
        return f"the key has {len(text)} characters, more than 253"
    if not _KEY.match(text):
        return "the key must be letters, digits, '-', '_' and '.'"
    return "the key must not begin with '..', nor be '.'" if text == "." or text.startswith("..") else ""


def _check(kind: str, document: dict[str, Any], is_whole: bool) -> Iterator[Flaw]:
    """The rules over what is left of it; ``is_whole``: that is all of it."""
    for name, found in (("name", names.dns_subdomain), ("namespace", names.dns_label)):
        if text := found(document.get("metadata", {}).get(name) or "default"):
            yield Flaw(text, Reason.INVALID_VALUE, ("metadata", name))
    if kind == SERVICE:
        yield from check_service(document)
    if kind in (CONFIG_MAP, SECRET):
        yield from _check_keys(kind, document)
        wrong = list(_check_sizes(kind, document))
        yield from wrong
        if kind == SECRET and is_whole and not wrong:
            yield from check_type(document)


def _check_keys(kind: str, document: dict[str, Any]) -> Iterator[Flaw]:
    texts, binary = document.get(_AS_TEXT[kind], {}), document.get(_IN_BASE64[kind], {})
    for field, mapping in ((_AS_TEXT[kind], texts), (_IN_BASE64[kind], binary)):
        for key in mapping:
            if wrong := key_flaw(key):
                yield Flaw(wrong, Reason.INVALID_VALUE, (field, key), on_key=True)
    if kind == CONFIG_MAP:
        for key in sorted(texts.keys() & binary.keys()):
            yield Flaw("it is below data, too", Reason.INVALID_VALUE, ("binaryData", key), on_key=True)


def _check_sizes(kind: str, document: dict[str, Any]) -> Iterator[Flaw]:
    """That what is in base64 is, and that all of it is not too much."""
    field = _IN_BASE64[kind]
    size = sum(len(text.encode()) for text in document.get(_AS_TEXT[kind], {}).values())
    for key, text in document.get(field, {}).items():
        value = _decoded(text)
        if value is None:
            hint = "plain text goes below " + _AS_TEXT[kind]
            yield Flaw(f"must be base64 ({hint})", Reason.INVALID_VALUE, (field, key))
        elif kind == CONFIG_MAP or key not in document.get("stringData", {}):
            size += len(value)
    if size > MOST:
        where: Path = (field,) if field in document else (_AS_TEXT[kind],)
        yield Flaw(f"the values have {size} bytes, more than {MOST}", Reason.TOO_LARGE, where, on_key=True)


def _decoded(text: str) -> bytes | None:
    """The bytes, or None where it is no base64. Line ends are passed over, as Go's decoder does."""
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return None


def _asked(claim: dict[str, Any]) -> Contents:
    """What a claim asks a cluster for, which is shown and has no effect; of any other shape it says nothing."""
    spec = claim.get("spec") or {}
    modes = spec.get("accessModes")
    resources = spec.get("resources")
    requests = resources.get("requests") if isinstance(resources, dict) else None
    found = {
        "accessModes": ",".join(map(str, modes)) if isinstance(modes, list) else None,
        "storage": requests.get("storage") if isinstance(requests, dict) else None,
        "storageClassName": spec.get("storageClassName"),
    }
    return tuple((name, str(said).encode()) for name, said in found.items() if said not in (None, ""))


def _contents(kind: str, document: dict[str, Any]) -> tuple[Contents, Contents]:
    if kind == CLAIM:
        return _asked(document), ()
    texts = {key: text.encode() for key, text in document.get(_AS_TEXT.get(kind, ""), {}).items()}
    encoded = document.get(_IN_BASE64.get(kind, ""), {})
    binary = {key: _decoded(text) or b"" for key, text in encoded.items()}
    if kind == SECRET:
        texts, binary = {**binary, **texts}, {}
    return tuple(sorted(texts.items())), tuple(sorted(binary.items()))
