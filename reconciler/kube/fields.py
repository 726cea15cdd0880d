"""The fields of every kind that manifests may have, as a tree: what `explain` and docs/fields.md tell of them.

Made from the schemas, and for the Pod also from pod-later.json, which knows the rest of Kubernetes' fields. What a
change costs is not here: that is the spec's (``model/cost.py``). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from reconciler.kube.cluster import IGNORED
from reconciler.kube.schema import later_fields, load_schema, why_not
from reconciler.model.errors import NotFound
from reconciler.model.words import did_you_mean

KINDS = {
    "Pod": "pod.json",
    "ConfigMap": "configmap.json",
    "Secret": "secret.json",
    "PersistentVolumeClaim": "persistentvolumeclaim.json",
    "Service": "service.json",
}
_SHORT = {"po": "Pod", "cm": "ConfigMap", "pvc": "PersistentVolumeClaim", "svc": "Service"}

_LIST = "[]"
_PLAIN = {"": "value", "[]": "[]value"}


class Support(StrEnum):
    """What becomes of a field: it is done what it says; it is accepted, and has no effect; it is refused."""

    YES = "yes"
    IGNORED = "accepted, without effect: only a cluster uses it"
    NO = "no"


@dataclass(frozen=True)
class Field:
    """``path`` is written as a user asks for it: ``spec.containers.image``. ``type`` as kubectl writes it:
    ``[]Container``. ``default`` is None where there is none to be told. ``why`` says more of what is not supported."""

    path: str
    type: str
    description: str = ""
    support: Support = Support.YES
    why: str = ""
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    later: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Those below it, by name."""
        return tuple(sorted(_below(self), key=lambda field: field.name))

    def everything(self) -> Iterator[Field]:
        """All fields below it, each before those in it."""
        for field in self.fields:
            yield field
            yield from field.everything()


def kind_named(word: str) -> str:
    """The kind that a user means: by its name, singular or plural, or kubectl's short one. Raises NotFound."""
    known = {**_SHORT, **{kind.lower(): kind for kind in KINDS}, **{f"{kind.lower()}s": kind for kind in KINDS}}
    found = known.get(word.lower())
    if found is None:
        raise NotFound(f"cannot explain {word}: it is no kind that is known here{did_you_mean(word, [*known])}")
    return found


def root(kind: str) -> Field:
    """A kind as the field that holds all of its own."""
    schema = load_schema(KINDS[kind])
    return Field("", kind, schema["description"], schema=schema, later=kind if kind == "Pod" else "")


def find(kind: str, path: str) -> Field:
    """The field of a kind at a path such as ``spec.containers[].image`` ("" is the kind itself). Raises NotFound with
    what the path may have meant."""
    found = root(kind)
    for part in filter(None, path.split(".")):
        name = part.partition("[")[0]
        below = {field.name: field for field in found.fields}
        if name not in below:
            where = f"{kind.lower()}{'.' if found.path else ''}{found.path}"
            has = f"{where} has no field {name!r}" if below else f"{where} has no fields"
            raise NotFound(f"cannot explain {kind.lower()}.{path}: {has}{did_you_mean(name, [*below])}")
        found = below[name]
    return found


def _below(parent: Field) -> Iterator[Field]:
    beginning = f"{parent.path}." if parent.path else ""
    names = set()
    if parent.schema is not None:
        mapping = _mapping(parent.schema)
        required = mapping.get("required", ())
        for name, schema in mapping.get("properties", {}).items():
            names.add(name)
            yield _described(f"{beginning}{name}", schema, name in required, parent)
    for name, kind in later_fields(parent.later).items():
        if name not in names:
            yield _later(f"{beginning}{name}", name, kind, parent)


def _described(path: str, schema: Mapping[str, Any], required: bool, parent: Field) -> Field:
    """A field that a schema has."""
    ignored = schema.get("x-support") == IGNORED or parent.support is Support.IGNORED
    return Field(
        path=path,
        type=_type(schema),
        description=schema.get("description", ""),
        support=Support.IGNORED if ignored else Support.YES,
        required=required,
        default=schema.get("default"),
        choices=tuple(str(choice) for choice in _resolved(schema).get("enum", ())),
        schema=schema,
        later=schema.get("x-type", "").removeprefix(_LIST) or _mapping(schema).get("title", ""),
    )


def _later(path: str, name: str, kind: str, parent: Field) -> Field:
    """A field that pod-later.json has: refused, or a part of one that has no effect."""
    support = Support.IGNORED if parent.support is Support.IGNORED else Support.NO
    why = why_not(parent.later, name) if support is Support.NO and parent.support is not Support.NO else ""
    inner = kind.removeprefix(_LIST)
    return Field(path, _PLAIN.get(kind, kind), support=support, why=why, later=inner)


def _type(schema: Mapping[str, Any]) -> str:
    """As kubectl writes it. A quantity is what may be a number or a text."""
    if "x-type" in schema:
        return str(schema["x-type"])
    schema = _resolved(schema)
    kind = schema.get("type", "string")
    if kind == "array":
        return f"{_LIST}{_type(schema.get('items', {}))}"
    if isinstance(kind, list):
        return "IntOrString" if "integer" in kind else "Quantity"
    if kind != "object":
        return str(kind)
    values = schema.get("additionalProperties")
    return f"map[string]{_type(values)}" if isinstance(values, dict) else schema.get("title", "Object")


def _mapping(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema with the properties: a list's is that of its items."""
    schema = _resolved(schema)
    while "items" in schema:
        schema = _resolved(schema["items"])
    return schema


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = load_schema("pod.json")["$defs"][schema["$ref"].rpartition("/")[2]]
    return found
