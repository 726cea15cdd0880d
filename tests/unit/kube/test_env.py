"""``env`` and ``envFrom``: what they compile to, what is wrong with them, and that they can be written out again."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kube.present import pod_manifest
from reconciler.model.sources import EnvEntry, FileKey, Reference
from reconciler.model.spec import ContainerSpec
from tests.unit.kube.helpers import pod, read, sentences, spec_of


def variable(name: str, /, **source: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": source}


def key_of(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "key": key, **more}


def field(path: str) -> dict[str, Any]:
    return {"fieldPath": path}


def one(*env: dict[str, Any], labels: dict[str, str] | None = None, **fields: Any) -> ContainerSpec:
    document = pod(env=list(env), **fields)
    document["metadata"] |= {"labels": labels or {}, "annotations": {"a.b/c": "$(X) it's"}, "namespace": "ns"}
    return spec_of(document).containers[0]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ({"fieldRef": field("metadata.name")}, "web"),
        ({"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}, "ns"),
        ({"fieldRef": field("metadata.labels['tier']")}, "front"),
        ({"fieldRef": field("metadata.labels['none']")}, ""),
        ({"fieldRef": field("metadata.annotations['a.b/c']")}, "$(X) it's"),
        ({"fieldRef": field("spec.serviceAccountName")}, "default"),
        ({"resourceFieldRef": {"resource": "limits.memory"}}, "67108864"),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, "64"),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1G"}}, "1"),
        ({"resourceFieldRef": {"resource": "requests.memory", "divisor": "1k"}}, "67109"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "1500"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": 0}}, "2"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "containerName": "a"}}, "2"),
    ],
    ids=lambda one: str(one),
)
def test_what_the_manifest_says_is_filled_in(source: dict[str, Any], value: str) -> None:
    resources = {"limits": {"memory": "64Mi"}, "requests": {"cpu": 1.5}}
    found = one(
        variable("A", **source), {"name": "B", "value": "<$(A)>"}, labels={"tier": "front"}, resources=resources
    )
    assert found.program == ()
    assert dict(found.env) == {"A": value, "B": f"<{value}>"}


def test_without_any_request_or_limit_a_request_is_nothing_and_a_limit_the_machines() -> None:
    found = one(
        variable("R", resourceFieldRef={"resource": "requests.cpu"}),
        variable("L", resourceFieldRef={"resource": "limits.cpu", "divisor": "1m"}),
    )
    assert found.program == (EnvEntry("L", field="node.cpu", divisor=1), EnvEntry("R", "0"))


def test_what_is_not_known_yet_makes_a_program_and_nothing_is_expanded() -> None:
    found = one(
        variable("P", secretKeyRef=key_of("db", "password")),
        {"name": "URL", "value": "x$(P)"},
        variable("IP", fieldRef=field("status.podIP")),
        variable("NAME", fieldRef=field("metadata.name")),
        envFrom=[{"prefix": "X_", "configMapRef": {"name": "c", "optional": True}}, {"secretRef": {"name": "s"}}],
        command=["run", "$(P)", "$$(P)"],
        args=["$(URL)"],
    )
    assert found.env == ()
    assert found.program == (
        EnvEntry("X_", source=Reference("ConfigMap", "c", optional=True)),
        EnvEntry("", source=Reference("Secret", "s")),
        EnvEntry("P", source=Reference("Secret", "db", "password")),
        EnvEntry("URL", "x$(P)"),
        EnvEntry("IP", field="status.podIP"),
        EnvEntry("NAME", "web"),
    )
    assert (found.command, found.args) == (("run", "$(P)", "$$(P)"), ("$(URL)",))


def test_the_order_of_variables_that_do_not_refer_to_each_other_means_nothing() -> None:
    some = [variable("A", configMapKeyRef=key_of("c", "k")), {"name": "B", "value": "1"}, {"name": "C", "value": "2"}]
    assert one(*some) == one(*reversed(some))
    refer = [*some, {"name": "D", "value": "$(C)"}]
    assert one(*refer) != one(*reversed(refer))
    twice = [variable("A", configMapKeyRef=key_of("c", "k", optional=True)), {"name": "A", "value": "1"}]
    assert one(*twice) != one(*reversed(twice))


@pytest.mark.parametrize(
    "env",
    [
        [variable("A", secretKeyRef=key_of("s", "k", optional=True)), {"name": "B", "value": "$(A) $$(A) $"}],
        [variable("A", fieldRef=field(path)) for path in ("metadata.uid", "status.hostIPs", "spec.nodeName")],
        [variable("A", resourceFieldRef={"resource": "limits.memory", "divisor": "1Gi"})],
        [variable("A", resourceFieldRef={"resource": "limits.cpu", "containerName": "other"})],
    ],
    ids=["objects and references", "fields", "the machine's memory", "the machine's processors, of another container"],
)
def test_what_is_written_out_reads_back_as_the_same(env: list[dict[str, Any]]) -> None:
    document = pod(
        env=env, envFrom=[{"prefix": "P", "configMapRef": {"name": "c"}}], command=["$(A)"], args=["$$(B)", "$("],
        resources={"limits": {"cpu": "1"}},
    )  # fmt: skip
    document["spec"]["containers"].append({"name": "other", "image": "busybox:1"})
    spec = spec_of(document)
    assert spec.containers[0].program
    assert spec_of(pod_manifest(spec)) == spec


def with_volumes(*env: dict[str, Any]) -> dict[str, Any]:
    return pod({"volumes": [{"name": "dir"}, {"name": "conf", "configMap": {"name": "c"}}]}, env=list(env))


def test_a_key_of_a_file_is_known_when_the_container_is_made() -> None:
    said = {"volumeName": "dir", "path": "a//b.env", "key": "K"}
    document = with_volumes(variable("B", fileKeyRef={**said, "optional": True}), variable("A", fileKeyRef=said))
    spec = spec_of(document)
    assert spec.containers[0].program == (
        EnvEntry("B", file=FileKey("dir", "a/b.env", "K", optional=True)),
        EnvEntry("A", file=FileKey("dir", "a/b.env", "K")),
    )
    assert spec_of(pod_manifest(spec)) == spec


E = "spec.containers[0].env[0].valueFrom"
F = "spec.containers[0].envFrom[0]"
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    (pod(env=[variable("A")]), [
        f"{E}: needs one of configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef, fileKeyRef"
    ]),
    (pod(env=[variable("A", secretKeyRef=key_of("s", "k"), fieldRef=field("metadata.name"))]), [
        f"{E}: has more than one source: secretKeyRef and fieldRef"
    ]),
    (pod(env=[{**variable("A", secretKeyRef=key_of("s", "k")), "value": "hush"}]), [
        f"{E}: a variable has a value or a valueFrom, not both"
    ]),
    (pod(env=[variable("A", secretKeyRef={"name": "s"})]), [f"{E}.secretKeyRef.key: missing"]),
    (pod(env=[variable("A", secretKeyRef=key_of("S_", "a/b"))]), [
        f"{E}.secretKeyRef.name: 'S_' must be lower-case letters, digits, '-' and '.', with a letter or digit at both"
        " ends",
        f"{E}.secretKeyRef.key: the key must be letters, digits, '-', '_' and '.'",
    ]),
    (pod(env=[variable("A", fieldRef=field("metadata.nam"))]), [
        f"{E}.fieldRef.fieldPath: 'metadata.nam' is no field that a variable can have, did you mean metadata.name?"
    ]),
    (pod(env=[variable("A", fieldRef=field("metadata.labels"))]), [
        f"{E}.fieldRef.fieldPath: 'metadata.labels' has many values: name one, as metadata.labels['KEY']"
    ]),
    (pod(env=[variable("A", fieldRef=field("metadata.labels['a b']"))]), [
        f"{E}.fieldRef.fieldPath: 'a b' must be letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    ]),
    (pod(env=[variable("A", fieldRef={"fieldPath": "metadata.name", "apiVersion": "v2"})]), [
        f"{E}.fieldRef.apiVersion: 'v2' must be v1"
    ]),
    (pod(env=[variable("A", resourceFieldRef={"resource": "limits.gpu"})]), [
        f"{E}.resourceFieldRef.resource: 'limits.gpu' must be one of limits.cpu, limits.memory, requests.cpu,"
        " requests.memory"
    ]),
    (pod(env=[variable("A", resourceFieldRef={"resource": "limits.ephemeral-storage"})]), [
        f"{E}.resourceFieldRef.resource: limits.ephemeral-storage is not supported: nothing here counts what a"
        " container writes to the disk"
    ]),
    (pod(env=[variable("A", resourceFieldRef={"resource": "limits.cpu", "divisor": "1Mi"})]), [
        f"{E}.resourceFieldRef.divisor: '1Mi' must be one of 1, 1m"
    ]),
    (pod(env=[variable("A", resourceFieldRef={"resource": "limits.cpu", "containerName": "b"})]), [
        f"{E}.resourceFieldRef.containerName: the pod has no container 'b'"
    ]),
    (with_volumes(variable("A", fileKeyRef={"volumeName": "dirr", "path": "../f", "key": "a="})), [
        f"{E}.fileKeyRef.volumeName: there is no volume called 'dirr', did you mean dir?",
        f"{E}.fileKeyRef.path: '../f' must not contain '..'",
        f"{E}.fileKeyRef.key: 'a=' must be printable ASCII characters other than '='",
    ]),
    (with_volumes(variable("A", fileKeyRef={"volumeName": "conf", "path": "/f", "key": "a" * 129})), [
        f"{E}.fileKeyRef.volumeName: 'conf' must be an emptyDir",
        f"{E}.fileKeyRef.path: '/f' must be a relative path",
        f"{E}.fileKeyRef.key: has 129 characters, more than 128",
    ]),
    (with_volumes(variable("A", fileKeyRef={"volumeName": "dir"})), [
        f"{E}.fileKeyRef.path: missing", f"{E}.fileKeyRef.key: missing"
    ]),
    (pod(envFrom=[{"prefix": "a"}]), [f"{F}: needs one of configMapRef, secretRef"]),
    (pod(envFrom=[{"configMapRef": {"name": "c"}, "secretRef": {"name": "s"}}]), [
        f"{F}: has more than one source: configMapRef and secretRef"
    ]),
    (pod(envFrom=[{"prefix": "a=", "secretRef": {"name": "s"}}]), [
        f"{F}.prefix: 'a=' must be printable ASCII characters other than '='"
    ]),
    (pod(envFrom=[{"secretRef": {"optional": True}}]), [f"{F}.secretRef.name: missing"]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "said"), WRONG, ids=[said[0][:90] for _, said in WRONG])
def test_is_refused(document: dict[str, Any], said: list[str]) -> None:
    assert sentences(read(document)) == said


def test_what_is_refused_is_not_called_missing_as_well() -> None:
    source = {"fieldref": {"fieldPath": "metadata.name"}}
    said = f"{E}.fieldref: unknown field, did you mean fieldRef?"
    assert sentences(read(pod(env=[variable("A", **source)]))) == [said]
    misspelt = read(pod(envFrom=[{"configMapref": {"name": "c"}}]))
    assert sentences(misspelt) == [f"{F}.configMapref: unknown field, did you mean configMapRef?"]
