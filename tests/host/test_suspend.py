"""`suspend` and `resume` on real containers, with a live controller and without one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from reconciler.model.observed import PidRef
from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

BOTH = {"infra", "app", "side"}


def web(image: str, **fields: object) -> Manifest:
    return pod("web", container("app", image, **fields), container("side", image))


def kill(instance: Instance, member: str) -> PidRef:
    process = instance.running("web")[member]
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: member not in instance.running("web"), f"{member} has ended")
    return process


def canary(instance: Instance, image: str, folder: Path, name: str) -> None:
    """A pod that is made after all that was to be heard before: the controller has looked, then."""
    put(folder / f"{name}.yaml", pod(name, container("app", image)))
    until(lambda: "app" in instance.running(name), f"{name} runs")


def test_a_live_controller_leaves_it_alone_until_it_is_resumed(instance: Instance, image: str, folder: Path) -> None:
    file = put(folder / "web.yaml", web(image))
    instance.watch(folder)
    first = until(lambda: (r := instance.running("web")).keys() == BOTH and r, "web runs")

    assert instance.ok("suspend", "web") == "pod default/web is suspended\n"
    assert instance.ok("suspend", "web") == "pod default/web is suspended already\n"
    kill(instance, "app")
    put(file, web(image, env=[{"name": "NAME", "value": "edited"}]))
    canary(instance, image, folder, "one")
    file.unlink()
    assert instance.running("web") == {"infra": first["infra"], "side": first["side"]}
    put(file, web(image, env=[{"name": "NAME", "value": "edited"}]))
    canary(instance, image, folder, "two")
    assert instance.running("web") == {"infra": first["infra"], "side": first["side"]}

    (line,) = [line for line in instance.ok("get", "pods", "--no-headers").splitlines() if line.startswith("web")]
    assert line.split()[1:3] == ["1/2", "Error,Suspended"]
    status = instance.run("status", folder)
    assert status.returncode == 1
    (line,) = [line for line in status.stdout.splitlines() if "default/web" in line]
    assert line.split()[2] == "Suspended"
    assert "`reconciler resume web` takes it up again" in line
    diff = instance.run("diff", folder)
    assert diff.returncode == 1
    assert "it is suspended" in diff.stdout
    assert "container app because env[NAME] changed: app -> edited" in diff.stdout

    assert instance.ok("resume", "web") == "pod default/web is resumed\n"
    after = until(lambda: (r := instance.running("web")).keys() == BOTH and r, "web runs again")
    assert (after["infra"], after["side"]) == (first["infra"], first["side"])
    until(lambda: "edited is up" in instance.ok("logs", "web/app"), "the edit is taken up")
    reasons = [line.split()[2] for line in instance.ok("events", "--for", "web").splitlines()[1:]]
    assert (reasons.count("Suspended"), reasons.count("Resumed")) == (1, 1)
    assert instance.ok("resume", "web") == "pod default/web is not suspended\n"


def test_a_removed_manifest_removes_it_only_when_it_is_resumed(instance: Instance, image: str, folder: Path) -> None:
    file = put(folder / "web.yaml", web(image))
    instance.watch(folder)
    first = until(lambda: (r := instance.running("web")).keys() == BOTH and r, "web runs")
    instance.ok("suspend", "web")
    file.unlink()
    canary(instance, image, folder, "one")
    until(lambda: "Suspended" in instance.run("status", folder).stdout, "status tells it")
    assert instance.running("web") == first
    instance.ok("resume", "default/web")
    until(lambda: instance.running("web") == {}, "web is gone")


def test_stopped_after_it_was_suspended_it_stays_so_over_the_controllers_lives(
    instance: Instance, image: str, folder: Path
) -> None:
    put(folder / "web.yaml", web(image))
    instance.ok("apply", "--wait", folder)
    instance.ok("suspend", "web")
    stopped = instance.run("pod", "stop", "web")
    assert (stopped.returncode, "will be started again" in stopped.stderr) == (0, False)
    assert instance.running("web").keys() <= {"infra"}
    for life in ("one", "two"):
        controller = instance.watch(folder)
        canary(instance, image, folder, life)
        controller.send_signal(signal.SIGINT)
        controller.wait()
        assert instance.running("web").keys() <= {"infra"}
    done = instance.run("apply", "--wait", folder)
    assert done.returncode == 1
    assert "pod default/web: it is suspended: `reconciler resume web` takes it up again" in done.stderr

    done = instance.run("resume", "web")
    assert done.returncode == 0
    assert f"nobody watches {folder}: pod default/web stays as it is for now" in done.stderr
    instance.ok("apply", "--wait", folder)
    assert instance.running("web").keys() == BOTH


def test_down_removes_it_and_apply_makes_it_again(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", web(image))
    instance.ok("apply", "--wait", folder)
    instance.ok("suspend", "web")
    shown = json.loads(instance.ok("get", "pods", "web", "-o", "json"))["status"]
    assert shown["message"] == "it is suspended"
    assert shown["conditions"][-1]["type"] == "Suspended"
    instance.ok("down", folder)
    assert instance.engine.keys() == ()
    instance.ok("apply", "--wait", folder)
    assert instance.running("web").keys() == BOTH


def test_a_pod_made_by_hand_is_refused_with_the_word_that_is_meant(
    instance: Instance, image: str, tmp_path: Path
) -> None:
    file = put(tmp_path / "web.yaml", web(image))
    instance.ok("kube", "play", file)
    refused = instance.run("suspend", "web", "nobody")
    assert refused.returncode == 1
    assert 'cannot suspend pod "web": it was made by hand, and only commands change it' in refused.stderr
    assert "reconciler pod stop web" in refused.stderr
    assert 'cannot find pod "nobody"' in refused.stderr
    instance.ok("kube", "down", file)
