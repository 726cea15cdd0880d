"""What ``--strictness`` makes of fields that are not known or not supported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.kube import Loaded, load
from reconciler.model.strictness import Strictness
from tests.unit.kube.helpers import POD, pod, sentences, spec_of

C = "spec.containers[0]"
LATER = "not supported: mount it on this machine (/etc/fstab), and then by hostPath (left out)"
NFS = {"name": "v", "nfs": {"server": "s", "path": "/p"}}
MOUNT = {"name": "v", "mountPath": "/v"}


def read(document: Any, strictness: Strictness) -> Loaded:
    return load("web.json", json.dumps(document).encode(), strictness)


def specs(loaded: Loaded) -> list[Any]:
    return [found.spec for found in loaded.pods]


TABLE: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    (
        "an unknown field",
        pod(imagePulPolicy="Never"),
        POD,
        [f"{C}.imagePulPolicy: unknown field, did you mean imagePullPolicy? (left out)"],
    ),
    (
        "a volume that no source is left of goes with its mounts",
        pod({"volumes": [NFS]}, volumeMounts=[MOUNT]),
        POD,
        [f"spec.volumes[0].nfs: {LATER}"],
    ),
    (
        "a volume that keeps its source stays",
        pod({"volumes": [{"name": "v", "hostPath": {"path": "/p", "typ": "File"}}]}, volumeMounts=[MOUNT]),
        pod({"volumes": [{"name": "v", "hostPath": {"path": "/p"}}]}, volumeMounts=[MOUNT]),
        ["spec.volumes[0].hostPath.typ: unknown field, did you mean type? (left out)"],
    ),
    (
        "a variable without what gives it its value is not set",
        pod(env=[{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fooRef": {}}}, {"name": "C", "value": "3"}]),
        pod(env=[{"name": "A", "value": "1"}, {"name": "C", "value": "3"}]),
        [],
    ),
    (
        "all of several at once, and what has no effect",
        pod({"nope": 1, "runtimeClassName": "x", "nodeName": "n"}, livenesProbe={"a": {}}),
        POD,
        [
            "spec.nope: unknown field (left out)",
            "spec.runtimeClassName: not supported: every pod is run by the OCI runtime that `reconciler info` names "
            "(left out)",
            f"{C}.livenesProbe: unknown field, did you mean livenessProbe? (left out)",
            "spec.nodeName: has no effect here: only a cluster uses it",
        ],
    ),
    (
        "what is misspelt in a field without effect",
        pod({"affinity": {"podAffinity": {}, "nodeAffinty": {}}}),
        POD,
        [
            "spec.affinity: has no effect here: only a cluster uses it",
            "spec.affinity.nodeAffinty: unknown field, did you mean nodeAffinity? (left out)",
        ],
    ),
]
IDS = [row[0] for row in TABLE]


@pytest.mark.parametrize(("document", "meant", "told"), [row[1:] for row in TABLE], ids=IDS)
def test_warned_of_and_run_without(document: dict[str, Any], meant: dict[str, Any], told: list[str]) -> None:
    loaded = read(document, Strictness.WARN)
    assert specs(loaded) == [spec_of(meant)]
    assert {p.severity for p in loaded.problems} == {"warning"}
    if told:
        assert sorted(sentences(loaded)) == sorted(told)


@pytest.mark.parametrize(("document", "meant", "_told"), [row[1:] for row in TABLE], ids=IDS)
def test_left_out_in_silence(document: dict[str, Any], meant: dict[str, Any], _told: list[str]) -> None:
    loaded = read(document, Strictness.IGNORE)
    assert (specs(loaded), loaded.problems) == ([spec_of(meant)], ())


@pytest.mark.parametrize(("document", "_meant", "_told"), [row[1:] for row in TABLE], ids=IDS)
def test_refused_where_nothing_is_said(document: dict[str, Any], _meant: dict[str, Any], _told: list[str]) -> None:
    assert specs(read(document, Strictness.STRICT)) == []


LENIENT = [Strictness.WARN, Strictness.IGNORE]


@pytest.mark.parametrize("strictness", LENIENT)
def test_what_is_missing_then_is_an_error(strictness: Strictness) -> None:
    document = pod(imagee="busybox:1")
    del document["spec"]["containers"][0]["image"]
    loaded = read(document, strictness)
    assert specs(loaded) == []
    assert [str(p) for p in loaded.problems if p.is_error] == [f"web.json:1:90: {C}.image: missing"]


@pytest.mark.parametrize("strictness", LENIENT)
def test_a_wrong_value_is_an_error_as_ever(strictness: Strictness) -> None:
    loaded = read(pod({"restartPolicy": "Sometimes", "nope": 1}, workingDir="x"), strictness)
    assert specs(loaded) == []
    assert {p.field for p in loaded.problems if p.is_error} == {"spec.restartPolicy", f"{C}.workingDir"}


@pytest.mark.parametrize("strictness", LENIENT)
def test_hundreds_of_unknown_fields_are_read_or_refused_but_never_half(strictness: Strictness) -> None:
    few = read(pod({f"x{number}": 1 for number in range(150)}), strictness)
    assert specs(few) == [spec_of(POD)]
    many = read(pod({f"x{number}": 1 for number in range(2000)}), strictness)
    assert specs(many) == []
    assert any(p.is_error for p in many.problems)


GROUP = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "c"}}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}


@pytest.mark.parametrize("other", [GROUP, DEPLOYMENT], ids=["of a group that nobody knows", "that comes later"])
def test_other_kinds_are_passed_over(other: dict[str, Any]) -> None:
    both = {"apiVersion": "v1", "kind": "List", "items": [other, POD]}
    warned = read(both, Strictness.WARN)
    assert (specs(warned), warned.complete) == ([spec_of(POD)], True)
    (problem,) = warned.problems
    assert (problem.severity, problem.message[-11:]) == ("warning", " (left out)")
    assert read(both, Strictness.IGNORE).problems == ()
    assert any(p.is_error for p in read(both, Strictness.STRICT).problems)


@pytest.mark.parametrize("strictness", LENIENT)
def test_a_misspelt_pod_is_an_error_as_ever(strictness: Strictness) -> None:
    loaded = read({**POD, "kind": "Pdo"}, strictness)
    assert (loaded.complete, [p.is_error for p in loaded.problems]) == (False, [True])


@pytest.mark.parametrize("strictness", LENIENT)
def test_a_config_map_with_an_unknown_field(strictness: Strictness) -> None:
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}, "dta": {}}
    loaded = read(made, strictness)
    assert [found.value.name for found in loaded.objects] == ["c"]
    assert loaded.objects_whole
    assert [p.message for p in loaded.problems] == (
        ["unknown field, did you mean data? (left out)"] if strictness is Strictness.WARN else []
    )


def test_all_errors_of_a_file_are_told_in_one_pass() -> None:
    """Of shape, of rules, of each object and each document."""
    text = """\
