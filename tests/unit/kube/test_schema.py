"""The schemas themselves: valid, described, and complete beside the list of later fields."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.kube import load
from reconciler.kube.schema import load_schema

TOP = Path(__file__).parents[3]


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for inner in schema.values():
            yield from objects(inner)


SCHEMAS = sorted(p.name for p in (TOP / "schemas").glob("*.json") if "$schema" in load_schema(p.name))
SCHEMAS.remove("manifest.json")  # it holds the others


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_is_valid_and_strict(name: str) -> None:
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"]
    assert [thing["title"] for thing in objects(schema) if thing.get("additionalProperties") is not False] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_property_says_in_a_sentence_of_its_own_what_it_is_for(name: str) -> None:
    silent = [path for path, field in properties(name) if not field.get("description", "").endswith(".")]
    assert silent == [], "each property has a description beside its type (or its $ref): one or two plain sentences"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_default_is_a_value_that_its_field_could_have_and_is_told_once(name: str) -> None:
    for path, field in properties(name):
        if "default" in field:
            Draft202012Validator({k: v for k, v in field.items() if k != "$ref"}).validate(field["default"])
            assert "Default:" not in field["description"], f"{path}: it stands in `default`"


def test_a_reason_is_given_for_fields_that_are_later() -> None:
    types, why = (load_schema("pod-later.json")[part] for part in ("types", "why"))
    gone = [name for name in why if name.partition(".")[2] not in types.get(name.partition(".")[0], {})]
    assert gone == [], "a field that is supported needs no reason why not"


def properties(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for thing in objects(load_schema(name)):
        yield from ((f"{thing['title']}.{field}", schema) for field, schema in thing["properties"].items())


def test_a_field_is_supported_or_later_but_not_both() -> None:
    later = load_schema("pod-later.json")["types"]
    for thing in objects(load_schema("pod.json")):
        if thing["title"] != "Pod":
            assert not set(thing["properties"]) & set(later[thing["title"]]), thing["title"]


def test_every_type_of_a_later_field_is_known() -> None:
    later = load_schema("pod-later.json")["types"]
    used = {kind.removeprefix("[]") for fields in later.values() for kind in fields.values()}
    used |= {field["x-type"].removeprefix("[]") for _, field in properties("pod.json") if "x-type" in field}
    titles = {thing["title"] for thing in objects(load_schema("pod.json"))}
    assert used - {"", "string", "Quantity"} <= set(later)
    assert set(later) <= used | titles


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, reconciler.kube\n"
        "heavy = {'yaml', 'jsonschema', 'structlog', 'pyroute2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted((TOP / "manifests").glob("*.yaml")), ids=lambda p: p.name)
def test_the_examples_are_good_manifests(path: Path) -> None:
    loaded = load(path.name, path.read_bytes())
    assert loaded.pods
    assert loaded.problems == ()
    assert {c.image for pod in loaded.pods for c in pod.spec.containers} == {"localhost/reconciler/busybox:1"}
