"""Init containers and sidecars on real containers: their order, what makes them run again, how they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

SAY = 'echo "$NAME" >>/log/order'
"""Leaves a line in a file that all containers of the pod see."""


def said(image: str, name: str, command: str = SAY, **fields: Any) -> Manifest:
    """An init container that says its name, and then does as it is told."""
    return container(
        name, image, command=["sh", "-c", command], volumeMounts=[{"name": "log", "mountPath": "/log"}], **fields
    )


LASTING = f"trap 'echo \"$NAME ends\" >>/log/order; exit 0' TERM; {SAY}; while :; do sleep 1000 & wait; done"


def lasting(image: str, name: str, **fields: Any) -> Manifest:
    """One that says its name when it begins, and when it ends, and runs until then."""
    return said(image, name, LASTING, **fields)


def sidecar(image: str, name: str, **fields: Any) -> Manifest:
    return lasting(image, name, restartPolicy="Always", **fields)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    directory = tmp_path / "log"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def lines(log: Path) -> list[str]:
    order = log / "order"
    return order.read_text().split("\n")[:-1] if order.exists() else []


def with_log(name: str, log: Path, *members: Manifest, init: list[Manifest], **spec: Any) -> Manifest:
    volumes = [{"name": "log", "hostPath": {"path": str(log)}}]
    return pod(name, *members, initContainers=init, volumes=volumes, **spec)


def row(instance: Instance, name: str) -> list[str]:
    """READY, STATUS and RESTARTS of a pod, as `get` shows them."""
    return instance.ok("get", "pods", name).splitlines()[1].split()[1:4]


def test_they_run_one_after_the_other_and_members_begin_last(
    instance: Instance, image: str, folder: Path, log: Path
) -> None:
    init = [said(image, "one"), sidecar(image, "car"), said(image, "two")]
    put(folder / "web.yaml", with_log("web", log, lasting(image, "app"), init=init))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    until(lambda: len(lines(log)) == 4, "all have said something")
    assert lines(log)[0] == "one"
    assert lines(log)[-1] == "app"
    assert set(instance.running("web")) == {"infra", "car", "app"}
    assert row(instance, "web")[:2] == ["2/2", "Running"]
    assert instance.run("diff", folder).returncode == 0
    instance.ok("down", folder)
    assert lines(log)[4:] == ["app ends", "car ends"]
