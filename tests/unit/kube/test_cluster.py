"""What only a cluster makes use of: accepted, named once, and nothing of it in the spec."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from reconciler.kube import load
from tests.unit.kube.helpers import POD, pod, read, read_yaml, sentences, spec_of

ALONE = "has no effect here: only a cluster uses it"

TABLE: list[tuple[str, dict[str, Any], list[str]]] = [
    ("one field", pod({"nodeSelector": {"a": "b"}}), [f"spec.nodeSelector: {ALONE}"]),
    ("a status", {**POD, "status": {"phase": "Running"}}, [f"status: {ALONE}"]),
    (
        "several, as they stand in the file",
        pod({"tolerations": [{"operator": "Exists"}], "nodeName": "n1", "affinity": {"nodeAffinity": {}}}),
        ["spec.tolerations: has no effect here, nor have spec.nodeName, spec.affinity: only a cluster uses them"],
    ),
    (
        "of a container",
        pod(resources={"requests": {"ephemeral-storage": "1Gi"}}),
        [f"spec.containers[0].resources.requests.ephemeral-storage: {ALONE}"],
    ),
    ("empty ones", {**pod({"tolerations": [], "affinity": {}, "priorityClassName": ""}), "status": {}}, []),
    (
        "those at their default",
        pod(
            {
                "schedulerName": "default-scheduler",
                "serviceAccountName": "default",
                "serviceAccount": "default",
                "priority": 0,
                "preemptionPolicy": "PreemptLowerPriority",
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
            }
        ),
        [],
    ),
    (
        "variables of Services, which there are none of",
        pod({"enableServiceLinks": True}),
        [f"spec.enableServiceLinks: {ALONE}"],
    ),
    (
        "a misspelt name within",
        pod({"affinity": {"nodeAffinty": {}}}),
        [
            f"spec.affinity: {ALONE}",
            "spec.affinity.nodeAffinty: unknown field, did you mean nodeAffinity?",
        ],
    ),
    ("a wrong type", pod({"nodeSelector": "a=b"}), ["spec.nodeSelector: must be a mapping, not a string"]),
]


@pytest.mark.parametrize(("document", "told"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_has_no_effect_is_named_once(document: dict[str, Any], told: list[str]) -> None:
    loaded = read(document)
    assert sorted(sentences(loaded)) == sorted(told)
    harmless = all(ALONE in text or "no effect" in text for text in told)
    assert [p.spec for p in loaded.pods] == ([spec_of(POD)] if harmless else [])


def test_so_many_are_counted() -> None:
    document = copy.deepcopy(POD)
    document["metadata"] |= {
        "uid": "u",
        "resourceVersion": "1",
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["a/b"],
        "selfLink": "/x",
        "ownerReferences": [{"kind": "ReplicaSet"}],
        "managedFields": [{"manager": "kubelet"}],
        "generateName": "web-",
    }
    document["spec"] |= dict.fromkeys(("nodeName", "priorityClassName", "schedulerName", "serviceAccountName"), "x")
    document["status"] = {"phase": "Running"}
    (sentence,) = sentences(read(document))
    assert sentence.startswith("metadata.uid: has no effect here, nor have metadata.resourceVersion, ")
    assert sentence.endswith(", spec.schedulerName, 2 more: only a cluster uses them")


EXPORT = """
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: 2026-01-02T03:04:05Z
  name: web
spec:
  containers:
  - image: busybox:1
    name: a
    volumeMounts:
    - {mountPath: /data, name: data}
    - {mountPath: /var/run/secrets/kubernetes.io/serviceaccount, name: %(name)s, readOnly: true}
  volumes:
  - {name: data, emptyDir: {}}
  - name: %(name)s
    %(source)s
"""

PROJECTED = """projected:
      defaultMode: 420
      sources:
      - serviceAccountToken: {expirationSeconds: 3607, path: token}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]}"""


@pytest.mark.parametrize(
    ("name", "source"),
    [("kube-api-access-x2k4p", PROJECTED), ("default-token-abcde", "secret: {secretName: default-token-abcde}")],
    ids=["projected", "as it was before 1.21"],
)
def test_the_token_of_a_service_account_is_left_out(name: str, source: str) -> None:
    loaded = read_yaml(EXPORT % {"name": name, "source": source})
    assert sentences(loaded) == [
        "metadata.creationTimestamp: has no effect here, nor have spec.volumes[1] (a service account's token): "
        "only a cluster uses them"
    ]
    assert [p.line for p in loaded.problems] == [5]
    (member,) = loaded.pods[0].spec.containers
    assert [m.path for m in member.mounts] == ["/data"]
    assert [v.name for v in loaded.pods[0].spec.volumes] == ["data"]


def test_what_kubectl_prints_of_a_deployments_pod_is_a_manifest() -> None:
    path = Path(__file__).with_name("export.yaml")
    loaded = load(path.name, path.read_bytes())
    assert [p.severity for p in loaded.problems] == ["warning"]
    assert "spec.volumes[1] (a service account's token)" in str(loaded.problems[0])
    (found,) = loaded.pods
    assert found.spec.key.name == "web-6d4cf56db6-abcde"
    assert [m.path for m in found.spec.containers[0].mounts] == ["/etc/x"]


def test_a_token_that_somebody_wants_elsewhere_is_not_left_out_in_silence() -> None:
    text = (EXPORT % {"name": "t", "source": PROJECTED}).replace("/var/run/secrets/kubernetes.io", "/elsewhere")
    assert any(p.is_error and p.field.startswith("spec.volumes[1].projected") for p in read_yaml(text).problems)
