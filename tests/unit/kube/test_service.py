"""Services: the names that they give to pods, and what is told of what they do not do here."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.kube.service import check_service, compile_service
from reconciler.model.key import Key
from reconciler.model.service import Service

ALL = {"selector": {"a": "1"}}


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def told(document: dict[str, Any]) -> list[tuple[bool, str]]:
    return [(flaw.warning, flaw.message) for flaw in check_service(document)]


def test_it_selects_by_labels_in_its_namespace():
    document = service(selector={"b": "2", "a": "1"}, clusterIP="None", publishNotReadyAddresses=True)
    document["metadata"]["namespace"] = "shop"
    assert compile_service(document) == Service(Key("shop", "web"), (("a", "1"), ("b", "2")), unready_too=True)
    assert compile_service({**document, "spec": None}) == Service(Key("shop", "web"))


@pytest.mark.parametrize(
    ("spec", "warning", "text"),
    [
        ({**ALL, "clusterIP": "10.0.0.1"}, True, "no address of its own here"),
        ({**ALL, "type": "NodePort"}, True, "hostPort in the pod publishes a port"),
        ({**ALL, "ports": [{"port": 80, "targetPort": 8080}]}, True, "clients reach the pods at 8080, not at 80"),
        ({"ports": [{"port": 80, "targetPort": 9376}]}, True, "without a selector its name leads to no pod"),
        ({}, True, "without a selector its name leads to no pod"),
        ({"type": "ExternalName", "externalName": "example.com"}, False, "ExternalName is not supported"),
    ],
    ids=["an address", "a node port", "another port", "no selector", "nothing at all", "another name"],
)
def test_what_it_does_not_do_is_told(spec: dict[str, Any], warning: bool, text: str):
    (said,) = told(service(**spec))
    assert said[0] is warning and text in said[1]


@pytest.mark.parametrize(
    "spec",
    [
        {"selector": {"a": "1"}, "clusterIP": "None"},
        {
            **ALL,
            "type": "ClusterIP",
            "ports": [{"port": 80}, {"port": 81, "targetPort": "http"}, {"port": 82, "targetPort": 82}],
        },
    ],
    ids=["headless", "ports as they are"],
)
def test_nothing_is_told_of_what_is_as_in_a_cluster(spec: dict[str, Any]):
    assert told(service(**spec)) == []


def test_its_name_has_no_point():
    (said,) = told(service("web.1", **ALL))
    assert said[0] is False
