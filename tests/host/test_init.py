"""Init containers and sidecars on real containers: their order, what makes them run again, how they end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance, until, wait_for_end
from tests.host.lives import end_controller
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
    """READY and STATUS of a pod, as `get` shows them; nothing where there is none."""
    shown = instance.run("get", "pods", name)
    return shown.stdout.splitlines()[1].split()[1:3] if shown.returncode == 0 else []


def is_shown(instance: Instance, name: str, ready: str, word: str) -> None:
    until(lambda: row(instance, name) == [ready, word], f"{name} is shown as {ready} {word}")


def status_of(instance: Instance, name: str) -> Manifest:
    found: Manifest = json.loads(instance.ok("get", "pods", name, "-o", "json"))["status"]
    return found


def test_they_run_one_after_the_other_and_members_begin_last(
    instance: Instance, image: str, folder: Path, log: Path
) -> None:
    init = [said(image, "one"), sidecar(image, "car"), said(image, "two"), sidecar(image, "bus")]
    put(folder / "web.yaml", with_log("web", log, lasting(image, "app"), init=init))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    until(lambda: len(lines(log)) == 5, "all have said something")
    assert [line for line in lines(log) if line in ("one", "two")] == ["one", "two"]
    assert lines(log)[0] == "one"
    assert lines(log).index("app") > lines(log).index("two")
    assert set(instance.running("web")) == {"infra", "car", "bus", "app"}
    assert row(instance, "web") == ["3/3", "Running"]
    told = status_of(instance, "web")
    assert [(c["name"], c["ready"], list(c["state"])) for c in told["initContainerStatuses"]] == [
        ("one", True, ["terminated"]),
        ("car", True, ["running"]),
        ("two", True, ["terminated"]),
        ("bus", True, ["running"]),
    ]
    assert instance.run("diff", folder).returncode == 0
    assert instance.ok("logs", "web/one") == "", "its word went into the file"
    assert instance.ok("exec", "web", "sh", "-c", "echo $NAME") == "app\n", "a pod with one member means that"
    assert instance.ok("exec", "web/car", "sh", "-c", "echo $NAME") == "car\n"
    assert "Running" in instance.ok("pod", "ps")

    instance.ok("down", folder)
    assert lines(log)[5:] == ["app ends", "bus ends", "car ends"]


def test_what_has_ended_well_runs_again_only_with_a_new_infra_container(
    instance: Instance, image: str, folder: Path, log: Path, reboot: Callable[[], None]
) -> None:
    manifest = with_log("web", log, container("app", image), container("side", image), init=[said(image, "one")])
    file = put(folder / "web.yaml", manifest)
    controller = instance.watch(folder)
    everybody = {"infra", "app", "side"}
    until(lambda: set(instance.running("web")) == everybody, "it runs")
    first = instance.running("web")

    os.kill(first["app"].pid, signal.SIGKILL)
    until(lambda: instance.running("web").get("app") not in (None, first["app"]), "the member was restarted")
    manifest["spec"]["containers"][1]["args"] = ["more"]
    put(file, manifest)
    until(lambda: instance.running("web").get("side") not in (None, first["side"]), "the member was replaced")
    end_controller(controller, signal.SIGINT)
    second = instance.running("web")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert instance.running("web") == second
    assert second["infra"] == first["infra"]
    assert lines(log) == ["one"]

    os.kill(second["infra"].pid, signal.SIGKILL)
    wait_for_end([second["infra"]])
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert set(instance.running("web")) == everybody
    assert lines(log) == ["one", "one"]

    reboot()
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert set(instance.running("web")) == everybody
    assert lines(log) == ["one", "one", "one"]


FAILS = f"{SAY}; exit 3"


def test_one_that_fails_is_tried_again_or_is_the_end_of_the_pod(
    instance: Instance, image: str, folder: Path, log: Path
) -> None:
    init = [sidecar(image, "car"), said(image, "one", FAILS)]
    put(folder / "again.yaml", with_log("again", log, container("app", image), init=[said(image, "two", FAILS)]))
    once = put(folder / "once.yaml", with_log("once", log, container("app", image), init=init, restartPolicy="Never"))
    instance.watch(folder)
    is_shown(instance, "once", "0/2", "Init:Error")
    is_shown(instance, "again", "0/1", "Init:CrashLoopBackOff")
    until(lambda: "car ends" in lines(log), "the sidecar has ended")
    assert status_of(instance, "once")["phase"] == "Failed"
    told = status_of(instance, "again")
    assert told["phase"] == "Pending"
    assert told["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert told["initContainerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
    initialized = next(c for c in told["conditions"] if c["type"] == "Initialized")
    assert initialized["message"] == "containers with incomplete status: [two]"
    assert lines(log).count("one") == 1
    until(lambda: lines(log).count("two") >= 2, "it was tried again")

    instance.stop_controllers()
    done = instance.run("apply", "--wait", "--timeout", 60, once)
    assert done.returncode == 1
    assert "container one: exited with code 3" in done.stdout + done.stderr
    assert set(instance.running("once")) == {"infra"}


def test_sidecars_end_with_the_members_of_a_pod_that_completes(
    instance: Instance, image: str, folder: Path, log: Path
) -> None:
    job = said(image, "job")
    init = [sidecar(image, "car"), sidecar(image, "bus")]
    put(folder / "job.yaml", with_log("job", log, job, init=init, restartPolicy="OnFailure"))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert set(instance.running("job")) == {"infra"}
    assert [line for line in lines(log) if line.endswith("ends")] == ["bus ends", "car ends"]
    assert row(instance, "job") == ["0/3", "Completed"]
    assert status_of(instance, "job")["phase"] == "Succeeded"
    assert instance.run("diff", folder).returncode == 0
    assert instance.run("status", folder).returncode == 0


def test_a_sidecar_that_dies_is_restarted_alone_whatever_the_policy(
    instance: Instance, image: str, folder: Path, log: Path
) -> None:
    init = [sidecar(image, "car"), said(image, "one")]
    put(folder / "web.yaml", with_log("web", log, container("app", image), init=init, restartPolicy="Never"))
    instance.watch(folder)
    until(lambda: set(instance.running("web")) == {"infra", "car", "app"}, "it runs")
    before = instance.running("web")
    os.kill(before["car"].pid, signal.SIGKILL)
    until(lambda: instance.running("web").get("car") not in (None, before["car"]), "it runs again")
    assert {**instance.running("web"), "car": None} == {**before, "car": None}
    assert lines(log).count("one") == 1


def test_a_manifest_whose_init_container_cannot_run_leaves_the_pod_as_it_is(
    instance: Instance, image: str, folder: Path, log: Path
) -> None:
    manifest = with_log("web", log, container("app", image), init=[said(image, "one")])
    file = put(folder / "web.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = instance.running("web")
    manifest["spec"]["initContainers"][0].update(image="localhost/no/such:1", imagePullPolicy="Never")
    put(file, manifest)
    instance.in_vain(folder, "image localhost/no/such:1 is not here")
    assert instance.running("web") == before
    assert lines(log) == ["one"]


def test_when_the_machine_stops_sidecars_end_after_the_members(
    instance: Instance, image: str, folder: Path, log: Path
) -> None:
    init = [sidecar(image, "car"), sidecar(image, "bus")]
    put(folder / "web.yaml", with_log("web", log, lasting(image, "app"), init=init))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    until(lambda: len(lines(log)) == 3, "all have said something")
    assert "3 containers ended." in instance.ok("system", "stop")
    assert lines(log)[3:] == ["app ends", "bus ends", "car ends"]


def test_kube_play_generate_and_down(instance: Instance, image: str, folder: Path, log: Path) -> None:
    init = [said(image, "one"), sidecar(image, "car")]
    file = put(folder / "web.yaml", with_log("web", log, lasting(image, "app"), init=init))
    instance.ok("kube", "play", file)
    assert set(instance.running("web")) == {"infra", "car", "app"}
    generated = folder / "generated.yaml"
    generated.write_text(instance.ok("kube", "generate", "web"))
    before = instance.running("web")
    assert "nothing to do" in instance.run("kube", "play", generated).stderr
    assert instance.running("web") == before

    refused = instance.run("rm", "web/one")
    assert refused.returncode != 0
    assert "it goes with the pod" in refused.stderr
    until(lambda: len(lines(log)) == 3, "all have said something")
    instance.ok("kube", "down", file)
    assert lines(log)[3:] == ["app ends", "car ends"]


def test_what_follows_a_sidecar_waits_for_its_startup_probe(
    instance: Instance, image: str, folder: Path, log: Path
) -> None:
    probe = {"exec": {"command": ["test", "-e", "/log/up"]}, "periodSeconds": 1, "failureThreshold": 1000}
    init = [sidecar(image, "car", startupProbe=probe), said(image, "one")]
    put(folder / "web.yaml", with_log("web", log, container("app", image), init=init))
    instance.watch(folder)
    until(lambda: "car" in lines(log), "the sidecar runs")
    assert row(instance, "web") == ["0/2", "Init:0/2"]
    assert lines(log) == ["car"]
    (log / "up").touch()
    is_shown(instance, "web", "2/2", "Running")
    assert lines(log) == ["car", "one"]
