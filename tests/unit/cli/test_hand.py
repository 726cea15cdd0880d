"""Which containers a command on some of them is about, and what it looks at for that."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.cli import hand
from reconciler.cli.resolve import named_pod
from reconciler.cli.selection import Which
from reconciler.engine.layout import Layout
from reconciler.model.errors import InvalidInput, NotFound
from reconciler.model.key import Key
from reconciler.model.observed import Observed
from reconciler.model.spec import ContainerSpec, PodSpec
from reconciler.sources.hand import HandPod, HandSource
from tests.unit.cli.pods import container, pod

WEB, DB = pod("web", container("web", "app"), container("web", "log")), pod("db", container("db", "pg"))
LOST = Key("default", "lost")


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    """Two pods, and a third that somebody asked for and did not come to make. ``looked``: at what was looked."""
    there, looked = {p.key: p for p in (WEB, DB)}, []

    def look(key: Key) -> Observed:
        looked.append(key)
        return there.get(key, Observed(key))

    layout = Layout.at(tmp_path)
    HandSource(layout.hand).write(HandPod(PodSpec(LOST, containers=(ContainerSpec("lost", "image"),)), solo=True))
    return SimpleNamespace(names=lambda: tuple(map(named_pod, there.values())), look=look, looked=looked, layout=layout)


def meant(engine: Any, *names: str, **options: Any) -> dict[str, tuple[str, ...]]:
    return {target.key.name: target.names for target in hand.targets(engine, Which(names, **options))}


def test_only_the_pods_that_are_meant_are_looked_at(engine: Any) -> None:
    assert meant(engine, "web/log", "app") == {"web": ("log", "app")}
    assert set(engine.looked) == {WEB.key}


def test_what_was_asked_for_and_never_made_is_meant_too(engine: Any) -> None:
    assert meant(engine, "pg", "lost") == {"db": ("pg",), "lost": ("lost",)}


def test_what_is_not_there(engine: Any) -> None:
    with pytest.raises(NotFound):
        meant(engine, "pg", "nobody")
    assert meant(engine, "pg", "nobody", ignore=True) == {"db": ("pg",)}
    with pytest.raises(InvalidInput):
        meant(engine, "web")
