"""What a pod asks for as a whole (KEP 2837): what follows from it, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kube.present import pod_manifest
from reconciler.model.qos import Qos, pod_qos, resources_of
from reconciler.model.spec import Resources
from tests.unit.kube.helpers import pod, read, sentences, spec_of

MIB = 1 << 20
LIMITS = {"cpu": "2", "memory": "64Mi"}


def whole(limits: Any = None, requests: Any = None, *each: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A pod that asks for this, with containers that ask for these."""
    said = {"limits": limits, "requests": requests}
    containers = [{"name": f"c{n}", "image": "busybox:1", "resources": asks} for n, asks in enumerate(each or ({},))]
    return pod({"resources": {k: v for k, v in said.items() if v}, "containers": containers, **more})


@pytest.mark.parametrize(
    ("document", "pods"),
    [
        pytest.param(whole(LIMITS), Resources(2000, 2000, 64 * MIB, 64 * MIB), id="limits alone are requests, too"),
        pytest.param(
            whole(LIMITS, None, {"requests": {"cpu": "300m"}}, {"limits": {"cpu": "100m"}}),
            Resources(400, 2000, 64 * MIB, 64 * MIB),
            id="unless containers request something: then that is the pod's request",
        ),
        pytest.param(
            whole({"memory": "64Mi"}, None, {"requests": {"cpu": "300m"}}),
            Resources(300, None, 64 * MIB, 64 * MIB),
            id="also of what the pod has no limit of",
        ),
        pytest.param(
            whole(LIMITS, {"cpu": "1", "memory": "32Mi"}),
            Resources(1000, 2000, 32 * MIB, 64 * MIB),
            id="what is said counts",
        ),
        pytest.param(
            whole(None, {"cpu": "1"}, {"requests": {"memory": "1Mi"}}),
            Resources(1000),
            id="requests alone stand as they are",
        ),
        pytest.param(whole(), Resources(), id="nothing is nothing"),
    ],
)
def test_what_a_pod_asks_for(document: dict[str, Any], pods: Resources) -> None:
    spec = spec_of(document)
    assert spec.limits == pods
    assert spec_of(pod_manifest(spec)) == spec


def test_a_container_without_a_limit_has_its_pods_and_requests_nothing_for_that() -> None:
    own = {"limits": {"cpu": "500m"}, "requests": {"memory": "8Mi"}}
    spec = spec_of(whole(LIMITS, None, {}, own, initContainers=[{"name": "i", "image": "busybox:1"}]))
    free = Resources(None, 2000, None, 64 * MIB, of_pod=("cpu", "memory"))
    assert [c.resources for c in spec.everyone] == [
        free,
        free,
        Resources(500, 500, 8 * MIB, 64 * MIB, of_pod=("memory",)),
    ]
    assert spec.limits == Resources(500, 2000, 8 * MIB, 64 * MIB)
    assert resources_of(spec) == spec.limits
    written = pod_manifest(spec)["spec"]
    assert "resources" not in written["containers"][0]
    assert written["containers"][1]["resources"] == {
        "limits": {"cpu": "500m"},
        "requests": {"cpu": "500m", "memory": "8Mi"},
    }


@pytest.mark.parametrize(
    ("document", "qos"),
    [
        (whole(LIMITS), Qos.GUARANTEED),
        (whole(LIMITS, {"cpu": "1"}), Qos.BURSTABLE),
        (whole({"memory": "64Mi"}), Qos.BURSTABLE),
        (whole(None, {"memory": "64Mi"}), Qos.BURSTABLE),
        (whole(LIMITS, LIMITS, {"requests": {"cpu": "1"}}), Qos.GUARANTEED),
        (whole(None, None, {"limits": LIMITS}), Qos.GUARANTEED),
        (whole(), Qos.BEST_EFFORT),
    ],
)
def test_the_class_of_a_pod_goes_by_what_it_says_itself(document: dict[str, Any], qos: Qos) -> None:
    assert pod_qos(spec_of(document)) is qos


def test_a_variable_that_shows_a_limit_shows_the_pods_where_there_is_no_other() -> None:
    env = [{"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}]
    assert dict(spec_of(pod({"resources": {"limits": LIMITS}}, env=env)).containers[0].env) == {"M": "64"}


R = "spec.resources"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (whole({"cpu": "1"}, {"cpu": "2"}), [f"{R}.requests.cpu: 2 is more than the limit of 1"]),
        (whole({"cpu": "x"}), [f"{R}.limits.cpu: 'x' is not a quantity such as 500m, 0.5 or 128Mi"]),
        (
            whole({"memory": "64Mi"}, None, {}, {"limits": {"memory": "65Mi"}, "requests": {"memory": "1Mi"}}),
            ["spec.containers[1].resources.limits.memory: 65Mi is more than the pod's limit of 64Mi"],
        ),
        (
            whole({"cpu": "2"}, {"cpu": "1"}, {"requests": {"cpu": "600m"}}, {"requests": {"cpu": "600m"}}),
            [f"{R}.requests.cpu: 1 is less than the 1200m that its containers request together"],
        ),
        (
            whole({"memory": "8Mi"}, None, {"requests": {"memory": "5Mi"}}, {"requests": {"memory": "5Mi"}}),
            [f"{R}.limits.memory: 8Mi is less than the 10Mi that its containers request together"],
        ),
        (whole({"cpu": "1"}, None, {"limits": {"cpu": "1"}}, {"limits": {"cpu": 0}}), []),
        (pod({"resources": {"claims": [{"name": "a"}]}}), [
            f"{R}.claims: not supported: devices are given out by a cluster"
        ]),
    ],
    ids=lambda one: one[0][:80] if isinstance(one, list) and one else "",
)  # fmt: skip
def test_is_refused(document: dict[str, Any], said: list[str]) -> None:
    assert sentences(read(document)) == said
