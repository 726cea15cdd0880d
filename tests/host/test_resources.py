"""Requests and limits on real pods: what their cgroups say, and what a change of them costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine import cgroups, podgroups, records
from reconciler.engine.cgroups import names
from reconciler.engine.records import STATE, PodState
from reconciler.kube import load
from reconciler.model.actions import CreateSandbox, Reason, Why
from reconciler.model.key import Key, SourceId
from reconciler.model.qos import Qos
from tests.host.groups import (
    cores,
    group_of,
    level_shares,
    machine_memory,
    may_lower_scores,
    parent,
    pod_of,
    score,
    values,
    wanted,
)
from tests.host.instance import Instance, until
from tests.host.manifests import Manifest, container, pod, put

pytestmark = pytest.mark.host

MIB = 1 << 20
SERVE = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'


def limits(cpu: str, memory: str, **requested: Any) -> Manifest:
    return {"resources": {"limits": {"cpu": cpu, "memory": memory}, **requested}}


def requests(**each: str) -> Manifest:
    return {"resources": {"requests": each}}


def apply(instance: Instance, folder: Path, *pods: Manifest) -> None:
    put(folder / "pods.yaml", *pods)
    instance.ok("apply", "--wait", "--timeout", 60, folder)


def pod_group(instance: Instance, name: str) -> str:
    return pod_of(group_of(instance.running(name)["infra"].pid))


def test_pods_lie_where_the_kubelet_has_them_with_its_values(instance: Instance, image: str, folder: Path) -> None:
    apply(
        instance,
        folder,
        pod("best", container("a", image)),
        pod("burst", container("a", image, **requests(cpu="300m", memory="16Mi")), container("b", image)),
        pod(
            "more",
            container("a", image, **limits("500m", "64Mi", requests={"cpu": "200m"})),
            container("b", image, **limits("1", "32Mi")),
        ),
        pod("sure", container("a", image, **limits("500m", "64Mi")), container("b", image, **limits("250m", "32Mi"))),
    )
    tag, driver = instance.engine.layout.tag, instance.engine.context.driver[0]
    top = names.top(tag, driver)
    best, burst = names.level(tag, Qos.BEST_EFFORT, driver), names.level(tag, Qos.BURSTABLE, driver)
    groups = {name: pod_group(instance, name) for name in ("best", "burst", "more", "sure")}
    assert {name: parent(path) for name, path in groups.items()} == {
        "best": best,
        "burst": burst,
        "more": burst,
        "sure": top,
    }
    assert {name: values(path) for name, path in groups.items()} == {
        "best": wanted(2),
        "burst": wanted(307),
        "more": wanted(1228, 150_000, 96 * MIB),
        "sure": wanted(768, 75_000, 96 * MIB),
    }
    member = group_of(instance.running("sure")["a"].pid)
    assert values(member) == wanted(512, 50_000, 64 * MIB, pids=None)
    assert level_shares(best) == wanted(2).cpu
    assert level_shares(burst) == wanted(1536).cpu, "all that Burstable pods request"
    assert level_shares(top) == wanted(1024 * cores()).cpu
    assert {name: score(instance.running(name)["a"].pid) for name in groups} == {
        "best": 1000,
        "burst": min(999, 1000 - 1000 * 16 * MIB // machine_memory()),
        "more": min(999, 1000 - 1000 * 64 * MIB // machine_memory()),
        "sure": -997 if may_lower_scores() else 0,
    }
    assert score(instance.running("best")["infra"].pid) == (-998 if may_lower_scores() else 0)
    put(folder / "pods.yaml", pod("burst", container("a", image, **requests(cpu="300m", memory="16Mi"))))
    instance.ok("apply", "--wait", "--timeout", 60, "--yes-prune", folder)
    assert level_shares(burst) == wanted(307).cpu, "what is gone requests nothing"
    assert instance.run("system", "check").returncode == 0


def test_limits_change_live_up_and_down_and_the_pods_with_them(instance: Instance, image: str, folder: Path) -> None:
    side = container("side", image, **limits("100m", "16Mi"))
    apply(instance, folder, pod("p", container("app", image, **limits("500m", "64Mi")), side))
    before = instance.running("p")
    group = pod_group(instance, "p")
    for cpu, memory, quota, size in (("2", "128Mi", 210_000, 144), ("200m", "32Mi", 30_000, 48)):
        apply(instance, folder, pod("p", container("app", image, **limits(cpu, memory)), side))
        assert instance.running("p") == before
        found = values(group)
        assert (found.quota, found.memory) == (quota, size * MIB)
        assert values(group_of(before["app"].pid)).memory == (size - 16) * MIB
    apply(instance, folder, pod("p", container("app", image, **limits("200m", "32Mi")), side, container("new", image)))
    assert {n: r for n, r in instance.running("p").items() if n != "new"} == before
    assert values(group) == wanted(307, None, None), "one without limits: the pod has none"
    apply(instance, folder, pod("p", container("app", image, **limits("200m", "32Mi"))))
    assert values(group) == wanted(204, 20_000, 32 * MIB)
    assert pod_group(instance, "p") == group


def test_a_pods_own_limits_bound_all_of_it_and_change_live(instance: Instance, image: str, folder: Path) -> None:
    """KEP 2837: a container without limits sees its pod's in its own cgroup; the pod's class goes by the pod's."""
    app = container("app", image, **requests(cpu="100m"))
    side = container("side", image, **limits("200m", "16Mi"))

    def whole(cpu: str, memory: str) -> Manifest:
        return pod("p", app, side, resources={"limits": {"cpu": cpu, "memory": memory}})

    apply(instance, folder, whole("500m", "64Mi"))
    before, group = instance.running("p"), pod_group(instance, "p")
    assert values(group) == wanted(307, 50_000, 64 * MIB), "it requests what its containers do"
    assert values(group_of(before["app"].pid)) == wanted(102, 50_000, 64 * MIB, pids=None)
    assert values(group_of(before["side"].pid)) == wanted(204, 20_000, 16 * MIB, pids=None)
    assert "qosClass: Burstable" in instance.ok("get", "pod", "p", "-o", "yaml")
    for cpu, memory, quota, size in (("2", "128Mi", 200_000, 128), ("300m", "32Mi", 30_000, 32)):
        apply(instance, folder, whole(cpu, memory))
        assert instance.running("p") == before
        assert (values(group).quota, values(group).memory) == (quota, size * MIB)
        found = values(group_of(before["app"].pid))
        assert (found.quota, found.memory) == (quota, size * MIB)
    apply(instance, folder, pod("p", app, side))
    assert instance.running("p") == before
    assert values(group) == wanted(307, None, None), "app has no limit any more, and so the pod has none"
    assert values(group_of(before["app"].pid)) == wanted(102, pids=None)


