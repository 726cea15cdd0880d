"""Several of our commands at the same time: nothing is doubled, nothing fails."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from pathlib import Path

import pytest

from reconciler.engine.store import pods as index
from reconciler.model.key import Key
from tests.host.instance import DEADLINE, Instance, until
from tests.host.lives import expect_settled
from tests.host.manifests import container, pod, put

pytestmark = pytest.mark.host

PODS = ("a", "b", "c")


def begin(instance: Instance, folder: Path) -> subprocess.Popen[str]:
    words = instance.command("apply", "--wait", "--timeout", 60, folder)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def fill(folder: Path, image: str, version: str) -> None:
    for number, name in enumerate(PODS):
        ports = [{"containerPort": 80, "hostPort": 18500 + number, "protocol": "UDP"}]
        one = container("one", image, ports=ports, args=[version])
        put(folder / f"{name}.yaml", pod(name, one, container("two", image)))


def expect_one_of_each(instance: Instance) -> None:
    store = instance.engine.context.store
    for name in PODS:
        assert set(instance.running(name)) == {"infra", "one", "two"}
    assert len(index.all_pods(store)) == len(PODS)
    assert len(index.all_containers(store)) == 3 * len(PODS)


@pytest.mark.parametrize("watched", [False, True], ids=["three times", "and a controller"])
def test_the_same_folder_is_applied(watched: bool, instance: Instance, image: str, folder: Path) -> None:
    if watched:
        instance.watch(folder)
    for version in ("first", "second"):
        fill(folder, image, version)
        before = {p: instance.running(p) for p in PODS}
        commands = [begin(instance, folder) for _ in range(3)]
        for command in commands:
            said, _ = command.communicate(timeout=2 * DEADLINE)
            assert command.returncode == 0, said
            assert "cannot" not in said
        until(lambda: all(len(instance.containers(p)) == 2 for p in PODS), "all is tidied up")
        expect_settled(instance, folder)
        expect_one_of_each(instance)
        after = {p: instance.running(p) for p in PODS}
        if version == "second":
            assert all({n for n in after[p] if after[p][n] != before[p][n]} == {"one"} for p in PODS)
    told = [event for event in instance.engine.events() if event.type == "Warning"]
    assert told == []
    for name in PODS:
        created = [e for e in instance.engine.events(about=str(Key("default", name))) if e.reason == "SandboxCreated"]
        assert [e.count for e in created] == [1]
    if watched:
        assert "level=error" not in (log := (instance.root / "controller.log").read_text())
        assert "level=warning" not in log


def take_down(instance: Instance, folder: Path) -> subprocess.Popen[str]:
    words = instance.command("down", folder)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_removed_and_put_back_at_the_same_time(instance: Instance, image: str, folder: Path) -> None:
    """`down` and `apply` at once: whoever came last wins, the other gives up; nothing is left half done."""
    fill(folder, image, "first")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    both = (take_down(instance, folder), begin(instance, folder))
    told = [process.communicate(timeout=2 * DEADLINE)[0] for process in both]
    ends = [process.returncode for process in both]
    assert ends in ([0, 0], [0, 1], [1, 0]), told
    for code, said in zip(ends, told, strict=True):
        assert ("came later" in said) == (code == 1), said
        assert "Traceback" not in said
        assert "internal error" not in said
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    expect_one_of_each(instance)
    expect_settled(instance, folder)


def test_a_later_command_ends_an_earlier_contrary_one(instance: Instance, image: str, folder: Path) -> None:
    """`apply` starts while `down` waits for a stubborn container: its pod is wanted again. And the other way round."""
    stubborn = container("one", image, command=["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    put(folder / "a.yaml", pod("a", stubborn, terminationGracePeriodSeconds=600))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    before = instance.running("a")
    down = take_down(instance, folder)
    events = instance.engine.events
    until(lambda: any(event.reason == "Killing" for event in events()), "down has begun")
    apply = begin(instance, folder)
    turns = instance.engine.layout.turns
    until(lambda: any(f'"pid": {apply.pid}' in file.read_text() for file in turns.iterdir()), "apply has come")
    os.kill(before["one"].pid, signal.SIGKILL)
    said, _ = down.communicate(timeout=DEADLINE)
    assert (down.returncode, "`apply` of" in said and "came later" in said) == (1, True), said
    said, _ = apply.communicate(timeout=2 * DEADLINE)
    assert apply.returncode == 0, said
    assert instance.running("a") != before

    put(folder / "a.yaml", pod("a", stubborn, terminationGracePeriodSeconds=1))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    put(folder / "b.yaml", pod("b", container("one", image, args=["-c", "exit 1"], command=["sh"])))
    waiting = begin(instance, folder)  # for ever: a crash loop
    until(lambda: instance.containers("b"), "apply has begun")
    instance.ok("down", folder)
    said, _ = waiting.communicate(timeout=DEADLINE)
    assert (waiting.returncode, "`down` of" in said and "came later" in said) == (1, True), said
    assert not instance.engine.keys()


def test_output_that_nobody_reads_holds_nobody_up(instance: Instance, image: str, folder: Path) -> None:
    """`apply | less`, or a terminal stopped by Ctrl-S: the command waits for its reader, but not with a pod's lock."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, b"x" * 4096)  # full from the start
        fill(folder, image, "first")
        words = instance.command("apply", "--wait", "--timeout", 60, folder)
        command = subprocess.Popen(words, stdout=writer, stderr=writer)
        until(lambda: all(set(instance.running(p)) == {"infra", "one", "two"} for p in PODS), "the pods run")
        instance.ok("diff", folder)
        fill(folder, image, "second")
        instance.ok("apply", "--wait", "--timeout", 60, folder)
        assert command.poll() is None
    finally:
        os.close(writer)
        while os.read(reader, 65536):
            pass
        os.close(reader)
    assert command.wait(DEADLINE) == 0


def test_a_controller_leaves_alone_what_another_folder_has(
    instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    """It hears of every container that ends; one of a pod that it has never heard of is started again, as always."""
    instance.watch(folder)
    other = tmp_path / "other"
    other.mkdir()
    put(folder / "mine.yaml", pod("mine", container("one", image)))
    until(lambda: "one" in instance.running("mine"), "the controller works")
    put(other / "theirs.yaml", pod("theirs", container("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, other)
    before = instance.running("theirs")
    os.kill(before["one"].pid, signal.SIGKILL)
    until(lambda: instance.running("theirs").get("one") not in (None, before["one"]), "it was started again")
    assert instance.running("theirs")["infra"] == before["infra"]
    told = {event.reason for event in instance.engine.events(about=str(Key("default", "theirs")))}
    assert not told & {"Held", "Removed"}
