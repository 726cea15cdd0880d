"""Locks that several hold together, or one alone."""

from __future__ import annotations

from pathlib import Path

from reconciler.engine import locks


def test_one_has_it_alone_only_while_nobody_shares_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.shared(path), locks.shared(path), locks.exclusive_if_free(path) as alone:
        assert not alone
    with locks.exclusive_if_free(path) as alone:
        assert alone
        with locks.exclusive_if_free(path) as another:
            assert not another


def test_a_refused_one_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.shared(path):
        with locks.exclusive_if_free(path):
            pass
        with locks.shared(path):
            pass


def test_a_lock_file_that_somebody_holds_is_not_swept(tmp_path: Path) -> None:
    for name in ("held", "left", "needed"):
        (tmp_path / name).touch()
    with locks.exclusive(tmp_path / "held"):
        locks.sweep(tmp_path, {"needed"})
    assert {path.name for path in tmp_path.iterdir()} == {"held", "needed"}
