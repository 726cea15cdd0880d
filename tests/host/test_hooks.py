"""postStart and preStop in real containers: what they hold back, what comes after them, and who goes on with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.key import Key
from reconciler.model.observed import Container
from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

KEY = Key("default", "hooks")
LIVE = 'trap "echo TERM >>/keep/log; exit 0" TERM; echo up >>/keep/log; while :; do sleep 1000 & wait; done'
UP = "until grep -q up /keep/log; do sleep 0.05; done"
"""By then the container hears TERM."""
WAIT = "until [ -e /keep/go ]; do sleep 0.05; done"


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    """A directory that the container has at /keep."""
    made = tmp_path / "keep"
    made.mkdir()
    return made


def runs(script: str) -> Manifest:
    return {"exec": {"command": ["sh", "-c", script]}}


def hooked(image: str, keep: Path, spec: Manifest | None = None, **hooks: Any) -> Manifest:
    volumes = [{"name": "keep", "hostPath": {"path": str(keep)}}]
    mounts = [{"name": "keep", "mountPath": "/keep"}]
    member = container("app", image, command=["sh", "-c", LIVE], volumeMounts=mounts, lifecycle=hooks)
    return pod("hooks", member, volumes=volumes, **{"terminationGracePeriodSeconds": 60, **(spec or {})})


def said(keep: Path) -> list[str]:
    log = keep / "log"
    return log.read_text().split() if log.exists() else []


def app(instance: Instance) -> Container:
    return instance.containers("hooks")["app"]


def status(instance: Instance) -> Manifest:
    """The container's status; empty while the pod is being made."""
    done = instance.run("get", "pod", "hooks", "-o", "json")
    found = json.loads(done.stdout)["status"].get("containerStatuses") if done.returncode == 0 else None
    return found[0] if found else {}


def test_a_container_is_there_when_its_hook_has_ended_and_stops_when_the_other_has(
    instance: Instance, image: str, folder: Path, keep: Path
) -> None:
    before = runs("echo stopping >>/keep/log")
    manifest = hooked(image, keep, postStart=runs(f"{WAIT}; echo hooked >>/keep/log"), preStop=before)
    put(folder / "hooks.yaml", manifest)
    instance.watch(folder)
    until(lambda: said(keep) == ["up"], "the program runs beside its hook")
    seen = status(instance)
    assert (seen["ready"], seen["started"]) == (False, False)
    assert seen["state"] == {"waiting": {"reason": "ContainerCreating"}}
    (keep / "go").touch()
    until(lambda: status(instance)["ready"], "the hook has ended")
    assert sorted(said(keep)) == ["hooked", "up"]

    first = app(instance).id
    before["exec"]["command"][-1] = "echo recorded >>/keep/log"
    put(folder / "hooks.yaml", manifest)
    until(lambda: app(instance).pre_stop is not None and "recorded" in str(app(instance).pre_stop), "it is recorded")
    assert app(instance).id == first
    manifest["spec"]["containers"][0]["env"].append({"name": "MORE", "value": "1"})
    put(folder / "hooks.yaml", manifest)
    until(lambda: said(keep).count("up") == 2 and app(instance).id != first, "it is replaced")
    assert said(keep)[2:5] == ["recorded", "TERM", "up"]


def test_a_hook_that_fails_ends_the_container(instance: Instance, image: str, folder: Path, keep: Path) -> None:
    put(folder / "hooks.yaml", hooked(image, keep, {"restartPolicy": "Never"}, postStart=runs(f"{UP}; exit 7")))
    assert instance.run("apply", "--wait", "--timeout", 60, folder).returncode == 1
    assert said(keep)[-1:] == ["TERM"]
    assert "terminated" in status(instance)["state"]
    reasons = [event.reason for event in instance.engine.events(about="default/hooks")]
    assert reasons.count("FailedPostStartHook") == 1
    instance.run("apply", "--timeout", 60, folder)
    assert said(keep).count("up") == 1, "it was started again"


def test_a_controller_that_is_killed_during_a_hook_leaves_it_to_the_next(
    instance: Instance, image: str, folder: Path, keep: Path
) -> None:
    after = runs("echo hooked >>/keep/log; until [ -e /keep/up ]; do sleep 0.05; done")
    manifest = hooked(image, keep, postStart=after, preStop=runs(f"echo begun >>/keep/log; {WAIT}"))
    put(folder / "hooks.yaml", manifest)
    controller = instance.watch(folder)
    until(lambda: sorted(said(keep)) == ["hooked", "up"], "its first hook runs")
    controller.kill()
    controller.wait()
    controller = instance.watch(folder)
    until(lambda: said(keep).count("hooked") == 2, "its first hook is run once more")
    assert not status(instance)["ready"]
    (keep / "up").touch()
    until(lambda: status(instance)["ready"], "it has ended")

    manifest["spec"]["containers"][0]["env"].append({"name": "MORE", "value": "1"})
    put(folder / "hooks.yaml", manifest)
    until(lambda: "begun" in said(keep), "its last hook runs")
    old = next(c for c in instance.engine.look(KEY).containers if c.stopping)
    controller.kill()
    controller.wait()
    instance.watch(folder)
    until(lambda: said(keep).count("begun") == 2, "its last hook is run once more")
    again = next(c for c in instance.engine.look(KEY).containers if c.id == old.id)
    assert again.stopping is not None and old.stopping is not None
    assert again.stopping.deadline == old.stopping.deadline
    assert "TERM" not in said(keep)
    (keep / "go").touch()
    until(lambda: said(keep).count("up") == 2, "its successor runs")
    assert said(keep)[3:6] == ["begun", "begun", "TERM"]


def test_hooks_need_no_controller(instance: Instance, image: str, folder: Path, keep: Path) -> None:
    hooks = {"postStart": runs("echo hooked >>/keep/log"), "preStop": runs("echo stopping >>/keep/log")}
    played = put(folder / "hooks.yaml", hooked(image, keep, **hooks))
    instance.ok("kube", "play", played)
    until(lambda: sorted(said(keep)) == ["hooked", "up"], "it runs")
    instance.ok("stop", "hooks/app")
    assert said(keep)[2:] == ["stopping", "TERM"]
    instance.ok("start", "hooks/app")
    until(lambda: sorted(said(keep)[4:]) == ["hooked", "up"], "it runs again")
    instance.ok("kill", "--signal", "KILL", "hooks/app")
    until(lambda: "app" not in instance.running("hooks"), "it is killed")
    assert said(keep).count("stopping") == 1, "who is killed does nothing before"
    instance.ok("restart", "hooks/app")
    until(lambda: sorted(said(keep)[6:]) == ["hooked", "up"], "it runs again, with its hook")
    instance.ok("system", "stop")
    assert said(keep)[-2:] == ["stopping", "TERM"]


def test_a_hook_that_takes_too_long_does_not_keep_the_container(
    instance: Instance, image: str, folder: Path, keep: Path
) -> None:
    slow = runs("echo begun >>/keep/log; sleep 999")
    put(folder / "hooks.yaml", hooked(image, keep, {"terminationGracePeriodSeconds": 1}, preStop=slow))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    until(lambda: said(keep) == ["up"], "it hears TERM")
    instance.ok("down", folder)
    assert said(keep) == ["up", "begun", "TERM"]
