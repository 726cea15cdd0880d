"""Killed anywhere, the next run puts things right: SIGKILL at every effect, then at random moments in churn.

After each kill: ``apply --wait`` succeeds, ``system check`` is clean, and what is observed is what is wanted.
The points are not listed here: a traced run of each change tells which effects it passes through. By default each
is killed at its first passage; with ``RECONCILER_KILLS=all`` in the environment at every one, with ``some`` (where the
processor is emulated) a sample.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
from pathlib import Path

import pytest

from reconciler.engine.effects import FAULT, TRACE
from tests.host.instance import DEADLINE, Instance, fresh_instance

pytestmark = [pytest.mark.host, pytest.mark.timeout(900 if os.environ.get("RECONCILER_KILLS") != "all" else 7200)]

ALL = os.environ.get("RECONCILER_KILLS") == "all"
SAMPLE = 8 if os.environ.get("RECONCILER_KILLS") == "some" else 1
"""One of so many."""
RANDOM_KILLS = 20 // SAMPLE


def _pod(name: str, words: str, *, port: int = 0, side: bool = True, label: str = "") -> str:
    """A pod whose processes end at TERM: ``words`` are one member's arguments, ``side`` adds a sibling; ``label``
    stands in the files of a volume, beside one in memory."""
    ports = f"\n    ports: [{{containerPort: 80, hostPort: {port}, protocol: UDP}}]" if port else ""
    sibling = "\n  - name: side\n    image: localhost/reconciler/busybox:1\n    command: [sh, -c, 'exec sleep 1000']"
    labels = f"\n  labels: {{label: {label}}}" if label else ""
    told = "downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}"
    volumes = f", {{name: fast, emptyDir: {{medium: Memory}}}}, {{name: told, {told}}}" if label else ""
    mounts = ", {name: fast, mountPath: /fast}, {name: told, mountPath: /told}" if label else ""
    return f"""\
apiVersion: v1
kind: Pod
metadata:
  name: {name}{labels}
spec:
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 5
  volumes: [{{name: data, emptyDir: {{}}}}{volumes}]
  containers:
  - name: main
    image: localhost/reconciler/busybox:1
    command: [sh, -c, 'exec sleep 1000 # {words}']{ports}
    volumeMounts: [{{name: data, mountPath: /data}}{mounts}]{sibling if side else ""}
"""


CHANGES: dict[str, tuple[str | None, str | None]] = {
    "a pod is created and removed": (None, _pod("web", "one", port=18080, label="one")),
    "what a volume shows is edited": (
        _pod("web", "one", side=False, label="one"),
        _pod("web", "one", side=False, label="two"),
    ),
    "a member is edited": (_pod("web", "one"), _pod("web", "two")),
    "a member is added and removed": (_pod("web", "one"), _pod("web", "one", side=False)),
    "a host port is changed": (_pod("web", "one", port=18080), _pod("web", "one", port=18081)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_kill_at_any_effect_is_put_right_by_the_next_run(
    change: str, instance: Instance, image: str, folder: Path, tmp_path: Path
) -> None:
    one, other = CHANGES[change]
    for wanted in (other, one):  # once, so that what is done but once per root is done
        _write(folder, wanted)
        _converge(instance, folder)
    for wanted, back in ((other, one), (one, other)):
        for fault in _faults(instance, folder, wanted, tmp_path / "trace"):
            _write(folder, back)
            _converge(instance, folder)
            _write(folder, wanted)
            _die(instance, folder, fault)
            _verify(instance, folder, after=fault)


def test_a_kill_in_the_very_first_run_is_put_right_by_the_next(
    instance: Instance, image: str, loaded_images: Path, folder: Path, tmp_path: Path
) -> None:
    """Directories, database, runtime probe, infra rootfs, subnet, bridge, table, zygote: a root for each kill."""
    _forward_nothing()
    faults = _faults(instance, folder, _pod("web", "one", port=18090), tmp_path / "trace")
    instance.remove_everything()  # it holds the port
    for fault in faults:
        _forward_nothing()
        with fresh_instance(loaded_images) as newcomer:
            _die(newcomer, folder, fault)
            _verify(newcomer, folder, after=fault)


def test_random_kills_in_churn_lose_nothing(instance: Instance, image: str, folder: Path) -> None:
    """The controller is killed at random moments while the folder changes; the seed makes it repeatable."""
    dice = random.Random(20)
    for kill in range(RANDOM_KILLS):
        controller = instance.watch(folder)
        for _ in range(dice.randint(1, 3)):
            _churn(folder, dice)
            _pause(controller, dice.uniform(0.02, 0.5))
        os.kill(controller.pid, signal.SIGKILL)
        controller.wait(DEADLINE)
        after = f"random kill {kill}"
        _converge(instance, folder, after=after)
        _verify(instance, folder, after=after)


def _forward_nothing() -> None:
    """As a machine (here: this worker's network namespace) that has just booted."""
    for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", setting).write_text("0")


def _faults(instance: Instance, folder: Path, wanted: str | None, trace: Path) -> list[str]:
    """Every effect that the change passes through, as the fault that kills right after it."""
    trace.unlink(missing_ok=True)
    _write(folder, wanted)
    done = instance.run("apply", "--yes-prune", folder, env=os.environ | {TRACE: str(trace)})
    assert done.returncode == 0, done.stderr
    names = trace.read_text().split()
    passages = (f"{name}:after:{names[:n].count(name) + 1}" for n, name in enumerate(names))
    return [fault for fault in passages if ALL or fault.endswith(":1")][::SAMPLE]


def _die(instance: Instance, folder: Path, fault: str) -> None:
    """Run into the fault, then let the next run put things right."""
    died = instance.run("apply", "--yes-prune", folder, env=os.environ | {FAULT: fault})
    if died.returncode != -signal.SIGKILL:  # which of two parallel steps comes n-th is chance; the first always comes
        assert ALL, f"{fault} was not reached: {died.stdout}{died.stderr}"
        assert died.returncode == 0, f"{fault}: {died.stdout}{died.stderr}"
    _converge(instance, folder, after=fault)


def _churn(folder: Path, dice: random.Random) -> None:
    name = dice.choice(("a", "b", "c"))
    pod = _pod(name, str(dice.randint(1, 3)), port=dice.choice((0, 18100 + ord(name))), side=dice.random() < 0.5)
    file = folder / f"{name}.yaml"
    if dice.random() < 0.25:
        file.unlink(missing_ok=True)
    else:
        _replace(file, pod)


def _pause(process: subprocess.Popen[str], seconds: float) -> None:
    """Let the controller work for a while, or until it ends."""
    fd = os.pidfd_open(process.pid)
    try:
        select.select([fd], [], [], seconds)
    finally:
        os.close(fd)


def _write(folder: Path, text: str | None) -> None:
    if text is None:
        (folder / "pod.yaml").unlink(missing_ok=True)
    else:
        _replace(folder / "pod.yaml", text)


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.replace(file)


def _converge(instance: Instance, folder: Path, after: str = "the start") -> None:
    done = instance.run("apply", "--wait", "--yes-prune", "--timeout", "60", folder)
    assert done.returncode == 0, f"after {after}: {done.stdout}{done.stderr}"


def _verify(instance: Instance, folder: Path, after: str) -> None:
    for words in (("diff", folder), ("system", "check")):
        done = instance.run(*words)
        assert done.returncode == 0, f"after {after}: {words}: {done.stdout}{done.stderr}"
