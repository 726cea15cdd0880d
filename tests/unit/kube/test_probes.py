"""Probes from manifests: what they compile to, with the API's defaults, and that they are written out as they were."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kube.present import pod_manifest
from reconciler.model.probe import ExecAction, GrpcAction, HttpAction, Probe, TcpAction
from tests.unit.kube.helpers import pod, read

HTTP = HttpAction(8080, "/healthz")
PORTS = [{"containerPort": 8080, "name": "web"}]


@pytest.mark.parametrize(
    ("probe", "meant"),
    [
        pytest.param({"httpGet": {"path": "/healthz", "port": "web"}}, Probe(HTTP), id="the usual"),
        pytest.param(
            {
                "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
                "initialDelaySeconds": 0,
            },
            Probe(HTTP),
            id="with its defaults spelled out",
        ),
        pytest.param(
            {
                "tcpSocket": {"port": 1},
                "timeoutSeconds": 0,
                "periodSeconds": 0,
                "successThreshold": 0,
                "failureThreshold": 0,
            },
            Probe(TcpAction(1)),
            id="0 is the default",
        ),
        pytest.param(
            {
                "grpc": {"port": 9, "service": "s"},
                "timeoutSeconds": 2,
                "periodSeconds": 3,
                "failureThreshold": 4,
                "initialDelaySeconds": 5,
                "terminationGracePeriodSeconds": 6,
            },
            Probe(GrpcAction(9, "s"), initial_delay=5, timeout=2, period=3, failure=4, grace=6),
            id="all that can be said",
        ),
        pytest.param(
            {"exec": {"command": ["sh", "-c", "test $(A) = $$(A) $(B)"]}},
            Probe(ExecAction(("sh", "-c", "test 1 = $(A) $(B)"))),
            id="a command's words are expanded",
        ),
    ],
)
def test_what_is_meant_and_that_it_reads_back(probe: dict[str, Any], meant: Probe) -> None:
    manifest = pod(livenessProbe=probe, ports=PORTS, env=[{"name": "A", "value": "1"}])
    (found,) = read(manifest).pods
    assert found.spec.containers[0].liveness == meant
    (again,) = read(pod_manifest(found.spec)).pods
    assert again.spec == found.spec


def test_each_kind_is_its_own() -> None:
    probe = {"tcpSocket": {"port": 1}}
    (found,) = read(pod(startupProbe=probe, readinessProbe={**probe, "successThreshold": 2})).pods
    container = found.spec.containers[0]
    assert container.startup == Probe(TcpAction(1))
    assert container.readiness == Probe(TcpAction(1), success=2)
    assert container.liveness is None
    assert [*container.probes] == ["startup", "readiness"]
