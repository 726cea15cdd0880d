"""Who may end what serves all pods: the one who has the instance for itself, and finds no pod."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.engine import cgroups, locks, nameserver, retirement
from reconciler.engine.layout import Layout
from reconciler.engine.store import pods as index
from reconciler.engine.store.tx import Store
from reconciler.model.errors import Busy
from reconciler.model.key import Key, PodId


class World:
    """An instance whose parts note that they were ended, and do ``meanwhile`` while the first of them is."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout = Layout.at(root)
        self.layout.make()
        self.store = Store(self.layout.database)
        self.ended: list[str] = []
        self.meanwhile: list[Any] = []
        self.ctx: Any = SimpleNamespace(layout=self.layout, store=self.store, monitors=self)
        monkeypatch.setattr(nameserver, "end_if_last", lambda _ctx: self.ended.append("names"))
        monkeypatch.setattr(cgroups, "remove_instance", self.remove_instance)

    def end(self) -> None:
        self.ended.append("zygote")
        for call in self.meanwhile:
            call()

    def remove_instance(self, tag: str) -> None:
        self.ended.append("cgroups")
        assert tag == self.layout.tag

    def file(self) -> None:
        index.add_pod(self.store, PodId("1" * 64), Key("default", "web"), ())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_with_the_last_pod_gone_everything_is_ended(world: World) -> None:
    assert retirement.retire(world.ctx)
    assert world.ended == ["zygote", "names", "cgroups"]


def test_nothing_is_ended_while_a_pod_is_there(world: World) -> None:
    world.file()
    assert not retirement.retire(world.ctx)
    assert world.ended == []


def test_nothing_is_ended_while_somebody_files_a_pod(world: World) -> None:
    with locks.shared(world.layout.instance_lock):
        assert not retirement.retire(world.ctx)
    assert world.ended == []


def test_nobody_files_a_pod_before_all_is_over(world: World) -> None:
    found: list[bool] = []

    def newcomer() -> None:
        with locks.exclusive_if_free(world.layout.instance_lock) as free:
            found.append(free)

    world.meanwhile = [newcomer]
    retirement.retire(world.ctx)
    assert found == [False]


def test_what_is_in_use_without_a_pod_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_tag: str) -> None:
        raise Busy("cannot remove cgroup: pid 7 in it")

    monkeypatch.setattr(cgroups, "remove_instance", busy)
    assert not retirement.retire(world.ctx)
