"""``system stop``, which the machine's shutdown calls: every container is asked, waited for, and run again later."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.controller.lock import holder
from tests.host.instance import Instance, until, wait_for_end
from tests.host.lives import ip_of, sleeper
from tests.host.manifests import pod, put

pytestmark = pytest.mark.host

DEAF = ["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"]
POLITE = ["sh", "-c", "trap 'echo bye >/data/end; exit 0' TERM; while :; do sleep 1000 & wait $!; done"]


def test_all_end_with_their_grace_and_come_back(instance: Instance, image: str, folder: Path, tmp_path: Path) -> None:
    mounts = [{"name": "data", "mountPath": "/data"}]
    put(folder / "deaf.yaml", pod("deaf", sleeper("one", image, command=DEAF), terminationGracePeriodSeconds=1))
    put(
        folder / "polite.yaml",
        pod(
            "polite",
            sleeper("one", image, command=POLITE, volumeMounts=mounts),
            sleeper("two", image),
            volumes=[{"name": "data", "hostPath": {"path": str(tmp_path)}}],
        ),
    )
    put(folder / "once.yaml", pod("once", sleeper("one", image, command=["true"]), restartPolicy="Never"))
    instance.ok("apply", "--wait", "--timeout", 60, folder)
    addresses = {name: ip_of(instance, name) for name in ("deaf", "polite", "once")}
    processes = [*instance.running("deaf").values(), *instance.running("polite").values()]
    assert len(processes) == 5

    controller = instance.watch(folder)
    until(lambda: holder(instance.engine.layout.controller_lock), "it has begun")
    refused = instance.run("system", "stop")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"reconciler: cannot stop everything: controller (pid {controller.pid}) watches")
    instance.stop_controllers()

    assert "3 containers ended." in instance.ok("system", "stop")
    wait_for_end(processes)
    assert (tmp_path / "end").read_text() == "bye\n"
    assert "0 containers ended." in instance.ok("system", "stop"), "again: nothing runs"
    assert len(instance.engine.keys()) == 3
    instance.ok("system", "check")

    instance.ok("apply", "--wait", "--timeout", 60, folder)
    assert set(instance.running("polite")) == {"infra", "one", "two"}
    assert set(instance.running("deaf")) == {"infra", "one"}
    assert {name: ip_of(instance, name) for name in addresses} == addresses
    assert [c.attempt for c in instance.containers("once").values()] == [0], "what is over is not run again"
