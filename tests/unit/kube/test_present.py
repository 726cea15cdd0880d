"""What ``get -o json`` prints, in Kubernetes' shape."""

from __future__ import annotations

import json

import pytest

from reconciler.kube import pod_list
from reconciler.kube.present import time_of
from reconciler.model.key import Key
from reconciler.model.observed import Exit
from reconciler.model.qos import qos_of
from reconciler.model.status import Condition, ContainerStatus, Phase, PodStatus
from tests.unit.kube.helpers import pod, spec_of

ENDED = Exit(code=1, finished=5.0, finished_wall=1_700_000_010.0, started_wall=1_700_000_000.0)


def listed(*containers: ContainerStatus) -> dict:  # type: ignore[type-arg]
    status = PodStatus(
        Key("default", "web"),
        Phase.RUNNING,
        "Running",
        containers,
        (Condition("Ready", False, "ContainersNotReady", "containers with unready status: [a]"),),
        ips=("10.0.0.5", "fd00::5"),
        uid="u-1",
        created_wall=1_700_000_000.5,
    )
    (item,) = json.loads(json.dumps(pod_list([(spec_of(pod()), status)], ("192.0.2.7", "2001:db8::7"))))["items"]
    return item  # type: ignore[no-any-return]


def test_a_pod_list_has_kubernetes_shape() -> None:
    assert pod_list([]) == {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []}
    item = listed(
        ContainerStatus(
            "a",
            "busybox:1",
            "running",
            True,
            2,
            "abc",
            "sha256:1",
            last=ENDED,
            started_wall=1_700_000_020,
            started=True,
        )
    )
    assert item["metadata"] == {
        "name": "web",
        "namespace": "default",
        "uid": "u-1",
        "creationTimestamp": "2023-11-14T22:13:20Z",
    }
    assert item["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert item["status"] == {
        "phase": "Running",
        "qosClass": "BestEffort",
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "ContainersNotReady",
                "message": "containers with unready status: [a]",
            }
        ],
        "hostIP": "192.0.2.7",
        "hostIPs": [{"ip": "192.0.2.7"}, {"ip": "2001:db8::7"}],
        "podIP": "10.0.0.5",
        "podIPs": [{"ip": "10.0.0.5"}, {"ip": "fd00::5"}],
        "startTime": "2023-11-14T22:13:20Z",
        "containerStatuses": [
            {
                "name": "a",
                "image": "busybox:1",
                "imageID": "sha256:1",
                "ready": True,
                "started": True,
                "restartCount": 2,
                "state": {"running": {"startedAt": "2023-11-14T22:13:40Z"}},
                "lastState": {
                    "terminated": {
                        "exitCode": 1,
                        "reason": "Error",
                        "startedAt": "2023-11-14T22:13:20Z",
                        "finishedAt": "2023-11-14T22:13:30Z",
                    }
                },
                "containerID": "reconciler://abc",
            }
        ],
    }


@pytest.mark.parametrize(
    ("status", "state"),
    [
        pytest.param(
            ContainerStatus("a", "i", "waiting", False, 3, reason="CrashLoopBackOff", message="back-off 10s"),
            {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
            id="waiting says why",
        ),
        pytest.param(
            ContainerStatus("a", "i", "waiting", False, 0),
            {"waiting": {"reason": "ContainerCreating"}},
            id="waiting without a reason is being created",
        ),
        pytest.param(
            ContainerStatus("a", "i", "terminated", False, 0, exit=Exit(0, 1.0, 1_700_000_000.0)),
            {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2023-11-14T22:13:20Z"}},
            id="ended well",
        ),
        pytest.param(
            ContainerStatus("a", "i", "terminated", False, 0, exit=Exit(137, 1.0, 0.0, oom=True)),
            {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            id="killed for want of memory",
        ),
        pytest.param(
            ContainerStatus("a", "i", "terminated", False, 0, reason="OOMKilled", exit=Exit(137, 1.0, 0.0)),
            {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            id="ended with a known reason",
        ),
        pytest.param(
            ContainerStatus("a", "i", "terminated", False, 0, exit=Exit(-1, 1.0, 0.0)),
            {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}},
            id="ended unseen",
        ),
        pytest.param(
            ContainerStatus("a", "i", "terminated", False, 0, exit=Exit(1, 1.0, 0.0, message="no tea")),
            {"terminated": {"exitCode": 1, "reason": "Error", "message": "no tea"}},
            id="ended with last words",
        ),
    ],
)
def test_container_states(status: ContainerStatus, state: dict[str, object]) -> None:
    assert listed(status)["status"]["containerStatuses"][0]["state"] == state


@pytest.mark.parametrize(
    ("resources", "word"),
    [
        ({}, "BestEffort"),
        ({"limits": {"cpu": 1, "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": 1}}, "Burstable"),
        ({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "100m"}}, "Burstable"),
    ],
)
def test_the_quality_of_service_follows_the_resources(resources: dict[str, object], word: str) -> None:
    assert qos_of(spec_of(pod(resources=resources)).containers) == word


def test_times_are_rfc_3339() -> None:
    assert time_of(0) == "1970-01-01T00:00:00Z"
