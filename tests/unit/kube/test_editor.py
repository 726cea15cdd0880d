"""What an editor does with schemas/: it follows references from file to file, and knows nothing of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from reconciler.kube.fields import KINDS

TOP = Path(__file__).parents[3]
EXAMPLES = sorted((TOP / "manifests").glob("*.yaml"))
MODELINE = "# yaml-language-server: $schema="


def retrieve(uri: str) -> Resource[Any]:
    return Resource.from_contents(json.loads(Path(uri.removeprefix("file://")).read_text()))


@pytest.fixture(scope="module")
def editor() -> Draft202012Validator:
    """As the YAML language server reads the schema that a modeline names: by the file's place."""
    place = TOP / "schemas" / "manifest.json"
    schema = json.loads(place.read_text()) | {"$id": place.as_uri()}
    return Draft202012Validator(schema, registry=Registry(retrieve=retrieve))  # type: ignore[call-arg]


def documents(path: Path) -> Iterator[Any]:
    yield from yaml.safe_load_all(path.read_text())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_names_the_schema_and_is_valid_by_it(path: Path, editor: Draft202012Validator) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith(MODELINE)
    assert (path.parent / first.removeprefix(MODELINE)).resolve() == TOP / "schemas" / "manifest.json"
    found = list(documents(path))
    assert found
    for document in found:
        assert [error.message for error in editor.iter_errors(document)] == []


POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "uid": "x"},
    "spec": {"containers": [{"name": "a", "image": "b:1"}], "nodeName": "n", "tolerations": [{"key": "a"}]},
}

WRONG: list[tuple[str, Any, str]] = [
    ("a misspelt field", POD | {"spec": {"containers": [{"name": "a", "imag": "b"}]}}, "'imag' was unexpected"),
    ("a wrong value", POD | {"spec": POD["spec"] | {"restartPolicy": "x"}}, "'x' is not one of"),
    ("a kind that is not read", POD | {"kind": "Deployment"}, "'Deployment' is not one of"),
    ("an item of a list", {"apiVersion": "v1", "kind": "List", "items": [POD | {"spec": {}}]}, "'containers' is a"),
    (
        "a Secret's metadata, which another file describes",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"nam": "x"}},
        "'nam' was unexpected",
    ),
]


def test_a_good_pod_is_good(editor: Draft202012Validator) -> None:
    assert [error.message for error in editor.iter_errors(POD)] == []
    assert list(editor.iter_errors({"apiVersion": "v1", "kind": "List", "items": [POD]})) == []
    assert list(editor.iter_errors({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})) == []
    drafted = POD | {"metadata": {"name": "web", "creationTimestamp": None}, "status": {}}
    assert list(editor.iter_errors(drafted)) == [], "kubectl run --dry-run=client -o yaml"


@pytest.mark.parametrize(("document", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_an_editor_underlines(document: Any, said: str, editor: Draft202012Validator) -> None:
    assert any(said in error.message for error in editor.iter_errors(document))


def test_every_kind_is_in_it() -> None:
    schema = json.loads((TOP / "schemas" / "manifest.json").read_text())
    assert schema["properties"]["kind"]["enum"] == [*KINDS, "List", "PodList", "Namespace"]
    assert [part["then"].get("$ref") for part in schema["allOf"]] == [*KINDS.values(), None]
