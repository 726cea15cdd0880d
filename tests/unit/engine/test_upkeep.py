"""What counts as damage to the pods' network, when pods come and go meanwhile."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.engine import upkeep
from reconciler.engine.layout import Layout
from reconciler.engine.upkeep import Flaw, Part
from reconciler.model.key import PodId

ONE, TWO = PodId("1" * 64), PodId("2" * 64)


def test_the_link_of_a_pod_whose_removal_began_meanwhile_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout.at(tmp_path)
    layout.make()
    pods = [SimpleNamespace(id=ONE), SimpleNamespace(id=TWO)]
    looks: list[list[Any]] = [pods, pods[1:]]
    table, one, two = Flaw(Part.TABLE, "it is gone"), Flaw(Part.LINK, "gone", ONE), Flaw(Part.LINK, "gone", TWO)
    monkeypatch.setattr(upkeep, "_attached", lambda _ctx: looks.pop(0))
    monkeypatch.setattr(upkeep.portmap, "look", lambda _tag: None)
    monkeypatch.setattr(upkeep, "_flaws", lambda _ctx, _pods, _table: iter((table, one, two)))
    assert upkeep.flaws(SimpleNamespace(layout=layout)) == (table, two)  # type: ignore[arg-type]
