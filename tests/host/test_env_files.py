"""Variables from a file that an init container wrote into an emptyDir (fileKeyRef), on the real runtime."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

WRITES = (
    """printf '%s\\n' "# said by an init container" "PORT='5432'" "URL='db://x:5432" "second line' # why" >/c/db.env"""
)


def of_file(name: str, key: str, path: str = "db.env", **more: Any) -> Manifest:
    return {"name": name, "valueFrom": {"fileKeyRef": {"volumeName": "conf", "path": path, "key": key, **more}}}


def begun_by(image: str, command: str, *env: Manifest, medium: str = "") -> Manifest:
    """A pod whose init container writes, and whose member has these variables and does not mount the volume."""
    mounts = [{"name": "conf", "mountPath": "/c"}]
    first = container("first", image, command=["sh", "-c", command], volumeMounts=mounts)
    app = container("app", image)
    app["env"] += env
    volumes = [{"name": "conf", "emptyDir": {"medium": medium}}]
    return pod("web", app, initContainers=[first], volumes=volumes)


@pytest.mark.parametrize("medium", ["", "Memory"])
def test_a_member_has_what_an_init_container_wrote(instance: Instance, image: str, folder: Path, medium: str) -> None:
    env = [of_file("A_PORT", "PORT"), of_file("URL", "URL"), {"name": "BOTH", "value": "$(A_PORT)/$(URL)"}]
    env += [of_file("NONE", "NONE", optional=True), of_file("NOWHERE", "X", "no/file", optional=True)]
    put(folder / "web.yaml", begun_by(image, WRITES, *env, medium=medium))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    said = instance.ok("exec", "web/app", "--", "sh", "-c", 'echo "$A_PORT|$URL|$BOTH|${NONE-unset}|${NOWHERE-unset}"')
    assert said == "5432|db://x:5432\nsecond line|5432/db://x:5432\nsecond line|unset|unset\n"
    shown = "<set to the key 'PORT' in file 'db.env' of volume 'conf'>"
    assert shown in instance.ok("describe", "pod", "web")


def test_a_file_that_does_not_say_it_keeps_the_member_waiting(instance: Instance, image: str, folder: Path) -> None:
    """Whatever a container put there: nothing is read but a plain file in the volume."""
    lacks = {
        "none": 'file "none" of volume "conf" is not there',
        "other": 'key "PORT" not found in file "other" of volume "conf"',
        "bare": 'file "bare" of volume "conf": line 1: a value must be in single quotes',
        "link": 'file "link" of volume "conf": it leads out of the volume',
        "pipe": 'file "pipe" of volume "conf": it is no plain file',
    }
    writes = "cd /c; echo \"OTHER='1'\" >other; echo PORT=1 >bare; ln -s /etc/passwd link; mkfifo pipe"
    manifest = begun_by(image, writes)
    members = [container(path, image, env=[of_file("PORT", "PORT", path)]) for path in lacks]
    manifest["spec"]["containers"] += members
    put(folder / "web.yaml", manifest)
    instance.watch(folder)

    def states() -> dict[str, Any]:
        found = instance.run("get", "pod", "web", "-o", "json")
        status = json.loads(found.stdout)["status"] if found.returncode == 0 else {}
        return {c["name"]: c["state"].get("waiting") or {} for c in status.get("containerStatuses", ())}

    def words() -> set[Any]:
        now = states()
        return {now.get(path, {}).get("reason") for path in lacks}

    until(lambda: words() == {"CreateContainerConfigError"}, "all of them are told")
    told = {path: state["message"] for path, state in states().items() if path in lacks}  # not of the sibling
    assert told == {path: f"cannot create container {path}: variable PORT: {why}" for path, why in lacks.items()}
    until(lambda: set(instance.running("web")) == {"app", "infra"}, "its sibling runs, and nobody else")


def test_what_is_written_later_is_read_at_the_next_try(instance: Instance, image: str, folder: Path) -> None:
    """By a sidecar, that is; the kubelet tries again, too."""
    manifest = begun_by(image, "true", of_file("PORT", "PORT"))
    (first,) = manifest["spec"]["initContainers"]
    wait = "until [ -e /c/go ]; do sleep 0.1; done; " + WRITES + "; while :; do sleep 1000 & wait; done"
    first |= {"restartPolicy": "Always", "command": ["sh", "-c", f"trap 'exit 0' TERM; {wait}"]}
    put(folder / "web.yaml", manifest)
    instance.watch(folder)
    until(lambda: "CreateContainerConfigError" in instance.ok("get", "pods"), "the member waits")
    instance.ok("exec", "web/first", "--", "touch", "/c/go")
    until(lambda: "app" in instance.running("web"), "the member was made")
    assert instance.ok("exec", "web/app", "--", "sh", "-c", "echo $PORT") == "5432\n"
