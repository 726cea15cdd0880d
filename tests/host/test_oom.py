"""Memory that runs out, on real containers: who is killed, and how that is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine import cgroups
from reconciler.engine.oci.host import CgroupMode
from reconciler.model.spec import Resources
from tests.host.groups import group_of, pod_of
from tests.host.instance import OURS_ONLY, Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

SERVE = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'
TAIL = "tail -c 64m"
"""Keeps what it may have to show: 64 MiB."""
EAT = f"(echo 1000 >/proc/self/oom_score_adj; head -c 64m /dev/zero | {TAIL})"
"""The first to be killed, before the shell that it is of: while one dies, the kernel may take another."""


def hungry(image: str, name: str, script: str, memory: str | None = "16Mi") -> Manifest:
    limits = {"resources": {"limits": {"memory": memory}}} if memory else {}
    return container(name, image, command=["sh", "-c", script], **limits)


def shown(instance: Instance, name: str) -> Any:
    found = json.loads(instance.ok("get", "pods", name, "-o", "json"))
    return (found.get("items") or [found])[0]


def test_a_container_that_is_killed_is_oomkilled_everywhere(instance: Instance, image: str, folder: Path) -> None:
    manifest = pod(
        "p", hungry(image, "app", f"exec {TAIL} </dev/zero"), container("side", image), restartPolicy="Never"
    )
    put(folder / "p.yaml", manifest)
    controller = instance.watch(folder)
    until(lambda: "OOMKilled" in instance.run("get", "pods", "p").stdout, "the pod's status says so")
    status = next(c for c in shown(instance, "p")["status"]["containerStatuses"] if c["name"] == "app")
    ended = status["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    assert "Exited (137, OOMKilled)" in instance.ok("ps", "-a")
    told = instance.ok("events", "--for", "p")
    assert "OOMKilling" in told
    used = "16Mi in use" if instance.conmon is None else "use not known"
    assert f"Container app was out of memory and was killed: its memory limit is 16Mi, {used}" in told
    assert controller.poll() is None
    bundle = instance.engine.layout.container(instance.containers("p")["app"].id)
    assert (bundle / "oom").read_bytes() == b"", "as the C conmon leaves it"


def test_it_is_restarted_and_remembered(instance: Instance, image: str, folder: Path) -> None:
    script = f"test -e /keep/again || {{ touch /keep/again; {EAT}; exit; }}; {SERVE}"
    app = hungry(image, "app", script)
    app["volumeMounts"] = [{"name": "keep", "mountPath": "/keep"}]
    put(folder / "p.yaml", pod("p", app, volumes=[{"name": "keep", "emptyDir": {}}]))
    instance.watch(folder)
    until(lambda: instance.containers("p").get("app") and instance.containers("p")["app"].restarts == 1, "a restart")
    until(lambda: "app" in instance.running("p"), "it runs again")
    status = shown(instance, "p")["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert "OOMKilled" in instance.ok("events", "--for", "p")


@OURS_ONLY
def test_a_child_that_is_killed_is_an_event_and_no_end(instance: Instance, image: str, folder: Path) -> None:
    """On v2 the container is killed as a whole, as the kubelet has it (memory.oom.group)."""
    put(folder / "p.yaml", pod("p", hungry(image, "app", SERVE), container("side", image)))
    instance.watch(folder)
    until(lambda: len(instance.running("p")) == 3, "the pod runs")
    eat = ("exec", "p/app", "--", "sh", "-c", f"{EAT} >/dev/null")
    if cgroups.current().mode is CgroupMode.V2:
        assert instance.run(*eat).returncode
        until(
            lambda: "was out of memory and was killed" in instance.run("events", "--for", "p").stdout, "all of it dies"
        )
        return
    goes_on = re.compile(r"the kernel killed (a process|\d+ processes) of it, which goes on: its memory limit is 16Mi")

    def told() -> bool:
        """More than one where the kernel took the shell of the first as well, as it may while that one dies."""
        return goes_on.search(instance.run("events", "--for", "p").stdout) is not None

    def goes_on_indeed() -> bool:
        """Not where the kernel took the container's own process as well, as it may while the first one dies."""
        before = instance.running("p")
        if "app" not in before:
            return False
        instance.run(*eat)
        until(lambda: told() or instance.running("p") != before, "the kill is told, or the container has ended")
        return told() and instance.running("p") == before

    until(goes_on_indeed, "a process of it is killed, and it goes on", 120)


@OURS_ONLY
def test_the_limit_of_the_pod_kills_one_and_tells_of_that_one(instance: Instance, image: str, folder: Path) -> None:
    """Both containers stay below their own limits; v1 tells both that a limit was reached, and one was killed."""
    hold = f"head -c 12m /dev/zero | tail -c 12m | sleep 1000 & {SERVE}"
    put(folder / "p.yaml", pod("p", hungry(image, "a", hold), hungry(image, "b", SERVE), restartPolicy="Never"))
    instance.watch(folder)
    until(lambda: len(instance.running("p")) == 3, "the pod runs")
    group = group_of(instance.running("p")["a"].pid)
    until(lambda: (cgroups.memory_usage(group) or 0) > 12 << 20, "the first has its memory")
    cgroups.update_pod(pod_of(group), Resources(memory_limit=20 << 20))
    instance.run("exec", "p/b", "--", "sh", "-c", "head -c 12m /dev/zero | tail -c 12m >/dev/null")
    until(lambda: "OOMKilling" in instance.run("events", "--for", "p").stdout, "the kill is told")
    told = [line for line in instance.ok("events", "--for", "p").splitlines() if "OOMKilling" in line]
    assert len(told) == 1
    assert "Container a was out of memory" in told[0]
    assert "the pod's memory limit is" in told[0]
