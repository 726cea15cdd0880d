"""Volumes of manifests as processes in the pod see them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.key import Key
from tests.host import imagelab as lab
from tests.host.imagelab import Entry, layer
from tests.host.instance import Instance, checked, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


both_runtimes = pytest.mark.parametrize("instance", ["crun", "runc"], indirect=True)


@pytest.fixture
def instance(root: Path, request: pytest.FixtureRequest) -> Iterator[Instance]:
    yield from checked(Instance(root, "--runtime", getattr(request, "param", "crun")))


def mount(name: str, path: str, **fields: Any) -> Manifest:
    return {"name": name, "mountPath": path, **fields}


def apply(instance: Instance, folder: Path, *manifests: Manifest) -> None:
    put(folder / "web.yaml", *manifests)
    instance.ok("apply", "--wait", "--timeout", 60, folder)


def inside(instance: Instance, name: str, path: str) -> Path:
    """A path as a running member of the pod `web` sees it."""
    return Path(f"/proc/{instance.running('web')[name].pid}/root{path}")


def link(path: Path) -> str:
    return str(path.readlink())


def mounted(instance: Instance, name: str, path: str) -> list[str]:
    """The line of /proc/PID/mountinfo of what a member has at ``path``."""
    table = inside(instance, name, "/proc/1/mountinfo").read_text().splitlines()
    return next(row for row in map(str.split, table) if row[4] == path)


@both_runtimes
def test_memory_is_shared_by_the_pods_members_and_outlives_them(instance: Instance, image: str, folder: Path) -> None:
    """Of its size, with the fsGroup; what is in it stays when a member is replaced, and goes with the pod."""
    writer = container("app", image, volumeMounts=[mount("fast", "/fast")])
    reader = container("side", image, volumeMounts=[mount("fast", "/seen", readOnly=True)])
    volumes = [{"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    manifest = pod("web", writer, reader, volumes=volumes, securityContext={"fsGroup": 33})
    apply(instance, folder, manifest)
    top = inside(instance, "app", "/fast")
    assert (stat.S_IMODE(top.stat().st_mode), top.stat().st_gid) == (0o3777, 33)
    row = mounted(instance, "app", "/fast")
    assert (row[-3], "size=1024k" in row[-1]) == ("tmpfs", True)
    (top / "kept").write_text("kept")
    assert (top / "kept").stat().st_gid == 33
    assert inside(instance, "side", "/seen/kept").read_text() == "kept"
    assert "ro" in mounted(instance, "side", "/seen")[5].split(",")
    before = instance.running("web")
    writer["env"].append({"name": "MORE", "value": "1"})
    apply(instance, folder, manifest)
    assert instance.running("web")["app"] != before["app"]
    assert inside(instance, "app", "/fast/kept").read_text() == "kept"
    volumes[0]["emptyDir"]["sizeLimit"] = "2Mi"
    apply(instance, folder, manifest)
    assert "size=2048k" in mounted(instance, "app", "/fast")[-1]
    assert inside(instance, "app", "/fast/kept").read_text() == "kept"
    assert instance.running("web")["infra"] == before["infra"]


LABELS = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
ABOUT = [
    LABELS,
    {"path": "of/tier", "fieldRef": {"fieldPath": "metadata.annotations['tier']"}, "mode": 0o400},
    {"path": "of/uid", "fieldRef": {"fieldPath": "metadata.uid"}},
    {"path": "memory", "resourceFieldRef": {"containerName": "app", "resource": "limits.memory", "divisor": "1Mi"}},
]


def test_files_tell_of_the_pod_and_follow_it(instance: Instance, image: str, folder: Path) -> None:
    """Labels and limits change in place, all at once, and nothing that the container can do changes them."""
    limits = {"limits": {"memory": "64Mi"}}
    app = container("app", image, volumeMounts=[mount("about", "/about")], resources=limits)
    manifest = pod("web", app, volumes=[{"name": "about", "downwardAPI": {"items": ABOUT}}])
    manifest["metadata"] |= {"labels": {"b": "2", "a": "1"}, "annotations": {"tier": "front"}}
    apply(instance, folder, manifest)
    before, top = instance.running("web"), inside(instance, "app", "/about")
    assert {path.name for path in top.iterdir() if not path.name.startswith("..")} == {"labels", "of", "memory"}
    assert ((top / "labels").read_text(), (top / "memory").read_text()) == ('a="1"\nb="2"', "64")
    assert (top / "of" / "tier").read_text() == "front"
    sandbox = instance.engine.observe(Key("default", "web"), None).sandbox
    assert sandbox is not None
    assert (top / "of" / "uid").read_text() == sandbox.uid
    assert stat.S_IMODE((top / "of" / "tier").stat().st_mode) == 0o400
    assert (link(top / "labels"), link(top / "of")) == ("..data/labels", "..data/of")
    version = link(top / "..data")
    for attempt in (["touch", "/about/more"], ["rm", "/about/labels"], ["mount", "-o", "remount,rw", "/about"]):
        assert instance.run("exec", "web/app", "--", *attempt).returncode
    manifest["metadata"]["labels"] = {"c": "3"}
    app["resources"] = {"limits": {"memory": "96Mi"}}
    apply(instance, folder, manifest)
    assert ((top / "labels").read_text(), (top / "memory").read_text()) == ('c="3"', "96")
    assert link(top / "..data") != version
    assert [path.name for path in top.iterdir() if path.name.startswith("..2")] == [link(top / "..data")]
    assert instance.running("web") == before
    assert instance.run("diff", folder).returncode == 0


def config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


@both_runtimes
def test_objects_are_files_of_their_modes(instance: Instance, image: str, folder: Path) -> None:
    """In memory, with the pod's group, also where its users are its own; a part of them at a place of its own; no value
    of a Secret on the disk."""
    everything = {
        "defaultMode": 0o600,
        "sources": [
            {"configMap": {"name": "conf", "items": [{"key": "a", "path": "sub/a", "mode": 0o444}]}},
            {"configMap": {"name": "nowhere", "optional": True}},
            {"secret": {"name": "pass"}},
        ],
    }
    mounts = [mount("all", "/all"), mount("all", "/etc/one", subPath="sub/a"), mount("plain", "/plain")]
    volumes = [{"name": "all", "projected": everything}, {"name": "plain", "configMap": {"name": "conf"}}]
    manifest = pod("web", container("app", image, volumeMounts=mounts), volumes=volumes)
    manifest["spec"] |= {"securityContext": {"fsGroup": 33}, "hostUsers": False}
    apply(instance, folder, manifest, config_map("conf", a="A", b="B"), secret("pass", word="dont-tell"))
    told = instance.ok("exec", "web/app", "--", "sh", "-c", "cd /all; stat -Lc '%n %a %u:%g' * sub/a; cat word sub/a")
    assert told.splitlines() == ["sub 2755 0:33", "word 640 0:33", "sub/a 444 0:33", "dont-tellA"]
    links = instance.ok("exec", "web/app", "--", "sh", "-c", "cd /all; stat -c '%F %u' sub word ..data")
    assert set(links.splitlines()) == {"symbolic link 0"}, "of others, no link is followed in a sticky directory"
    assert instance.ok("exec", "web/app", "--", "sh", "-c", "cat /etc/one /plain/*") == "AAB"
    assert mounted(instance, "app", "/all")[-3] == "tmpfs"
    written = subprocess.run(
        ["grep", "-rl", "dont-tell", instance.root], capture_output=True, text=True, check=False, timeout=60
    )
    assert [path for path in written.stdout.split() if not path.endswith("objects.json")] == []


@pytest.mark.parametrize("own_users", [False, True])
def test_images_are_shown_for_reading(
    own_users: bool, instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    """Their files as all their layers have them, none to be run; or a part of them. They stay as long as shown."""
    low = layer(Entry("gone"), Entry("run", b"#!/bin/sh\n", mode=0o755), lab.folder("d"), Entry("d/file", b"low"))
    high = layer(Entry(".wh.gone"), Entry("d/file", b"high"))
    archive = lab.docker_archive(tmp_path / "a.tar", {"localhost/low:1": [low], "localhost/both:1": [low, high]})
    instance.ok("image", "load", "-i", archive)
    mounts = [mount("low", "/low"), mount("both", "/both"), mount("both", "/file", subPath="d/file")]
    volumes = [{"name": name, "image": {"reference": f"localhost/{name}:1"}} for name in ("low", "both")]
    manifest = pod("web", container("app", image, volumeMounts=mounts), volumes=volumes, hostUsers=not own_users)
    apply(instance, folder, manifest)
    script = "cd /; ls /low /both; cat /low/d/file /both/d/file /file; stat -c %u:%g /both/d"
    told = instance.ok("exec", "web/app", "--", "sh", "-c", script).split()
    assert told == ["/both:", "d", "run", "/low:", "d", "gone", "run", "lowhighhigh0:0"]
    assert {"ro", "noexec", "nosuid", "nodev"} <= set(mounted(instance, "app", "/both")[5].split(","))
    for attempt in (["/low/run"], ["/both/run"], ["touch", "/low/x"], ["touch", "/both/x"]):
        assert instance.run("exec", "web/app", "--", *attempt).returncode
    refused = instance.run("image", "rm", "localhost/both:1")
    assert refused.returncode
    assert "default/web/app" in refused.stderr
    volumes[0]["image"] = {"reference": "localhost/nothing:1", "pullPolicy": "Never"}
    before = instance.running("web")
    put(folder / "web.yaml", manifest)
    instance.in_vain(folder, "image localhost/nothing:1 is not here")
    assert instance.running("web") == before, "what is not here stops nothing"
    assert "image localhost/nothing:1 is not here" in instance.run("status", folder).stdout


def test_mounts_are_read_only_with_what_is_below_them_and_reach_as_far_as_asked(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    """recursiveReadOnly, and without it; propagation to the container."""
    host = tmp_path / "host"
    (host / "below").mkdir(parents=True)
    (host / "late").mkdir()
    for words in (["--bind", host, host], ["--make-shared", host], ["-t", "tmpfs", "below", host / "below"]):
        subprocess.run(["mount", *words], check=True, timeout=30)
    try:
        mounts = [
            mount("host", "/closed", readOnly=True, recursiveReadOnly="Enabled"),
            mount("host", "/half", readOnly=True),
            mount("host", "/seen", mountPropagation="HostToContainer"),
            mount("host", "/alone"),
        ]
        volumes = [{"name": "host", "hostPath": {"path": str(host), "type": "Directory"}}]
        apply(instance, folder, pod("web", container("app", image, volumeMounts=mounts), volumes=volumes))
        may = {
            place: instance.run("exec", "web/app", "--", "touch", f"{place}/x").returncode == 0
            for place in ("/closed", "/closed/below", "/half", "/half/below", "/alone")
        }
        assert may == {
            "/closed": False, "/closed/below": False, "/half": False, "/half/below": True, "/alone": True
        }  # fmt: skip
        subprocess.run(["mount", "-t", "tmpfs", "late", host / "late"], check=True, timeout=30)
        table = inside(instance, "app", "/proc/1/mountinfo").read_text()
        assert (" /seen/late " in table, " /alone/late " in table) == (True, False)
    finally:
        instance.remove_everything()
        subprocess.run(["umount", "-R", host], check=False, timeout=30)


@both_runtimes
def test_parts_of_volumes_by_name_and_by_variable(instance: Instance, image: str, folder: Path) -> None:
    """Made as they are missing, with the pod's users as owners; a link out of the volume is refused, and told."""
    mounts = [
        mount("data", "/all"),
        mount("data", "/mine", subPathExpr="of/$(NAME)"),
        mount("fast", "/fast", subPath="deep/er"),
    ]
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "fast", "emptyDir": {"medium": "Memory"}}]
    app = container("app", image, volumeMounts=mounts)
    manifest = pod("web", app, volumes=volumes, hostUsers=False, securityContext={"fsGroup": 44})
    apply(instance, folder, manifest)
    script = "touch /mine/file /fast/file; stat -c '%a %u:%g' /all/of /all/of/app /fast; ls /all/of/app"
    told = instance.ok("exec", "web/app", "--", "sh", "-c", script)
    assert told.splitlines() == ["2777 0:44", "2777 0:44", "3777 0:44", "file"]
    instance.ok("exec", "web/app", "--", "sh", "-c", "rm -r /all/of; ln -s /etc /all/of")
    side = container("side", image, volumeMounts=[mount("data", "/mine", subPathExpr="of/$(NAME)")])
    manifest["spec"]["containers"].append(side)
    before = instance.running("web")
    put(folder / "web.yaml", manifest)
    instance.in_vain(folder, "it leads out of the volume")
    assert instance.running("web") == before


