"""Kernel settings, written only where they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.engine.network import sysctls
from reconciler.model.errors import HostUnfit


def test_what_is_as_wanted_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "accept_ra").write_text("1\n")
    (tmp_path / "forwarding").write_text("1\n")
    written = []
    monkeypatch.setattr(sysctls, "_write", lambda _, name, value: written.append((name, value)))
    sysctls.ensure_all(tmp_path, {"accept_ra": "0", "forwarding": "1"})
    sysctls.ensure(tmp_path / "forwarding", "1")
    assert written == [("accept_ra", "0")]


def test_what_differs_is_written(tmp_path: Path) -> None:
    (tmp_path / "forwarding").write_text("0")
    sysctls.ensure(tmp_path / "forwarding", "1")
    assert (tmp_path / "forwarding").read_text() == "1"


def test_a_setting_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostUnfit, match=rf"cannot set {tmp_path}/accept_ra to 0: No such file or directory"):
        sysctls.ensure(tmp_path / "accept_ra", "0")
    with pytest.raises(HostUnfit, match=rf"cannot open {tmp_path}/eth0: No such file or directory"):
        sysctls.ensure_all(tmp_path / "eth0", {"accept_ra": "0"})
