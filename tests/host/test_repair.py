"""Records that are lost or damaged, and `system check --repair`: what can be is put right, what runs is left to its
user, no data goes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.engine import cgroups
from reconciler.engine.network import portmap
from reconciler.engine.records import RECORD
from reconciler.model.key import Key
from tests.host.instance import Instance, start_time, wait_for_end
from tests.host.lives import events, expect_settled, infra_of, ip_of, sleeper
from tests.host.manifests import pod, put

pytestmark = pytest.mark.host

PORTS = [{"containerPort": 80, "hostPort": 18460, "protocol": "UDP"}]
STRANGER = "ab" * 32
OTHER = "cd" * 32


@pytest.fixture
def running(instance: Instance, image: str, folder: Path) -> Instance:
    """Two pods, one with a host port, and nobody who watches."""
    put(folder / "a.yaml", pod("a", sleeper("one", image, ports=PORTS), sleeper("two", image)))
    put(folder / "b.yaml", pod("b", sleeper("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    return instance


def record_of(instance: Instance, name: str) -> Path:
    """A pod's."""
    sandbox = instance.engine.observe(Key("default", name), None).sandbox
    assert sandbox is not None
    return instance.engine.layout.pod(sandbox.id) / RECORD


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"\0garbage" * 100)


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [garbage, gone])
def test_a_pod_whose_record_is_lost_is_made_anew(harm: Callable[[Path], None], running: Instance, folder: Path) -> None:
    """With its address and its port, and nothing of the old one beside it; the other is not touched. It is told."""
    record, address = record_of(running, "a"), ip_of(running, "a")
    before, others = running.running("a"), running.running("b")
    harm(record)
    done = running.run("apply", "--wait", "--timeout", 60, folder)
    assert done.returncode == 0, done.stderr
    told = f"he record of pod default/a is {'lost' if harm is gone else 'damaged'} ({record}): it is made anew"
    assert f"reconciler: t{told}" in done.stderr
    assert [e.message for e in events(running, "a") if e.reason == "RecordLost"] == [f"T{told}"]
    wait_for_end(list(before.values()))
    after = running.running("a")
    assert set(after) == set(before)
    assert ip_of(running, "a") == address
    assert running.running("b") == others
    assert not record.exists()
    expect_settled(running, folder)


@pytest.mark.parametrize("harm", [empty])
def test_a_container_whose_record_is_lost_is_made_anew(
    harm: Callable[[Path], None], running: Instance, folder: Path
) -> None:
    """It alone: its sibling and the infra container go on."""
    before = running.running("a")
    record = running.engine.layout.container(running.containers("a")["two"].id) / RECORD
    harm(record)
    running.__dict__["engine"] = running.opened()
    running.ok("apply", "--wait", "--timeout", 60, folder)
    after = running.running("a")
    assert {name for name in before if before[name] != after[name]} == {"two"}
    wait_for_end([before["two"]])
    assert [e.message for e in events(running, "a") if e.reason == "RecordLost"] == [
        f"The record of container two is {'lost' if harm is gone else 'damaged'} ({record}):"
        " it is removed, whatever it did"
    ]
    expect_settled(running, folder)


def test_the_record_of_an_infra_container_is_lost(running: Instance, folder: Path) -> None:
    """The pod is made again: nobody could tell how its infra container does."""
    address = ip_of(running, "a")
    garbage(running.engine.layout.container(infra_of(running, "a").id) / RECORD)
    running.__dict__["engine"] = running.opened()
    running.ok("apply", "--wait", "--timeout", 60, folder)
    assert set(running.running("a")) == {"infra", "one", "two"}
    assert ip_of(running, "a") == address
    expect_settled(running, folder)


def repair(instance: Instance, *options: str) -> tuple[int, dict[tuple[str, str], str]]:
    """The exit code, and of what was found what is left to do ("": it was put right)."""
    done = instance.run("system", "check", "--repair", *options, "--format", "json")
    return done.returncode, {(one["kind"], one["name"]): one["left"] for one in json.loads(done.stdout)}


def test_nothing_that_runs_is_ended_unasked_and_then_it_is(running: Instance, folder: Path) -> None:
    """A pod nobody wants any more, without its record: told with the command, which ends it."""
    before, others = running.running("a"), running.running("b")
    garbage(record_of(running, "a"))
    (folder / "a.yaml").unlink()
    code, found = repair(running)
    assert code == 1
    assert {("process", str(ref.pid)) for ref in before.values()} <= set(found)
    assert all("--repair --kill" in found[("process", str(ref.pid))] for ref in before.values())
    assert [start_time(ref.pid) for ref in before.values()] == [ref.start for ref in before.values()]
    assert all(left for (kind, name), left in found.items() if kind != "name"), found

    code, found = repair(running, "--kill")
    wait_for_end(list(before.values()))
    assert (code, set(found.values())) == (0, {""})
    assert repair(running, "--kill") == (0, {})
    assert running.running("b") == others
    expect_settled(running, folder)


