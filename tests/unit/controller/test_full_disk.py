"""Events that cannot be written, as on a full disk, cost the events and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.model.errors import TryLater
from reconciler.model.key import Key
from tests.fakes.engine import FakeEngine
from tests.unit.controller.world import World

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: app, image: 'busybox:1'}]}\n"
KEY = Key("default", "a")


def full(*_: object) -> None:
    raise TryLater("cannot write state.db: database or disk is full")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_pods_are_looked_after_without_events(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.engine, "emit", full)
    world.write("a.yaml", POD)
    world.settle()
    assert world.result(KEY).status.converged


def test_a_sync_that_fails_while_events_cannot_be_written_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform = FakeEngine.perform
    with monkeypatch.context() as disk:
        disk.setattr(world.engine, "emit", full)
        disk.setattr(world.engine, "perform", full)
        world.write("a.yaml", POD)
        world.hear()
        world.work()
        failure = world.core.failure(KEY)
        assert failure is not None
        assert failure.times == 1
    assert world.engine.perform.__func__ is perform
    world.settle()
    assert world.core.failure(KEY) is None
    assert world.result(KEY).status.converged
