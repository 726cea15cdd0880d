"""What systemd says of a unit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.linux import units
from tests.fakes.systemd import FakeSystemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSystemd]:
    fake = FakeSystemd(tmp_path / "private")
    monkeypatch.setattr(units, "PRIVATE", tmp_path / "private")
    yield fake
    fake.close()


def test_a_unit_has_a_state(manager: FakeSystemd) -> None:
    manager.units |= {"one.service": True, "two.service": False}
    assert [units.active_state(f"{name}.service") for name in ("one", "two", "three")] == ["active", "activating", ""]


def test_without_systemd_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "PRIVATE", tmp_path / "nothing")
    assert units.active_state("one.service") == ""
