"""Parts that die alone: zygote, monitor, infra container. The rest goes on, and what is lost is made again."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.key import Key
from reconciler.model.observed import PidRef
from tests.host.instance import OURS_ONLY, Instance, until
from tests.host.lives import (
    STUBBORN,
    container_status,
    end,
    end_controller,
    events,
    expect_settled,
    infra_of,
    ip_of,
    log_of,
    monitor_of,
    replaced,
    row_of,
    sleeper,
    zygote_of,
)
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host


@pytest.fixture
def running(instance: Instance, image: str, folder: Path) -> Instance:
    """A pod of two, and a controller that watches it."""
    put(folder / "a.yaml", pod("a", container("one", image), container("two", image)))
    instance.watch(folder)
    until(lambda: set(instance.running("a")) == {"infra", "one", "two"}, "the pod runs")
    until(lambda: len(events(instance, "a")) == 5, "all of it is told")
    return instance


@OURS_ONLY
def test_without_its_zygote(running: Instance, image: str, folder: Path) -> None:
    """Monitors and containers go on; an exit is still heard; the next create brings up another zygote."""
    before = running.running("a")
    zygote = zygote_of(running)
    end([zygote])
    assert running.running("a") == before
    end([before["one"]])
    replaced(running, "a", "one", before["one"])
    assert zygote_of(running) != zygote
    assert running.running("a")["two"] == before["two"]
    assert running.containers("a")["one"].last
    assert running.containers("a")["one"].last.code == 137  # its monitor told, without a zygote
    put(folder / "b.yaml", pod("b", container("one", image)))
    until(lambda: len(running.running("b")) == 2, "another pod runs")
    expect_settled(running, folder)


@OURS_ONLY
def test_without_its_monitor(running: Instance, folder: Path) -> None:
    """Another takes over: nothing else changes, the pod is not touched, and the next end is known as any."""
    before = running.running("a")
    old = monitor_of(running, running.containers("a")["one"])
    end([old])
    until(lambda: _monitor_if_any(running, "one") not in (None, old), "another monitor has come")
    assert running.running("a") == before
    expect_settled(running, folder)
    assert running.running("a") == before

    end([before["one"]])
    replaced(running, "a", "one", before["one"])
    assert running.running("a")["two"] == before["two"]
    last = running.containers("a")["one"].last
    assert last
    assert last.code == 137
    assert row_of(running, "a")[1:4] == ["2/2", "Running", "1"]
    assert "MonitorLost" not in {event.reason for event in events(running, "a")}
    expect_settled(running, folder)


@OURS_ONLY
def test_without_its_monitor_and_without_a_zygote(running: Instance, folder: Path) -> None:
    """The container goes on and can be told from a dead one, which is said; its end is noticed, with a code that nobody
    knows."""
    before = running.running("a")
    end([zygote_of(running)])
    end([monitor_of(running, running.containers("a")["one"])])
    assert running.running("a") == before
    expect_settled(running, folder)
    running.ok("apply", folder)
    assert running.running("a") == before
    (told,) = (event for event in events(running, "a") if event.reason == "MonitorLost")
    assert told.count == 1

    end([before["one"]])
    replaced(running, "a", "one", before["one"])
    assert running.running("a")["two"] == before["two"]
    last = running.containers("a")["one"].last
    assert last
    assert last.code == -1
    expect_settled(running, folder)
    assert monitor_of(running, running.containers("a")["one"])


def _monitor_if_any(instance: Instance, name: str) -> PidRef | None:
    try:
        return monitor_of(instance, instance.containers("a")[name])
    except (AssertionError, FileNotFoundError):
        return None


def test_without_its_monitor_it_can_be_stopped(running: Instance, image: str, folder: Path) -> None:
    before = running.running("a")
    end([monitor_of(running, running.containers("a")["one"])])
    put(folder / "a.yaml", pod("a", container("one", image, args=["new"]), container("two", image)))
    replaced(running, "a", "one", before["one"])
    assert running.running("a")["two"] == before["two"]
    expect_settled(running, folder)
    (folder / "a.yaml").unlink()
    until(lambda: not running.engine.keys(), "the pod is gone")


def test_monitor_and_container_at_once(running: Instance, folder: Path) -> None:
    before = running.running("a")
    end([monitor_of(running, running.containers("a")["one"]), before["one"]])
    replaced(running, "a", "one", before["one"])
    assert running.running("a")["two"] == before["two"]
    expect_settled(running, folder)


@OURS_ONLY
def test_all_monitors_while_nobody_watches(instance: Instance, image: str, folder: Path) -> None:
    """Every monitor, the zygote and one container die: the rest is adopted without them."""
    put(folder / "a.yaml", pod("a", container("one", image), container("two", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = instance.running("a")
    watched = [*instance.containers("a").values(), infra_of(instance, "a")]
    end([zygote_of(instance)])
    end([*(monitor_of(instance, one) for one in watched), before["one"]])
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    after = instance.running("a")
    assert {name for name in before if before[name] != after.get(name)} == {"one"}
    expect_settled(instance, folder)


@pytest.mark.parametrize("with_monitor", [False, True], ids=["infra", "infra and its monitor"])
def test_without_its_infra_container(with_monitor: bool, instance: Instance, image: str, folder: Path) -> None:
    """The pod is made anew with its address and ports; its members end as they do in a removal, with their grace."""
    ports = [{"containerPort": 80, "hostPort": 18300, "protocol": "UDP"}]
    last_words = "trap 'sleep 0.3; echo goodbye; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done"
    put(
        folder / "a.yaml",
        pod(
            "a",
            sleeper("one", image, command=["sh", "-c", last_words], ports=ports),
            container("two", image),
            terminationGracePeriodSeconds=20,
        ),
    )
    instance.watch(folder)
    until(lambda: set(instance.running("a")) == {"infra", "one", "two"}, "the pod runs")
    one = instance.containers("a")["one"]
    until(lambda: "ready" in Path(one.log_path).read_text(), "it can hear TERM")
    before, address, infra = instance.running("a"), ip_of(instance, "a"), infra_of(instance, "a")
    victims = [before["infra"]]
    if with_monitor:
        victims.insert(0, monitor_of(instance, infra))
    end(victims)
    for name in before:
        replaced(instance, "a", name, before[name])
    assert ip_of(instance, "a") == address
    told = [(e.reason, e.message) for e in events(instance, "a")]
    killings = [text for reason, text in told if reason == "Killing"]
    assert sorted(killings) == [f"Stopping container {c}: its infra container died" for c in ("one", "two")]
    assert any(reason == "SandboxChanged" for reason, _ in told)
    expect_settled(instance, folder)


def test_emptydirs_outlive_the_infra_container_but_not_a_changed_pod(
    instance: Instance, image: str, folder: Path
) -> None:
    keep = {"volumes": [{"name": "data", "emptyDir": {}}]}
    mounts = [{"name": "data", "mountPath": "/data"}]
    words = ["sh", "-c", "ls /data; touch /data/mark; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"]
    manifest = pod("a", sleeper("one", image, command=words, volumeMounts=mounts), **keep)
    put(folder / "a.yaml", manifest)
    instance.watch(folder)
    until(lambda: "one" in instance.running("a"), "the pod runs")
    before = instance.running("a")
    end([before["infra"]])
    replaced(instance, "a", "one", before["one"])
    until(lambda: "mark" in Path(instance.containers("a")["one"].log_path).read_text(), "the data is there")
    before = instance.running("a")
    manifest["spec"]["hostname"] = "other"
    put(folder / "a.yaml", manifest)
    replaced(instance, "a", "one", before["one"])
    expect_settled(instance, folder)
    assert "mark" not in Path(instance.containers("a")["one"].log_path).read_text()


@pytest.mark.parametrize("watched", [True, False], ids=["watched", "unwatched"])
def test_the_run_directory_is_cleared(watched: bool, running: Instance, folder: Path) -> None:
    """While all runs: it goes on and is looked after. What only the runtime's state allows, as `exec`, is told in a
    sentence with what to do, which helps."""
    before = running.running("a")
    if watched:
        running.watch(folder)
        until(lambda: "controller starts" in log_of(running), "it watches")
    for entry in running.engine.layout.run.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    running.ok("apply", "--wait", "--timeout", 60, folder)
    assert running.running("a") == before
    one = running.containers("a")["one"].id[:12]
    done = running.run("exec", "a/one", "--", "true")
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.startswith("reconciler: cannot run true: what its OCI runtime knew of the container")
    assert done.stderr.endswith(f"; it goes on running, and can be made anew: reconciler restart {one}\n")
    running.ok("restart", one)
    replaced(running, "a", "one", before["one"])
    assert running.ok("exec", "a/one", "--", "echo", "works") == "works\n"
    end([before["two"]])
    if not watched:
        running.ok("apply", "--wait", "--timeout", 60, folder)
    replaced(running, "a", "two", before["two"])
    assert running.running("a")["infra"] == before["infra"]
    expect_settled(running, folder)


def test_the_runtime_state_is_lost(running: Instance, image: str, folder: Path) -> None:
    """Somebody cleaned up too much below the run directory: what runs goes on, and can be replaced."""
    before = running.running("a")
    for name in ("crun", "runc"):
        shutil.rmtree(running.engine.layout.runtime_state(name), ignore_errors=True)
    put(folder / "a.yaml", pod("a", container("one", image, args=["new"]), container("two", image)))
    replaced(running, "a", "one", before["one"])
    assert running.running("a")["two"] == before["two"]
    expect_settled(running, folder)


def test_a_crash_loop(instance: Instance, image: str, folder: Path) -> None:
    """The first restart is immediate, the next waits 10 s, and a good sibling never notices."""
    put(folder / "a.yaml", pod("a", sleeper("bad", image, command=["sh", "-c", "exit 3"]), sleeper("good", image)))
    instance.watch(folder)
    until(lambda: instance.containers("a").get("bad") and instance.containers("a")["bad"].restarts == 1, "a restart")
    good = instance.running("a")["good"]
    until(lambda: row_of(instance, "a")[1:3] == ["1/2", "CrashLoopBackOff"], "the back-off is shown")
    shown = until(lambda: waiting(instance, "a", "bad"), "the back-off is told")
    assert shown["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    delay = 10 * 2 ** (shown["restartCount"] - 1)  # the next restart may have come meanwhile
    assert f"back-off {delay}s restarting failed container" in shown["state"]["waiting"]["message"]
    assert shown["lastState"]["terminated"]["exitCode"] == 3
    told = until(lambda: [e.message for e in events(instance, "a") if e.reason == "BackOff"], "it is an event, too")
    assert told[0] == "container bad: back-off 10s restarting failed container bad"
    assert instance.running("a")["good"] == good
    put(folder / "a.yaml", pod("a", sleeper("bad", image), sleeper("good", image)))
    until(lambda: "bad" in instance.running("a"), "an edit does not wait for the back-off", min(30, delay - 1))
    assert instance.running("a")["good"] == good
    expect_settled(instance, folder)


def waiting(instance: Instance, pod: str, name: str) -> dict[str, Any] | None:
    """The container's status, while it waits."""
    shown = container_status(instance, pod, name)
    return shown if "back-off" in shown["state"].get("waiting", {}).get("message", "") else None


