"""What a machine's end leaves on the disk is enough: every pod comes back as it was meant, once.

The reboot is pretended (see ``rebooting``).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.key import Key
from reconciler.sources.directory import SETTLE
from tests.host.instance import Instance, until
from tests.host.lives import end_controller, events, expect_settled, ip_of, row_of, sleeper
from tests.host.manifests import pod, put

pytestmark = pytest.mark.host


def _fill(folder: Path, image: str) -> None:
    ports = [{"containerPort": 80, "hostPort": 18200, "protocol": "UDP"}]
    put(folder / "web.yaml", pod("web", sleeper("one", image, ports=ports), sleeper("two", image)))
    put(folder / "plain.yaml", pod("plain", sleeper("one", image)))
    put(folder / "broken.yaml", pod("broken", sleeper("one", image)))
    put(folder / "job.yaml", pod("job", sleeper("one", image, command=["true"]), restartPolicy="Never"))
    put(folder / "retry.yaml", pod("retry", sleeper("one", image, command=["true"]), restartPolicy="OnFailure"))
    put(folder / "long.yaml", pod("long", sleeper("one", image), restartPolicy="Never"))
    put(folder / "again.yaml", pod("again", sleeper("one", image), restartPolicy="OnFailure"))


BACK = {
    "web": {"infra", "one", "two"},
    "plain": {"infra", "one"},
    "broken": {"infra", "one"},
    "again": {"infra", "one"},
}
OVER = ("job", "retry", "long")


def _ended(instance: Instance, name: str) -> bool:
    """Whether the pod's containers, which are there, have ended."""
    found = instance.containers(name).values()
    return bool(found) and all(c.exit for c in found)


@pytest.mark.parametrize("by", ["watch", "apply"])
def test_all_pods_come_back(by: str, instance: Instance, image: str, folder: Path, reboot: Callable[[], None]) -> None:
    _fill(folder, image)
    instance.ok("apply", "--wait", "--timeout", 60, folder) if by == "apply" else instance.watch(folder)
    until(lambda: all(set(instance.running(p)) == names for p, names in BACK.items()), "the pods run")
    until(lambda: all(_ended(instance, p) for p in OVER[:2]), "the jobs are done")
    until(lambda: "one" in instance.running("long"), "the long one runs")
    pods = (*BACK, *OVER)
    addresses = {p: ip_of(instance, p) for p in pods}
    before = {p: instance.running(p) for p in pods}
    over = {p: {c.id for c in instance.containers(p).values()} for p in OVER}
    assert all(over.values())
    if by == "watch":
        (folder / "broken.yaml").write_text("kind: Pod\nspec: [")

    reboot()
    assert not any(instance.running(p) for p in pods)
    if by == "watch":
        instance.watch(folder)
        until(lambda: all(set(instance.running(p)) == names for p, names in BACK.items()), "the pods run again")
    else:
        done = instance.run("apply", "--wait", "--timeout", 60, folder)
        assert f"reconciler: this machine was started again: {len(pods)} pods are" in done.stderr
        assert done.returncode == 1, "the Never pod whose process was lost has failed"
        assert "pod default/long" in done.stdout + done.stderr
        assert {p: set(instance.running(p)) for p in BACK} == BACK
    told = [e.message for e in instance.engine.events(about="state") if e.reason == "Rebooted"]
    assert told == [f"This machine was started again: {len(pods)} pods are brought back as recorded"]
    assert {p: ip_of(instance, p) for p in pods} == addresses
    now = {p: instance.running(p) for p in pods}
    assert not any(set(before[p].values()) & set(now[p].values()) for p in pods)
    assert {p: {c.id for c in instance.containers(p).values()} for p in OVER} == over, "what is over was run again"
    assert [row_of(instance, p)[2] for p in ("job", "retry", "web")] == ["Completed", "Completed", "Running"]
    assert len(instance.engine.keys()) == len(pods)
    instance.ok("system", "check")
    if by == "apply":
        assert instance.run("diff", folder).returncode == 0


def test_an_edit_while_the_machine_was_off(
    instance: Instance, image: str, folder: Path, reboot: Callable[[], None]
) -> None:
    """The pod comes back in its new version at once; one whose manifest is gone does not come back."""
    put(folder / "a.yaml", pod("a", sleeper("one", image), sleeper("two", image)))
    put(folder / "gone.yaml", pod("gone", sleeper("one", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    address = ip_of(instance, "a")
    reboot()
    put(
        folder / "a.yaml", pod("a", sleeper("one", image, env=[{"name": "NEW", "value": "yes"}]), sleeper("two", image))
    )
    (folder / "gone.yaml").unlink()
    quiet = time.monotonic() + SETTLE
    until(lambda: time.monotonic() > quiet, "the folder is quiet, as after a real reboot")
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    one = instance.containers("a")["one"]
    assert (one.attempt, one.spec.env) == (0, (("NEW", "yes"),))
    assert ip_of(instance, "a") == address
    assert instance.engine.keys() == (Key("default", "a"),)
    assert [e.reason for e in events(instance, "gone")].count("SandboxCreated") == 1
    expect_settled(instance, folder)


def test_a_machine_that_fails_twice(instance: Instance, image: str, folder: Path, reboot: Callable[[], None]) -> None:
    """The second failure comes while the first one's pods are brought back."""
    for name in ("a", "b", "c"):
        put(folder / f"{name}.yaml", pod(name, sleeper("one", image), sleeper("two", image)))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    addresses = {p: ip_of(instance, p) for p in "abc"}
    reboot()
    controller = instance.watch(folder)
    until(lambda: any(instance.running(p) for p in "abc"), "something runs again")
    end_controller(controller, signal.SIGKILL)
    reboot()
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert {p: set(instance.running(p)) for p in "abc"} == {p: {"infra", "one", "two"} for p in "abc"}
    assert {p: ip_of(instance, p) for p in "abc"} == addresses
    expect_settled(instance, folder)
