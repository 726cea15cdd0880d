"""The database is an index: lost or spoilt it costs nothing but events. Records of another version are understood."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.layout import Layout
from reconciler.engine.records import ContainerRecord, PodRecord
from reconciler.engine.store import addresses as leases
from reconciler.model.spec import ContainerSpec, PodSpec
from tests.host.instance import DEADLINE, Instance, until
from tests.host.lives import end, end_controller, expect_settled, ip_of, log_of, replaced, sleeper, use_runtime
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

PORTS = [{"containerPort": 80, "hostPort": 18400, "protocol": "UDP"}]


@pytest.fixture
def running(instance: Instance, image: str, folder: Path) -> Instance:
    """Two pods, one with a host port, and nobody who watches."""
    put(folder / "a.yaml", pod("a", container("one", image, ports=PORTS), container("two", image)))
    put(folder / "b.yaml", pod("b", container("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    return instance


def database(instance: Instance) -> list[Path]:
    path = Layout.at(instance.root).database
    return [p for p in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if p.exists()]


def reopened(instance: Instance) -> Instance:
    """The same instance as another process meets it."""
    instance.engine.context.store.close()
    instance.__dict__["engine"] = instance.opened()
    return instance


def test_the_database_is_deleted(running: Instance, image: str, folder: Path) -> None:
    """The next command files everything again: nothing is touched, nothing is doubled, the ports are still held."""
    before = {p: running.running(p) for p in "ab"}
    addresses = {p: ip_of(running, p) for p in "ab"}
    running.engine.context.store.close()
    for path in database(running):
        path.unlink()
    shown = running.ok("get", "pods", "--no-headers")
    assert [line.split()[:3] for line in shown.splitlines()] == [["a", "2/2", "Running"], ["b", "1/1", "Running"]]
    reopened(running)
    running.ok("apply", "--wait", "--timeout", 60, folder)
    assert {p: running.running(p) for p in "ab"} == before
    assert {p: ip_of(running, p) for p in "ab"} == addresses
    put(folder / "c.yaml", pod("c", container("one", image)))
    put(folder / "d.yaml", pod("d", container("one", image, ports=PORTS)))
    running.in_vain(folder, "18400", limit=2)
    assert running.running("c")
    assert ip_of(running, "c") not in addresses.values()
    (folder / "d.yaml").unlink()
    running.ok("apply", "--wait", "--timeout", 60, folder)
    expect_settled(running, folder)
    running.ok("down", folder)
    assert running.engine.keys() == ()


def test_the_database_is_deleted_under_a_controller(instance: Instance, image: str, folder: Path) -> None:
    """It goes on with another one, made from the records, as does whoever comes next."""
    put(folder / "a.yaml", pod("a", container("one", image), container("two", image)))
    controller = instance.watch(folder)
    until(lambda: len(instance.running("a")) == 3, "the pod runs")
    before = instance.running("a")
    for path in database(instance):
        path.unlink()
    end_controller(controller, signal.SIGKILL)
    reopened(instance)
    instance.watch(folder)
    end([before["one"]])
    replaced(instance, "a", "one", before["one"])
    after = instance.running("a")
    assert {name for name in before if before[name] != after[name]} == {"one"}
    expect_settled(instance, folder)


def spoil(instance: Instance) -> None:
    """And do not even keep the log of what was written last, from which SQLite would mend it."""
    path, *others = database(instance)
    for other in others:
        other.unlink()
    path.write_bytes(b"this is not a database, " * 1000)


def cut_short(instance: Instance) -> None:
    database(instance)[0].write_bytes(b"")


@pytest.mark.parametrize("happens", [spoil, cut_short])
def test_the_database_is_spoilt(happens: Callable[[Instance], None], running: Instance, folder: Path) -> None:
    """Whoever comes first makes it again and says so, in a line and an event; what was damaged is kept."""
    before = {p: running.running(p) for p in "ab"}
    addresses = {p: ip_of(running, p) for p in "ab"}
    running.engine.context.store.close()
    happens(running)
    done = running.run("get", "pods", "--no-headers")
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [["a", "2/2", "Running"], ["b", "1/1", "Running"]]
    path = running.engine.layout.database
    became = f"was damaged (it is kept as {path.name}.damaged)" if happens is spoil else "was lost"
    told = f"index {path} {became} and is made again from the records of 2 pods: nothing is touched, but earlier events"
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert told in running.ok("events")
    assert running.run("get", "pods").stderr == ""
    reopened(running)
    running.ok("apply", "--wait", "--timeout", 60, folder)
    assert {p: running.running(p) for p in "ab"} == before
    assert {p: ip_of(running, p) for p in "ab"} == addresses
    expect_settled(running, folder)


@pytest.mark.parametrize("happens", [spoil, cut_short])
def test_the_database_is_spoilt_under_a_controller(
    happens: Callable[[Instance], None], instance: Instance, image: str, folder: Path
) -> None:
    """It goes on with another one, which it shares with commands: no address is given out twice."""
    put(folder / "a.yaml", pod("a", sleeper("one", image)))
    instance.watch(folder)
    until(lambda: instance.running("a").get("one"), "the pod runs")
    before = instance.running("a")
    happens(instance)
    put(folder / "b.yaml", pod("b", sleeper("one", image)))
    instance.ok("run", "-d", "--name", "own", image, "sleep", "1000")
    until(lambda: instance.running("b").get("one"), "the next pod runs")
    reopened(instance)
    assert instance.running("a") == before
    assert len({ip_of(instance, p) for p in ("a", "b", "own")}) == 3
    put(folder / "c.yaml", pod("c", sleeper("one", image)))
    until(lambda: instance.running("c").get("one"), "one more runs")
    expect_settled(instance, folder)
    assert "Traceback" not in log_of(instance)


def test_a_newer_program_has_been_here(running: Instance, image: str, folder: Path) -> None:
    """Every command says so in a sentence and touches nothing; what runs goes on."""
    before = {p: running.running(p) for p in "ab"}
    running.engine.context.store.close()
    path = running.engine.layout.database
    with contextlib.closing(sqlite3.connect(path)) as newer:
        version = newer.execute("PRAGMA user_version").fetchone()[0]
        newer.execute("PRAGMA user_version = 99")
    there = {p: p.stat() for p in running.engine.layout.state.rglob("*")}
    for words in (("get", "pods"), ("watch", folder), ("apply", folder), ("down", folder), ("run", image, "true")):
        done = running.run(*words)
        assert (done.returncode != 0, done.stdout) == (True, "")
        said, hint = done.stderr.splitlines()
        assert f"cannot use {path}: a newer reconciler made it (version 99, this one knows up to {version})" in said
        assert hint.startswith("hint: install that one again")
    now = {p: p.stat() for p in running.engine.layout.state.rglob("*")}
    assert {p: (s.st_ino, s.st_mtime_ns) for p, s in now.items() if p != path.parent} == {
        p: (s.st_ino, s.st_mtime_ns) for p, s in there.items() if p != path.parent
    }
    with contextlib.closing(sqlite3.connect(path)) as older:
        older.execute(f"PRAGMA user_version = {version}")
    reopened(running)
    assert {p: running.running(p) for p in "ab"} == before
    expect_settled(running, folder)


def older_record(record: dict[str, Any]) -> None:
    """As a program wrote it that knew less: fields that came later, and so have a default, are not there."""
    is_pod = "uid" in record
    for values, kind in (
        (record, PodRecord if is_pod else ContainerRecord),
        (record["spec"], PodSpec if is_pod else ContainerSpec),
        *((member, ContainerSpec) for member in record["spec"].get("containers", ())),
    ):
        for field in fields(kind):
            has_default = field.default is not MISSING or field.default_factory is not MISSING
            if has_default and values[field.name] in (None, [], {}, "", 0, False):
                del values[field.name]


def newer_record(record: dict[str, Any]) -> None:
    """As a program wrote it that knew more."""
    record["colour"] = "blue"
    for spec in (record["spec"], *record["spec"].get("containers", ())):
        spec["flavour"] = {"sweet": True}


@pytest.mark.parametrize("rewrite", [older_record, newer_record], ids=["older", "newer"])
def test_records_of_another_version(
    rewrite: Callable[[dict[str, Any]], None], running: Instance, image: str, folder: Path
) -> None:
    """Another program's records restart nothing."""
    before = {p: running.running(p) for p in "ab"}
    layout = running.engine.layout
    files = [*layout.pods.glob("*/record.json"), *layout.containers.glob("*/record.json")]
    assert len(files) == 2 + 5
    for file in files:
        record = json.loads(file.read_text())
        rewrite(record)
        file.write_text(json.dumps(record))
    reopened(running)
    assert running.run("diff", folder).returncode == 0
    controller = running.watch(folder)
    put(folder / "c.yaml", pod("c", container("one", image)))
    until(lambda: running.running("c").get("one"), "the controller works")
    end_controller(controller, signal.SIGINT)
    running.ok("apply", "--wait", "--timeout", 60, folder)
    assert {p: running.running(p) for p in "ab"} == before
    expect_settled(running, folder)


