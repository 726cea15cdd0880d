"""The JSON Schema of the Pod, and its verdicts as sentences.

Three answers for a field: supported (then its value is checked), known to Kubernetes but not supported yet,
unknown (with the closest known name). The validator is built once per process and only read after that;
building it imports jsonschema (0.1 s), so commands that read no manifest never pay for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from reconciler.kube.problem import Flaw, Path, Reason
from reconciler.model.words import DID_YOU_MEAN, did_you_mean

LATER = "not supported yet"
NO = "not supported"

_TYPE_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_RESOURCES = ("ResourceLimits", "ResourceRequests")
_REQUIRED_WORDS = {"containers": "missing: a pod needs at least one container"}


def check_pod(pod: Any, most: int) -> tuple[list[Flaw], bool]:
    """What the schema finds in a plain document, at most ``most`` flaws, and whether that is all.

    A field is not called missing beside its misspelling.
    """
    return check_object("pod.json", pod, most)


def check_object(schema: str, value: Any, most: int) -> tuple[list[Flaw], bool]:
    """``check_pod`` for an object of another kind; ``schema`` is a file of ``schemas/``."""
    found = (flaw for error in _validator(schema).iter_errors(value) for flaw in _flaws(error))
    flaws = list(dict.fromkeys(islice(found, most)))
    meant = {(*f.at[:-1], f.message.rpartition(DID_YOU_MEAN)[2][:-1]) for f in flaws if DID_YOU_MEAN in f.message}
    shown = [f for f in flaws if f.reason is not Reason.MISSING_FIELD or f.at not in meant]
    return shown, next(found, None) is None


@cache
def inlined(schema: str) -> Any:
    """A schema without references; to be read only."""
    return _inline(load_schema(schema), load_schema("pod.json")["$defs"])


@cache
def load_schema(name: str) -> Any:
    """A file of ``schemas/`` as JSON."""
    return json.loads(files("reconciler.schemas").joinpath(name).read_text())


@cache
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(inlined(schema))


def _inline(schema: Any, definitions: Any) -> Any:
    """The schema without references (there is no cycle): checking it is twice as fast."""
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inline(value, definitions) for key, value in schema.items() if key != "$defs"}


def _flaws(error: Any) -> Iterator[Flaw]:
    path: Path = tuple(error.absolute_path)
    match error.validator:
        case "additionalProperties":
            for name in error.instance:
                if name not in error.schema["properties"]:
                    yield from _extra(path, name, error.instance[name], error.schema)
        case "required":
            for name in error.validator_value:
                if name not in error.instance:
                    yield _missing(path, name, generated="generateName" in error.instance)
        case "type":
            yield Flaw(_wrong_type(error), Reason.WRONG_TYPE, path)
        case "enum" | "const":
            yield _not_allowed(path, error)
        case "minimum":
            yield Flaw(f"{error.instance} is less than {error.validator_value}", Reason.INVALID_VALUE, path)
        case "maximum":
            yield Flaw(f"{error.instance} is more than {error.validator_value}", Reason.INVALID_VALUE, path)
        case "maxItems":
            text = f"has {len(error.instance)} items, more than {error.validator_value}"
            yield Flaw(text, Reason.TOO_LARGE, path)
        case "minItems":
            yield Flaw("must not be empty", Reason.INVALID_VALUE, path)
        case _:
            yield Flaw(error.message, Reason.INVALID_VALUE, path)


def _missing(path: Path, name: str, *, generated: bool) -> Flaw:
    text = _REQUIRED_WORDS.get(name, "missing")
    if generated and name == "name":
        text += ": nobody here completes generateName"
    return Flaw(text, Reason.MISSING_FIELD, (*path, name), on_key=True)


def _extra(path: Path, name: str, value: Any, schema: Mapping[str, Any]) -> Iterator[Flaw]:
    kind = schema.get("title", "")
    later = later_fields(kind)
    if name in later or (kind in _RESOURCES and ("/" in name or name.startswith("hugepages-"))):
        if value != []:
            yield Flaw(why_not(kind, name), Reason.NOT_SUPPORTED, (*path, name), on_key=True)
            yield from misspelt((*path, name), value, later.get(name, ""))
    else:
        yield _unknown((*path, name), [*schema["properties"], *later])


def why_not(kind: str, name: str) -> str:
    """What to say of a field that is known and not supported: why it cannot be had, or that it will be."""
    why = load_schema("pod-later.json")["why"].get(f"{kind}.{name}") or _why_no_resource(kind, name)
    return f"{NO}: {why}" if why else LATER


def _why_no_resource(kind: str, name: str) -> str:
    """Of the names that a cluster's resources have: any with a slash is one of somebody's devices."""
    if kind not in _RESOURCES:
        return ""
    return "devices are given out by a cluster" if "/" in name else "nothing here counts huge pages"


def misspelt(path: Path, value: Any, kind: str) -> Iterator[Flaw]:
    """Unknown names below a field whose type only pod-later.json knows: told now, not when it is supported."""
    if kind.startswith("[]"):
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from misspelt((*path, index), item, kind[2:])
    elif kind and isinstance(value, dict):
        known = later_fields(kind)
        for name, inner in value.items():
            if name in known:
                yield from misspelt((*path, name), inner, known[name])
            else:
                yield _unknown((*path, name), list(known))


@cache
def later_fields(kind: str) -> dict[str, str]:
    """The fields of a type that are known and not supported; ``+`` names a type whose fields it has too."""
    fields = dict(load_schema("pod-later.json")["types"].get(kind, {}))
    base = fields.pop("+", None)
    return {**later_fields(base), **fields} if base else fields


def _unknown(path: Path, known: list[str]) -> Flaw:
    name = str(path[-1])
    return Flaw(f"unknown field{did_you_mean(name, known)}", Reason.UNKNOWN_FIELD, path, on_key=True)


def _wrong_type(error: Any) -> str:
    wanted = error.validator_value
    text = " or ".join(_TYPE_WORDS[w] for w in ([wanted] if isinstance(wanted, str) else wanted))
    value = error.instance
    found = kind_of(value)
    scalar = isinstance(value, (bool, int, float))
    if wanted == "integer" and isinstance(value, float):
        return f"must be {text}, not {value:g}"
    hint = " (quote it)" if wanted == "string" and scalar else ""
    if wanted in ("integer", "boolean") and isinstance(value, str):
        hint = " (remove the quotes)" if _would_fit(value, wanted) else f": {shorten(value)!r}"
    return f"must be {text}, not {found}{hint}"


def _would_fit(value: str, wanted: str) -> bool:
    return value in ("true", "false") if wanted == "boolean" else value.isascii() and value.isdigit()


def kind_of(value: Any) -> str:
    """A value's type in a reader's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "a mapping"


def shorten(text: str) -> str:
    """At most 60 characters of a value, to quote in a message."""
    return text if len(text) <= 60 else text[:57] + "..."


def _not_allowed(path: Path, error: Any) -> Flaw:
    value = error.instance
    allowed = [error.validator_value] if error.validator == "const" else error.validator_value
    if not isinstance(value, str):
        return Flaw(f"must be a string, not {kind_of(value)}", Reason.WRONG_TYPE, path)
    choices = ", ".join(a or repr(a) for a in allowed)
    one_of = "must be" if len(allowed) == 1 else "must be one of"
    near = did_you_mean(value, allowed) if len(allowed) > 1 else ""
    return Flaw(f"{shorten(value)!r} {one_of} {choices}{near}", Reason.INVALID_VALUE, path)
