"""Pausing by files of the kernel's freezer, on a plain directory tree in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine import cgroups
from reconciler.engine.cgroups import Hierarchies, Hierarchy, freezer, hierarchies
from reconciler.engine.oci.host import CgroupMode
from reconciler.model.errors import RuntimeFailed

PATH = "/reconciler-abcd/pod-1/c"
SCOPE = "/reconciler.slice/reconciler-abcd.slice/reconciler-abcd-pod1.slice/reconciler-c.scope"


def _mounted(monkeypatch: pytest.MonkeyPatch, mode: CgroupMode, *trees: Hierarchy) -> None:
    monkeypatch.setattr(hierarchies, "current", lambda: Hierarchies(mode, trees))


def _group(root: Path, path: str, **files: str) -> Path:
    directory = root / path.lstrip("/")
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text)
    return directory


def test_v1_and_hybrid_hosts_have_a_freezer_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = (
        Hierarchy(tmp_path / "2", v2=True),
        Hierarchy(tmp_path / "1", v2=False, controllers=frozenset({"freezer"})),
    )
    _mounted(monkeypatch, CgroupMode.HYBRID, *trees)
    state = _group(tmp_path / "1", PATH, freezer_state="THAWED") / "freezer.state"
    assert not cgroups.is_frozen(PATH)
    cgroups.freeze(PATH)
    assert state.read_text() == "FROZEN"
    assert cgroups.is_frozen(PATH)
    state.write_text("FREEZING")
    assert cgroups.is_frozen(PATH)
    state.write_text("FROZEN")
    cgroups.thaw(PATH)
    assert not cgroups.is_frozen(PATH)


def test_v2_is_frozen_when_its_events_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a scope it is crun's cgroup inside, where crun looks."""
    _mounted(monkeypatch, CgroupMode.V2, Hierarchy(tmp_path, v2=True))
    events = "populated 1\nfrozen 1\n"
    for path, place in ((PATH, PATH), (SCOPE, f"{SCOPE}/container")):
        file = _group(tmp_path, place, cgroup_freeze="0", cgroup_events=events) / "cgroup.freeze"
        cgroups.freeze(path)
        assert file.read_text()[:1] == "1"
        assert cgroups.is_frozen(path)
        cgroups.thaw(path)
        assert not cgroups.is_frozen(path)


def test_what_does_not_stand_still_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _mounted(monkeypatch, CgroupMode.V2, Hierarchy(tmp_path, v2=True))
    monkeypatch.setattr(freezer, "SECONDS", 0.01)
    file = _group(tmp_path, PATH, cgroup_freeze="0", cgroup_events="populated 1\nfrozen 0\n") / "cgroup.freeze"
    with pytest.raises(RuntimeFailed, match="does not stand still"):
        cgroups.freeze(PATH)
    assert file.read_text() == "0"


def test_what_is_gone_is_not_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _mounted(monkeypatch, CgroupMode.V2, Hierarchy(tmp_path, v2=True))
    assert not cgroups.is_frozen(PATH)
    cgroups.thaw(PATH)
    with pytest.raises(RuntimeFailed, match="cannot pause"):
        cgroups.freeze(PATH)


def test_a_machine_without_a_freezer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _mounted(monkeypatch, CgroupMode.V1, Hierarchy(tmp_path, v2=False, controllers=frozenset({"cpu"})))
    with pytest.raises(RuntimeFailed, match="no freezer"):
        cgroups.freeze(PATH)
