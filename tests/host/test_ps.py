"""Listings of real containers: `ps`, `pod ps`, `pod exists`, by every way in which they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.instance import Instance, until
from tests.host.manifests import SERVE, Manifest, container, pod, put

pytestmark = pytest.mark.host


def web(image: str) -> Manifest:
    """A pod of one container that serves and one that has ended; it publishes two ports."""
    ports = [{"containerPort": 80 + n, "hostPort": 18080 + n} for n in range(2)]
    mounts = [{"name": "tmp", "mountPath": "/mnt"}]
    made = pod(
        "web",
        container("app", image, ports=ports, volumeMounts=mounts),
        container("once", image, command=["sh", "-c", "exit 3"]),
        restartPolicy="Never",
        volumes=[{"name": "tmp", "hostPath": {"path": "/tmp"}}],
    )
    made["metadata"]["labels"] = {"tier": "front"}
    return made


@pytest.fixture
def there(instance: Instance, image: str, folder: Path) -> Iterator[Instance]:
    """Two pods: ``web`` (see above), and ``db`` of one container that runs what its image does."""
    put(folder / "web.yaml", web(image))
    put(folder / "db.yaml", pod("db", container("main", image, args=["sh", "-c", SERVE], command=None)))
    instance.run("apply", "--wait", "--timeout", 60, folder)
    until(lambda: instance.containers("web")["once"].exit, "one container fails, on purpose")
    return instance


def test_listings(there: Instance, image: str) -> None:
    infra = {row["PodName"]: row for row in listed(there) if row["IsInfra"]}
    assert {name: row["Names"] for name, row in infra.items()} == {
        name: [f"{row['Pod'][:12]}-infra"] for name, row in infra.items()
    }
    shown = {line.split()[-2]: line for line in there.ok("ps", "-a", "--pod").splitlines()}
    assert set(shown) == {"NAMES", "web/app", "web/once", "db/main", *(row["Names"][0] for row in infra.values())}
    assert shown["NAMES"].split()[-2:] == ["NAMES", "POD"]
    for name in ("web/app", "web/once", infra["web"]["Names"][0]):
        assert "0.0.0.0:18080-18081->80-81/tcp" in shown[name]
        assert shown[name].endswith(infra["web"]["Pod"][:12])
    assert f"  {image}  " in shown["web/app"]
    assert "Exited (3)" in shown["web/once"]
    assert " Up " in shown["db/main"]
    assert there.ok("ps", "--noheading").count("\n") == 4

    running = {row["Names"][0]: row for row in listed(there, "--ns") if row["State"] == "running"}
    assert running["web/app"]["Pid"] == there.running("web")["app"].pid
    assert running["web/app"]["Namespaces"]["Net"] == infra_namespace(running, "web", "Net")
    assert running["web/app"]["Namespaces"]["Mnt"] != infra_namespace(running, "web", "Mnt")


def infra_namespace(rows: dict[str, dict[str, object]], pod: str, kind: str) -> object:
    (row,) = (row for row in rows.values() if row["IsInfra"] and row["PodName"] == pod)
    namespaces = row["Namespaces"]
    assert isinstance(namespaces, dict)
    return namespaces[kind]


def listed(instance: Instance, *options: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(instance.ok("ps", "-a", "--format", "json", *options))
    return found


def names(instance: Instance, *words: str) -> set[str]:
    return set(instance.ok("ps", *words, "--format", "{{.Names}}").split())


def test_filters_and_formats(there: Instance) -> None:
    assert names(there, "--filter", "status=exited") == {"web/once"}
    assert names(there, "-f", "label=tier=front", "-f", "name=app", "-f", "name=once") == {"web/app"}
    assert names(there, "-a", "-f", "pod=web", "-f", "exited=3") == {"web/once"}
    assert names(there, "-a", "-f", "volume=/mnt") == {"web/app"}
    assert names(there, "-a", "-f", "network=nope") == set()
    assert len(names(there, "--last", "2")) == 2
    assert len(names(there, "--latest")) == 1
    newest = there.ok("ps", "-l", "-q").strip()
    assert there.ok("ps", "-a", "--no-trunc", "-q").split()[0].startswith(newest)

    table = there.ok("ps", "--filter", "name=app", "--format", "table {{.Names}} {{.Labels.tier}} {{upper .State}}")
    assert [line.split() for line in table.splitlines()] == [
        ["NAMES", "TIER", "STATE"],
        ["web/app", "front", "RUNNING"],
    ]
    for form, complaint in (("{{.Nope}}", "can't evaluate field Nope"), ("{{len .ID}}", '"len" is not supported')):
        done = there.run("ps", "--format", form)
        assert (done.returncode, done.stdout) == (125, "")
        assert done.stderr.splitlines()[0] == f"reconciler: cannot use --format: {complaint}"
    assert there.run("ps", "--filter", "nope=1").returncode == 125


def test_the_command_of_an_image_is_shown_where_the_manifest_has_none(
    instance: Instance, image: str, folder: Path
) -> None:
    put(folder / "plain.yaml", pod("plain", {"name": "main", "image": image, "tty": True, "stdin": True}))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    inspected = json.loads(instance.ok("image", "inspect", image))[0]["Config"]
    assert instance.ok("ps", "-f", "name=main", "--format", "{{.Command}}").split() == inspected["Cmd"]


def test_listings_of_pods(there: Instance) -> None:
    rows = [line.split() for line in there.ok("pod", "ps", "--noheading", "--sort", "name").splitlines()]
    assert [(row[1], row[2], row[-2]) for row in rows] == [("db", "Running", "2"), ("web", "Degraded", "3")]
    head = there.ok("pod", "ls").splitlines()[0]
    assert head.split("   ")[0] == "POD ID"
    assert [title for title in head.split("  ") if title][-1].strip() == "INFRA ID"

    found = {one["Name"]: one for one in json.loads(there.ok("pod", "ps", "--format", "json"))}
    assert {member["Names"]: member["Status"] for member in found["web"]["Containers"]} == {
        "web/app": "running",
        "web/once": "exited",
        f"{found['web']['Id'][:12]}-infra": "running",
    }
    assert found["web"]["Labels"] == {"tier": "front"}
    assert found["web"]["Cgroup"].startswith("/")
    assert there.ok("pod", "ps", "-q", "--filter", "status=degraded").split() == [found["web"]["Id"]]
    assert there.ok("pod", "ps", "--filter", "ctr-names=main", "--format", "{{.Name}}") == "db\n"

    for name, code in (("web", 0), (found["web"]["Id"][:12], 0), ("nope", 1)):
        assert there.run("pod", "exists", name).returncode == code
