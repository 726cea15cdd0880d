"""activeDeadlineSeconds on real containers: stopped for good, over restarts of the controller and of the pod."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.key import Key
from tests.host.instance import Instance, until
from tests.host.manifests import container, pod, put
from tests.slowness import seconds

pytestmark = pytest.mark.host

KEY = Key("default", "short")


def shown(instance: Instance) -> dict[str, Any]:
    """The pod's status; empty while it is being made."""
    done = instance.run("get", "pod", "short", "-o", "json")
    return json.loads(done.stdout)["status"] if done.returncode == 0 else {}


def has_failed(instance: Instance) -> bool:
    status = shown(instance)
    ended = all("terminated" in c["state"] for c in status.get("containerStatuses", ()))
    return ended and status.get("reason") == "DeadlineExceeded"


def times_told(instance: Instance) -> int:
    return sum(e.count for e in instance.engine.events(about=str(KEY)) if e.reason == "DeadlineExceeded")


def begun(instance: Instance) -> float:
    sandbox = instance.engine.look(KEY).sandbox
    assert sandbox is not None
    return sandbox.begun_wall


def test_a_pod_is_stopped_for_good_and_goes_on_when_it_may(instance: Instance, image: str, folder: Path) -> None:
    time = math.ceil(seconds(2))  # both containers are made by then
    manifest = pod("short", container("app", image), container("side", image), activeDeadlineSeconds=time)
    put(folder / "short.yaml", manifest)
    controller = instance.watch(folder)
    until(lambda: has_failed(instance), "it has failed")
    assert shown(instance)["phase"] == "Failed"
    controller.kill()
    controller.wait()

    instance.watch(folder)
    until(lambda: times_told(instance) >= 2, "another controller has seen it")
    assert set(instance.running("short")) <= {"infra"}
    assert "Error" in instance.run("status", folder).stdout

    began = begun(instance)
    manifest["spec"]["activeDeadlineSeconds"] = 10_000
    put(folder / "short.yaml", manifest)
    until(lambda: {"app", "side"} <= set(instance.running("short")), "it runs again")
    assert begun(instance) == began


def test_the_time_goes_on_when_the_pod_is_made_again(instance: Instance, image: str, folder: Path) -> None:
    manifest = pod("short", container("app", image), activeDeadlineSeconds=10_000)
    put(folder / "short.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before, began = instance.running("short"), begun(instance)
    os.kill(before["infra"].pid, signal.SIGKILL)
    until(lambda: "infra" not in instance.running("short"), "its infra container is dead")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert before["app"] != instance.running("short")["app"]
    assert begun(instance) == began

    manifest["spec"]["hostname"] = "other"
    put(folder / "short.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert begun(instance) > began
