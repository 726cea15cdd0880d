"""What systemd is asked, and what becomes of its refusals; a fake of it answers over the socket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine import cgroups
from reconciler.engine.cgroups import Hierarchies, Hierarchy, hierarchies, names, systemd
from reconciler.engine.cgroups.names import Driver
from reconciler.engine.oci.host import CgroupMode
from reconciler.model.errors import RuntimeFailed
from tests.fakes.systemd import FakeSystemd

TOP = names.top("abcd", Driver.SYSTEMD)
MONITORS = names.monitors("abcd", Driver.SYSTEMD)
SLICE, SCOPE = names.unit(TOP), names.unit(MONITORS)
US = os.getpid()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in place of the tree of v2."""
    root = tmp_path / "tree"
    root.mkdir()
    monkeypatch.setattr(hierarchies, "current", lambda: Hierarchies(CgroupMode.V2, (Hierarchy(root, v2=True),)))
    return root


@pytest.fixture
def manager(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSystemd]:
    fake = FakeSystemd(tmp_path / "private")
    monkeypatch.setattr(systemd, "PRIVATE", tmp_path / "private")
    yield fake
    fake.close()


def test_a_slice_is_started_with_its_values(manager: FakeSystemd) -> None:
    systemd.start(TOP, systemd.weight(1024))
    assert manager.heard == [("StartTransientUnit", SLICE)]
    assert manager.properties[SLICE]["CPUWeight"] == 39


def test_one_that_systemd_knows_but_that_does_not_run_is_started_after_it_got_its_values(manager: FakeSystemd) -> None:
    """Somebody's drop-in, or a value that was set on one that was stopped meanwhile, makes it known."""
    manager.units[SLICE] = False
    systemd.start(TOP, systemd.weight(1024))
    assert [member for member, _ in manager.heard] == ["StartTransientUnit", "SetUnitProperties", "StartUnit"]
    assert manager.units == {SLICE: True}
    assert manager.properties[SLICE] == {"CPUWeight": 39}


def test_what_all_instances_weigh_together_is_left_alone(manager: FakeSystemd) -> None:
    cgroups.enter_monitors("abcd", US, Driver.SYSTEMD)
    assert manager.heard == [("StartTransientUnit", u) for u in ("reconciler.slice", SLICE, SCOPE)]
    assert "CPUWeight" not in manager.properties["reconciler.slice"]
    manager.units["reconciler.slice"] = False
    systemd.start(names.SLICE, [])
    assert [member for member, _ in manager.heard[-2:]] == ["StartTransientUnit", "StartUnit"]


def test_a_level_gets_its_weight_while_nobody_takes_it_away(manager: FakeSystemd, tree: Path) -> None:
    (tree / TOP[1:]).mkdir(parents=True)
    (tree / TOP[1:] / "cpu.weight").write_text("1")
    free: list[bool] = []
    manager.on_call = lambda _member, _unit: free.append(is_free(tree))
    cgroups.set_level(TOP, 1024)
    assert manager.heard == [("SetUnitProperties", SLICE)]
    assert free == [False]
    cgroups.set_level(f"{TOP}/reconciler-abcd-burstable.slice", 1024)
    assert len(manager.heard) == 1, "one that went meanwhile is let go"


def is_free(root: Path) -> bool:
    """Whether nobody is ``alone`` with the tree."""
    import fcntl

    fd = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def test_a_process_joins_a_scope_that_is_there(manager: FakeSystemd) -> None:
    manager.units[SCOPE] = True
    systemd.enter(MONITORS, US)
    assert [member for member, _ in manager.heard] == ["StartTransientUnit", "AttachProcessesToUnit"]


def test_a_scope_of_an_older_version_is_joined_through_the_kernel(manager: FakeSystemd, tree: Path) -> None:
    """It is not delegated; its monitors live, so that it cannot be made anew."""
    manager.units[SCOPE] = True
    manager.closed.add(SCOPE)
    (tree / MONITORS[1:]).mkdir(parents=True)
    systemd.enter(MONITORS, US)
    assert (tree / MONITORS[1:] / "cgroup.procs").read_text() == str(US)


def test_a_scope_that_failed_is_made_anew(manager: FakeSystemd) -> None:
    manager.units[SCOPE] = False
    systemd.enter(MONITORS, US)
    assert manager.units == {SCOPE: True}
    assert [member for member, _ in manager.heard] == [
        *("StartTransientUnit", "AttachProcessesToUnit", "ResetFailedUnit", "StartTransientUnit")
    ]


def test_a_scope_that_ends_just_then_is_made_anew(manager: FakeSystemd) -> None:
    manager.units[SCOPE] = True

    def ends(member: str, _unit: str) -> None:
        if member == "AttachProcessesToUnit":
            manager.units.clear()

    manager.on_call = ends
    systemd.enter(MONITORS, US)
    assert manager.units == {SCOPE: True}


def test_what_lets_nobody_in_is_told(manager: FakeSystemd) -> None:
    manager.units[SCOPE] = True
    manager.closed.add(SCOPE)
    with pytest.raises(RuntimeFailed, match=r"cannot move process .* non-delegated"):
        systemd.enter(MONITORS, US)
    with pytest.raises(ProcessLookupError):
        systemd.enter(MONITORS, 1 << 23)


def test_a_slice_that_is_gone_already_is_stopped(manager: FakeSystemd) -> None:
    systemd.stop(TOP)
    assert manager.heard == [("StopUnit", SLICE)]
