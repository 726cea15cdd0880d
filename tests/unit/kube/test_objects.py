"""ConfigMaps and Secrets of any type: what is read of them, and what is said of wrong ones (never a value)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from reconciler.kube import load
from reconciler.model.key import Key
from reconciler.model.objects import Object
from reconciler.model.service import Service
from tests.unit.kube.helpers import pod, read, read_yaml, sentences

HUSH = base64.b64encode(b"hush").decode()


def made(kind: str, /, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "it"}, **fields}


def config_map(**fields: Any) -> dict[str, Any]:
    return made("ConfigMap", **fields)


def secret(kind: str = "Opaque", /, **fields: Any) -> dict[str, Any]:
    return made("Secret", type=kind, **fields)


def value(document: dict[str, Any]) -> Object:
    loaded = read(document)
    assert sentences(loaded) == []
    (found,) = loaded.objects
    assert loaded.complete and loaded.objects_whole and loaded.pods == ()
    return found.value


def test_a_config_map_has_texts_and_bytes() -> None:
    found = value(config_map(data={"b": "two", "a": "one"}, binaryData={"raw": HUSH, "odd": "/w=="}, immutable=True))
    assert found.id == ("ConfigMap", "default", "it")
    assert found.texts == {"a": b"one", "b": b"two"}
    assert found.files == {"a": b"one", "b": b"two", "raw": b"hush", "odd": b"\xff"}
    assert found.logins is None


def test_plain_text_of_a_secret_counts_before_what_is_in_base64() -> None:
    found = value(secret(data={"a": HUSH, "b": HUSH}, stringData={"b": "text"}))
    assert found.texts == found.files == {"a": b"hush", "b": b"text"}


def test_base64_may_be_broken_into_lines_and_a_value_may_be_null_or_missing() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: it}\ndata:\n  a: |\n    aHV\n    zaA==\n  b:\n"
    (found,) = read_yaml(text).objects
    assert found.value.texts == {"a": b"hush", "b": b""}
    assert value(config_map()).files == value(secret()).files == {}


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        (
            {
                "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                "resources": {"requests": {"storage": "1Gi"}},
                "storageClassName": "fast",
            },
            {"accessModes": b"ReadWriteOnce,ReadOnlyMany", "storage": b"1Gi", "storageClassName": b"fast"},
        ),
        ({"storageClassName": "", "resources": {"requests": {"storage": 1024}}}, {"storage": b"1024"}),
        ({"accessModes": "ReadWriteOnce", "resources": ["x"]}, {}),
        ({}, {}),
    ],
)
def test_what_a_claim_asks_for_is_known_to_be_shown(spec: dict[str, Any], asked: dict[str, bytes]) -> None:
    assert dict(value(made("PersistentVolumeClaim", spec=spec)).data) == asked


@pytest.mark.parametrize(
    "document",
    [
        secret("kubernetes.io/basic-auth", stringData={"username": "me"}),
        secret("kubernetes.io/basic-auth", data={"password": HUSH}),
        secret("kubernetes.io/ssh-auth", data={"ssh-privatekey": HUSH}),
        secret("kubernetes.io/tls", data={"tls.crt": "", "tls.key": HUSH, "ca.crt": HUSH}),
        secret("bootstrap.kubernetes.io/token", data={"token-id": HUSH}),
        secret("example.org/mine", data={"x": HUSH}),
        secret("", data={"x": HUSH}),
        {
            **secret("kubernetes.io/service-account-token"),
            "metadata": {"name": "it", "annotations": {"kubernetes.io/service-account.name": "sa"}},
        },
    ],
    ids=lambda document: f"a secret of type {document['type']}",
)
def test_is_accepted(document: dict[str, Any]) -> None:
    assert value(document).kind == "Secret"


def test_names_of_claims_and_services_are_read() -> None:
    assert (
        value(made("PersistentVolumeClaim", spec={"accessModes": ["ReadWriteOnce"]})).id[0] == "PersistentVolumeClaim"
    )
    service = made("Service", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
    assert value(service).id == ("Service", "default", "it")
    assert value(service).service == Service(Key("default", "it"), (("app", "web"),))
    wrong = read(made("Service", spec={"type": "ExternalName", "externalName": "example.com"}))
    assert (wrong.objects, wrong.objects_whole) == ((), False)


def test_objects_stand_in_lists_and_beside_pods_in_any_order() -> None:
    items = [config_map(data={"a": "1"}), pod(), secret(data={})]
    loaded = read({"apiVersion": "v1", "kind": "List", "items": items})
    assert sentences(loaded) == []
    assert [one.value.kind for one in loaded.objects] == ["ConfigMap", "Secret"]
    assert len(loaded.pods) == 1


def test_nothing_that_can_be_shown_shows_a_value() -> None:
    loaded = read(secret(stringData={"a": "hush"}))
    assert "hush" not in repr(loaded) and HUSH not in repr(loaded)


BIG = "x" * (1024 * 1024 + 1)
WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a key with a slash", config_map(data={"a/b": "hush"}), [
        "data[a/b]: the key must be letters, digits, '-', '_' and '.'"
    ]),
    ("an empty key", secret(data={"": HUSH}), ["data[]: the key must be letters, digits, '-', '_' and '.'"]),
    ("a key that leads out of a directory", secret(stringData={"..x": "hush"}), [
        "stringData[..x]: the key must not begin with '..', nor be '.'"
    ]),
    ("the key .", config_map(binaryData={".": HUSH}), [
        "binaryData[.]: the key must not begin with '..', nor be '.'"
    ]),
    ("a long key", config_map(data={"k" * 254: ""}), [
        f"data.{'k' * 192}...: the key has 254 characters, more than 253"
    ]),
    ("one key in both", config_map(data={"a": "hush"}, binaryData={"a": HUSH}), [
        "binaryData.a: it is below data, too"
    ]),
    ("what is no base64", secret(data={"a": "hush hush"}), [
        "data.a: must be base64 (plain text goes below stringData)"
    ]),
    ("what is no base64 in a config map", config_map(binaryData={"a": "hush!"}), [
        "binaryData.a: must be base64 (plain text goes below data)"
    ]),
    ("a number", config_map(data={"port": 80}), ["data.port: must be a string, not a number (quote it)"]),
    ("a list", secret(stringData={"a": ["hush"]}), ["stringData.a: must be a string, not a list"]),
    ("no mapping", secret(data="hush"), ["data: must be a mapping, not a string"]),
    ("too much text", config_map(data={"a": BIG}), ["data: the values have 1048577 bytes, more than 1048576"]),
    ("too many bytes", secret(data={"a": base64.b64encode(BIG.encode()).decode()}), [
        "data: the values have 1048577 bytes, more than 1048576"
    ]),
    ("a certificate without a key", secret("kubernetes.io/tls", data={"tls.crt": HUSH}), [
        "data: missing: a Secret of type kubernetes.io/tls has tls.key"
    ]),
    ("no certificate and no key", secret("kubernetes.io/tls"), [
        "data: missing: a Secret of type kubernetes.io/tls has tls.crt and tls.key"
    ]),
    ("an empty key of ssh", secret("kubernetes.io/ssh-auth", stringData={"ssh-privatekey": ""}), [
        "stringData: missing: a Secret of type kubernetes.io/ssh-auth has ssh-privatekey"
    ]),
    ("neither user nor password", secret("kubernetes.io/basic-auth", data={"token": HUSH}), [
        "data: missing: a Secret of type kubernetes.io/basic-auth has username or password"
    ]),
    ("a token of no account", secret("kubernetes.io/service-account-token"), [
        "metadata.annotations: missing: a Secret of type kubernetes.io/service-account-token has the annotation"
        " kubernetes.io/service-account.name"
    ]),
    ("a misspelt field", config_map(dta={"a": "hush"}), ["dta: unknown field, did you mean data?"]),
    ("another version", {**config_map(), "apiVersion": "v2"}, ["apiVersion: 'v2' must be v1"]),
    ("no name", {**config_map(), "metadata": {}}, ["metadata.name: missing"]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_is_told_without_its_value_and_says_nothing_of_pods(document: dict[str, Any], said: list[str]) -> None:
    loaded = read(document)
    assert sentences(loaded) == said
    assert "hush" not in repr(loaded) and loaded.objects == ()
    assert loaded.complete and not loaded.objects_whole


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("s.yaml", "data: {a: !hush x}"),
        ("s.yaml", "data: {a: *hush}"),
        ("s.yaml", 'data: {a: "hush'),
        ("s.yaml", "data: {a: hush: hush}"),
        ("s.yaml", "data:\n  a: |\n hush\n\tb: x"),
        ("s.yaml", "data: [hush, hush]"),
        ("s.json", '{"data": {"a": hush}}'),
        ("s.json", '{"data": {"a": "b" "hush"}}'),
        ("s.json", '{"data": {"a": 1 4711}}'),
        ("s.json", "{'data': 'hush'}"),
    ],
)
def test_what_cannot_be_read_is_not_quoted(path: str, text: str) -> None:
    loaded = load(path, f"{text}\n".encode())
    assert any(problem.is_error for problem in loaded.problems)
    assert "hush" not in repr(loaded) and "4711" not in repr(loaded)
