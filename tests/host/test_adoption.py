"""A controller that ends, however it ends, and another that takes over: no container notices, and nothing that
happened in between is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from reconciler.model.key import Key
from reconciler.model.observed import Container, ContainerState, PidRef
from tests.host.instance import Instance, until
from tests.host.lives import (
    STUBBORN,
    container_status,
    end,
    end_controller,
    events,
    expect_settled,
    log_of,
    replaced,
    row_of,
    sleeper,
    use_runtime,
)
from tests.host.manifests import Manifest, pod, put
from tests.slowness import seconds

pytestmark = pytest.mark.host

ENDS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])


@pytest.fixture(params=["crun", "runc"])
def either(request: pytest.FixtureRequest, instance: Instance, image: str) -> Instance:
    """The instance under each runtime."""
    use_runtime(instance, request.param)
    return instance


@ENDS
def test_a_controller_takes_over_what_runs(number: signal.Signals, either: Instance, image: str, folder: Path) -> None:
    """Nothing is touched; and what ends after that is seen as if the first controller were still there."""
    instance = either
    put(folder / "a.yaml", pod("a", sleeper("one", image), sleeper("two", image)))
    first = instance.watch(folder)
    until(lambda: set(instance.running("a")) == {"infra", "one", "two"}, "the pod runs")
    before = instance.running("a")
    end_controller(first, number)
    assert instance.running("a") == before
    told = len(events(instance, "a"))

    instance.watch(folder)
    until(lambda: log_of(instance).count("controller starts") == 2, "the second controller is there")
    end([before["one"]])
    replaced(instance, "a", "one", before["one"])
    after = instance.running("a")
    assert {name for name in before if before[name] != after[name]} == {"one"}
    expect_settled(instance, folder)
    until(lambda: events(instance, "a")[-1].reason == "Started", "the last step is told")
    assert [e.reason for e in events(instance, "a")[told:]] == ["Created", "Started"]


@ENDS
def test_what_happened_while_nobody_watched(
    number: signal.Signals, instance: Instance, image: str, folder: Path
) -> None:
    """Exits are answered by each pod's policy, edits are applied, a manifest that is gone is pruned."""
    put(folder / "always.yaml", pod("always", sleeper("gone", image), sleeper("kept", image)))
    for policy in ("OnFailure", "Never"):
        name = policy.lower()
        well, badly = end_at_usr1(image, "well", 0), end_at_usr1(image, "badly", 3)
        put(folder / f"{name}.yaml", pod(name, badly, well, restartPolicy=policy))
    put(folder / "edited.yaml", pod("edited", sleeper("one", image), sleeper("two", image)))
    put(folder / "pruned.yaml", pod("pruned", sleeper("one", image)))
    pods = ("always", "onfailure", "never", "edited", "pruned")
    first = instance.watch(folder)
    until(lambda: all(set(instance.running(p)) > {"infra"} for p in pods), "all pods run")
    until(lambda: all(len(instance.running(p)) == 3 for p in pods[:-1]), "all containers run")
    until(lambda: all(is_ready(instance, p) for p in ("onfailure", "never")), "they hear USR1")
    before = {p: instance.running(p) for p in pods}
    end_controller(first, number)

    end([before["always"]["gone"]])
    for name in ("onfailure", "never"):
        end([before[name]["well"], before[name]["badly"]], signal.SIGUSR1)
    changed = pod("edited", sleeper("one", image, env=[{"name": "NEW", "value": "yes"}]), sleeper("two", image))
    put(folder / "edited.yaml", changed)
    (folder / "pruned.yaml").unlink()

    instance.watch(folder)
    replaced(instance, "always", "gone", before["always"]["gone"])
    replaced(instance, "onfailure", "badly", before["onfailure"]["badly"])
    replaced(instance, "edited", "one", before["edited"]["one"])
    until(lambda: Key("default", "pruned") not in set(instance.engine.keys()), "the pod without a manifest is gone")
    for name, member in (("always", "kept"), ("edited", "two")):
        assert instance.running(name)[member] == before[name][member]
    assert all(instance.running(p)["infra"] == before[p]["infra"] for p in pods[:-1])
    assert set(instance.running("onfailure")) == {"infra", "badly"}
    assert set(instance.running("never")) == {"infra"}
    codes = {name: c.exit.code for name, c in instance.containers("never").items() if c.exit}
    assert codes == {"well": 0, "badly": 3}
    assert [row_of(instance, p)[1:4] for p in ("always", "onfailure", "never")] == [
        ["2/2", "Running", "1"],
        ["1/2", "NotReady", "1"],
        ["0/2", "Error", "0"],
    ]
    expect_settled(instance, folder)


def test_backoff_goes_on_where_it_was(instance: Instance, image: str, folder: Path) -> None:
    """The second restart comes 10 s after the second crash, although the controller that counted is dead."""
    put(folder / "loop.yaml", pod("loop", sleeper("app", image, command=["false"])))
    first = instance.watch(folder)
    until(lambda: crashes(instance) == (1, ContainerState.EXITED), "the first restart has crashed, too")
    end_controller(first, signal.SIGKILL)
    crashed = instance.containers("loop")["app"].exit
    assert crashed is not None

    instance.watch(folder)
    until(lambda: log_of(instance).count("controller starts") == 2, "the second controller is there")
    until(lambda: row_of(instance, "loop")[2] == "CrashLoopBackOff", "the back-off is shown")
    until(lambda: crashes(instance)[0] == 2, "the second restart")
    last = container_status(instance, "loop", "app")
    assert last["restartCount"] == 2
    again = until(lambda: instance.containers("loop")["app"].started, "it has started")
    assert 10.0 <= again - crashed.finished < 20.0, "neither at once nor as after a third crash"