apiVersion: v1
kind: Pod
metadata: {name: web, lables: {}}
spec:
  containers:
  - {name: A, image: busybox:1, args: 1, workingDir: here}
  - name: b
    image: "b b"
    ports: [{containerPort: 0}, {containerPort: 80, hostPort: 80}, {containerPort: 81, hostPort: 80}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: C, labls: {}}
data: {a/b: x, c: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: other}
spec: {containers: [], restartPolicy: Sometimes, nope: 1, runtimeClassName: x}
---
kind: Deployment
---
kind: [
"""
    found = {(p.line, p.field) for p in load("a.yaml", text.encode()).problems}
    assert found >= {
        (3, "metadata.lables"),
        (6, "spec.containers[0].name"),
        (6, "spec.containers[0].args"),
        (6, "spec.containers[0].workingDir"),
        (8, "spec.containers[1].image"),
        (9, "spec.containers[1].ports[0].containerPort"),
        (9, "spec.containers[1].ports[2].hostPort"),
        (13, "metadata.name"),
        (13, "metadata.labls"),
        (14, "data[a/b]"),
        (14, "data.c"),
        (19, "spec.containers"),
        (19, "spec.restartPolicy"),
        (19, "spec.nope"),
        (19, "spec.runtimeClassName"),
        (21, "kind"),
    }