def test_a_pod_with_more_on_the_disk_than_its_limit_is_evicted(instance: Instance, image: str, folder: Path) -> None:
    """And begins again under a limit that it keeps to."""
    limited = {"name": "scratch", "emptyDir": {"sizeLimit": "64Ki"}}
    app = container("app", image, volumeMounts=[mount("scratch", "/scratch")])
    manifest = pod("web", app, volumes=[limited])
    apply(instance, folder, manifest)
    instance.ok("exec", "web/app", "--", "sh", "-c", "head -c 1000000 /dev/zero > /scratch/file; sync")
    instance.run("apply", "--wait", "--timeout", 30, folder)
    until(lambda: instance.running("web").keys() <= {"infra"}, "it is stopped")
    shown = json.loads(instance.ok("get", "pods", "web", "-o", "json"))
    (status,) = [item["status"] for item in shown.get("items", [shown])]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert status["message"] == 'Usage of EmptyDir volume "scratch" exceeds the limit "64Ki".'
    limited["emptyDir"] = {"sizeLimit": "2Mi"}
    apply(instance, folder, manifest)
    assert inside(instance, "app", "/scratch/file").stat().st_size == 1000000


def test_a_container_with_more_on_the_disk_than_its_own_limit(instance: Instance, image: str, folder: Path) -> None:
    """What it has in volumes does not count; and it begins again under a limit that it keeps to."""
    app = container("app", image, volumeMounts=[mount("scratch", "/scratch")])
    manifest = pod("web", app, volumes=[{"name": "scratch", "emptyDir": {}}])
    app["resources"] = {"limits": {"ephemeral-storage": "256Ki"}}
    apply(instance, folder, manifest)
    instance.ok("exec", "web/app", "--", "sh", "-c", "head -c 1000000 /dev/zero > /scratch/file; sync")
    apply(instance, folder, manifest)
    instance.ok("exec", "web/app", "--", "sh", "-c", "head -c 1000000 /dev/zero > /file; sync")
    instance.run("apply", "--wait", "--timeout", 30, folder)
    until(lambda: instance.running("web").keys() <= {"infra"}, "it is stopped")
    shown = json.loads(instance.ok("get", "pod", "web", "-o", "json"))
    assert (shown["status"]["phase"], shown["status"]["reason"]) == ("Failed", "Evicted")
    assert shown["status"]["message"] == 'Container app exceeded its local ephemeral storage limit "256Ki".'
    app["resources"]["limits"]["ephemeral-storage"] = "8Mi"
    apply(instance, folder, manifest)
    assert "app" in instance.running("web")


