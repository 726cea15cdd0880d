"""A reboot is told once, and only where there are pods that it concerns."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine import processes, reboot
from reconciler.engine.context import Context, Settings
from reconciler.engine.layout import Layout
from reconciler.engine.store import events
from reconciler.engine.store import pods as index
from reconciler.model.key import Key, PodId


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def ctx(tmp_path: Path, said: list[str]) -> Context:
    layout = Layout.at(tmp_path)
    layout.make()
    return Context(Settings(root=tmp_path), layout, say=said.append)


def boot(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(processes, "boot_id", lambda: name)


def test_it_is_told_once_for_each_boot(ctx: Context, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    index.add_pod(ctx.store, PodId("aa"), Key("default", "a"), ())
    for name in ("first", "first", "second", "second", "third"):
        boot(monkeypatch, name)
        reboot.tell(ctx)
    assert said == ["this machine was started again: 1 pod is brought back as recorded"] * 2
    (event,) = events.read(ctx.store)
    assert (event.about, event.reason, event.count) == ("state", "Rebooted", 2)


def test_without_pods_there_is_nothing_to_tell(ctx: Context, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        boot(monkeypatch, name)
        reboot.tell(ctx)
    assert said == []
