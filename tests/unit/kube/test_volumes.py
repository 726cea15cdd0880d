"""Volumes of manifests: what is refused, what means the same, and that what is shown reads back."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kube import pod_manifest
from reconciler.model.projection import File, SourceKind, VolumeSource
from reconciler.model.references import references
from reconciler.model.spec import Mount, PullPolicy, RecursiveReadOnly, Volume, VolumeKind
from tests.unit.kube.helpers import pod, read, sentences, spec_of

Json = dict[str, Any]
V, M = "spec.volumes[0]", "spec.containers[0].volumeMounts[0]"


def volume(**source: Any) -> Json:
    return pod({"volumes": [{"name": "v", **source}]})


def mount(env: list[Json] | None = None, security: Json | None = None, **fields: Any) -> Json:
    mounts = [{"name": "v", "mountPath": "/v", **fields}]
    return pod({"volumes": [{"name": "v"}]}, volumeMounts=mounts, env=env or [], securityContext=security or {})


def items(*paths: str) -> Json:
    return {"name": "c", "items": [{"key": "k", "path": path} for path in paths]}


def field(path: str) -> Json:
    return {"downwardAPI": {"items": [{"path": "f", "fieldRef": {"fieldPath": path}}]}}


def resource(**fields: Any) -> Json:
    return {"downwardAPI": {"items": [{"path": "f", "resourceFieldRef": {"containerName": "a", **fields}}]}}


REFUSED: list[tuple[Json, str]] = [
    (volume(emptyDir={}, configMap={"name": "c"}), f"{V}: a volume has one source: emptyDir or configMap"),
    (volume(emptyDir={"medium": "HugePages"}), f"{V}.emptyDir.medium: 'HugePages' must be one of '', Memory"),
    (volume(emptyDir={"sizeLimit": "-1"}), f"{V}.emptyDir.sizeLimit: -1 is negative"),
    (volume(configMap=items("../x")), f"{V}.configMap.items[0].path: '../x' must not contain '..'"),
    (volume(configMap=items("/x")), f"{V}.configMap.items[0].path: '/x' must be a relative path"),
    (volume(configMap=items("..x")), f"{V}.configMap.items[0].path: '..x' must not start with '..'"),
    (volume(configMap=items("x", "x")), f"{V}.configMap.items[1].path: 'x' is there twice"),
    (volume(configMap=items("x", "x/y")), f"{V}.configMap.items[1].path: 'x/y' cannot be beside the file 'x'"),
    (volume(secret={}), f"{V}.secret.secretName: missing"),
    (volume(secret={"secretName": "s", "defaultMode": 512}), f"{V}.secret.defaultMode: 512 is more than 511"),
    (
        volume(**field("status.podIP")),
        f"{V}.downwardAPI.items[0].fieldRef.fieldPath: 'status.podIP' cannot be shown in a file, only metadata.name,"
        " metadata.namespace, metadata.uid, metadata.labels, metadata.annotations",
    ),
    (
        volume(**resource(resource="limits.gpu")),
        f"{V}.downwardAPI.items[0].resourceFieldRef.resource: 'limits.gpu' must"
        " be one of limits.cpu, limits.memory, requests.cpu, requests.memory",
    ),
    (
        volume(**resource(resource="limits.cpu", containerName="b")),
        f"{V}.downwardAPI.items[0].resourceFieldRef.containerName: there is no container called 'b'",
    ),
    (
        volume(downwardAPI={"items": [{"path": "x"}]}),
        f"{V}.downwardAPI.items[0]: a file says one thing: fieldRef or resourceFieldRef",
    ),
    (
        volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
        f"{V}.projected.sources[0].serviceAccountToken: not supported: there is no API server to show it to",
    ),
    (volume(persistentVolumeClaim={"claimName": "A"}), f"{V}.persistentVolumeClaim.claimName: "),
    (volume(image={"reference": "A"}), f"{V}.image.reference: "),
    (volume(nfs={"server": "s", "path": "/"}), f"{V}.nfs: not supported: mount it on this machine"),
    (mount(subPath="/x"), f"{M}.subPath: '/x' must be a relative path"),
    (mount(subPath="x/../y"), f"{M}.subPath: 'x/../y' must not contain '..'"),
    (mount(subPath="x", subPathExpr="y"), f"{M}.subPathExpr: subPath and subPathExpr are mutually exclusive"),
    (mount(subPathExpr="$(NO)/x"), f'{M}.subPathExpr: missing value for "NO"'),
    (mount([{"name": "UP", "value": ".."}], subPathExpr="$(UP)/x"), f"{M}.subPathExpr: '../x' must not contain '..'"),
    (
        mount(mountPropagation="Bidirectional"),
        f"{M}.mountPropagation: Bidirectional mount propagation is available only to privileged containers",
    ),
    (mount(recursiveReadOnly="Enabled"), f"{M}.recursiveReadOnly: may only be specified when readOnly is true"),
]


@pytest.mark.parametrize(("document", "said"), REFUSED, ids=[said[:70] for _, said in REFUSED])
def test_refused(document: Json, said: str) -> None:
    told = sentences(read(document))
    assert len(told) == 1 and told[0].startswith(said), told


ITEM = {"key": "k", "path": "d/k", "mode": 0o400}
LABEL = {"path": "l", "fieldRef": {"fieldPath": "metadata.labels['a']"}}
CPU = {"path": "c", "resourceFieldRef": {"containerName": "a", "resource": "limits.cpu", "divisor": "1m"}}
WHOLE = {
    "projected": {
        "defaultMode": 0o600,
        "sources": [
            {"configMap": {"name": "c", "optional": True}},
            {"secret": {"name": "s", "items": [ITEM]}},
            {"downwardAPI": {"items": [LABEL, CPU]}},
        ],
    }
}

GOOD: list[tuple[Json, Volume]] = [
    ({"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
     Volume("v", VolumeKind.EMPTY_DIR, memory=True, size_limit=1 << 20)),
    ({"configMap": {"name": "c"}},
     Volume("v", VolumeKind.PROJECTED, sources=(VolumeSource(SourceKind.CONFIG_MAP, "c"),))),
    ({"secret": {"secretName": "s", "items": [ITEM], "defaultMode": 0o400}},
     Volume("v", VolumeKind.PROJECTED, default_mode=0o400, sources=(
         VolumeSource(SourceKind.SECRET, "s", (File("d/k", key="k", mode=0o400),)),))),
    (WHOLE, Volume("v", VolumeKind.PROJECTED, default_mode=0o600, sources=(
        VolumeSource(SourceKind.CONFIG_MAP, "c", optional=True),
        VolumeSource(SourceKind.SECRET, "s", (File("d/k", key="k", mode=0o400),)),
        VolumeSource(SourceKind.DOWNWARD, files=(
            File("c", resource="limits.cpu", container="a", divisor=1), File("l", field="metadata.labels['a']")))))),
    ({"persistentVolumeClaim": {"claimName": "db"}}, Volume("v", VolumeKind.NAMED, claim="db")),
    ({"image": {"reference": "busybox:1"}},
     Volume("v", VolumeKind.IMAGE, image="busybox:1", pull_policy=PullPolicy.IF_NOT_PRESENT)),
]  # fmt: skip


@pytest.mark.parametrize(("source", "meant"), GOOD, ids=[next(iter(source)) for source, _ in GOOD])
def test_a_volume_arrives_and_reads_back(source: Json, meant: Volume) -> None:
    spec = spec_of(volume(**source))
    assert spec.volumes == (meant,)
    assert spec_of(pod_manifest(spec)) == spec


def test_a_projected_volume_of_one_source_is_the_short_form() -> None:
    long = volume(projected={"sources": [{"secret": {"name": "s"}}], "defaultMode": 0o400})
    short = volume(secret={"secretName": "s", "defaultMode": 0o400})
    assert spec_of(long) == spec_of(short)
    assert pod_manifest(spec_of(long))["spec"]["volumes"][0]["secret"] == {"secretName": "s", "defaultMode": 0o400}


@pytest.mark.parametrize(
    ("document", "meant"),
    [
        (mount(subPath="./a//b/"), {"sub_path": "a/b"}),
        (mount([{"name": "A", "value": "x"}], subPathExpr="$(A)/y"), {"sub_path": "x/y"}),
        (mount([{"name": "A", "value": "x"}], subPathExpr="$$(A)"), {"sub_path": "$(A)"}),
        (mount(mountPropagation="HostToContainer"), {"options": ("rslave",)}),
        (mount(mountPropagation="None"), {}),
        (mount(security={"privileged": True}, mountPropagation="Bidirectional"), {"options": ("rshared",)}),
        (
            mount(readOnly=True, recursiveReadOnly="IfPossible"),
            {"read_only": True, "recursive": RecursiveReadOnly.IF_POSSIBLE},
        ),
    ],
)
def test_a_mount_arrives_and_reads_back(document: Json, meant: Json) -> None:
    spec = spec_of(document)
    assert spec.containers[0].mounts == (Mount("/v", Volume("v", VolumeKind.EMPTY_DIR), **meant),)
    assert spec_of(pod_manifest(spec)) == spec


def test_a_claim_belongs_to_its_namespace_and_may_be_for_reading() -> None:
    document = mount()
    document["metadata"]["namespace"] = "prod"
    document["spec"]["volumes"][0]["persistentVolumeClaim"] = {"claimName": "db", "readOnly": True}
    spec = spec_of(document)
    assert spec.containers[0].mounts == (Mount("/v", Volume("v", VolumeKind.NAMED, claim="prod_db"), True),)
    assert pod_manifest(spec)["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "db"}
    assert spec_of(pod_manifest(spec)) == spec


def test_what_the_files_say_of_the_pod_is_stamped() -> None:
    document = volume(**field("metadata.labels"))
    before = spec_of(document)
    document["metadata"]["annotations"] = {"a": "b"}
    assert spec_of(document).contents == before.contents != ()
    document["metadata"]["labels"] = {"a": "b"}
    assert spec_of(document).contents != before.contents
    assert [name for name, _ in before.contents] == ["v"]


def test_the_objects_of_volumes_are_references() -> None:
    assert references(spec_of(volume(**WHOLE))) == {("ConfigMap", "c"), ("Secret", "s")}