def test_what_a_container_mounts_outside_is_detached_when_its_pod_goes(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    """Bidirectional, in an emptyDir: another member sees it, also on the host; and nothing in it is deleted."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    subprocess.run(["mount", "--bind", instance.root, instance.root], check=True, timeout=30)
    subprocess.run(["mount", "--make-shared", instance.root], check=True, timeout=30)
    try:
        maker = container("app", image, volumeMounts=[mount("data", "/data", mountPropagation="Bidirectional")])
        maker["securityContext"] = {"privileged": True}
        maker["volumeMounts"].append(mount("precious", "/precious"))
        seer = container("side", image, volumeMounts=[mount("data", "/data", mountPropagation="HostToContainer")])
        volumes = [{"name": "data", "emptyDir": {}}, {"name": "precious", "hostPath": {"path": str(precious)}}]
        apply(instance, folder, pod("web", maker, seer, volumes=volumes))
        instance.ok("exec", "web/app", "--", "sh", "-c", "mkdir /data/m && mount -o bind /precious /data/m")
        assert inside(instance, "side", "/data/m/file").read_text() == "mine"
        assert any("volumes/data/m" in line for line in Path("/proc/self/mountinfo").read_text().splitlines())
        assert instance.ok("system", "check")
        instance.ok("down", folder)
        assert not any("volumes/data" in line for line in Path("/proc/self/mountinfo").read_text().splitlines())
        assert (precious / "file").read_text() == "mine"
    finally:
        instance.remove_everything()
        subprocess.run(["umount", "-l", instance.root], check=False, timeout=30)


CLAIM: Manifest = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "db"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


def test_a_claim_is_a_directory_that_outlives_its_pods(instance: Instance, image: str, folder: Path) -> None:
    """Waited for until a manifest defines it, empty at first, with the pod's group, also a part of it; removed when
    somebody says so, and no sooner."""
    data = instance.engine.layout.volumes / "db" / "_data"
    mounts = [mount("data", "/etc"), mount("data", "/part", subPath="part")]
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "db"}}]
    manifest = pod("web", container("app", image, volumeMounts=mounts), volumes=volumes)
    manifest["spec"]["securityContext"] = {"fsGroup": 33}
    put(folder / "web.yaml", manifest)
    instance.in_vain(folder, 'persistentvolumeclaim "db" not found')
    put(folder / "claim.yaml", CLAIM)
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert {path.name for path in data.iterdir()} <= {"part", "hosts", "hostname", "resolv.conf"}, "the image's are not"
    assert (data.stat().st_gid, (data / "part").stat().st_gid) == (33, 33)
    shown = json.loads(instance.ok("volume", "inspect", "db"))[0]["Claim"]
    assert shown == {"accessModes": "ReadWriteOnce", "storage": "1Gi", "storageClassName": "fast"}
    instance.ok("exec", "web/app", "--", "touch", "/part/kept")
    instance.ok("down", folder)
    assert instance.ok("volume", "prune", "--force") == ""
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert inside(instance, "app", "/part/kept").exists()
    assert "volume db removed" in instance.ok("down", "--volumes", folder)
    assert not data.exists()


def test_played_by_hand_a_claim_is_made(instance: Instance, image: str, tmp_path: Path) -> None:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "db"}}]
    path = put(
        tmp_path / "web.yaml", pod("web", container("app", image, volumeMounts=[mount("data", "/d")]), volumes=volumes)
    )
    instance.ok("kube", "play", path)
    until(lambda: "app" in instance.running("web"), "it runs")
    assert instance.ok("volume", "ls", "-q") == "db\n"
    instance.ok("kube", "down", path)
    assert instance.ok("volume", "ls", "-q") == "db\n"
    assert "volume db removed" in instance.ok("kube", "down", "--force", path)
    assert instance.ok("volume", "ls", "-q") == ""


def test_edited_objects_are_exchanged_in_the_files_of_who_runs(instance: Instance, image: str, folder: Path) -> None:
    """All at once, no process is touched; what an edit takes away that is needed leaves the files as they were."""
    volumes = [
        {
            "name": "conf",
            "configMap": {"name": "conf", "items": [{"key": "a", "path": "a"}, {"key": "b", "path": "b"}]},
        },
        {"name": "pass", "secret": {"secretName": "pass"}},
    ]
    app = container("app", image, volumeMounts=[mount("conf", "/conf"), mount("pass", "/pass")])
    put(folder / "web.yaml", pod("web", app, volumes=volumes))
    put(folder / "conf.yaml", config_map("conf", a="1", b="1"))
    instance.watch(folder)
    until(lambda: 'secret "pass" not found' in instance.run("status", folder).stdout, "what is missing is told")
    put(folder / "pass.yaml", secret("pass", word="one"))
    until(lambda: "app" in instance.running("web"), "it is picked up when it comes")
    before = instance.running("web")
    conf, word = inside(instance, "app", "/conf"), inside(instance, "app", "/pass/word")
    assert ((conf / "a").read_text(), (conf / "b").read_text(), word.read_text()) == ("1", "1", "one")
    put(folder / "conf.yaml", config_map("conf", a="2", b="2"))
    put(folder / "pass.yaml", secret("pass", word="two"))
    until(lambda: (conf / "a").read_text() == "2" and word.read_text() == "two", "the files follow")
    assert (conf / "b").read_text() == "2"
    put(folder / "conf.yaml", config_map("conf", a="3"))
    until(lambda: 'key "b" not found in configmap "conf"' in instance.run("status", folder).stdout, "it is told")
    assert ((conf / "a").read_text(), (conf / "b").read_text()) == ("2", "2")
    assert instance.running("web") == before


def test_a_part_by_a_variable_from_an_object(instance: Instance, image: str, folder: Path) -> None:
    """subPathExpr with what is known only when the container is made; one that would lead out is refused then."""
    env = [{"name": "WHERE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "where"}}}]
    app = container("app", image, volumeMounts=[mount("data", "/all"), mount("data", "/d", subPathExpr="$(WHERE)/x")])
    app["env"] += env
    manifest = pod("web", app, volumes=[{"name": "data", "emptyDir": {}}])
    apply(instance, folder, manifest, config_map("conf", where="here"))
    assert inside(instance, "app", "/all/here/x").is_dir()
    before = instance.running("web")
    put(folder / "web.yaml", manifest, config_map("conf", where="../.."))
    instance.in_vain(folder, "leads out of the volume")
    assert instance.running("web") == before


def test_a_part_by_a_variable_that_is_not_set(instance: Instance, image: str, folder: Path) -> None:
    """The kubelet's word for it."""
    env = [{"name": "WHERE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "where", "optional": True}}}]
    app = container("app", image, volumeMounts=[mount("data", "/d", subPathExpr="$(WHERE)/x")])
    app["env"] += env
    put(folder / "web.yaml", pod("web", app, volumes=[{"name": "data", "emptyDir": {}}]))
    instance.in_vain(folder, 'its subPathExpr of /d: missing value for "WHERE"')
    assert "CreateContainerConfigError" in instance.ok("get", "pods")
