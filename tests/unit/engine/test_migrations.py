"""Databases of every version so far are taken over, with all that is in them; one of a newer program is left alone."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from reconciler.engine.store import addresses, events, migrations, names, settings
from reconciler.engine.store import pods as index
from reconciler.engine.store.addresses import Pool
from reconciler.engine.store.migrations import STEPS
from reconciler.engine.store.tx import Store
from reconciler.model.errors import HostUnfit
from reconciler.model.key import ContainerId, Key, PodId
from reconciler.model.spec import PortBinding
from tests.unit.engine.test_store import DUAL

DATABASES = Path(__file__).with_name("databases")
VERSIONS = range(1, len(STEPS) + 1)
WEB, DB = Key("default", "web"), Key("default", "db")


def database(path: Path, version: int) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATABASES / f"version-{version}.sql").read_text())
    return path


def shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Of each table and index, what it consists of."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        named = connection.execute("SELECT name, type FROM sqlite_master ORDER BY name").fetchall()
        return {
            name: connection.execute(f"PRAGMA {'table' if kind == 'table' else 'index'}_info({name})").fetchall()
            for name, kind in named
        }


def test_there_is_a_database_of_each_version() -> None:
    """Who adds a step adds one of the new version; those of before stay as they are."""
    assert {path.name for path in DATABASES.iterdir()} == {f"version-{n}.sql" for n in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_step_that_is_out_is_never_changed(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "STEPS", STEPS[:version])
    now = tmp_path / "now.db"
    assert settings.get(Store(now), "x") is None
    assert shape(now) == shape(database(tmp_path / "then.db", version))


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_an_older_program_knew_is_taken_over(version: int, tmp_path: Path) -> None:
    store = Store(database(tmp_path / "state.db", version))
    assert [row.id for row in index.all_pods(store)] == ["aa", "bb"]
    assert index.all_pods(store, with_ports=True) == (
        index.PodRow(PodId("aa"), WEB, (PortBinding(8080, 80),), published=True),
    )
    assert index.all_containers(store) == {ContainerId("c1"): "aa", ContainerId("c2"): "aa"}
    assert names.keys(store) == (WEB, DB)
    assert addresses.leases(store)[WEB].ip == "10.9.0.7"
    assert addresses.lease(store, WEB, DUAL).ips == ("10.9.0.7", "fd00:9::7")
    (event,) = events.read(store)
    assert (event.about, event.count, event.message) == ("default/web", 3, "restarting")
    assert settings.get(store, "network.subnet") == "10.9.0.0/24"
    knew_names = version >= 4
    assert settings.get(store, settings.RECORDS_FILED) == ("yes" if knew_names else None), "names are in the records"
    store.close()
    fresh = Store(tmp_path / "fresh.db")
    assert addresses.lease(fresh, WEB, Pool("default", DUAL.network)).ip
    fresh.close()
    assert shape(store.path) == shape(fresh.path)


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_newer_database_is_refused_in_one_sentence_and_left_as_it_is(mode: str, tmp_path: Path) -> None:
    path = database(tmp_path / "state.db", len(STEPS))
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA journal_mode = {mode}")
        newer.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(HostUnfit) as told:
            settings.get(Store(path), "x")
    assert told.value.message == (
        f"cannot use {path}: a newer reconciler made it (version 99, this one knows up to {len(STEPS)})"
    )
    assert told.value.hint == "install that one again; nothing was changed, and what runs goes on"
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["state.db"]
