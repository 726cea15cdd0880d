"""`inspect` of real containers and pods: what it says is what the kernel and the disk say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host


def shown(instance: Instance, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(instance.ok(*words))
    return found


def test_what_is_said_is_what_is_so(instance: Instance, image: str, folder: Path) -> None:
    mounts = [{"name": "tmp", "mountPath": "/mnt", "readOnly": True}]
    app = container(
        "app",
        image,
        volumeMounts=mounts,
        ports=[{"containerPort": 80, "hostPort": 18080}],
        resources={"limits": {"memory": "64Mi"}},
    )
    once = container("once", image, command=["sh", "-c", "exit 3"])
    volumes = [{"name": "tmp", "hostPath": {"path": "/tmp"}}]
    put(folder / "web.yaml", pod("web", app, once, restartPolicy="Never", volumes=volumes))
    instance.run("apply", "--wait", "--timeout", 60, folder)
    until(lambda: instance.containers("web")["once"].exit, "one container fails, on purpose")

    running, ended = shown(instance, "inspect", "web/app", "web/once")
    process = instance.running("web")["app"]
    proc = Path(f"/proc/{running['State']['Pid']}")
    assert (running["State"]["Pid"], running["State"]["Running"]) == (process.pid, True)
    environment = (proc / "environ").read_bytes().split(b"\0")
    assert {item.encode() for item in running["Config"]["Env"]} <= set(environment)
    assert [running["Path"], *running["Args"]] == (proc / "cmdline").read_text().split("\0")[:-1]
    groups = (proc / "cgroup").read_text()
    assert re.search(rf"{re.escape(running['State']['CgroupPath'])}(/container)?\n", groups)  # crun >= 1.17 in a scope
    parent = Path(f"/proc/{running['State']['ConmonPid']}/cmdline").read_text()
    assert running["Id"] in parent
    assert (ended["State"]["Status"], ended["State"]["ExitCode"], ended["State"]["Pid"]) == ("exited", 3, 0)
    assert ended["State"]["FinishedAt"] >= ended["State"]["StartedAt"] > "2020"

    (mount,) = running["Mounts"]
    assert (mount["Source"], mount["Destination"], mount["RW"]) == ("/tmp", "/mnt", False)
    assert running["HostConfig"]["Memory"] == 64 << 20
    address = running["NetworkSettings"]["IPAddress"]
    assert f"inet {address}/{running['NetworkSettings']['IPPrefixLen']} " in instance.ok(
        "exec", "web/app", "--", "ip", "-4", "addr"
    )
    assert running["NetworkSettings"]["MacAddress"] in instance.ok("exec", "web/app", "--", "ip", "link")
    for path in (running["HostsPath"], running["OCIConfigPath"], running["GraphDriver"]["Data"]["UpperDir"]):
        assert Path(path).exists(), path

    (infra,) = shown(instance, "inspect", running["Dependencies"][0])
    assert (infra["IsInfra"], infra["Name"]) == (True, f"{running['Pod'][:12]}-infra")
    (of_pod,) = shown(instance, "pod", "inspect", "web")
    assert (of_pod["Id"], of_pod["State"], of_pod["NumContainers"]) == (running["Pod"], "Degraded", 3)
    assert running["State"]["CgroupPath"].startswith(f"{of_pod['CgroupPath']}/")
    assert shown(instance, "inspect", "web") == [of_pod]

    form = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    assert instance.ok("inspect", "-f", form, "app") == f"{process.pid} {address}\n"
    assert instance.ok("inspect", "--format", "{{.Id}}", image).strip() == running["Image"]


def test_what_is_not_there_is_named_and_the_rest_shown(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "web.yaml", pod("web", container("app", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    done = instance.run("inspect", "nope", "app", "--format", "{{.Name}}")
    assert (done.returncode, done.stdout) == (125, "web/app\n")
    assert done.stderr == 'reconciler: cannot inspect "nope": no container, pod or image has this name or id\n'
    for words in (
        ["inspect", "--type", "pod", "app"],
        ["pod", "inspect", "app"],
        ["inspect", "-f", "{{.Nope}}", "app"],
    ):
        assert instance.run(*words).returncode == 125