@pytest.mark.parametrize(
    ("policy", "code", "row", "succeeds"),
    [
        ("Never", 0, ["0/1", "Completed", "0"], True),
        ("Never", 4, ["0/1", "Error", "0"], False),
        ("OnFailure", 0, ["0/1", "Completed", "0"], True),
        ("OnFailure", 4, ["0/1", "CrashLoopBackOff", "1"], False),
        ("Always", 0, ["0/1", "CrashLoopBackOff", "1"], False),
    ],
)
def test_a_container_that_ends(
    policy: str, code: int, row: list[str], succeeds: bool, instance: Instance, image: str, folder: Path
) -> None:
    command = ["sh", "-c", f"exit {code}"]
    put(folder / "a.yaml", pod("a", sleeper("one", image, command=command), restartPolicy=policy))
    instance.watch(folder)
    until(lambda: instance.engine.keys() and row_of(instance, "a")[1:4] == row, f"{row} is shown")
    instance.stop_controllers()
    if succeeds:
        instance.ok("apply", "--wait", "--timeout", 60, folder)
    else:
        instance.in_vain(folder, "container one: ", limit=1 if policy != "Never" else 60)
    until(lambda: row_of(instance, "a")[1:3] == row[:2], f"{row} is shown as before")
    restarts = int(row_of(instance, "a")[3])
    assert restarts == int(row[2]) or (not succeeds and policy != "Never" and restarts > 1), "its back-off may be over"
    instance.ok("system", "check")