@ENDS
def test_a_grace_period_goes_on_without_the_controller(
    number: signal.Signals, instance: Instance, image: str, folder: Path
) -> None:
    """The deadline stands in the record: KILL comes when it is due, not a whole grace period after the new start."""
    manifest = pod("slow", sleeper("app", image, command=STUBBORN), sleeper("side", image))
    manifest["spec"]["terminationGracePeriodSeconds"] = 5
    put(folder / "slow.yaml", manifest)
    first = instance.watch(folder)
    until(lambda: is_ready(instance, "slow") and "side" in instance.running("slow"), "it ignores TERM")
    before = instance.running("slow")
    manifest["spec"]["containers"][0]["env"] = [{"name": "NEW", "value": "yes"}]
    put(folder / "slow.yaml", manifest)
    old = until(lambda: stopping_of(instance, before), "it is told to stop")
    assert old.stopping
    deadline = old.stopping.deadline
    until(lambda: "Killing" in [e.reason for e in events(instance, "slow")], "that is told after the record")
    end_controller(first, number)

    instance.watch(folder)
    seen = set()

    def is_replaced() -> bool:
        now = stopping_of(instance, before)
        seen.update({now.stopping.deadline} if now and now.stopping and not now.stopping.killed else ())
        return instance.running("slow").get("app") not in (None, before["app"])

    until(is_replaced, "the new version runs")
    assert seen <= {deadline}, "nobody begins to count anew"
    assert instance.containers("slow")["app"].started >= deadline
    assert instance.running("slow")["side"] == before["side"]
    stopped, *killed = [e.message for e in events(instance, "slow") if e.reason == "Killing"]
    assert stopped.startswith("Stopping container app: env")
    assert killed == ["Killing container app: its grace period is over"]
    expect_settled(instance, folder)


def test_a_deadline_that_passed_unwatched_is_kept_at_once(instance: Instance, image: str, folder: Path) -> None:
    manifest = pod("slow", sleeper("app", image, command=STUBBORN))
    manifest["spec"]["terminationGracePeriodSeconds"] = round(seconds(3))
    put(folder / "slow.yaml", manifest)
    first = instance.watch(folder)
    until(lambda: is_ready(instance, "slow"), "it ignores TERM")
    before = instance.running("slow")
    manifest["spec"]["containers"][0]["env"] = [{"name": "NEW", "value": "yes"}]
    put(folder / "slow.yaml", manifest)
    old = until(lambda: stopping_of(instance, before), "it is told to stop")
    end_controller(first, signal.SIGKILL)
    assert old.stopping
    until(lambda: instance.engine.context.clock.now() > old.stopping.deadline, "the deadline is over")
    assert instance.running("slow") == before
    instance.ok("apply", "--wait", "--timeout", 30, folder)
    assert instance.running("slow")["app"] != before["app"]


def test_one_controller_for_a_root(instance: Instance, image: str, folder: Path) -> None:
    put(folder / "a.yaml", pod("a", sleeper("one", image)))
    live = instance.watch(folder)
    until(lambda: len(instance.running("a")) == 2, "the pod runs")
    before = instance.running("a")
    second = instance.run("watch", folder)
    assert (second.returncode, "Traceback" in second.stderr) == (1, False)
    assert f"another controller (pid {live.pid}) watches {folder}" in second.stderr
    down = instance.run("down", folder)
    assert down.returncode == 1
    assert f"controller (pid {live.pid}) watches it" in down.stderr
    assert instance.running("a") == before
    end_controller(live, signal.SIGINT)
    instance.ok("down", folder)
    assert instance.engine.keys() == ()


def end_at_usr1(image: str, name: str, code: int) -> Manifest:
    return sleeper(
        name, image, command=["sh", "-c", f"trap 'exit {code}' USR1; echo ready; while :; do sleep 1000 & wait; done"]
    )


def is_ready(instance: Instance, name: str) -> bool:
    """Whether all its members that say so have set their traps, and are written down as started, which comes later."""
    found = [c for c in instance.containers(name).values() if c.spec.command and "ready" in c.spec.command[-1]]
    return bool(found) and all(
        c.state is ContainerState.RUNNING
        and c.log_path
        and Path(c.log_path).exists()
        and "ready" in Path(c.log_path).read_text()
        for c in found
    )


def crashes(instance: Instance) -> tuple[int, ContainerState | None]:
    app = instance.containers("loop").get("app")
    return (app.restarts, app.state) if app else (0, None)


def stopping_of(instance: Instance, before: dict[str, PidRef]) -> Container | None:
    have = instance.engine.observe(Key("default", "slow"), None)
    return next((c for c in have.containers if c.pid == before["app"] and c.stopping), None)
