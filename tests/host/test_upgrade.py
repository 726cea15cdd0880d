"""An upgrade restarts nothing: pods that an older program made go on, under its monitors, and are looked after by this
one, whatever version their records and their index are of."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from conmon import framing
from reconciler.engine.store.migrations import STEPS
from reconciler.model.spec import SPEC_VERSION
from tests.host.conftest import CHECKOUT
from tests.host.instance import OURS_ONLY, Instance, until
from tests.host.lives import container_status, end, expect_settled, ip_of, log_of, replaced, sleeper, zygote_of
from tests.host.manifests import pod, put

pytestmark = pytest.mark.host


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A checkout whose monitors and records are of another version: ``-m reconciler`` in it is an older program."""
    place = tmp_path / "older"
    for part in ("reconciler", "conmon", "schemas"):
        shutil.copytree(CHECKOUT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    spec = place / "reconciler/model/spec.py"
    text = spec.read_text()
    assert f"SPEC_VERSION = {SPEC_VERSION}\n" in text
    spec.write_text(text.replace(f"SPEC_VERSION = {SPEC_VERSION}\n", "SPEC_VERSION = 1\n"))
    with (place / "conmon/say.py").open("a") as file:
        file.write("# older\n")
    return place


@OURS_ONLY
def test_what_an_older_program_made_goes_on(older: Path, instance: Instance, image: str, folder: Path) -> None:
    """Its files are gone by then, as an upgrade removes them. A new container has a new monitor beside the old ones,
    and what ends under an old one is told, and run again."""
    ends = sleeper("ends", image, command=["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 1000 & wait; done"])
    put(folder / "a.yaml", pod("a", sleeper("one", image), ends))
    apply = instance.command("apply", "--wait", "--timeout", 60, folder)
    subprocess.run(apply, cwd=older, check=True, capture_output=True, timeout=90)
    before, old = instance.running("a"), zygote_of(instance)
    records = [json.loads(path.read_text()) for path in instance.engine.layout.pods.glob("*/record.json")]
    assert [record["version"] for record in records] == [1]
    command = Path(f"/proc/{old.pid}/cmdline").read_bytes()
    assert (str(older).encode() in command, framing.version() == framing.version(str(older / "conmon"))) == (
        True,
        False,
    )
    shutil.rmtree(older)
    instance.watch(folder)
    put(folder / "b.yaml", pod("b", sleeper("one", image)))
    until(lambda: instance.running("b").get("one"), "a new pod runs")
    assert instance.running("a") == before
    end([before["ends"]], signal.SIGTERM)
    replaced(instance, "a", "ends", before["ends"])
    assert container_status(instance, "a", "ends")["lastState"]["terminated"]["exitCode"] == 7
    after = instance.running("a")
    assert {name for name in before if before[name] != after[name]} == {"ends"}
    assert "Traceback" not in log_of(instance)
    expect_settled(instance, folder)


PORTS = [{"containerPort": 80, "hostPort": 18480, "protocol": "UDP"}]


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_an_index_of_an_older_version(version: int, instance: Instance, image: str, folder: Path) -> None:
    """Addresses and ports are still whose they were."""
    put(folder / "a.yaml", pod("a", sleeper("one", image, ports=PORTS), sleeper("two", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before, address = instance.running("a"), ip_of(instance, "a")
    instance.engine.context.store.close()
    make_older(instance.engine.layout.database, version)
    instance.watch(folder)
    put(folder / "b.yaml", pod("b", sleeper("one", image)))
    until(lambda: instance.running("b").get("one"), "a new pod runs")
    assert instance.running("a") == before
    assert (ip_of(instance, "a"), ip_of(instance, "b") == address) == (address, False)
    assert instance.run("run", "-d", "-p", "18480:80/udp", image, "sleep", "1000").returncode == 125
    with contextlib.closing(sqlite3.connect(instance.engine.layout.database)) as now:
        assert now.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    expect_settled(instance, folder)


def make_older(path: Path, version: int) -> None:
    """Put what a database holds, as far as it goes, into one that a program of that ``version`` would have made."""
    new = path.with_name("older")
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as older:
        for statement in ";".join(STEPS[:version]).split(";"):
            older.execute(statement)
        older.execute("ATTACH ? AS now", (str(path),))
        tables = [row[0] for row in older.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in older.execute(f"PRAGMA main.table_info({table})")]
            kept = set(columns) & {row[1] for row in older.execute(f"PRAGMA now.table_info({table})")}
            if kept:
                names = ", ".join(sorted(kept))
                older.execute(f"INSERT OR REPLACE INTO main.{table} ({names}) SELECT {names} FROM now.{table}")
        if version == 1:
            leased = "SELECT address, kind, namespace, name FROM now.leases WHERE family = 4"
            older.execute(f"INSERT INTO addresses (address, kind, namespace, name) {leased}")
        older.execute(f"PRAGMA main.user_version = {version}")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    new.chmod(0o600)
    new.replace(path)
