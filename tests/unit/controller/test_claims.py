"""Claims that pods mount: waited for where a folder defines none, made for who plays a manifest by hand."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cli.claimed import volumes
from reconciler.controller.binding import bind
from reconciler.model.claims import claim_of, volume_of
from reconciler.model.desired import Present
from reconciler.model.key import HAND, SourceId
from reconciler.model.objects import CLAIM, Object
from tests.unit.kube.helpers import pod, spec_of

DIRECTORY = SourceId("dir:/pods")


def mounting(namespace: str, *, mounted: bool = True) -> dict[str, Any]:
    mounts = [{"name": "data", "mountPath": "/data"}] if mounted else []
    made = pod({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "db"}}]}, volumeMounts=mounts)
    made["metadata"]["namespace"] = namespace
    return made


@pytest.mark.parametrize("namespace", ["default", "prod"])
def test_who_mounts_a_claim_waits_for_it(namespace: str) -> None:
    present = Present(spec_of(mounting(namespace)), DIRECTORY)
    asked: list[tuple[str, str]] = []
    bound = bind(present, lambda kind, name: asked.append((kind, name)), lambda _: "")  # type: ignore[func-returns-value]
    assert asked == [(CLAIM, "db")]
    assert [(str(one), one.container) for one in bound.missing] == [
        ('persistentvolumeclaim "db" not found (needed by spec.volumes[data])', "a")
    ]
    there = bind(present, lambda kind, name: Object(kind, namespace, name), lambda _: "")
    assert there == present


def test_nobody_waits_for_a_claim_that_is_not_mounted_or_was_played_by_hand() -> None:
    nothing = Present(spec_of(mounting("default", mounted=False)), DIRECTORY)
    assert bind(nothing, lambda _kind, _name: None, lambda _: "").missing == ()
    by_hand = Present(spec_of(mounting("default")), HAND)
    assert bind(by_hand, lambda _kind, _name: None, lambda _: "").missing == ()


def test_claims_of_two_namespaces_are_two_volumes() -> None:
    assert (volume_of("default", "db"), volume_of("prod", "db")) == ("db", "prod_db")
    assert claim_of("prod", "prod_db") == claim_of("default", "db") == "db"


def test_the_volumes_of_claims_that_are_defined_and_that_are_mounted() -> None:
    defined = [(CLAIM, "prod", "logs"), ("ConfigMap", "prod", "c")]
    assert volumes(defined, [spec_of(mounting("default")), spec_of(mounting("prod"))]) == ("db", "prod_db", "prod_logs")
