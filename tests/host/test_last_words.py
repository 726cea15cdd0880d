"""A container's last words, from the program that writes them to what a user is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

FALL_BACK = "FallbackToLogsOnError"


def says(script: str, image: str, name: str = "app", **fields: Any) -> Manifest:
    return container(name, image, command=["sh", "-c", script], **fields)


def statuses(instance: Instance, name: str = "words") -> dict[str, Any]:
    pod = json.loads(instance.ok("get", "pod", name, "-o", "json"))
    return {c["name"]: c for c in pod["status"]["containerStatuses"]}


@pytest.mark.parametrize("users", [{}, {"hostUsers": False}], ids=["the machine's users", "users of its own"])
def test_what_a_container_leaves_is_shown(users: Any, instance: Instance, image: str, folder: Path) -> None:
    default = (
        'test "$(stat -c %a /dev/termination-log)" = 666 && printf "no tea\\033[31m" >/dev/termination-log; exit 3'
    )
    members = (
        says(default, image, "file", securityContext={"runAsUser": 1000, "readOnlyRootFilesystem": True}),
        says("echo there >/run/last; exit 0", image, "path", terminationMessagePath="/run/last"),
        says("echo one; echo two; exit 1", image, "log", terminationMessagePolicy=FALL_BACK),
        says("echo one; exit 1", image, "silent"),
    )
    put(folder / "words.yaml", pod("words", *members, restartPolicy="Never", **users))
    instance.run("apply", "--wait", "--timeout", 60, folder)
    ended = {name: c["state"]["terminated"] for name, c in statuses(instance).items()}
    assert {name: end.get("message") for name, end in ended.items()} == {
        "file": "no tea\033[31m",
        "path": "there\n",
        "log": "one\ntwo\n",
        "silent": None,
    }
    for told in (instance.ok("get", "pod", "words", "-o", "yaml"), instance.ok("describe", "pod", "words")):
        assert "no tea" in told
        assert "\033" not in told


def test_the_words_of_the_life_before_stay(instance: Instance, image: str, folder: Path) -> None:
    """Also the policy that was changed meanwhile counts, and nobody was there when it ended."""
    wait = "until [ -e /keep/go ]; do sleep 0.05; done"
    script = f"[ -e /keep/twice ] && exec sleep 1000; touch /keep/twice; echo ouch; {wait}; exit 1"
    member = says(script, image, volumeMounts=[{"name": "keep", "mountPath": "/keep"}])
    manifest = pod("words", member, volumes=[{"name": "keep", "hostPath": {"path": str(folder.parent)}}])
    put(folder / "words.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    member["terminationMessagePolicy"] = FALL_BACK
    put(folder / "words.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    (folder.parent / "go").touch()
    until(lambda: "app" not in instance.running("words"), "it has ended")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert statuses(instance)["app"]["lastState"]["terminated"]["message"] == "ouch\n"
