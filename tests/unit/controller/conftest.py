"""What tests of commands on hand-made pods work with: an engine in memory, a directory of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.controller.by_hand import Bench
from reconciler.engine.layout import Layout
from tests.fakes.engine import FakeEngine
from tests.unit.plan.scenes import here


@pytest.fixture
def engine() -> FakeEngine:
    """Its images are here."""
    made = FakeEngine()
    here(made)
    return made


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path)
    made.make()
    return made


@pytest.fixture
def bench(engine: FakeEngine, layout: Layout) -> Bench:
    return Bench(engine, layout, engine.clock)
