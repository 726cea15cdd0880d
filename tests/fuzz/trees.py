"""Mutations of what a manifest says: values exchanged, fields moved, added and misspelt, and manifests made from the
schemas alone."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from reconciler.kube.schema import inlined
from tests.fuzz.words import ADDRESSES, NAMES, NUMBERS, PORTS, QUANTITIES, TEXTS, TIMES

Tree = Any

KINDS = ("configmap.json", "secret.json", "service.json", "persistentvolumeclaim.json")

_BY_WORD: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("port", (*PORTS, *NUMBERS)),
    ("cpu", (*QUANTITIES, *NUMBERS)),
    ("memory", (*QUANTITIES, *NUMBERS)),
    ("limit", QUANTITIES),
    ("storage", QUANTITIES),
    ("divisor", QUANTITIES),
    ("seconds", (*NUMBERS, *TIMES)),
    ("ip", ADDRESSES),
    ("publish", PORTS),
    ("nameserver", ADDRESSES),
    ("timestamp", TIMES),
    ("mode", (*NUMBERS, "0644", "0o644", 0o777, 512)),
)
"""What a field may be about, by what its name contains."""

_LIKELY: dict[str, tuple[Any, ...]] = {
    "name": ("a", "b", "web", "data", "settings", "password"),
    "image": ("busybox:1", "busybox"),
    "mountPath": ("/data", "/etc/x", "/a/b", "/"),
    "path": ("a", "a/b", "/live", "/srv"),
    "key": ("mode", "word", "app.conf"),
    "fieldPath": ("metadata.name", "status.podIP", "metadata.labels['app']", "metadata.annotations"),
    "resource": ("limits.cpu", "requests.memory", "limits.memory"),
    "secretName": ("password",),
    "claimName": ("files",),
    "containerName": ("a", "web"),
    "operator": ("Exists",),
    "reference": ("busybox:1",),
    "command": ("sh",),
    "cpu": ("1", "500m", 0.5),
    "memory": ("64Mi", 1000000),
    "sizeLimit": ("10Mi",),
    "hostIP": ("127.0.0.1", ""),
    "ip": ("10.0.0.1",),
    "value": ("a", "$(A)", "1"),
}


def edge(name: str, chance: random.Random) -> Any:
    """A value that a field of this name may stumble over."""
    lower = name.lower()
    for word, some in _BY_WORD:
        if word in lower and chance.random() < 0.7:
            return chance.choice(some)
    some = chance.choice((NUMBERS, NAMES, TEXTS, QUANTITIES, ADDRESSES, ({}, [], [[]], {"a": {}}, [None], {"": ""})))
    return copy.deepcopy(chance.choice(some))


def mutated(tree: Tree, chance: random.Random) -> Tree:
    """The same with one to four changes somewhere in it."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice((1, 1, 2, 4))):
        places = list(_places(tree))
        if not places:
            return edge("", chance)
        holder, at = chance.choice(places)
        _change(tree, holder, at, places, chance)
    return tree


def _places(tree: Tree, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Each mapping or list with each of its keys."""
    if depth > 40:
        return
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        yield from _places(value, depth + 1)


def _change(tree: Tree, holder: Any, at: Any, places: list[tuple[Any, Any]], chance: random.Random) -> None:
    name = at if isinstance(at, str) else ""
    other_holder, other = chance.choice(places)
    match chance.randrange(9):
        case 0 | 1 | 2:
            holder[at] = edge(name, chance)
        case 3:
            holder[at] = copy.deepcopy(other_holder[other]) if _size(other_holder[other]) < 500 else None
        case 4:
            holder.pop(at)
        case 5 if isinstance(holder, list):
            extra = holder[at] if _size(holder[at]) < 500 else None
            holder.extend(copy.deepcopy(extra) for _ in range(chance.choice((1, 2, 50))))
        case 6 if isinstance(holder, dict):
            holder[_other_name(name, other, chance)] = holder.pop(at)
        case 7:
            holder[at] = nested(chance.choice((5, 60, 99, 101, 300)), chance)
        case _ if isinstance(holder, dict):
            holder[chance.choice(field_names())] = edge(name, chance)
        case _:
            holder[at] = [holder[at]] if chance.random() < 0.5 else {name or "a": holder[at]}


def _other_name(name: str, other: Any, chance: random.Random) -> str:
    some = (name.upper(), name[:-1], f"{name}s", name + "\u0301", str(other), "", chance.choice(NAMES))
    return chance.choice((*some, chance.choice(field_names())))


def _size(tree: Tree) -> int:
    return 1 + sum(1 for _ in _places(tree))


def nested(depth: int, chance: random.Random) -> Tree:
    tree: Tree = chance.choice((None, 1, "a"))
    for _ in range(depth):
        tree = [tree] if chance.random() < 0.5 else {"a": tree}
    return tree


@cache
def field_names() -> tuple[str, ...]:
    """The name of every field that schemas know."""

    def names(schema: Any) -> Iterator[str]:
        yield from schema.get("properties", {})
        for inner in schema.get("properties", {}).values():
            yield from names(inner)
        if isinstance(schema.get("items"), dict):
            yield from names(schema["items"])

    return tuple(sorted({name for kind in ("pod.json", *KINDS) for name in names(inlined(kind))}))


def grown(chance: random.Random) -> Tree:
    """A manifest that has the schemas' shape: most are wrong only in what rules say."""
    kind = "pod.json" if chance.random() < 0.85 else chance.choice(KINDS)
    often = chance.choice((0.05, 0.1, 0.2, 0.35))
    wild = chance.choice((0.0, 0.02, 0.1))
    return _grow(inlined(kind), "", often, wild, chance)


def _grow(schema: Any, name: str, often: float, wild: float, chance: random.Random) -> Tree:
    if chance.random() < wild:
        return edge(name, chance)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    kind = schema.get("type")
    kind = chance.choice(kind) if isinstance(kind, list) else kind
    match kind:
        case "object":
            return _mapping(schema, name, often, wild, chance)
        case "array":
            count = chance.choice((0, 1, 1, 1, 2, 3)) or schema.get("minItems", 0)
            return [_grow(schema.get("items", {}), name, often, wild, chance) for _ in range(count)]
        case "string":
            return (
                chance.choice(_LIKELY.get(name, ("a", "b", "c.d", "1")))
                if chance.random() < 0.9
                else edge(name, chance)
            )
        case "integer":
            least, most = schema.get("minimum", 0), schema.get("maximum", 70_000)
            return chance.choice((least, least + 1, chance.randint(least, min(most, 100_000)), most))
        case "boolean":
            return chance.random() < 0.5
    return edge(name, chance)


def _mapping(schema: Any, name: str, often: float, wild: float, chance: random.Random) -> Tree:
    made = {}
    required = schema.get("required", ())
    for field, inner in schema.get("properties", {}).items():
        rare = 0.1 if inner.get("x-support") == "ignored" else 1
        if field in required or chance.random() < often * rare:
            made[field] = _grow(inner, field, often, wild, chance)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        for _ in range(chance.choice((0, 1, 2))):
            key = chance.choice(("a", "app", "example.org/a", "mode", "word", chance.choice(NAMES)))
            made[key] = _grow(more, name, often, wild, chance)
    return made
