"""`explain`: the fields of manifests as kubectl tells them, with what is different here; and docs/fields.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from reconciler.cli import app, explain, fieldpage
from reconciler.kube import fields
from reconciler.kube.fields import Support
from reconciler.kube.schema import load_schema

CHECKOUT = Path(__file__).parents[3]


def told(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert app.run(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_a_field_with_others_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        told("pod.spec.containers.resources.requests", capsys=capsys)
        == """\
KIND:       Pod
VERSION:    v1

FIELD: requests	<ResourceRequests>

A CHANGE:   applied while it runs
SUPPORTED:  yes

DESCRIPTION:
    Its share when the machine is busy. Default: its limits.

FIELDS:
  cpu	<Quantity>
    Cores: 2, 0.5 or 500m.

  ephemeral-storage	<Quantity> (without effect)
    Bytes of disk that a scheduler looks for.

  memory	<Quantity>
    Bytes: 128Mi, 1.5Gi, 1e9.

"""
    )


def test_a_field_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        told("po.spec.restartPolicy", capsys=capsys)
        == """\
KIND:       Pod
VERSION:    v1

FIELD: restartPolicy	<string>

DEFAULT:    Always
ONE OF:     Always, OnFailure, Never
A CHANGE:   recorded; no process is touched
SUPPORTED:  yes

DESCRIPTION:
    When a container that ended is started again.
"""
    )


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("pod.spec.volumes.nfs", ["SUPPORTED:  no: mount it on this machine (/etc/fstab), and then by hostPath"]),
        ("pod.spec.nodeName", ["A CHANGE:   nothing", "SUPPORTED:  accepted, without effect: only a cluster uses it"]),
        ("pod.spec.containers[0].image", ["A CHANGE:   the container is replaced; its siblings keep their processes"]),
        ("pod.spec.containers[].ports.hostPort", ["A CHANGE:   the pod is recreated"]),
        ("pod.spec.containers.ports", ["A CHANGE:   nothing, or the pod is recreated"]),
        (
            "pod.spec.securityContext.runAsUser",
            ["A CHANGE:   the container is replaced; its siblings keep their processes (of"],
        ),
        (
            "pod.spec.initContainers.image",
            ["            pod is recreated (the first of a sidecar, the second of any other)"],
        ),
        ("pods.spec", ["A CHANGE:   nothing to pod"]),
        ("cm.data", ["FIELD: data	<map[string]string>"]),
        ("secrets", ["KIND:       Secret"]),
        ("pvc.spec", ["FIELD: spec	<Object>"]),
        ("service.spec.ports.targetPort", ["FIELD: targetPort	<IntOrString>"]),
    ],
)
def test_what_is_said_of(path: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(path, capsys=capsys).splitlines()
    assert [line for line in lines if line not in shown] == []


def test_all_below_a_field_as_a_tree_of_types(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told("pod.spec", "--recursive", capsys=capsys).splitlines()
    at = lines.index("  containers	<[]Container> -required-")
    assert "    args	<[]string>" in lines[at:]
    assert "    cpu	<Quantity>" not in lines
    assert "        cpu	<Quantity>" in lines[at:]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("poddd", "cannot explain poddd: it is no kind that is known here, did you mean pod?"),
        (
            "pod.spec.containrs.image",
            "cannot explain pod.spec.containrs.image: pod.spec has no field 'containrs', did you mean containers?",
        ),
        ("pod.kind.x", "cannot explain pod.kind.x: pod.kind has no fields"),
        ("pod.zzz", "cannot explain pod.zzz: pod has no field 'zzz'"),
    ],
)
def test_a_mistyped_path(path: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explain", path]) == 1
    assert capsys.readouterr().err == f"reconciler: {said}\n"


def test_editors_are_shown_the_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    place = Path(told("--schemas", capsys=capsys).strip())
    assert (place / "manifest.json").is_file()
    assert app.run(["explain"]) == 1
    assert "one of pod, configmap, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("begun", "found"),
    [
        ("s", ["secret", "service"]),
        ("Pod", ["pod"]),
        ("pod.", ["pod.apiVersion", "pod.kind", "pod.metadata", "pod.spec", "pod.status"]),
        ("pod.spec.host", [f"pod.spec.host{x}" for x in ("Aliases", "IPC", "Network", "PID", "Users", "name")]),
        ("pod.spec.nothing.", []),
        ("nothing.", []),
    ],
)
def test_paths_are_completed(begun: str, found: list[str]) -> None:
    ctx = click.Context(explain.explain)
    items = [item.value for item in explain.paths(ctx, explain.explain.params[0], begun)]
    assert [item for item in items if item != "pod.spec.hostnameOverride"] == found


def test_every_schema_is_of_a_kind_that_can_be_explained() -> None:
    schemas = {path.name for path in (CHECKOUT / "schemas").glob("*.json")} - {"pod-later.json", "manifest.json"}
    assert schemas == set(fields.KINDS.values()), "a new kind goes into kube/fields.py: KINDS"
    assert [load_schema(name)["title"] for name in fields.KINDS.values()] == list(fields.KINDS)


def test_every_supported_field_of_a_pod_has_a_price() -> None:
    everything = [field for field in fields.root("Pod").everything() if field.support is Support.YES]
    assert len(everything) > 150
    free = [field.path for field in everything if not fieldpage.cost_of("Pod", field)[0]]
    assert free == [], "what a change costs: plan/disruption.py USER_PATHS, or plan/price.py"


def test_what_cannot_be_had_is_refused_with_all_below_it() -> None:
    for field in fields.root("Pod").everything():
        if field.support is not Support.YES:
            assert {below.support for below in field.fields} <= {field.support}, field.path


def test_the_page_is_what_schemas_and_costs_say() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "from reconciler.cli.fieldpage import page; print(page(), end='')"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=CHECKOUT,
    ).stdout
    assert (CHECKOUT / "docs/fields.md").read_text() == made, (
        "run scripts/fields (it writes docs/fields.md), and commit it"
    )
