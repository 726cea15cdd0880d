"""Pods that are found as they were cost a look and no plan; whatever is otherwise is planned for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.controller import sync
from reconciler.model.key import Key
from reconciler.plan.pod_actions import compute_pod_actions
from tests.unit.controller.world import World

WEB = Key("default", "web")
TEXT = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: 'busybox:1'}]}\n"


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Key]]:
    """The keys that were planned for."""
    made: list[Key] = []

    def planned(want: Any, have: Any, host: Any, now: float) -> Any:
        made.append(have.key)
        return compute_pod_actions(want, have, host, now)

    monkeypatch.setattr(sync, "compute_pod_actions", planned)
    yield made


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.write("web.yaml", TEXT)
    world.settle()
    return world


def test_a_pod_that_is_as_it_was_is_not_planned_for(world: World, plans: list[Key]) -> None:
    before = world.result(WEB)
    assert before.rest is not None
    world.core.handle(WEB)
    assert plans == []
    after = world.result(WEB)
    assert (after.status, after.rest) == (before.status, before.rest)
    assert after.steps == after.waiting == ()


def test_an_exit_an_edit_and_a_removal_are_seen(world: World, plans: list[Key]) -> None:
    world.engine.exit(WEB, "web", 1)
    world.core.handle(WEB)
    assert plans
    world.settle()
    plans.clear()
    world.write("web.yaml", TEXT.replace("busybox:1", "busybox:2"))
    world.settle()
    assert plans
    assert world.result(WEB).status.containers[0].image == "busybox:2"
    world.remove("web.yaml")
    world.settle()
    assert world.result(WEB).owner is None


def test_what_waits_for_time_does_not_rest(world: World) -> None:
    for _ in range(3):
        world.engine.exit(WEB, "web", 1)
        world.core.handle(WEB)
    assert world.result(WEB).waiting
    assert world.result(WEB).rest is None