def test_another_runtime_takes_over(instance: Instance, image: str, folder: Path) -> None:
    """What runs goes on under the runtime that made it; what is made from now on has the new one."""
    use_runtime(instance, "runc")
    put(folder / "a.yaml", pod("a", sleeper("one", image), sleeper("two", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = instance.running("a")
    use_runtime(instance, "crun")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert instance.running("a") == before
    assert "two" in instance.ok("exec", "a/two", "--", "sh", "-c", "echo $NAME")
    end([before["one"]])
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    after = instance.running("a")
    assert {name for name in before if before[name] != after[name]} == {"one"}
    expect_settled(instance, folder)
    instance.ok("down", folder)
    assert instance.leaks() == ()


@pytest.fixture
def by_hand(instance: Instance, image: str) -> Iterator[Instance]:
    """A pod of two by hand, of which one has ended; a container of its own that runs, and one that was only created."""
    infra = ("--infra-name", "holder", "-p", "18401:80/udp")
    instance.ok("pod", "create", "--name", "box", *infra)
    instance.ok("run", "-d", "--pod", "box", "--name", "web", image, "sleep", "1000")
    instance.ok("run", "--pod", "box", "--name", "ended", image, "true")
    instance.run("run", "--name", "failed", image, "sh", "-c", "exit 3")
    instance.ok("run", "-d", "--name", "own", image, "sleep", "1000")
    instance.ok("create", "--name", "idle", image, "true")
    until(lambda: not described(instance)["failed"][-1], "who waited for its end has been told, and its pod rests")
    yield instance


def described(instance: Instance) -> dict[str, Any]:
    """Of each container what must not change: its id, how it stands, how it ended, its address."""
    rows = json.loads(instance.ok("ps", "-a", "--format", "json"))
    states = {row["Names"][0]: (row["Id"], row["State"], row["ExitCode"], row["Pid"], row["Pod"]) for row in rows}
    shown = json.loads(instance.ok("inspect", *states))
    return {one["Name"]: (*states[one["Name"]], one["NetworkSettings"]["IPAddress"]) for one in shown}


def lose(instance: Instance) -> None:
    for path in database(instance):
        path.unlink()


@pytest.mark.parametrize("happens", [lose, spoil])
def test_what_was_made_by_hand_is_there_again(
    happens: Callable[[Instance], None], by_hand: Instance, image: str
) -> None:
    """Several at once come first afterwards: none is given a name or an address that somebody has."""
    before = described(by_hand)
    assert {name: (state, code) for name, (_, state, code, *_) in before.items()} == {
        "holder": ("running", 0),
        "web": ("running", 0),
        "ended": ("exited", 0),
        "failed": ("exited", 3),
        "own": ("running", 0),
        "idle": ("created", 0),
    }
    by_hand.engine.context.store.close()
    happens(by_hand)
    names = ("web", "holder", "box", "own", "idle", "failed", *(f"new-{n}" for n in range(3)))
    words = [by_hand.command("run", "-d", "--name", name, image, "sleep", "1000") for name in names]
    commands = [subprocess.Popen(w, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for w in words]
    said = {name: command.communicate(timeout=3 * DEADLINE) for name, command in zip(names, commands, strict=True)}
    codes = {name: command.returncode for name, command in zip(names, commands, strict=True)}
    assert codes == {name: 0 if name.startswith("new") else 125 for name in names}, said
    reopened(by_hand)
    after = described(by_hand)
    assert {name: after[name] for name in before} == before
    leased = [lease.ip for lease in leases.leases(by_hand.engine.context.store).values()]
    assert len(set(leased)) == len(leased) == len({"box", "failed", "own", "idle"}) + 3
    assert {ip for *_, ip in after.values() if ip} <= set(leased)
    assert by_hand.run("run", "-d", "-p", "18401:80/udp", image, "sleep", "1000").returncode == 125
    assert by_hand.ok("wait", "failed").split() == ["3"]
    by_hand.ok("start", "idle")
    until(lambda: described(by_hand)["idle"][1:3] == ("exited", 0), "it has run")
    assert described(by_hand)["idle"][0] == before["idle"][0]
