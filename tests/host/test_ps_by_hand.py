"""Listings of what was made by hand: names of their own, pods that are none to look at, states that only they have."""

from __future__ import annotations

import json

import pytest

from tests.host.instance import Instance

pytestmark = pytest.mark.host


def test_the_first_pages_columns_and_names(instance: Instance, image: str) -> None:
    pod = instance.ok("pod", "create", "--name", "jolly", "--label", "a=b").strip()
    (line,) = instance.ok("pod", "ps", "--noheading").splitlines()
    assert line.split()[:3] == [pod[:12], "jolly", "Created"]
    assert line.split()[-2] == "1"
    (infra,) = instance.ok("ps", "-a", "--pod", "--noheading").splitlines()
    assert infra.split()[-3:] == ["Created", f"{pod[:12]}-infra", pod[:12]]
    assert infra.split()[0] == line.split()[-1]

    member = instance.ok(
        "run", "-dt", "--pod", "jolly", "--name", "adoring", "-l", "k=v", image, "sleep", "1000"
    ).strip()
    alone = instance.ok("create", "--name", "solo", "--rm", image, "true").strip()
    listed = [line.split() for line in instance.ok("ps", "-a", "--pod", "--noheading").splitlines()]
    assert [words[0] for words in listed] == [alone[:12], member[:12], infra.split()[0]], "not the newest first"
    assert listed[0][-2:] == ["Created", "solo"], "a container of its own has a pod"
    assert listed[1][-2:] == ["adoring", pod[:12]]
    assert " ".join(listed[1][2:4]) == "sleep 1000"
    assert instance.ok("pod", "ps", "--format", "{{.Name}} {{.Status}} {{.NumberOfContainers}}") == "jolly Running 2\n"

    rows = {row["Names"][0]: row for row in json.loads(instance.ok("ps", "-a", "--format", "json"))}
    assert (rows["solo"]["AutoRemove"], rows["solo"]["Pod"], rows["solo"]["PodName"]) == (True, "", "")
    assert (rows["adoring"]["Labels"], rows["adoring"]["PodName"]) == ({"k": "v"}, "jolly")
    assert rows[f"{pod[:12]}-infra"]["Labels"] == {"a": "b"}
    assert instance.ok("ps", "-a", "-q", "-f", "label=k").split() == [member[:12]]
    form = "{{.Name}} {{.Pod}} {{join .Config.CreateCommand ` `}}"
    name, made_by = instance.ok("inspect", "solo", "-f", form).split("  ")
    assert (name, made_by.split()[-1]) == ("solo", "true")
    assert instance.ok("pod", "inspect", "jolly", "-f", "{{.State}} {{.NumContainers}}") == "Running 2\n"
    assert instance.run("pod", "exists", "solo").returncode == 1, "its pod is nobody's to see"


def test_a_stopped_pod_is_listed_with_all_it_keeps(instance: Instance, image: str) -> None:
    instance.ok("run", "-d", "--pod", "new:web", "-p", "18080:80", "--name", "app", image, "sleep", "1000")
    instance.ok("pod", "stop", "-t", "0", "web")
    assert instance.ok("pod", "ps", "--format", "{{.Status}} {{.ContainerStatuses}}") == "Exited exited,exited\n"
    stopped = instance.ok("ps", "-a", "-f", "status=exited", "--format", "{{.Names}} {{.Ports}}").splitlines()
    assert stopped[0] == "app 0.0.0.0:18080->80/tcp"
    assert instance.ok("ps", "-q") == ""
    assert instance.ok("inspect", "app", "-f", "{{.State.Status}}:{{.NetworkSettings.IPAddress}}") == "exited:\n"


def test_a_paused_container_is_listed_as_one(instance: Instance, image: str) -> None:
    instance.ok("run", "-d", "--pod", "new:web", "--name", "app", image, "sleep", "1000")
    instance.ok("pause", "app")
    try:
        assert instance.ok("ps", "-a", "-f", "name=app", "--format", "{{.Status}} {{.State}}") == "Paused paused\n"
        assert instance.ok("ps", "-f", "name=app", "-q") == "", "it does not run"
        assert (
            instance.ok("pod", "ps", "-f", "ctr-status=paused", "--format", "{{.Name}} {{.Status}}") == "web Degraded\n"
        )
        assert instance.ok("inspect", "app", "-f", "{{.State.Paused}} {{.State.Running}} {{.State.Status}}") == (
            "true false paused\n"
        )
    finally:
        instance.ok("unpause", "app")
    assert instance.ok("ps", "-f", "name=app", "--format", "{{.State}}") == "running\n"