def test_containers_with_restart_policies_of_their_own(instance: Instance, image: str, folder: Path) -> None:
    """One is started again as a rule names its exit code, until it ends with another; one as its policy says."""
    counts = "echo x >>/try/$NAME; test $(wc -l </try/$NAME) -ge 2"
    own = {
        "env": [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "volumeMounts": [{"name": "try", "mountPath": "/try"}],
    }
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    ruled = sleeper(
        "ruled",
        image,
        command=["sh", "-c", f"{counts} && exit 5; exit 42"],
        restartPolicy="Never",
        restartPolicyRules=[rule],
        **own,
    )
    again = {"restartPolicy": "OnFailure", **own}
    begins = sleeper("begins", image, command=["sh", "-c", f"NAME=begins; {counts}"], **again)
    volumes = [{"name": "try", "emptyDir": {}}]
    spec = {"restartPolicy": "Never", "initContainers": [begins], "volumes": volumes}
    put(folder / "a.yaml", pod("a", ruled, **spec))
    instance.watch(folder)
    until(lambda: instance.engine.keys() and row_of(instance, "a")[1:4] == ["0/1", "Error", "1"], "it has failed")
    shown = json.loads(instance.ok("get", "pod", "a", "-o", "json"))
    assert shown["status"]["phase"] == "Failed"
    assert shown["status"]["initContainerStatuses"][0]["restartCount"] == 1
    ended = shown["status"]["containerStatuses"][0]
    assert ended["state"]["terminated"]["exitCode"] == 5
    assert ended["lastState"]["terminated"]["exitCode"] == 42
    assert shown["spec"]["containers"][0]["restartPolicyRules"] == [rule]

    put(folder / "a.yaml", pod("a", ruled | {"restartPolicy": "OnFailure"}, **spec))
    until(lambda: row_of(instance, "a")[2] == "CrashLoopBackOff", "an edited policy counts at once")


def test_killing_is_told_once(instance: Instance, image: str, folder: Path) -> None:
    """The kill at the end of a grace period is one event, although the process takes a moment to die."""
    put(folder / "a.yaml", pod("a", sleeper("one", image, command=STUBBORN), terminationGracePeriodSeconds=1))
    controller = instance.watch(folder)
    until(lambda: "one" in instance.running("a"), "it runs")
    memory = instance.engine.layout.state / "sources"
    until(lambda: any("a.yaml" in f.read_text() for f in memory.glob("*.json")), "its file is on record")
    (folder / "a.yaml").unlink()
    until(lambda: not instance.engine.keys(), "it is gone")
    until(lambda: events(instance, "a")[-1].reason == "Removed", "that is told")
    begun, killed = (e.message.partition(": ")[2] for e in events(instance, "a") if e.reason == "Killing")
    assert begun.startswith("its manifest ")
    assert killed == "its grace period is over"
    end_controller(controller, signal.SIGINT)
    assert Key("default", "a") not in set(instance.engine.keys())