def litter(instance: Instance) -> dict[tuple[str, str], str]:
    """What killed processes may leave, and others do; with what is to be left of it."""
    layout = instance.engine.layout
    made = [layout.trash / "x", layout.run / "runtime/crun" / OTHER, layout.containers / OTHER, layout.pods / STRANGER]
    for path in made:
        path.mkdir(parents=True)
    touched = [layout.exits / OTHER, layout.exits / f"{OTHER}.oom", layout.pids / OTHER, layout.locks / "Pod.x.y"]
    for path in touched:
        path.touch()
    data = layout.containers / STRANGER
    (data / "upper/srv").mkdir(parents=True)
    (data / "upper/srv/data").write_text("mine")
    group = f"{cgroups.tops(layout.tag)[0]}/pod-{STRANGER}"
    cgroups.make_pod(group)
    link = f"v{layout.tag}{STRANGER[:9]}"
    subprocess.run(["ip", "link", "add", link, "type", "veth", "peer", "name", "litter"], check=True, timeout=20)
    return (
        {("directory", str(path)): "" for path in made}
        | {("file", str(path)): "" for path in touched}
        | {("link", link): "", ("directory", str(data)): f"it holds files; when nobody needs them: rm -r {data}"}
    )


def test_what_lies_about_is_collected_and_data_is_not(running: Instance, folder: Path) -> None:
    """Beside pods that go on; the second time there is nothing to do."""
    before = {p: running.running(p) for p in "ab"}
    expected = litter(running)
    listed = running.run("system", "check").stdout
    assert all(name in listed for _, name in expected)
    code, found = repair(running)
    assert code == 1
    assert {where: left for where, left in found.items() if where[0] != "cgroup"} == expected
    assert not any(left for (kind, _), left in found.items() if kind == "cgroup")
    data = next(Path(name) for (_, name), left in found.items() if left)
    assert (data / "upper/srv/data").read_text() == "mine"
    code, found = repair(running)
    assert (code, set(found)) == (1, {("directory", str(data))})
    subprocess.run(["rm", "-r", data], check=True, timeout=20)
    assert running.run("system", "check", "--repair").stdout.startswith("clean: ")
    assert {p: running.running(p) for p in "ab"} == before
    expect_settled(running, folder)


def test_what_others_did_to_the_network_is_mended(running: Instance, folder: Path) -> None:
    layout = running.engine.layout
    held = portmap.current(layout.tag)
    assert held
    subprocess.run(["nft", "delete", "table", "inet", f"reconciler_{layout.tag}"], check=True, timeout=20)
    assert running.run("system", "check").returncode == 1
    code, found = repair(running)
    assert (code, set(found.values())) == (0, {""})
    assert portmap.current(layout.tag) == held
    expect_settled(running, folder)


def test_the_record_of_a_network_is_lost(instance: Instance, image: str, folder: Path) -> None:
    """Its pods go on. Whether it was to be internal nobody knows any more, so it is not remade unasked, but the command
    is told which does."""
    instance.ok("network", "create", "--ipv6", "--gateway", "10.79.3.9", "--subnet", "10.79.3.0/24", "inner")
    for name in "ab":
        manifest = pod(name, sleeper("one", image))
        manifest["metadata"]["annotations"] = {"reconciler/network": "inner"}
        put(folder / f"{name}.yaml", manifest)
    instance.ok("apply", "--wait", "--timeout", 60, folder / "a.yaml")
    before, address = instance.running("a"), ip_of(instance, "a")
    (shown,) = json.loads(instance.ok("network", "inspect", "inner"))
    (instance.engine.layout.networks / "inner.json").unlink()
    assert "bridge of network inner, whose record is lost" in instance.run("system", "check").stdout
    code, found = repair(instance)
    told = found[("link", shown["network_interface"])]
    advice, _, command = told.partition(": reconciler ")
    assert (code, advice) == (1, "with --internal or --disable-dns, where it had them")
    instance.ok(*command.split())
    (again,) = json.loads(instance.ok("network", "inspect", "inner"))
    assert {**again, "created": 0} == {**shown, "created": 0}
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert (instance.running("a"), ip_of(instance, "a")) == (before, address)
    assert ip_of(instance, "b") in {f"10.79.3.{last}" for last in range(1, 255)} - {address}
    expect_settled(instance, folder)


@pytest.mark.parametrize("point", ["tree.bury:after", "cgroup.remove:after"])
def test_a_repair_that_is_killed_is_begun_again(point: str, running: Instance, folder: Path) -> None:
    expected = litter(running)
    killed = subprocess.run(
        running.command("system", "check", "--repair"),
        env={"RECONCILER_FAULT": point, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert killed.returncode == -9, f"never came to {point}"
    code, _ = repair(running)
    data = next(Path(name) for (_, name), left in expected.items() if left)
    subprocess.run(["rm", "-r", data], check=True, timeout=20)
    assert code == 1
    expect_settled(running, folder)