def test_another_quality_of_service_leaves_the_pod_where_it_is(instance: Instance, image: str, folder: Path) -> None:
    apply(instance, folder, pod("p", container("a", image), container("b", image)))
    before, group = instance.running("p"), pod_group(instance, "p")
    assert score(before["a"].pid) == 1000
    apply(instance, folder, pod("p", container("a", image, **requests(cpu="100m")), container("b", image)))
    assert instance.running("p") == before
    assert pod_group(instance, "p") == group
    assert values(group) == wanted(102)
    assert [score(before[name].pid) for name in "ab"] == [999, 999], "Burstable, with no request of memory"
    assert "BestEffort -> Burstable; its cgroup stays" in instance.ok("events")
    shown = json.loads(instance.ok("get", "pods", "p", "-o", "json"))
    assert (shown.get("items") or [shown])[0]["status"]["qosClass"] == "Burstable"


HOLD = "head -c 24m /dev/zero >/dev/shm/held; " + SERVE
"""24 MiB that nobody can reclaim."""


def test_a_limit_below_what_is_in_use_replaces_the_container(instance: Instance, image: str, folder: Path) -> None:
    def manifest(memory: str, **more: Any) -> Manifest:
        app = container("app", image, **limits("1", memory), command=["sh", "-c", HOLD])
        return pod("p", app, container("side", image, **limits("100m", "16Mi")), **more)

    apply(instance, folder, manifest("64Mi"))
    before = instance.running("p")
    group = group_of(before["app"].pid)
    until(lambda: cgroups.memory_usage(group) > 24 * MIB, "the memory is in use")  # type: ignore[operator]
    put(folder / "pods.yaml", manifest("8Mi"))

    def replaced() -> bool:
        instance.run("apply", "--wait", "--timeout", 5, folder)
        after = instance.running("p")
        return {name for name in before if before[name] != after.get(name)} == {"app"}

    until(replaced, "it alone is replaced")
    told = instance.ok("events")
    assert "in use" in told
    assert "it cannot be done live" in told


