"""`--filter` of `ps` and `pod ps`: what podman 4.3 lets through for the same containers is what is expected here."""

from __future__ import annotations

import pytest

from reconciler.cli import filters
from reconciler.cli.maps import Map
from reconciler.cli.rows import ContainerRow, PodRow
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.spec import Mount, Volume, VolumeKind

NOW = 10_000.0
IMAGE = {"image": "localhost/reconciler/busybox:1", "image_id": "7fbe42df66fd" + "0" * 52}
POD = {"pod": "3527eba16bbc" + "0" * 52, "pod_name": "pa", "namespace": "default", "networks": ("default",)}
TMP = Mount("/mnt", Volume("data", VolumeKind.HOST_PATH, "/tmp"))

INFRA = ContainerRow("94" * 32, "3527eba16bbc-infra", "3527eba16bbc-infra", "running", created=1000, infra=True, **POD)
C1 = ContainerRow(
    "73" * 32, "c1", "c1", "running", created=2000, labels=Map(k="v", app="x"), mounts=(TMP,), **IMAGE, **POD
)
SOLO = ContainerRow("3d" * 32, "solo", "solo", "running", stopping=True, created=3000, networks=("green",), **IMAGE)
C2 = ContainerRow("cc" * 32, "c2", "c2", "exited", created=4000, finished=4001, exit_code=3, **IMAGE, **POD)
C3 = ContainerRow("f0" * 32, "c3", "c3", "created", created=9000, image="docker.io/library/alpine:latest")
APP = ContainerRow("ab" * 32, "web/app", "app", "paused", created=9500, exit_code=3)

ALL = [INFRA, C1, SOLO, C2, C3, APP]
NAMES = {row.id: row.name for row in ALL}


def kept(*wanted: str) -> list[str]:
    return [row.name for row in filters.containers(wanted, ALL, NOW)]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        pytest.param(["name=c"], ["3527eba16bbc-infra", "c1", "c2", "c3"], id="a name may be a part"),
        pytest.param(["name=^c1$"], ["c1"], id="a name is a regular expression"),
        pytest.param(["name=/c1"], ["c1"], id="docker's slash before a name"),
        pytest.param(["name=^app$"], ["web/app"], id="the name of a pod's member by itself"),
        pytest.param(["name=web/app"], ["web/app"], id="and with its pod's"),
        pytest.param(["name=c1", "name=solo"], ["c1", "solo"], id="one of several values is enough"),
        pytest.param(["name=c", "status=exited"], ["c2"], id="several keys must all be so"),
        pytest.param(["id=73"], ["c1"], id="an id by its beginning"),
        pytest.param(["id=37"], [], id="not by what it holds"),
        pytest.param(["label=k"], ["c1"], id="a label by its key"),
        pytest.param(["label=k=v"], ["c1"], id="a label with its value"),
        pytest.param(["label=k=w"], [], id="a label with another value"),
        pytest.param(["label=k", "label=nope"], [], id="labels must all be there"),
        pytest.param(
            ["label!=k"], ["3527eba16bbc-infra", "solo", "c2", "c3", "web/app"], id="a label that is not there"
        ),
        pytest.param(["status=running"], ["3527eba16bbc-infra", "c1", "solo"], id="a state"),
        pytest.param(["status=stopped"], ["c2"], id="stopped is exited"),
        pytest.param(["status=stopping"], ["solo"], id="stopping"),
        pytest.param(["status=created", "status=paused"], ["c3", "web/app"], id="two states"),
        pytest.param(["ancestor=localhost/reconciler/busybox:1"], ["c1", "solo", "c2"], id="an image"),
        pytest.param(["ancestor=localhost/reconciler/busybox"], ["c1", "solo", "c2"], id="an image without its tag"),
        pytest.param(["ancestor=7fbe42df66fd"], ["c1", "solo", "c2"], id="an image by its id"),
        pytest.param(["ancestor=alpine"], ["c3"], id="an image by its short name"),
        pytest.param(["ancestor=pine"], [], id="not an image by a part of it"),
        pytest.param(["before=c1"], ["3527eba16bbc-infra"], id="made before another"),
        pytest.param(["since=c2"], ["c3", "web/app"], id="made since another"),
        pytest.param(["before=73", "before=c2"], ["3527eba16bbc-infra"], id="before the oldest of two"),
        pytest.param(["exited=3"], ["c2"], id="an exit code, of what has ended"),
        pytest.param(["pod=pa"], ["3527eba16bbc-infra", "c1", "c2"], id="a pod by its name"),
        pytest.param(["pod=3527"], ["3527eba16bbc-infra", "c1", "c2"], id="a pod by its id"),
        pytest.param(["pod=zz"], [], id="a pod that there is not"),
        pytest.param(["network=green"], ["solo"], id="a network"),
        pytest.param(["volume=/tmp"], ["c1"], id="a volume by where it is from"),
        pytest.param(["volume=/mnt"], ["c1"], id="a volume by where it is mounted"),
        pytest.param(["volume=data"], ["c1"], id="a volume by its name"),
        pytest.param(["volume=/tmp:/mnt"], ["c1"], id="a volume by both"),
        pytest.param(["volume=/tmp:/other"], [], id="a volume mounted elsewhere"),
        pytest.param(["until=30m"], ["3527eba16bbc-infra", "c1", "solo", "c2"], id="made at least so long ago"),
        pytest.param([], list(NAMES.values()), id="no filter"),
    ],
)
def test_containers_let_through(wanted, names):
    assert kept(*wanted) == names


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ("nope=1", "cannot filter by 'nope': there is no such filter"),
        ("name", "cannot filter by 'name': it is not KEY=VALUE"),
        ("health=healthy", "containers here have no health check"),
        ("status=nope", "cannot filter by status 'nope'"),
        ("exited=x", "cannot filter by exited 'x': it is not a number"),
        ("until=x", "cannot filter by until 'x': it is no time"),
        ("name=(", "is no regular expression"),
        ("before=zz", 'cannot filter by container "zz"'),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused(wanted, complaint):
    with pytest.raises((InvalidInput, NotFound)) as error:
        kept(wanted)
    assert complaint in error.value.message
    assert isinstance(error.value, NotFound if wanted.startswith("before") else InvalidInput)


