"""What pods take from objects, over real files and the engine in memory: who waits, who is replaced, whose word
counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.model.key import Key
from reconciler.model.observed import ContainerState
from reconciler.plan.sentences import describe
from tests.unit.controller.world import World
from tests.unit.sources.manifests import BROKEN

WEB = Key("default", "web")


def config_map(name: str, namespace: str = "default", /, **data: str) -> str:
    meta = {"name": name, "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


def user(name: str = "web", *, of: str = "c", key: str = "k", optional: bool = False) -> str:
    """A pod with a member that takes a variable from a ConfigMap, and one that does not."""
    source = {"name": of, "key": key, "optional": optional}
    env = [{"name": "V", "valueFrom": {"configMapKeyRef": source}}]
    containers = [{"name": "app", "image": "busybox:1", "env": env}, {"name": "side", "image": "busybox:1"}]
    meta = {"name": name}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def running(world: World, key: Key = WEB) -> dict[str, int]:
    """The attempt of each member that runs."""
    have = world.engine.observe(key, None)
    return {c.name: c.attempt for c in have.containers if c.state is ContainerState.RUNNING}


def waits(world: World, key: Key = WEB) -> list[str]:
    return [w.reason.text for w in world.result(key).waiting]


def test_who_refers_to_nothing_waits_alone_and_is_begun_when_it_is_there(world: World) -> None:
    world.write("pod.json", user())
    world.settle()
    assert running(world) == {"side": 0}
    needed = "(needed by spec.containers[app].env[V])"
    assert waits(world) == [f'configmap "c" not found {needed}']
    status = world.result(WEB).status
    assert (status.phase.value, status.summary) == ("Pending", "CreateContainerConfigError")

    world.write("other.json", config_map("c", "elsewhere", k="1"))
    world.settle()
    assert running(world) == {"side": 0}
    world.write("c.json", config_map("c", other="1"))
    world.settle()
    assert waits(world) == [f'key "k" not found in configmap "c" {needed}']
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    assert world.result(WEB).status.summary == "Running"


def test_what_an_init_container_lacks_is_told_of_it(world: World) -> None:
    document = json.loads(user())
    (app, side) = document["spec"].pop("containers")
    document["spec"] |= {"initContainers": [app], "containers": [side]}
    world.write("pod.json", json.dumps(document))
    world.settle()
    assert 'configmap "c" not found (needed by spec.initContainers[app].env[V])' in waits(world)


def test_an_edit_of_an_object_replaces_those_who_use_what_was_edited(world: World) -> None:
    world.write("pod.json", user())
    world.write("other.json", user("other", of="d"))
    world.write("c.json", config_map("c", k="1", unused="1"))
    world.write("d.json", config_map("d", k="1"))
    world.settle()
    world.write("c.json", config_map("c", k="1", unused="2"))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    world.write("c.json", config_map("c", k="2", unused="2"))
    world.settle()
    assert running(world) == {"app": 1, "side": 0}
    assert running(world, Key("default", "other")) == {"app": 0, "side": 0}
    assert any("ConfigMap c changed" in text for _, _, _, text in world.engine.emitted)


@pytest.mark.parametrize("loss", ["removed", "without the key", "broken", "wrong"])
def test_what_runs_goes_on_when_its_object_is_lost(world: World, loss: str) -> None:
    world.write("pod.json", user())
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    if loss == "removed":
        world.remove("c.json")
    else:
        texts = {"without the key": config_map("c", x="1"), "broken": BROKEN, "wrong": config_map("c", **{"k/": "1"})}
        world.write("c.json", texts[loss])
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    kept = loss in ("broken", "wrong")
    assert bool(waits(world)) is not kept
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    assert (running(world), waits(world)) == ({"app": 0, "side": 0}, [])


def test_an_edit_that_refers_to_nothing_leaves_the_running_version(world: World) -> None:
    world.write("pod.json", user())
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    world.write("pod.json", user(key="later"))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    assert waits(world) == ['key "later" not found in configmap "c" (needed by spec.containers[app].env[V])']
    world.write("c.json", config_map("c", k="1", later="2"))
    world.settle()
    assert running(world) == {"app": 1, "side": 0}


def test_an_optional_object_is_taken_up_when_it_comes(world: World) -> None:
    world.write("pod.json", user(optional=True))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    assert running(world) == {"app": 1, "side": 0}
    assert any("ConfigMap c is there" in text for _, _, _, text in world.engine.emitted)


def test_an_object_of_another_folder_is_found_and_its_own_folder_counts_first(tmp_path: Path) -> None:
    world = World(tmp_path, "one", "two")
    world.write("pod.json", user(), "two")
    world.settle()
    assert running(world) == {"side": 0}
    world.write("c.json", config_map("c", k="1"), "one")
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    world.write("c.json", config_map("c", k="2"), "two")
    world.settle()
    assert running(world) == {"app": 1, "side": 0}
    world.write("c.json", config_map("c", k="3"), "one")
    world.settle()
    assert running(world) == {"app": 1, "side": 0}


def test_an_optional_object_that_vanishes_for_a_moment_replaces_nobody(world: World) -> None:
    world.write("pod.json", user(optional=True))
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    world.remove("c.json")  # as git does: it unlinks before it creates
    world.hear()
    world.work()
    assert running(world) == {"app": 0, "side": 0}
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    world.remove("c.json")
    world.settle()
    assert running(world) == {"app": 1, "side": 0}
    assert any("ConfigMap c is gone" in text for _, _, _, text in world.engine.emitted)


def shows(name: str = "web", *, of: str = "c", items: str = "k") -> str:
    """A pod with a member that mounts a ConfigMap, and one that does not."""
    volume = {"name": "v", "configMap": {"name": of, "items": [{"key": items, "path": "f"}]}}
    mounts = [{"name": "v", "mountPath": "/v"}]
    containers = [{"name": "app", "image": "busybox:1", "volumeMounts": mounts}, {"name": "side", "image": "busybox:1"}]
    spec = {"containers": containers, "volumes": [volume]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def test_who_mounts_what_is_not_there_waits_and_its_files_follow_the_object(world: World) -> None:
    world.write("pod.json", shows())
    world.settle()
    assert running(world) == {"side": 0}
    assert waits(world) == ['configmap "c" not found (needed by spec.volumes[v])']
    world.write("c.json", config_map("c", k="1", unused="1"))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    steps = len(world.stepped)
    world.write("c.json", config_map("c", k="1", unused="2"))
    world.settle()
    assert world.stepped[steps:] == []
    world.write("c.json", config_map("c", k="2", unused="2"))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    (step,) = (describe(step) for _, step in world.stepped[steps:])
    assert step.endswith("because the files of volume v changed")


def test_files_stay_as_they_are_while_their_object_is_lost_and_their_user_is_restarted(world: World) -> None:
    world.write("pod.json", shows())
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    steps = len(world.stepped)
    world.remove("c.json")
    world.settle()
    assert world.stepped[steps:] == []
    assert waits(world) == ['configmap "c" not found (needed by spec.volumes[v])']
    world.engine.exit(WEB, "app", 1)
    world.core.queue.add(WEB)
    world.settle()
    assert running(world) == {"app": 1, "side": 0}


def test_an_init_container_waits_for_what_it_needs_and_begins_in_the_same_pod(world: World) -> None:
    manifest = json.loads(user())
    manifest["spec"]["initContainers"] = [{**manifest["spec"]["containers"].pop(0), "name": "first"}]
    world.write("pod.json", json.dumps(manifest))
    world.settle()
    before = world.engine.observe(WEB, None).sandbox
    assert running(world) == {} and before is not None
    assert world.result(WEB).status.summary == "Init:CreateContainerConfigError"
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    assert running(world) == {"first": 0}
    world.engine.exit(WEB, "first", 0)
    world.core.queue.add(WEB)
    world.settle()
    after = world.engine.observe(WEB, None).sandbox
    assert running(world) == {"side": 0} and after is not None and after.id == before.id
    world.write("c.json", config_map("c", k="2"))
    world.settle()
    anew = world.engine.observe(WEB, None).sandbox
    assert anew is not None and anew.id != before.id


def fixed(name: str = "c", *, immutable: bool = True, **data: str) -> str:
    return json.dumps({**json.loads(config_map(name, **data)), "immutable": immutable})


def problems(world: World) -> list[str]:
    return [p.message for source in world.sources for p in source.problems()]


EDITED = (
    "ConfigMap default/c is immutable: its data cannot be changed; remove it first, or give the new one another name"
)


@pytest.mark.parametrize("restarted", [False, True], ids=["", "over a restart"])
def test_an_immutable_object_stays_as_it_was_as_long_as_a_file_defines_it(world: World, restarted: bool) -> None:
    world.write("pod.json", user())
    world.write("c.json", fixed(k="1"))
    world.settle()
    if restarted:
        world = World(world.root, engine=world.engine)
        world.settle()
    world.write("c.json", fixed(k="2"))
    world.settle()
    assert running(world) == {"app": 0, "side": 0}
    assert problems(world) == [EDITED]
    world.write("c.json", fixed(immutable=False, k="1"))
    world.settle()
    assert problems(world) == [EDITED.replace("its data cannot be changed", "it cannot be made mutable")]
    world.write("c.json", fixed(k="1"))
    world.settle()
    assert (running(world), problems(world)) == ({"app": 0, "side": 0}, [])


def test_an_edit_of_an_immutable_object_while_nobody_looked_is_not_taken_either(world: World) -> None:
    world.write("pod.json", user())
    world.write("c.json", fixed(k="1"))
    world.settle()
    world.write("c.json", fixed(k="2"))
    again = World(world.root, engine=world.engine)
    again.settle()
    assert running(again) == {"app": 0, "side": 0}
    assert problems(again) == [EDITED]


def test_what_was_removed_for_certain_may_come_with_anything_in_it(world: World) -> None:
    world.write("pod.json", user())
    world.write("c.json", fixed(k="1"))
    world.settle()
    world.remove("c.json")
    world.hear()
    world.write("c.json", fixed(k="2"))
    world.settle()
    assert problems(world) == [EDITED], "so does git, and so do editors"
    world.remove("c.json")
    world.settle()
    world.write("c.json", fixed(k="2"))
    world.settle()
    assert (running(world), problems(world)) == ({"app": 1, "side": 0}, [])


def test_what_becomes_immutable_may_be_edited_with_it_and_then_no_more(world: World) -> None:
    world.write("pod.json", user())
    world.write("c.json", config_map("c", k="1"))
    world.settle()
    world.write("c.json", fixed(k="2"))
    world.settle()
    assert (running(world), problems(world)) == ({"app": 1, "side": 0}, [])
    world.write("c.json", config_map("c", k="3"))
    world.settle()
    assert running(world) == {"app": 1, "side": 0}
