"""`describe pod` and `get pods` of real containers, in kubectl's words."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

WORDS = "[0-9]+s|[0-9]+m([0-9]+s)?"


def web(image: str) -> Manifest:
    ends = {"command": ["sh", "-c", "echo gone >/dev/termination-log; exit 3"]}
    made = pod("web", container("app", image), {"name": "ends", "image": image, **ends})
    made["metadata"] |= {"labels": {"tier": "x"}, "annotations": {"note": "n"}}
    made["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "d", "mountPath": "/d"}]
    made["spec"]["volumes"] = [{"name": "d"}]
    return made


def crashed(instance: Instance) -> bool:
    have = instance.containers("web").get("ends")
    return have is not None and have.restarts > 0 and have.exit is not None


def conditions(instance: Instance) -> dict[str, dict[str, Any]]:
    shown = json.loads(instance.ok("get", "pod", "web", "-o", "json"))
    return {c["type"]: c for c in shown["status"]["conditions"]}


def test_a_pod_is_described(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", web(image))
    instance.run("apply", "--timeout", 30, folder)
    controller = instance.watch(folder)
    until(lambda: crashed(instance), "a container ended, was restarted, and ended again")
    assert controller.poll() is None
    row = re.compile(rf"web +1/2 +CrashLoopBackOff +\d+ \(({WORDS}) ago\) +({WORDS})")
    until(lambda: row.fullmatch(instance.ok("get", "pods", "--no-headers").strip()), "its restart is waited for")
    heading, wide = instance.ok("get", "pods", "-o", "wide").splitlines()
    assert heading.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "PORTS", "IMAGES"]
    assert f" {socket.gethostname()} " in wide

    texts: list[str] = []

    def waits() -> bool:
        texts.append(instance.ok("describe", "pod", "web"))
        return "CrashLoopBackOff" in texts[-1]

    until(waits, "the next restart is waited for")
    text = texts[-1]
    for said in (
        r"^Name: +web\nNamespace: +default\nPriority: +0\nNode: +\S+\nStart Time: +\w{3}, \d\d \w{3} \d{4} ",
        r"^Labels: +tier=x\nAnnotations: +note: n\nStatus: +Running\nIP: +\d+\.\d+\.\d+\.\d+\nIPs:\n  IP: ",
        rf"^Controlled By: +dir:{re.escape(str(folder))}$",
        r"^Containers:\n  app:\n    Container ID:  reconciler://[0-9a-f]{64}\n",
        r"    State: +Running\n      Started: .*\n    Ready: +True\n    Restart Count: +0\n",
        r"    Limits:\n      memory: +64Mi\n",
        r"    Environment:\n      NAME:  app\n    Mounts:\n      /d from d \(rw\)\n  ends:\n",
        r"    State: +Waiting\n      Reason: +CrashLoopBackOff\n",
        r"    Last State: +Terminated\n      Reason: +Error\n      Message: +gone\n      Exit Code: +3\n",
        r"^Conditions:\n  Type +Status +Reason\n",
        r"^  Ready +False +ContainersNotReady: containers with unready status: \[ends\]$",
        r"^Volumes:\n  d:\n    Type: +EmptyDir ",
        r"^QoS Class: +Burstable\nEvents:\n  Type +Reason +Age +From +Message\n",
        r"^  Normal +Started +.* +reconciler +Started container app$",
    ):
        assert re.search(said, text, re.MULTILINE), f"{said}\n{text}"
    assert instance.run("describe", "pod", "nobody").returncode == 1
    assert len(instance.ok("get", "pods", "web", "web").splitlines()) == 2
    assert json.loads(instance.ok("get", "pod", "web", "-o", "json"))["kind"] == "Pod"
    assert instance.run("get", "pods", "web", "nobody").returncode == 1
    assert instance.run("get", "pods", "-n", "empty").stderr == "No resources found in empty namespace.\n"


def test_conditions_say_since_when_and_go_on_saying_so(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", pod("web", container("app", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    first = conditions(instance)
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
    assert {name for name, c in first.items() if stamp.fullmatch(c["lastTransitionTime"])} == set(first)
    started = json.loads(instance.ok("get", "pod", "web", "-o", "json"))["status"]["containerStatuses"][0]["state"]
    assert first["Ready"]["lastTransitionTime"] == started["running"]["startedAt"]
    put(folder / "web.yaml", pod("web", container("app", image), container("side", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    then = conditions(instance)
    assert then["PodScheduled"] == first["PodScheduled"]
    assert then["Ready"]["lastTransitionTime"] >= first["Ready"]["lastTransitionTime"]