def test_two_times_are_refused():
    with pytest.raises(InvalidInput):
        kept("until=1m", "until=2m")


@pytest.mark.parametrize(("wanted", "shown"), [(["status=exited"], True), (["name=x"], False), ([], False)])
def test_asking_for_a_state_means_all_containers(wanted, shown):
    assert filters.overrides_all(wanted) is shown


# --- pods ----------------------------------------------------------------------------------------------------------

PA = PodRow("35" * 32, "pa", "default", 1000.0, "Degraded", (C1, C2, INFRA), Map(app="x"), ("default",))
PB = PodRow("ff" * 32, "pb", "default", 9000.0, "Running", (APP,), Map(), ("green",))


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (["name=p"], ["pa", "pb"]),
        (["name=^pa$"], ["pa"]),
        (["id=35"], ["pa"]),
        (["label=app"], ["pa"]),
        (["label!=app"], ["pb"]),
        (["status=degraded"], ["pa"]),
        (["status=running", "status=degraded"], ["pa", "pb"]),
        (["ctr-ids=73"], ["pa"]),
        (["ctr-names=infra"], ["pa"]),
        (["ctr-names=^app$"], ["pb"]),
        (["ctr-number=3"], ["pa"]),
        (["ctr-status=paused"], ["pb"]),
        (["network=green"], ["pb"]),
        (["until=1h"], ["pa"]),
        (["name=p", "ctr-status=exited"], ["pa"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_pods_let_through(wanted, names):
    assert [row.name for row in filters.pods(wanted, [PA, PB], NOW)] == names


@pytest.mark.parametrize("wanted", ["nope=1", "nope", "status=nope", "ctr-status=nope", "ctr-number=x", "until=x"])
def test_a_filter_of_pods_that_cannot_be_used_is_refused(wanted):
    with pytest.raises(InvalidInput):
        filters.pods([wanted], [PA, PB], NOW)