def test_what_can_be_reclaimed_is_and_the_limit_lowered_live(instance: Instance, image: str, folder: Path) -> None:
    """Cached pages of files count as usage, and stand in nobody's way."""
    fill = "head -c 48m /dev/zero >/tmp/file; cat /tmp/file >/dev/null; touch /tmp/done; " + SERVE

    def manifest(memory: str) -> Manifest:
        return pod("p", container("app", image, **limits("1", memory), command=["sh", "-c", fill]))

    apply(instance, folder, manifest("96Mi"))
    before = instance.running("p")
    group = group_of(before["app"].pid)
    until(lambda: instance.run("exec", "p", "--", "test", "-e", "/tmp/done").returncode == 0, "the file is written")
    assert (cgroups.memory_usage(group) or 0) > 32 * MIB
    apply(instance, folder, manifest("24Mi"))
    assert instance.running("p") == before
    assert cgroups.memory_limit(group) == 24 * MIB


def test_a_pod_of_an_older_version_is_left_where_it_was_made(
    instance: Instance, image: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = pod("old", container("a", image))
    path = put(folder / "pods.yaml", manifest)
    spec = load(str(path), path.read_bytes()).pods[0].spec
    engine, key = instance.engine, Key("default", "old")
    monkeypatch.setattr(podgroups, "choose", lambda *_: "")
    with engine.lock(key) as lock:
        engine.perform(lock, CreateSandbox(spec, SourceId("dir:/elsewhere"), Reason(Why.NEW, "it is not there yet")))
        made = engine.observe(key, spec).sandbox
        assert made is not None
        directory = engine.layout.pod(made.id)
        state = records.read(directory, STATE, PodState)
        assert state is not None
        records.write(directory, STATE, replace(state, resources=None, qos=None))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = instance.running("old")
    assert pod_group(instance, "old") == engine.layout.cgroup_parent(made.id)
    apply(instance, folder, pod("old", container("a", image, **limits("1", "64Mi"))))
    assert instance.running("old") == before
    assert values(pod_group(instance, "old")).memory is None, "nobody gave it values, nobody changes them"
    assert values(group_of(before["a"].pid)).memory == 64 * MIB


@pytest.mark.parametrize("where", ["container", "pod"])
def test_a_fork_bomb_is_bounded(where: str, instance: Instance, image: str, folder: Path) -> None:
    manifest = pod("bomb", container("app", image, command=["sh", "-c", SERVE]), container("side", image))
    if where == "container":
        manifest["metadata"]["annotations"] = {"io.podman.annotations.pids-limit/app": "30"}
    else:
        (instance.root / "config.toml").write_text("[resources]\npod_pids_limit = 40\n")
    apply(instance, folder, manifest)
    before = instance.running("bomb")
    group = group_of(before["app"].pid)
    # What is left behind must not hold the output, or the command would be waited for as long as it lives.
    count = "for i in $(seq 100); do sleep 60 >/dev/null 2>&1 & done 2>&1; ls /proc | grep -c '^[0-9]'"
    done = instance.run("exec", "bomb/app", "--", "sh", "-c", count)
    said = done.stdout + done.stderr
    assert "fork" in said.lower() or "Resource temporarily unavailable" in said
    inside = len(cgroups.pids(group if where == "container" else pod_of(group)))
    assert inside <= (30 if where == "container" else 40)
    assert instance.running("bomb") == before
    if where == "container":  # another limit needs no other process
        manifest["metadata"]["annotations"] = {"io.podman.annotations.pids-limit/app": "50"}
        apply(instance, folder, manifest)
        assert instance.running("bomb") == before
        assert values(group).pids == 50
