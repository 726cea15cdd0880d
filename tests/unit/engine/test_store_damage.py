"""A database file that is damaged is begun again, under whoever has it open; what is wrong with it is told."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from reconciler.engine.store import addresses, opening, settings
from reconciler.engine.store.addresses import Pool
from reconciler.engine.store.tx import Store
from reconciler.model.errors import TryLater
from reconciler.model.key import Key

NET = Pool("default", IPv4Network("10.9.0.0/24"))
WEB, DB = Key("default", "web"), Key("default", "db")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def _zeros(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


def _pages_lost(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(path.stat().st_size - 4096))


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def _gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [_zeros, _text, _pages_lost, _half, _gone])
@pytest.mark.parametrize("is_open", [False, True], ids=["while nobody has it open", "under those who have it open"])
def test_a_damaged_database_is_begun_again(tmp_path: Path, harm: Callable[[Path], None], is_open: bool) -> None:
    """By whoever notices; all others go on with the new one, whatever they had open. Each has it filled."""
    path = tmp_path / "state.db"
    first, second = Store(path), Store(path)
    for store in (first, second):
        addresses.lease(store, Key("default", f"{id(store)}"), NET)
    with contextlib.closing(sqlite3.connect(path)) as all_of_it:
        all_of_it.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if not is_open:
        first.close()
        second.close()
    harm(path)
    filled = []
    for store in (first, second):
        store.fill = lambda: filled.append(1)
        _insist(lambda store=store: addresses.lease(store, WEB, NET))
    assert addresses.lease(first, DB, NET).ip != addresses.lease(second, WEB, NET).ip
    assert addresses.leases(first) == addresses.leases(second)
    assert filled
    assert path.stat().st_mode & 0o777 == 0o600
    third = Store(path)
    first.close()
    second.close()
    assert {WEB, DB} <= set(addresses.leases(third)), "what the others had open took nothing along at its end"


def _insist(do: Callable[[], object]) -> None:
    """Where the damage comes to light in the middle of something, that fails once."""
    try:
        do()
    except TryLater as error:
        assert "try again" in error.hint
        do()


def test_what_was_damaged_is_kept_for_a_look(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    _text(path)
    assert settings.get(Store(path), "x") is None
    assert (tmp_path / "state.db.damaged").read_bytes().startswith(b"no database")


def test_nobody_sees_an_index_that_could_not_be_filled(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")

    def full() -> None:
        raise TryLater("cannot write: no space")

    store.fill = full
    for _ in range(2):
        with pytest.raises(TryLater, match="no space"):
            settings.get(store, "x")


def test_who_waits_for_a_lock_in_vain_is_told_how_to_find_its_holder(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.01)
    settings.put(store, "a", "b")
    other = Store(store.path)
    with store.transaction(), pytest.raises(TryLater, match="locked") as told:
        settings.put(other, "a", "c")
    assert f"fuser {store.path}" in told.value.hint
