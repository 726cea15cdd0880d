"""What the tests of adoption, reboots and lost parts share: ends of processes, and whole lives in one word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reconciler.engine import recorded, watched
from reconciler.model.events import Event
from reconciler.model.key import Key
from reconciler.model.observed import Container, PidRef
from tests.host.instance import DEADLINE, Instance, processes_of, start_time, until, wait_for_end
from tests.host.manifests import Manifest, container

SLEEP = ["sh", "-c", "exec sleep 1000"]
STUBBORN = ["sh", "-c", 'trap "" TERM; echo ready; while :; do sleep 1000 & wait; done']
"""Does not end at TERM: only its grace period ends it."""


def sleeper(name: str, image: str, **fields: Any) -> Manifest:
    """A container that ends at once when it is killed, with nothing in between."""
    return container(name, image, **{"command": SLEEP, **fields})


def end(refs: Iterable[PidRef], number: signal.Signals = signal.SIGKILL) -> None:
    """Signal these very processes, and wait for their ends."""
    wanted = list(refs)
    for ref in wanted:
        assert start_time(ref.pid) == ref.start, f"process {ref.pid} is gone already"
        os.kill(ref.pid, number)
    wait_for_end(wanted)


def end_controller(controller: subprocess.Popen[str], number: signal.Signals) -> None:
    """A controller's end, by Ctrl-C or worse."""
    controller.send_signal(number)
    controller.wait(DEADLINE)


def reference(pid: int) -> PidRef:
    """The living process of that number."""
    ref = PidRef(pid, start_time(pid))
    assert ref.start, f"there is no process {pid}"
    return ref


def monitor_of(instance: Instance, one: Container) -> PidRef:
    """The process that watches the container."""
    engine = instance.engine
    life = recorded.facts_of(engine.context, one.id).life
    return reference(int(watched.monitor_file(engine.layout.container(one.id), life).read_text()))


def zygote_of(instance: Instance) -> PidRef:
    """The process that monitors are forked from."""

    def look() -> list[int]:
        found = [process.pid for process in processes_of(instance.root) if "--zygote" in process.command]
        return found if len(found) == 1 else []  # a fork of it has its name for a moment

    return reference(*until(look, "there is one zygote"))


def infra_of(instance: Instance, pod: str) -> Container:
    """The infra container of a pod, which must be there."""
    sandbox = instance.engine.observe(Key("default", pod), None).sandbox
    assert sandbox is not None
    assert sandbox.infra is not None
    return sandbox.infra


def ip_of(instance: Instance, pod: str) -> str:
    sandbox = instance.engine.observe(Key("default", pod), None).sandbox
    assert sandbox is not None
    return sandbox.ip


def events(instance: Instance, pod: str) -> tuple[Event, ...]:
    return instance.engine.events(about=str(Key("default", pod)))


def expect_settled(instance: Instance, folder: Path) -> None:
    """Nothing is left to do, and nothing lies about."""
    until(lambda: instance.run("diff", folder).returncode == 0, "nothing is left to do")
    instance.ok("system", "check")


def replaced(instance: Instance, pod: str, name: str, before: PidRef) -> PidRef:
    """The process that runs in place of ``before``."""

    def look() -> PidRef | None:
        now = instance.running(pod).get(name)
        return now if now != before else None

    found = until(look, f"{pod}/{name} runs again")
    assert found is not None
    return found


def row_of(instance: Instance, pod: str) -> list[str]:
    """NAME, READY, STATUS, RESTARTS, AGE, as ``get pods`` shows them."""
    return instance.ok("get", "pods", pod, "--no-headers").split()


def container_status(instance: Instance, pod: str, name: str) -> dict[str, Any]:
    """One of the containerStatuses that ``get pod -o json`` shows."""
    shown = json.loads(instance.ok("get", "pod", pod, "-o", "json"))
    found: dict[str, Any] = next(c for c in shown["status"]["containerStatuses"] if c["name"] == name)
    return found


def log_of(instance: Instance) -> str:
    """What its controllers wrote."""
    return (instance.root / "controller.log").read_text()


def use_runtime(instance: Instance, name: str) -> None:
    """Let all of the instance run under that OCI runtime, commands and the test's own engine alike."""
    instance._options = ("--runtime", name)
    instance.__dict__["engine"] = instance.opened(name)
